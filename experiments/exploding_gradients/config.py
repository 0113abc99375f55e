"""The settings of the experiment on exploding gradients."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from experiments import lab

Network = Literal["tanh", "ReLU"]
Box = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Gradient, loss surface and training; the defaults take three to four minutes on two CPU cores."""

    hidden: int = 32
    """Units of every network (H)."""
    radii: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)
    """Spectral radii of the recurrent matrix in (a), rising."""
    init_length: int = 100
    """Sequence length T in (a)."""
    init_seeds: int = 10
    """Random networks at each radius in (a), each with an input sequence of its own."""
    transient: float = 0.9
    """The radius in (a) whose Jacobian products are shown at every lag."""
    box_w: Box = (4.0, 7.0)
    """Recurrent weights of the one unit in (b)."""
    box_b: Box = (-4.0, -2.0)
    """Its biases."""
    cells: int = 241
    """Points of the surface in each direction."""
    surface_steps: int = 50
    """Steps T of the one unit."""
    starts: int = 200
    """Random starts of gradient descent on the surface, uniform in the box."""
    start_seed: int = 0
    """Initialisations of these networks."""
    descent_steps: int = 500
    """Updates of gradient descent on the surface."""
    step_sizes: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Its step sizes, the same with and without clipping."""
    surface_clips: tuple[float, ...] = (0.1, 1.0)
    """Its largest norms of the gradient; no clipping is always among the rows."""
    drawn: int = 5
    """Paths that are drawn."""
    networks: tuple[Network, ...] = get_args(Network)
    """Networks trained in (c)."""
    length: int = 30
    """Sequence length T of the adding problem in (c)."""
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds; none of them chose a setting, and all are reported."""
    training_radii: tuple[float, ...] = (0.8, 1.2, 1.6, 2.0)
    """Initial spectral radii in (c), rising."""
    learning_rate: tuple[float, ...] = (0.01, 0.1, 0.5)
    """Learning rates of plain gradient descent, the same for every network and way of clipping."""
    clip_norm: float = 1.0
    """Largest norm of the gradient where that is clipped."""
    clip_value: float = 0.1
    """Largest entry of the gradient where that is clipped."""
    clip_cotangents: float = 0.01
    """Largest entry of the gradient that goes back from one step to the one before, where that is clipped."""
    steps: int = 400
    """Updates, the same for every run."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 100
    """Updates between evaluations."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        for name, least in {"hidden": 2, "init_length": 8, "cells": 3, "length": 2, "steps": 2}.items():
            if getattr(self, name) < least:
                self.refuse(name, f"an int >= {least}")
        for name in ("radii", "training_radii", "step_sizes", "surface_clips", "learning_rate", "box_w", "box_b"):
            if list(getattr(self, name)) != sorted(getattr(self, name)):
                self.refuse(name, "rising numbers")
        if self.transient not in self.radii:
            self.refuse("transient", f"one of radii={self.radii}")


SMOKE = Config(
    hidden=3, radii=(0.9, 1.4), init_length=8, init_seeds=2, cells=21, surface_steps=20, starts=4, descent_steps=5,
    step_sizes=(0.1,), surface_clips=(1.0,), drawn=2, networks=("ReLU",), length=4, seeds=(10, 11),
    training_radii=(0.8, 1.6), learning_rate=(0.1,), steps=4, batch_size=4, chunk=2,
)  # fmt: skip

ACCELERATOR = Config(
    hidden=128, init_length=200, init_seeds=32, length=100, seeds=tuple(range(10, 20)),
    training_radii=(0.8, 1.0, 1.2, 1.4, 1.6, 2.0), learning_rate=(1e-3, 0.01, 0.1, 0.5), steps=5000, batch_size=64,
    chunk=500,
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": ACCELERATOR}
