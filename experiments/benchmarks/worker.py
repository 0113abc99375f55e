"""A process that builds and times programs of one checkout, as the lines of its standard input say.

    python worker.py ROOT

It is a file on its own: it must import nothing of this checkout where it times another one.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def work(root: str) -> None:
    """Builds and times programs as the lines of standard input say."""
    sys.path[:] = [root, *(path for path in sys.path if Path(path).resolve() != Path(__file__).parent.resolve())]
    import recurrax

    assert Path(recurrax.__file__).is_relative_to(root), recurrax.__file__
    calls: dict[str, Any] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "build" in question:
            calls[question["name"]] = call = _program(*question["build"])
            print(json.dumps(None if call is None else _seconds(call, 3)), flush=True)
        else:
            print(json.dumps(_seconds(calls[question["time"]], question["times"])), flush=True)


def _seconds(call: Any, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def _program(kind: str, library: str, cell: str, B: int, T: int, D: int, H: int) -> Any:
    """A call that waits for all it gives; None where the library is not installed."""
    import jax
    import jax.numpy as jnp

    if library == "recurrax":
        parameters, run, carry, step = _ours(cell, B, D, H)
    else:
        from experiments.benchmarks import peers
        from recurrax.timing import Refused

        try:
            layer = peers.layer(library, cell, (B, T, D, H))
        except Refused:
            return None
        parameters, run, carry, step = layer.parameters, layer.run, layer.carry, layer.step
    xs = jax.random.normal(jax.random.key(1), (B, T, D))

    def loss(parameters: Any, xs: jax.Array) -> jax.Array:
        return jnp.mean(run(parameters, xs) ** 2)

    if kind == "first call":

        def first() -> None:
            jax.clear_caches()
            jax.jit(jax.value_and_grad(lambda p, xs: loss(p, xs))).lower(parameters, xs).compile()

        first()
        return first
    if kind == "training":
        train = jax.jit(jax.value_and_grad(loss))
        jax.block_until_ready(train(parameters, xs))
        return lambda: jax.block_until_ready(train(parameters, xs))
    stream, state, x = jax.jit(step), [jax.tree.map(jnp.array, carry)], xs[:, 0]

    def advance() -> None:
        state[0], _ = jax.block_until_ready(stream(parameters, state[0], x))

    advance()
    return advance


def _ours(cell: str, B: int, D: int, H: int) -> Any:
    import jax
    from flax import nnx

    import recurrax as rx

    make = getattr(rx.cells, f"{cell}Cell", None) or getattr(rx.cells, cell)  # the name of the first edition
    module = rx.RNN(make(D, H, rngs=nnx.Rngs(0)))
    leaves, tree = jax.tree.flatten(module)
    return (
        leaves,
        lambda p, xs: jax.tree.unflatten(tree, p)(xs),
        module.cell.initialize_carry((B, D)),
        lambda p, carry, x: jax.tree.unflatten(tree, p).cell(carry, x),
    )


if __name__ == "__main__":
    work(sys.argv[1])
