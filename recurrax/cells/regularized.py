r"""Regularisers around any cell of structure DENSE: zoneout, variational dropout and weight-drop.

They act only in calls with a key, ``layer(xs, dropout_key=key)``, and draw all random numbers before the loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import Carry, Cell, Structure, data, preactivations
from recurrax.cells.wrapped import Wrapped


class Zoneout(Wrapped):
    r"""Zoneout: at every step each unit of the state keeps its old value with a given probability.

    .. math:: s_t = z_t \odot s_{t-1} + (1 - z_t) \odot \tilde s_t, \qquad z_t \sim \mathrm{Bernoulli}(p)

    with :math:`\tilde s` the new state of the wrapped cell, and z = p without a key. The draws are appended to the
    features of every step, so that all engines run the same cell.

    Args:
        cell: the wrapped cell, of structure DENSE.
        rates: p for each of the cell's ``states`` by name, such as ``{"c": 0.5, "h": 0.05}``; other states have p = 0.

    Raises:
        TypeError: ``cell`` is not a `Cell`.
        ValueError: the cell has another structure, or not one of the states, or a rate is outside [0, 1).

    Source: Krueger et al. (2017), "Zoneout: regularizing RNNs by randomly preserving hidden activations".
    """

    def __init__(self, cell: Cell, rates: Mapping[str, float]):
        super().__init__(cell)
        unknown = [name for name in rates if name not in cell.states]
        if unknown or not rates:
            raise ValueError(
                f"Zoneout got rates of {', '.join(unknown) or 'nothing'}; allowed: {', '.join(cell.states)}, the "
                f"states of {type(cell).__name__}. Try rates={{{cell.states[-1]!r}: 0.05}}."
            )
        self.rates = tuple(_check_rate("Zoneout", rates.get(name, 0.0)) for name in cell.states)
        self.drawn = False

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> tuple[Cell, jax.Array]:
        """Appends the draws of all steps to the features of ``xs: [..., D]``."""
        below, own = (None, None) if key is None else jax.random.split(key)
        cell, xs = self.cell.prepare(xs, below)
        other: Any = self.around(cell)
        if own is None:
            return other, xs
        other.drawn = True
        shape, keys = (*xs.shape[:-1], self.hidden_features), jax.random.split(own, len(self.rates))
        held = [jax.random.bernoulli(k, rate, shape) for k, rate in zip(keys, self.rates, strict=True) if rate]  # type: ignore
        return other, jnp.concatenate([xs, *(z.astype(xs.dtype) for z in held)], axis=-1)

    @property
    def _held(self) -> int:
        """The number of states with a positive rate."""
        return sum(rate > 0 for rate in self.rates) if self.drawn else 0

    def project(self, x: jax.Array) -> tuple[Any, ...]:
        """The projection of the wrapped cell, and z of each state with a positive rate."""
        if not self._held:
            return self.cell.project(x)
        inputs, *held = jnp.split(x, _cuts(x.shape[-1], self._held, self.hidden_features or 0), axis=-1)
        return (*self.cell.project(inputs), *held)

    def mix(self, carry: Carry) -> tuple[Any, ...]:
        """The recurrent part of the wrapped cell, and None for each z."""
        return (*self.cell.mix(carry), *(None,) * self._held)

    def update(self, carry: Carry, a: tuple[Any, ...]) -> Carry:
        """The equation above, state by state."""
        inner, held = (a[: -self._held], iter(a[-self._held :])) if self._held else (a, None)
        new = self.cell.update(carry, inner)
        one = not isinstance(carry, tuple)
        pairs = zip((carry,) if one else carry, (new,) if one else new, self.rates, strict=True)
        states = []
        for before, after, rate in pairs:
            z: Any = next(held) if held is not None and rate else rate
            states.append(z * before + (1 - z) * after if rate else after)
        return states[0] if one else tuple(states)

    def readout(self, carry: Carry, x: jax.Array) -> Any:
        """Delegates to the wrapped cell."""
        return self.cell.readout(carry, x[..., : x.shape[-1] - self._held * (self.hidden_features or 0)])


class VariationalDropout(Wrapped):
    r"""Variational dropout of the recurrent inputs, with one mask for a whole sequence.

    .. math:: a_t = u_t + \mathrm{mix}(m \odot s_{t-1}), \qquad m \sim \mathrm{Bernoulli}(1 - p) / (1 - p)

    Each sequence has its own mask for each array of the state, and only ``mix`` sees the masked state. Because ``mix``
    then differs between sequences, `Scan` runs a call with a key, as for structure GENERAL.

    Args:
        cell: the wrapped cell, of structure DENSE.
        rate: p.

    Raises:
        TypeError: ``cell`` is not a `Cell`.
        ValueError: the cell has another structure, or a rate outside [0, 1).

    Source: Gal & Ghahramani (2016), "A theoretically grounded application of dropout in recurrent neural networks".
    """

    def __init__(self, cell: Cell, rate: float):
        super().__init__(cell)
        self.rate = _check_rate("VariationalDropout", rate)

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> tuple[Cell, jax.Array]:
        """Draws the masks of every sequence of ``xs: [T, *batch, D]``."""
        below, own = (None, None) if key is None else jax.random.split(key)
        cell, xs = self.cell.prepare(xs, below)
        if own is None:
            return self.around(cell), xs
        shape, keys = (*xs.shape[1:-1], self.hidden_features), jax.random.split(own, len(self.states))
        kept = [jax.random.bernoulli(k, 1 - self.rate, shape).astype(xs.dtype) / (1 - self.rate) for k in keys]  # type: ignore
        return _Masked(cell, tuple(kept)), xs


class _Masked(Wrapped):
    """A cell with masks ``[*batch, H]``, one for each array of its carry."""

    structure = Structure.GENERAL

    def __init__(self, cell: Cell, masks: tuple[jax.Array, ...]):
        super().__init__(cell)
        self.masks = data([nnx.Param(mask) for mask in masks])

    def __call__(self, carry: Carry, inputs: jax.Array) -> tuple[Carry, Any]:
        """One step, ``(carry, x: [*batch, D]) -> (carry, y: [*batch, O])``."""
        cell, masks = self.cell, [mask[...] for mask in self.masks]
        masked = carry * masks[0] if not isinstance(carry, tuple) else tuple(map(jnp.multiply, carry, masks))
        carry = cell.update(carry, preactivations(cell.project(inputs), cell.mix(masked)))
        return carry, cell.readout(carry, inputs)


class WeightDrop(Wrapped):
    r"""DropConnect of the recurrent weights, with one mask for all sequences and steps of a call.

    .. math:: v_t = (M \odot U) h_{t-1}, \qquad M \sim \mathrm{Bernoulli}(1 - p) / (1 - p)

    Args:
        cell: the wrapped cell, of structure DENSE, with a ``recurrent_kernel``.
        rate: p.

    Raises:
        TypeError: ``cell`` is not a `Cell`.
        ValueError: the cell has another structure or without a ``recurrent_kernel``, or a rate outside [0, 1).

    Source: Merity, Keskar & Socher (2018), "Regularizing and optimizing LSTM language models".
    """

    def __init__(self, cell: Cell, rate: float):
        super().__init__(cell)
        if not isinstance(getattr(cell, "recurrent_kernel", None), nnx.Param):
            raise ValueError(
                f"WeightDrop got {type(cell).__name__}, which has no recurrent_kernel; allowed: a cell that has one, "
                "such as LSTMCell. Use Zoneout for others."
            )
        self.rate = _check_rate("WeightDrop", rate)

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> tuple[Cell, jax.Array]:
        """The cell with its recurrent weights dropped."""
        below, own = (None, None) if key is None else jax.random.split(key)
        cell, xs = self.cell.prepare(xs, below)
        if own is None:
            return self.around(cell), xs
        dropped: Any = jax.tree.map(lambda leaf: leaf, cell)
        U = dropped.recurrent_kernel[...]
        keep = jax.random.bernoulli(own, 1 - self.rate, U.shape)
        dropped.recurrent_kernel = type(dropped.recurrent_kernel)(jnp.where(keep, U / (1 - self.rate), 0))
        return self.around(dropped), xs


def _check_rate(name: str, rate: float) -> float:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ValueError(f"{name} got a rate of {rate!r}; allowed: a number in [0, 1). 0 is none.")
    return float(rate)


def _cuts(size: int, parts: int, width: int) -> list[int]:
    """The indices at which the last ``parts`` pieces of ``width`` features begin."""
    return [size - (parts - k) * width for k in range(parts)]
