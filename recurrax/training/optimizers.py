"""The optimisers of the experiments, support for any Optax transformation, and averages of weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from recurrax.storage.leaves import entry_name
from recurrax.training.clipping import check_positive, counted
from recurrax.training.parameters import Parameters

Optimizer = Any  # an Optax transformation, or a function of settings that returns one
Settings = Mapping[str, Any]  # scalar hyperparameters of one run, by name


def adam(
    learning_rate: float = 1e-3, clip_norm: float | None = None, clip_value: float | None = None
) -> optax.GradientTransformation:
    """Adam, with optional gradient clipping.

    Args:
        learning_rate: positive and finite.
        clip_norm: largest global norm of the gradient, see `clip_by_norm`; None means no clipping.
        clip_value: largest absolute value of its entries, see `clip_by_value`; None means no clipping.

    Raises:
        ValueError: a value is not positive and finite (traced values of a sweep are checked beforehand).

    Source: Kingma & Ba (2015); clipping: Pascanu, Mikolov & Bengio (2013).
    """
    return _clipped(optax.adam, learning_rate, clip_norm, clip_value)


def sgd(
    learning_rate: float = 1e-2, clip_norm: float | None = None, clip_value: float | None = None
) -> optax.GradientTransformation:
    """Gradient descent without momentum, with optional clipping; arguments and errors are those of `adam`."""
    return _clipped(optax.sgd, learning_rate, clip_norm, clip_value)


def _clipped(
    optimizer: Callable[..., optax.GradientTransformation], rate: float, norm: float | None, value: float | None
) -> optax.GradientTransformation:
    check_positive("learning_rate", rate)
    clips = []
    for name, limit, clip in (("clip_norm", norm, optax.clip_by_global_norm), ("clip_value", value, optax.clip)):
        if limit is not None:
            check_positive(name, limit)
            clips.append(clip(limit))
    # One counter for both, so that an update counts once even if both changed it.
    return optax.chain(*([counted(optax.chain(*clips))] if clips else []), optimizer(rate))


class AverageState(NamedTuple):
    """The average of the parameters after each update."""

    average: Parameters


def average(decay: float = 0.999) -> optax.GradientTransformation:
    r"""Keeps an exponential average of the parameters for evaluations and the best model.

    .. math:: \bar\theta \leftarrow d \, \bar\theta + (1 - d) \, \theta

    Put it last in a chain, ``optax.chain(optax.adam(1e-3), training.average(0.999))``; it does not change the updates.

    Args:
        decay: d, in [0, 1).

    Raises:
        ValueError: d is not in [0, 1).

    Source: Polyak & Juditsky (1992); with this weighting Tarvainen & Valpola (2017).
    """
    if not isinstance(decay, jax.Array) and not 0 <= decay < 1:
        raise ValueError(f"decay={decay!r}; allowed: 0 <= decay < 1. Try decay=0.999.")

    def start(params: Any) -> AverageState:
        return AverageState(params)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        new = optax.apply_updates(params, updates)
        return updates, AverageState(jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, state.average, new))

    return optax.GradientTransformation(start, update)


def averaged(params: Parameters, state: optax.OptState) -> Parameters:
    """The parameters to evaluate: the average if the optimiser keeps one (`average`, schedule-free)."""
    kinds = (AverageState, optax.contrib.ScheduleFreeState)
    for node in jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, kinds)):
        if isinstance(node, AverageState):
            params = _where_known(node.average, params)
        elif isinstance(node, optax.contrib.ScheduleFreeState):
            z, b1 = _where_known(node.z, params), node.b1
            params = jax.tree.map(lambda p, z, b1=b1: (p - (1 - b1) * z) / b1, params, z)
    return params


def _where_known(average: Parameters, params: Parameters) -> Parameters:
    """The average, or the parameters themselves if a mask or labels exclude them from the averaging optimiser."""

    def is_masked(node: Any) -> bool:
        return isinstance(node, optax.MaskedNode)

    return jax.tree.map(lambda a, p: p if is_masked(a) else a, average, params, is_leaf=is_masked)


def learning_rates(state: optax.OptState) -> dict[str, jax.Array]:
    """The learning rates in an optimiser state (from `optax.inject_hyperparams`): one, or several with their labels."""
    found = optax.tree_utils.tree_get_all_with_path(state, "learning_rate")
    numbers = [(path, value) for path, value in found if isinstance(value, jax.Array) and value.ndim == 0]
    if len(numbers) == 1:
        return {"learning_rate": numbers[0][1]}
    return {f"learning_rate.{'.'.join(_place(path))}": value for path, value in numbers}


def _place(path: tuple[Any, ...]) -> list[str]:
    """The labels of `optax.partition` on a path; without labels, all names of the path but the last."""
    labels = [str(entry.key) for entry in path if isinstance(entry, jax.tree_util.DictKey)][:-1]
    return labels or [entry_name(step) for step in path][:-1]


def transformation(optimizer: Optimizer, settings: Settings) -> optax.GradientTransformationExtraArgs:
    """The Optax transformation for these settings; its update accepts ``value``, ``grad`` and ``value_fn``.

    Raises:
        TypeError: the optimiser neither is an Optax transformation nor returns one.
    """
    factory = callable(optimizer) and not _transforms(optimizer)
    found: Any = optimizer(**accepted_by(optimizer, settings)) if factory else optimizer
    if not _transforms(found):
        raise TypeError(
            f"the optimizer is {type(found).__name__}; allowed: an Optax transformation, or a function of settings "
            "that gives one. Try optax.adam(1e-3)."
        )
    # optax.MultiSteps has both functions but is not a GradientTransformation; its update accepts extra arguments.
    if not isinstance(found, optax.GradientTransformation):
        return optax.GradientTransformationExtraArgs(found.init, found.update)
    return optax.with_extra_args_support(found)


def check_optimizer(optimizer: optax.GradientTransformationExtraArgs, params: Parameters) -> None:
    """Raises ValueError, before anything is compiled, if the optimiser cannot be used on these parameters."""
    try:
        before, (updates, after) = jax.eval_shape(lambda params: one_update(optimizer, params), params)
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"the optimizer cannot be used on this model ({type(error).__name__}: {reason[0] if reason else ''}). "
            f"It is given the parameters as nested dicts, {_outline(params)}, and value, grad and value_fn. Masks and "
            "labels are functions of such a tree, or trees of the same names (a module is called as if it were a "
            "function): build them from training.parameters(model)."
        ) from error
    for what, old, new in (("state", before, after), ("updates", params, updates)):
        if _kinds(old) != _kinds(new):
            raise ValueError(
                f"an update of the optimizer changes its {what} from {_kinds(old)} to {_kinds(new)}; allowed: an "
                "update that leaves structure, shapes and dtypes as they are. Make state in init as update leaves it."
            )


def one_update(optimizer: optax.GradientTransformation, params: Parameters) -> tuple[Any, Any]:
    """An optimiser's first state, and the result of its first update with placeholder gradient and loss."""

    def value_fn(params: Parameters) -> jax.Array:
        return sum((jnp.sum(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(params)), start=value)

    state, value = optimizer.init(params), jnp.zeros((), jnp.float32)
    update = optax.with_extra_args_support(optimizer).update
    return state, update(params, state, params, value=value, grad=params, value_fn=value_fn)


def accepted_by(function: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    """The settings whose names are parameters of the function."""
    if _transforms(function):
        return {}
    taken = inspect.signature(function).parameters
    return {name: value for name, value in settings.items() if name in taken}


def _transforms(value: Any) -> bool:
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def _kinds(tree: Any) -> Any:
    flat, structure = jax.tree.flatten(tree)
    return [f"{leaf.dtype}{list(leaf.shape)}" for leaf in flat], structure


def _outline(params: Parameters) -> str:
    """The first two levels of names in a tree."""
    if not isinstance(params, dict):
        return type(params).__name__
    inner = (f"{name}: {{{', '.join(v)}}}" if isinstance(v, dict) else name for name, v in params.items())
    return "{" + ", ".join(inner) + "}"
