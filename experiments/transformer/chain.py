"""The longest chain of operations of a program that wait for each other, read off its jaxpr.

However many cores a device has, it cannot be faster than that chain. The count is of operations on whole arrays,
whatever their size. A loop counts as often as it runs, but with the chain from its carry to its carry alone: what a
step computes from its input does not wait for the step before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import core

NEVER = -math.inf  # how long a value waits for something that it does not depend on


def longest(function: Callable[..., Any], *args: Any) -> int:
    """Operations in the longest chain from the arguments of a function to its results.

    Raises:
        ValueError: the program has a loop that ends by a condition, so nobody knows how often it runs.
    """
    closed = jax.make_jaxpr(function)(*args)
    return int(max(0.0, *through(closed.jaxpr, [0.0] * len(closed.jaxpr.invars))))


def through(jaxpr: core.Jaxpr, starts: Sequence[float]) -> list[float]:
    """When each output of a jaxpr is known, if its inputs are known after so many operations."""
    known: dict[core.Var, float] = dict(zip(jaxpr.invars, starts, strict=True))
    depends = any(start > NEVER for start in starts)

    def at(atom: Any) -> float:
        return NEVER if isinstance(atom, core.Literal) else known.get(atom, NEVER)

    for equation in jaxpr.eqns:
        inputs = [at(atom) for atom in equation.invars]
        ends = _ends(equation, inputs) if depends and max(inputs, default=NEVER) > NEVER else None
        for number, variable in enumerate(equation.outvars):
            known[variable] = ends[number] if ends else NEVER
    return [at(atom) for atom in jaxpr.outvars]


def _ends(equation: Any, inputs: list[float]) -> list[float]:
    """When the outputs of one operation are known."""
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return _scan(params, inputs)
    if name == "while":
        raise ValueError(f"the program has a loop that ends by a condition: {equation.source_info.traceback}")
    if name == "cond":
        branches = [through(branch.jaxpr, inputs[1:]) for branch in params["branches"]]
        return [max(max(ends), inputs[0]) + 1 for ends in zip(*branches, strict=True)]
    if name == "custom_linear_solve":
        return _solve(params, inputs)
    inner = next((params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params), None)
    if inner is None:
        if list(core.jaxprs_in_params(params)) and not name.startswith(("scatter", "reduce")):
            raise ValueError(f"{name} holds a program that this count does not follow. Follow it in {__name__}._ends.")
        return [max(inputs) + 1] * len(equation.outvars)
    jaxpr = getattr(inner, "jaxpr", inner)
    return through(jaxpr, inputs[len(inputs) - len(jaxpr.invars) :])


def _solve(params: dict[str, Any], inputs: list[float]) -> list[float]:
    """A linear system: the program that solves it, with its own constants among those of all four."""
    lengths, solve = params["const_lengths"], params["jaxprs"].solve
    before = lengths.matvec + lengths.vecmat
    return through(solve.jaxpr, [*inputs[before : before + lengths.solve], *inputs[sum(lengths) :]])


def _scan(params: dict[str, Any], inputs: list[float]) -> list[float]:
    """A loop of known length: each round waits for the carry of the one before."""
    body, consts, carries, length = params["jaxpr"].jaxpr, params["num_consts"], params["num_carry"], params["length"]
    fixed, moving, slices = inputs[:consts], inputs[consts : consts + carries], inputs[consts + carries :]
    # After some rounds the carries grow evenly, together or in turn, so that the rest need not be followed.
    period = max(1, carries)
    rounds = min(length, 3 * period)
    seen, ends = [moving], list[float]()
    for _ in range(rounds):
        ends = through(body, [*fixed, *seen[-1], *slices])
        seen.append(ends[:carries])
    grown = [now - then for now, then in zip(seen[-1], seen[-1 - min(period, rounds)], strict=True) if then > NEVER]
    more = (length - rounds) * max(grown, default=0.0) / period
    return [end + more if end > NEVER else end for end in ends]
