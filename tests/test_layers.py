"""Layers: lengths, masks, resets and both directions, against each sequence run alone by hand."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import BATCH, D, H, T, build, dot, jit, noise, pick
from tolerances import close

from recurrax import RNN, Adjoint, Bidirectional, LSTMCell, Scan, Stack

pytestmark = pytest.mark.usefixtures("exact")

LENGTHS = np.array([[0, 1], [4, T]])
MASK = np.array([[[0, 1, 1, 0, 0, 1], [1] * T], [[0] * T, [1, 1, 0, 1, 1, 1]]], bool)
RESETS = np.array([[[0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 0, 0]], [[0] * T, [0, 0, 1, 1, 0, 1]]], bool)
BEFORE = np.arange(T) < LENGTHS[..., None]


@functools.cache
def xs(dtype: str = "float32") -> jax.Array:
    return noise(jax.ShapeDtypeStruct((*BATCH, T, D), dtype), seed=7)


@functools.cache
def cell(name: str = "LSTM", seed: int = 0) -> Any:
    return build(name, seed, jnp.float32)


@functools.cache
def start() -> Any:
    return noise(jax.eval_shape(lambda: cell().initialize_carry((*BATCH, D))), seed=8)


@jit
def step(cell: Any, carry: Any, x: jax.Array) -> Any:
    return cell(carry, x)


def alone(mask: np.ndarray, resets: np.ndarray, reverse: bool = False) -> Any:
    """Every segment of every sequence on its own; outputs stand at the steps they belong to.

    The first segment goes on from the carry that is given, the others from the cell's own initial carry.
    """
    carry, ys = jax.tree.map(np.array, start()), np.zeros((*BATCH, T, H), np.float32)
    for b in np.ndindex(BATCH):
        segments: list[list[int]] = [[]]
        for t in np.flatnonzero(mask[b]):
            segments = [*segments, []] if resets[(*b, t)] else segments
            segments[-1].append(t)
        state = pick(start(), b)
        for index, segment in enumerate(reversed(segments) if reverse else segments):
            initial = jax.tree.map(jnp.zeros_like, state) if index else state
            for number, t in enumerate(reversed(segment) if reverse else segment):
                state, ys[(*b, t)] = step(cell(), state if number else initial, xs()[(*b, t)])
        jax.tree.map(lambda array, value, b=b: array.__setitem__(b, value), carry, state)
    return carry, ys


def poisoned(exists: np.ndarray) -> jax.Array:
    return jnp.where(exists[..., None], xs(), jnp.where(jnp.arange(D) == 0, jnp.inf, jnp.nan))


@functools.cache
def program(**options: Any) -> Any:
    """Outputs and gradients of a weighted sum of them."""

    def weighted(cell: Any, carry: Any, xs: jax.Array, flags: dict[str, Any]) -> Any:
        out = RNN(cell, return_carry=True, **options)(xs, initial_carry=carry, **flags)
        return dot(out, noise(out, seed=9)), out

    return jit(jax.value_and_grad(weighted, argnums=(0, 1, 2), has_aux=True))


EVERYTHING = np.ones((*BATCH, T), bool)
NOTHING = np.zeros((*BATCH, T), bool)
FLAGS = {
    "nothing": {},
    "lengths": {"seq_lengths": LENGTHS},
    "mask": {"mask": MASK},
    "resets": {"resets": RESETS},
    "lengths and resets": {"seq_lengths": LENGTHS, "resets": RESETS},
    "mask and resets": {"mask": MASK, "resets": RESETS},
}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("reverse", [False, True])
def test_a_batch_is_every_sequence_alone(flags, reverse):
    given = FLAGS[flags]
    mask = given.get("mask", BEFORE if "seq_lengths" in given else EVERYTHING)
    run = program(reverse=reverse, keep_order=True)
    (_, out), gradients = run(cell(), start(), poisoned(mask), given)
    expected = alone(mask, given.get("resets", NOTHING), reverse)
    close(out, expected, "float32")
    np.testing.assert_array_equal(np.asarray(out[1])[~mask], 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    np.testing.assert_array_equal(np.asarray(gradients[2])[~mask], 0)
    assert (np.abs(gradients[2]).max(-1) > 0)[mask].all()


def test_a_sequence_without_steps_returns_its_initial_carry():
    (_, (carry, _)), _ = program(reverse=False, keep_order=True)(cell(), start(), xs(), FLAGS["lengths"])
    jax.tree.map(np.testing.assert_array_equal, pick(carry, (0, 0)), pick(start(), (0, 0)))


@pytest.mark.parametrize("keep_order", [False, True])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_reverse_is_that_of_flax(keep_order, with_lengths):
    lengths = jnp.array([1, 4, T]) if with_lengths else None  # Flax knows one batch axis, and no length 0
    one = xs().reshape(-1, T, D)[1:]

    def run(kind: Any, cell: Any) -> Any:
        layer = kind(cell, reverse=True, keep_order=keep_order, return_carry=True)
        return layer(one, seq_lengths=lengths)

    (carry, ys), (their_carry, their_ys) = (jit(functools.partial(run, kind))(cell()) for kind in (RNN, nnx.RNN))
    if with_lengths:
        their_ys = jnp.where((jnp.arange(T) < lengths[:, None])[..., None], their_ys, 0)
    close((carry, ys), (their_carry, their_ys), "float32")


def test_without_keep_order_outputs_stand_as_they_were_computed():
    run = program(reverse=True, keep_order=False)
    (_, (_, ys)), _ = run(cell(), start(), poisoned(BEFORE), FLAGS["lengths"])
    _, kept = alone(BEFORE, NOTHING, reverse=True)
    for b in np.ndindex(BATCH):
        length = LENGTHS[b]
        close(ys[b][:length], kept[b][:length][::-1], "float32")
        assert not ys[b][length:].any()


def test_lengths_inside_jit_are_taken_from_0_to_T():
    beyond = np.array([[-3, 1], [4, T + 9]])
    for keep_order, reverse in ((True, False), (False, True)):
        run = program(reverse=reverse, keep_order=keep_order)
        (_, expected), _ = run(cell(), start(), xs(), FLAGS["lengths"])
        (_, actual), _ = run(cell(), start(), xs(), {"seq_lengths": beyond})
        jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, jnp.array, list])
def test_lengths_of_any_integer_type_known_or_constant_under_jit(kind):
    lengths = LENGTHS.tolist() if kind is list else kind(LENGTHS)
    layer = RNN(cell(), reverse=True)
    run = jit(lambda xs: layer(xs, seq_lengths=lengths))
    expected = jit(lambda xs, lengths: layer(xs, seq_lengths=lengths))(xs(), LENGTHS)
    np.testing.assert_array_equal(run(xs()), expected)


def test_time_major_and_the_arguments_of_the_call():
    options = {"time_major": True, "return_carry": True, "reverse": True, "keep_order": True}
    first = {"mask": np.moveaxis(MASK, -1, 0), "resets": np.moveaxis(RESETS, -1, 0)}

    @jit
    def run(carry: Any) -> Any:
        x = jnp.moveaxis(xs(), 2, 0)
        outs = (
            RNN(cell(), **options)(x, initial_carry=carry, **first),
            RNN(cell())(x, initial_carry=carry, **first, **options),
        )
        return [(carry, jnp.moveaxis(ys, 0, 2)) for carry, ys in outs]

    close(run(start()), [alone(MASK, RESETS, reverse=True)] * 2, "float32")


def test_a_sequence_without_batch_axes():
    actual = jit(lambda xs, carry: RNN(cell(), return_carry=True)(xs, initial_carry=carry, seq_lengths=4))(
        xs()[1, 0], pick(start(), (1, 0))
    )
    close(actual, pick(alone(BEFORE, NOTHING), (1, 0)), "float32")


def test_a_learned_initial_carry_is_one_for_all_sequences_and_gets_gradients():
    layer = RNN(cell(), learn_initial_carry=True, return_carry=True)
    assert len(jax.tree.leaves(layer)) == len(jax.tree.leaves(cell())) + 2
    run = jit(lambda layer: layer(xs(), seq_lengths=LENGTHS))
    close(run(layer), jit(RNN(cell(), return_carry=True))(xs(), seq_lengths=LENGTHS), "float32")

    def through_carry(carry: Any) -> jax.Array:
        return jnp.sum(RNN(cell())(xs(), initial_carry=carry, seq_lengths=LENGTHS) ** 2)

    gradient = jit(jax.grad(lambda layer: jnp.sum(run.__wrapped__(layer)[1] ** 2)))(layer)
    each = jit(jax.grad(through_carry))(cell().initialize_carry((*BATCH, D)))
    for got, expected in zip(jax.tree.leaves(gradient.initial_carry), each, strict=True):
        np.testing.assert_allclose(got, expected.sum((0, 1)), rtol=1e-5, atol=1e-6)
        assert np.abs(got).min() > 0


def test_the_backend_of_a_layer_is_used():
    def gradient(backend: Any) -> Any:
        run = jit(jax.grad(lambda xs: jnp.sum(RNN(cell(), backend=backend)(xs))))
        return run(xs())

    window = 2
    cut = gradient(Scan(truncate_every=window))
    assert not np.allclose(cut, gradient("auto"))
    close(gradient("scan"), gradient("auto"), "float32")


@pytest.mark.parametrize("flags", ["nothing", "mask and resets"])
def test_bidirectional_is_both_directions_joined(flags):
    one, two = cell(), cell("GRU", seed=1)
    given = FLAGS[flags]
    x = poisoned(given.get("mask", EVERYTHING))

    @jit
    def run(one: Any, two: Any) -> Any:
        both = Bidirectional(RNN(one), RNN(two))
        product = Bidirectional(RNN(one), RNN(two), merge_fn=jnp.multiply)
        assert (both.out_features, product.out_features) == (2 * H, H)
        return both(x, return_carry=True, **given), product(x, **given)

    @jit
    def by_hand(one: Any, two: Any) -> Any:
        c_one, ys = RNN(one, return_carry=True)(x, **given)
        c_two, zs = RNN(two, return_carry=True, reverse=True, keep_order=True)(x, **given)
        return ((c_one, c_two), jnp.concatenate([ys, zs], -1)), ys * zs

    close(run(one, two), by_hand(one, two), "float32")


def test_initial_carries_reach_both_directions_and_all_layers():
    both = Bidirectional(RNN(cell()), RNN(cell(seed=1)))
    stack = Stack([both, RNN(build_wide())])
    carry = start(), jax.tree.map(lambda leaf: -leaf, start())
    wide = noise(start(), seed=3)

    def run(carry: Any) -> Any:
        return stack(xs()[..., :1, :], initial_carry=carry, return_carry=True)

    (one, two), ys = jit(lambda carry: both(xs()[..., :1, :], initial_carry=carry, return_carry=True))(carry)
    x = xs()[..., 0, :]
    close((one, two), (step(cell(), carry[0], x)[0], step(cell(seed=1), carry[1], x)[0]), "float32")
    last, y = step(build_wide(), wide, ys[..., 0, :])
    close(jit(run)((carry, wide)), (((one, two), last), y[..., None, :]), "float32")


@functools.cache
def build_wide() -> Any:
    return jit(lambda: LSTMCell(2 * H, H, rngs=nnx.Rngs(5)))()


# What the last output is


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("flags", FLAGS)
def test_the_last_output_is_that_of_the_last_step_that_exists_in_the_direction_of_the_run(flags, reverse):
    given = FLAGS[flags]
    mask = given.get("mask", BEFORE if "seq_lengths" in given else EVERYTHING)
    run = jit(lambda carry, x: RNN(cell(), reverse=reverse)(x, initial_carry=carry, read="last", **given))
    last = run(start(), poisoned(mask))
    carry, ys = alone(mask, given.get("resets", NOTHING), reverse)
    assert last.shape == (*BATCH, H)
    for b in np.ndindex(BATCH):
        steps = np.flatnonzero(mask[b])
        if not len(steps):
            np.testing.assert_array_equal(last[b], 0)
        else:
            close(last[b], ys[b][steps[0 if reverse else -1]], "float32")
            close(last[b], carry[1][b], "float32")


@pytest.mark.parametrize("flags", ["nothing", "lengths", "mask"])
def test_both_directions_are_read_where_each_of_them_ends(flags):
    given = FLAGS[flags]
    mask = given.get("mask", BEFORE if "seq_lengths" in given else EVERYTHING)
    both = Bidirectional(RNN(cell()), RNN(cell(seed=1)))

    @jit
    def run(x: jax.Array) -> Any:
        return both(x, read="last", return_carry=True, **given), both(x, **given)

    (carry, last), every = run(poisoned(mask))
    close(last, jnp.concatenate([carry[0][1], carry[1][1]], -1) * mask.any(-1)[..., None], "float32")
    for b in np.ndindex(BATCH):
        steps = np.flatnonzero(mask[b])
        if len(steps):
            close(last[b][:H], every[b][steps[-1], :H], "float32")
            close(last[b][H:], every[b][steps[0], H:], "float32")


def test_gradients_of_the_last_output_are_those_of_the_output_at_the_length():
    at = jnp.maximum(LENGTHS - 1, 0)[..., None, None]

    def read(x: jax.Array) -> jax.Array:
        return jnp.sum(RNN(cell())(x, seq_lengths=LENGTHS, read="last") ** 2)

    def by_hand(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.take_along_axis(RNN(cell())(x, seq_lengths=LENGTHS), at, -2) ** 2)

    close(*(jit(jax.grad(f))(xs()) for f in (read, by_hand)), "float32")


# Options that go to the engine or to the axes


def scans(fun: Any, *args: Any) -> set[int]:
    """``unroll`` of every loop over time."""
    found = set()

    def walk(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            if equation.primitive.name == "scan":
                found.add(equation.params["unroll"])
            for value in equation.params.values():
                for inner in value if isinstance(value, list | tuple) else [value]:
                    if hasattr(inner, "jaxpr"):
                        walk(inner.jaxpr)
                    elif hasattr(inner, "eqns"):
                        walk(inner)

    walk(jax.make_jaxpr(fun)(*args).jaxpr)
    return found


@pytest.mark.parametrize("backend", ["auto", "scan", "adjoint"])
def test_unroll_is_that_of_the_compiled_loop(backend):
    layer, plain = RNN(cell(), unroll=3, backend=backend), RNN(cell(), backend=backend)
    assert scans(layer, xs()) == {3}
    assert scans(lambda x: jax.grad(lambda x: layer(x).sum())(x), xs()) == {3}  # of the backward pass too
    assert 3 not in scans(plain, xs())
    assert layer.backend == {"auto": Adjoint, "scan": Scan, "adjoint": Adjoint}[backend](unroll=3)
    close(jit(layer)(xs()), jit(plain)(xs()), "float32")


def test_time_major_of_both_directions_in_the_constructor_and_in_the_call():
    one, two = RNN(cell()), RNN(cell(seed=1))
    first = jnp.moveaxis(xs(), 2, 0)
    flags = {"mask": np.moveaxis(MASK, -1, 0), "resets": np.moveaxis(RESETS, -1, 0)}

    @jit
    def run() -> Any:
        both = Bidirectional(one, two)
        told = Bidirectional(one, two, time_major=True)
        mixed = Bidirectional(one, RNN(two.cell, time_major=True), time_major=False)  # the layers' own say nothing
        batch_major = {"mask": MASK, "resets": RESETS}
        outs = both(first, time_major=True, **flags), told(first, **flags)
        others = told(xs(), time_major=False, **batch_major), mixed(xs(), **batch_major), both(xs(), **batch_major)
        return *(jnp.moveaxis(ys, 0, 2) for ys in outs), *others

    *outs, expected = run()
    for actual in outs:
        close(actual, expected, "float32")
    assert Bidirectional(one, two, time_major=True).time_major and not Bidirectional(one, two).time_major


@pytest.mark.parametrize("kind", [nnx.LSTMCell, nnx.GRUCell])
def test_one_cell_of_flax_in_both_directions_is_refused(kind):
    theirs, other = kind(D, H, rngs=nnx.Rngs(0)), kind(D, H, rngs=nnx.Rngs(1))
    with pytest.raises(ValueError, match=r"same object or share parameters; allowed: two that share none"):
        Bidirectional(RNN(theirs), RNN(theirs))
    assert Bidirectional(RNN(theirs), RNN(other))(xs()).shape == (*BATCH, T, 2 * H)
    half = kind(D, H, rngs=nnx.Rngs(2))
    name, layer = next((name, layer) for name, layer in vars(theirs).items() if isinstance(layer, nnx.Linear))
    setattr(half, name, layer)
    with pytest.raises(ValueError, match="share parameters"):
        Bidirectional(RNN(theirs), RNN(half))


@pytest.mark.parametrize("flag", [None, True, False])
def test_flax_s_flag_for_keys_is_taken_and_does_nothing(flag):
    layer = RNN(cell(), rngs=flag)
    both = Bidirectional(layer, RNN(cell(seed=1)), rngs=flag)
    assert both(xs()).shape == (*BATCH, T, 2 * H)


def test_an_initial_carry_is_drawn_by_the_keys_of_the_call():
    drawn = RNN(LSTMCell(D, H, carry_init=jax.nn.initializers.normal(), rngs=nnx.Rngs(0)))
    run = lambda seed: drawn(xs(), rngs=nnx.Rngs(carry=seed))  # noqa: E731
    np.testing.assert_array_equal(run(0), run(0))
    assert np.abs(run(0) - run(1)).max() > 1e-3
    with pytest.raises(ValueError, match=r"carry_init needs keys, but rngs is None"):
        drawn(xs())


def test_steps_of_a_layer_are_its_call():
    layer = RNN(cell(), learn_initial_carry=True)
    layer.initial_carry = jax.tree.map(lambda leaf: leaf + 0.5, layer.initial_carry)
    carry, step = layer.initialize_carry((*BATCH, D)), jit(lambda layer, carry, x: layer.step(carry, x))
    last, expected = jit(lambda layer: layer(xs(), return_carry=True))(layer)
    for t in range(T):
        carry, y = step(layer, carry, xs()[..., t, :])
        close(y, expected[..., t, :], "float32")
    close(carry, last, "float32")
