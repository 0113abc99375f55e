"""PyTorch's layers as users run them: eager, forward and backward."""

from __future__ import annotations

from typing import Any

import jax

from experiments.benchmarks.peers import MISSING
from recurrax.timing import Program, Refused, Shape

REST = {"torch": 0.25}  # seconds after a sample on a CPU: its threads spin on, at the cost of who is next


def load() -> Any:
    """The package.

    Raises:
        Refused: it is not installed.
    """
    try:
        import torch  # type: ignore[import-not-found]
    except ImportError as error:
        raise Refused(MISSING) from error
    return torch


def program(measurement: str, cell: str, shape: Shape, dtype: str = "float32") -> Program:
    """The training step, the forward pass or the streaming step; its gradients stay in the parameters.

    Raises:
        Refused: PyTorch is not installed, or cannot use the device that JAX uses.
    """
    torch, (B, T, D, H) = load(), shape
    device = device_of(torch)
    options = {"device": device, "dtype": getattr(torch, dtype)}
    torch.manual_seed(0)
    if measurement == "streaming":
        module = getattr(torch.nn, f"{cell}Cell")(D, H, **options)
        return Program(_stream(torch, module, torch.randn(B, D, **options)))
    module = getattr(torch.nn, cell)(D, H, batch_first=True, **options)
    xs = torch.randn(B, T, D, **options)
    call = _train(torch, module, xs) if measurement == "training" else _forward(torch, module, xs)
    return Program(call, None, _memory(torch, call) if device == "cuda" else None)


def device_of(torch: Any) -> str:
    """The device that JAX uses, by PyTorch's name."""
    platform = jax.default_backend()
    if platform == "cpu":
        return "cpu"
    if platform in ("gpu", "cuda", "rocm") and torch.cuda.is_available():
        return "cuda"
    raise Refused(f"PyTorch without {platform} is installed")


def allow_tf32(precision: str) -> None:
    """Lets PyTorch round the float32 factors of matrix products as JAX does, or forbids it, where it is installed."""
    try:
        torch = load()
    except Refused:
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "default"


def threads() -> int | None:
    """Threads of an operation of PyTorch, None where it is not installed."""
    try:
        return load().get_num_threads()
    except Refused:
        return None


def _train(torch: Any, module: Any, xs: Any) -> Any:
    def call() -> None:
        module.zero_grad(set_to_none=True)
        module(xs)[0].float().square().mean().backward()
        _wait(torch)

    return call


def _forward(torch: Any, module: Any, xs: Any) -> Any:
    def call() -> Any:
        with torch.no_grad():
            ys = module(xs)[0]
        _wait(torch)
        return ys

    return call


def _stream(torch: Any, cell: Any, x: Any) -> Any:
    state = [None]

    def call() -> Any:
        with torch.no_grad():
            state[0] = cell(x, state[0])
        _wait(torch)
        return state[0]

    return call


def _wait(torch: Any) -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _memory(torch: Any, call: Any) -> dict[str, int]:
    """Bytes at the peak of a call above those before it, on a GPU."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return {"temporary": torch.cuda.max_memory_allocated() - before, "output": 0, "argument": before}
