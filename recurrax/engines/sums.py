"""The halves of the pre-activations as few arrays: those that a cell only adds as their sum, gates side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell


class Sums(NamedTuple):
    """For each gate g, whether ``update(carry, u, v)`` reads u_g and v_g in the sum u_g + v_g and nowhere else.

    Then one array does for the two, forwards and backwards. With ``packed``, arrays of all gates lie side by side in
    one ``[..., G H]``, which is what one product gives and, in the backward pass, what the next one takes.
    """

    only: tuple[bool, ...]
    us: Any  # the trees of the halves
    vs: Any
    packed: bool

    def fold(self, u: Any, v: Any) -> tuple[list[jax.Array], list[jax.Array]]:
        """The halves as lists: of every v with its u added where it is only added, and of the other u."""
        u, v = jax.tree.leaves(u), jax.tree.leaves(v)
        if all(self.only) and v:
            return [], [a + b for a, b in zip(self.pack(u), self.pack(v), strict=True)]
        if any(self.only):
            v = [a + b if only else b for only, a, b in zip(self.only, u, v, strict=True)]
            u = [a for only, a in zip(self.only, u, strict=True) if not only]
        return self.pack(u), self.pack(v)

    def unfold(self, u: list[jax.Array], v: list[jax.Array]) -> tuple[Any, Any]:
        """Halves that ``update`` cannot tell from the ones that were folded."""
        others, v = iter(self.unpack(u, self.only.count(False))), self.unpack(v, self.vs.num_leaves)
        if any(self.only):
            u = [jnp.zeros_like(b) if only else next(others) for only, b in zip(self.only, v, strict=True)]
        else:
            u = list(others)
        return jax.tree.unflatten(self.us, u), jax.tree.unflatten(self.vs, v)

    def pack(self, arrays: Any) -> list[jax.Array]:
        """The leaves ``[..., H]``, in one array where they are packed."""
        arrays = jax.tree.leaves(arrays)
        return [jnp.concatenate(arrays, axis=-1)] if self.packed and len(arrays) > 1 else arrays

    def apart(self, us: list[jax.Array]) -> Any:
        """The half ``project(x)`` from what `pack` made of it."""
        return jax.tree.unflatten(self.us, self.unpack(us, self.us.num_leaves))

    def unpack(self, arrays: list[jax.Array], count: int) -> list[jax.Array]:
        """So many arrays from what `pack` made of them."""
        if not self.packed or count < 2:
            return arrays
        (whole,) = arrays
        return list(jax.lax.split(whole, [whole.shape[-1] // count] * count, axis=whole.ndim - 1))


def sums_of(cell: Cell, carry: Carry, xs: jax.Array, packed: bool = False) -> Sums:
    """Reads it off the jaxpr of ``update``; ``packed`` holds only for arrays that are alike, from products."""
    u, v = jax.eval_shape(lambda x: cell.project(x), xs[0]), jax.eval_shape(lambda c: cell.mix(c), carry)
    (us, u_tree), (vs, v_tree) = jax.tree.flatten(u), jax.tree.flatten(v)
    packed = packed and len(vs) > 0 and len({(leaf.shape, leaf.dtype) for leaf in (*us, *vs)}) == 1
    if len(us) != len(vs):
        return Sums((False,) * len(us), u_tree, v_tree, packed)
    jaxpr = jax.make_jaxpr(cell.update)(carry, u, v).jaxpr
    first = len(jaxpr.invars) - 2 * len(us)
    halves = zip(jaxpr.invars[first : first + len(us)], jaxpr.invars[first + len(us) :], strict=True)
    readers = {id(var): [e for e in jaxpr.eqns if any(var is a for a in e.invars)] for var in jaxpr.invars}

    def only(a: Any, b: Any) -> bool:
        mine, other = readers[id(a)], readers[id(b)]
        alone = len(mine) == len(other) == 1 and mine[0] is other[0] and mine[0].primitive.name == "add"
        return alone and not any(a is out or b is out for out in jaxpr.outvars)

    return Sums(tuple(only(a, b) for a, b in halves), u_tree, v_tree, packed)
