"""Which halves of the pre-activations a cell only adds: then one array does for the two, forwards and backwards."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, split


class Sums(NamedTuple):
    """For each gate g, whether ``update(carry, u, v)`` reads u_g and v_g in the sum u_g + v_g and nowhere else."""

    only: tuple[bool, ...]
    us: Any  # the trees of the halves
    vs: Any
    together: bool = False  # the sums of all gates are one array ``[..., G H]``: where all are only added, and alike

    def pack(self, half: Any) -> list[jax.Array]:
        """A half as a list, of one array where gates are together."""
        leaves = jax.tree.leaves(half)
        return [jnp.concatenate(leaves, axis=-1)] if self.together else leaves

    def fold(self, u: Any, v: Any) -> tuple[list[Any], list[jax.Array]]:
        """The halves as lists, with u + v in place of v, and None in place of u, for gates that are only added."""
        u, v = self.pack(u), self.pack(v)
        if not any(self.only):
            return u, v
        pairs = zip(self.only[: len(v)], u, v, strict=True)
        folded = [(None, a + b) if only else (a, b) for only, a, b in pairs]
        return [a for a, _ in folded], [b for _, b in folded]

    def unfold(self, u: list[Any], v: list[jax.Array]) -> tuple[Any, Any]:
        """Halves that ``update`` cannot tell from the ones that were folded."""
        if self.together:
            u, v = [None] * len(self.only), split(v[0], len(self.only))
        u = [jnp.zeros_like(b) if a is None else a for a, b in zip(u, v, strict=True)] if any(self.only) else u
        return jax.tree.unflatten(self.us, u), jax.tree.unflatten(self.vs, v)


def sums_of(cell: Cell, carry: Carry, xs: jax.Array) -> Sums:
    """Reads it off the jaxpr of ``update``."""
    u, v = jax.eval_shape(lambda x: cell.project(x), xs[0]), jax.eval_shape(lambda c: cell.mix(c), carry)
    (us, u_tree), (vs, v_tree) = jax.tree.flatten(u), jax.tree.flatten(v)
    if len(us) != len(vs):
        return Sums((False,) * len(us), u_tree, v_tree)
    jaxpr = jax.make_jaxpr(cell.update)(carry, u, v).jaxpr
    first = len(jaxpr.invars) - 2 * len(us)
    halves = zip(jaxpr.invars[first : first + len(us)], jaxpr.invars[first + len(us) :], strict=True)
    readers = {id(var): [e for e in jaxpr.eqns if any(var is a for a in e.invars)] for var in jaxpr.invars}

    def only(a: Any, b: Any) -> bool:
        mine, other = readers[id(a)], readers[id(b)]
        alone = len(mine) == len(other) == 1 and mine[0] is other[0] and mine[0].primitive.name == "add"
        return alone and not any(a is out or b is out for out in jaxpr.outvars)

    sums = tuple(only(a, b) for a, b in halves)
    alike = len({(half.shape, half.dtype) for half in us + vs}) == 1
    return Sums(sums, u_tree, v_tree, together=all(sums) and alike)
