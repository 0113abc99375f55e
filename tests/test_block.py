"""Blocks: step after step by hand, the same in one call, in a stream, in a stack and in a text."""

import copy
import functools
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equations import silu
from flax import nnx
from reference import cast, jit, noise
from tolerances import close

import recurrax as rx
from recurrax import cells
from recurrax.layers import RNN, Block, SequenceModel, ShortConvolution, Stack
from recurrax.storage.description import describe

T, B, D, H, K = 7, 4, 4, 6, 4
RNGS = functools.partial(nnx.Rngs, 0)
BLOCKS: dict[str, Any] = {
    "LSTM": lambda: Block(cells.LSTMCell(D, H, rngs=RNGS()), rngs=RNGS()),
    "LRU": lambda: Block(cells.LRUCell(D, H, rngs=RNGS()), norm="layer", mlp_features=5, rngs=RNGS()),
    "MinGRU": lambda: Block(cells.MinGRUCell(D, D, rngs=RNGS()), conv_size=1, gate=False, project=False, rngs=RNGS()),
    "DeltaNet": lambda: Block(cells.DeltaNetCell(D, H, heads=2, rngs=RNGS()), norm_outputs=True, rngs=RNGS()),
    "mLSTM": lambda: Block(cells.MLSTMCell(5, H, rngs=RNGS()), D, conv_size=3, mlp_features=5, rngs=RNGS()),
    "bare": lambda: Block(
        cells.GRUCell(D, H, rngs=RNGS()), norm=None, conv_size=None, gate=False, project=False, residual=False,
        mlp_features=3, rngs=RNGS(),
    ),
    "tanh": lambda: Block(RNN(cells.RNNCell(D, H, rngs=RNGS())), activation_fn=jnp.tanh, mlp_features=2, rngs=RNGS()),
}  # fmt: skip
every_block = pytest.mark.parametrize("name", BLOCKS)


@functools.cache
def built(name: str) -> Block:
    """In double precision, its parameters away from their start, none of them 0."""
    return noise(cast(jit(BLOCKS[name])(), jnp.float64), seed=1, around=1, scale=0.4)


def inputs(dtype: Any = jnp.float64) -> jax.Array:
    return noise(jax.ShapeDtypeStruct((B, T, D), dtype), seed=2)


def start(block: Block, seed: int = 3) -> Any:
    return noise(jax.eval_shape(lambda: block.initialize_carry((B, D))), seed, scale=0.5)


def flags() -> tuple[np.ndarray, np.ndarray]:
    """Which steps exist and which start anew: one sequence has holes, one ends early, one has no step at all."""
    mask, resets = np.ones((B, T), bool), np.zeros((B, T), bool)
    mask[0, [1, 4]] = mask[1, 5:] = mask[2] = False
    resets[0, [4, 5]] = resets[1, [0, 2, 3, 6]] = resets[2, 3] = resets[3, 6] = True  # some at steps that do not exist
    return mask, resets


def norm(module: Any, x: Any) -> Any:
    if module is None:
        return x
    x = x - x.mean() if isinstance(module, nnx.LayerNorm) else x
    bias = np.asarray(module.bias[...]) if isinstance(module, nnx.LayerNorm) else 0
    return np.asarray(module.scale[...]) * x / np.sqrt((x**2).mean() + 1e-6) + bias


def times(x: Any, linear: Any) -> Any:
    return x if linear is None else x @ np.asarray(linear.kernel[...])


def by_hand(block: Block, carry: Any, xs: Any, resets: Any) -> tuple[Any, np.ndarray]:
    """One sequence whose steps all exist; the convolution sums over the inputs that it has seen, oldest first."""
    phi = np.tanh if block.activation_fn is jnp.tanh else silu
    fresh = block.rnn.initialize_carry((block.rnn.in_features,))
    seen, carry = (list(np.asarray(carry[0])), carry[1]) if block.conv else ([], carry)
    ys = []
    for x, reset in zip(xs, resets, strict=True):
        seen, carry = ([0 * entry for entry in seen], fresh) if reset else (seen, carry)
        u = norm(block.norm, x)
        v = times(u, block.into)
        if block.conv:
            seen.append(v)
            v = phi(block.conv.bias[...] + sum(w * past for w, past in zip(block.conv.kernel[...], seen[::-1])))  # noqa: B905
        carry, h = block.rnn.cell(carry, v)
        h = norm(block.norm_outputs, np.asarray(h))
        h = h if block.gate is None else h * phi(times(u, block.gate))
        z = times(h, block.out) + (x if block.residual else 0)
        if block.mlp:
            m = norm(block.mlp_norm, z)
            m = times(phi(times(m, block.mlp.gate)) * times(m, block.mlp.value), block.mlp.out)
            z = m + (z if block.residual else 0)
        ys.append(z)
    if block.conv:
        count = block.conv.size - 1
        carry = np.array(seen[len(seen) - count :]).reshape(count, block.conv.features), carry
    return carry, np.array(ys)


@every_block
@pytest.mark.parametrize("given", [True, False], ids=["from a carry", "from the start"])
def test_a_sequence_with_gaps_and_resets_is_the_loop_by_hand(name, given, x64):
    block, xs, (mask, resets) = built(name), inputs(), flags()
    first = start(block) if given else block.initialize_carry((B, D))
    poisoned = jnp.where(mask[..., None], xs, jnp.nan)
    carry, ys = jit(
        lambda block, xs: block(xs, initial_carry=first if given else None, mask=mask, resets=resets, return_carry=True)
    )(block, poisoned)
    for b in range(B):
        state = jax.tree.map(lambda leaf, b=b: leaf[b], first)
        expected, outputs = by_hand(block, state, np.asarray(xs[b])[mask[b]], resets[b][mask[b]])
        close(jax.tree.map(lambda leaf, b=b: leaf[b], carry), expected)
        if mask[b].any():
            close(ys[b][mask[b]], outputs)
    assert not np.asarray(ys)[~mask].any()


@every_block
def test_a_stream_is_the_sequence(name, x64):
    block, xs = built(name), inputs()
    run = jit(lambda block, xs, carry: block(xs, initial_carry=carry, return_carry=True))
    step = jit(lambda block, carry, x: block.step(carry, x))
    whole = run(block, xs, None)
    carry, ys = block.initialize_carry((B, D)), []
    for t in range(T):
        carry, y = step(block, carry, xs[:, t])
        ys.append(y)
    close((carry, jnp.stack(ys, 1)), whole)
    middle, first = run(block, xs[:, :2], None)  # shorter than the window
    last, second = run(block, xs[:, 2:], middle)
    close((last, jnp.concatenate([first, second], 1)), whole)


@every_block
def test_gradients_are_finite_and_no_output_sees_a_later_input_or_padding(name, x64):
    block, xs, (mask, resets) = built(name), inputs(), flags()
    jacobian = jit(jax.jacobian(lambda x: block(x)))(xs[0])  # [T, D, T, D]
    size = jnp.abs(jacobian).max(axis=(1, 3))
    np.testing.assert_array_equal(np.triu(size, 1), 0)
    assert np.all(np.diagonal(size) > 0)
    poisoned = jnp.where(mask[..., None], xs, jnp.nan)

    def total(block: Block, xs: jax.Array) -> jax.Array:
        return jnp.sum(block(xs, mask=mask, resets=resets) ** 2)

    gradient, d_xs = jit(jax.grad(total, argnums=(0, 1)))(block, poisoned)
    assert all(np.isfinite(leaf).all() and np.any(leaf) for leaf in jax.tree.leaves(gradient))
    assert np.isfinite(d_xs).all() and not np.asarray(d_xs)[~mask].any()


@every_block
def test_the_last_output_is_that_of_the_last_step_that_exists(name, x64):
    block, xs, lengths = built(name), inputs(), jnp.array([T, 0, 3, 1])
    mask = np.arange(T) < np.asarray(lengths)[:, None]

    @jit
    def runs(block: Block, xs: jax.Array) -> Any:
        every = block(xs, seq_lengths=lengths)
        major = block(jnp.moveaxis(xs, 1, 0), time_major=True, mask=mask.T)
        same = block(xs, mask=mask), jnp.moveaxis(major, 0, 1), block(xs[:, None], mask=mask[:, None])[:, 0]
        return every, same, block(xs, seq_lengths=lengths, read="last"), block(xs[0])

    every, same, last, alone = runs(block, xs)
    close(same, (every,) * 3)
    close(last, jnp.where(lengths[:, None] > 0, every[jnp.arange(B), lengths - 1], 0))
    close(alone, every[0])  # without a batch


def test_every_engine_gives_the_same(x64):
    for name, backends in {"MinGRU": ("scan", "adjoint", "associative", "newton"), "DeltaNet": ("scan",)}.items():
        block, xs, (mask, resets) = built(name), inputs(), flags()
        run = jit(lambda block, xs, mask=mask, resets=resets: block(xs, mask=mask, resets=resets))
        expected = run(block, xs)
        for backend in backends:
            other = copy.deepcopy(block)
            other.rnn.backend = backend
            close(run(other, xs), expected)
    block = Block(cells.MinGRUCell(D, H, rngs=RNGS()), backend="associative", rngs=RNGS())
    assert block.rnn.backend == "associative"


def test_a_convolution_alone_is_numpy_s(x64):
    conv = noise(cast(ShortConvolution(D, 3, rngs=RNGS()), jnp.float64), 1)
    xs = noise(jax.ShapeDtypeStruct((T, D), jnp.float64), 2)
    window, ys = conv(conv.initialize_window(()), xs)
    expected = [np.convolve(xs[:, d], conv.kernel[:, d])[:T] + conv.bias[d] for d in range(D)]
    close((window, ys), (xs[-2:], np.stack(expected, -1)))
    with pytest.raises(ValueError, match=r"window has shape \(3, 4\); allowed: \(2, 4\)"):
        conv(jnp.zeros((3, D)), xs)


V = 5


def model() -> SequenceModel:
    rngs = RNGS()
    layers = [
        Block(cells.DeltaNetCell(D, H, rngs=rngs), mlp_features=6, rngs=rngs),
        RNN(cells.GRUCell(D, D, rngs=rngs)),
        Block(RNN(cells.LSTMCell(3, H, rngs=rngs), learn_initial_carry=True), D, rngs=rngs),
    ]
    return SequenceModel(Stack(layers, dropout=0.1, residual=True), V, vocabulary=V, rngs=rngs)


@functools.cache
def lively() -> SequenceModel:
    return noise(jax.eval_shape(model), seed=3, scale=1.5)


def test_a_stack_of_blocks_writes_text():
    """Greedy text is what the model, called anew for every token, says."""
    prompt = np.random.default_rng(0).integers(V, size=(2, 3, 4))
    tokens, more = prompt, 6
    every = jit(lambda one, tokens: one(tokens))
    for _ in range(more):
        padded = np.zeros((2, 3, 4 + more), int)
        padded[..., : tokens.shape[-1]] = tokens
        logits = every(lively(), padded)[..., tokens.shape[-1] - 1, :]
        tokens = np.concatenate([tokens, np.argmax(logits, -1)[..., None]], -1)
    actual = rx.generate(lively(), prompt, more, temperature=0)
    np.testing.assert_array_equal(actual, tokens[..., 4:])
    assert len(np.unique(actual)) > 3
    padded = np.concatenate([prompt, np.full((2, 3, 3), V + 9)], -1)
    lengths = np.full((2, 3), 4)
    np.testing.assert_array_equal(rx.generate(lively(), padded, more, temperature=0, seq_lengths=lengths), actual)


def test_a_stack_of_blocks_learns():
    """What came three steps ago, which the convolution and the recurrence can tell."""
    task = rx.tasks.make_task("copy", 1, "s4")

    def build(key: jax.Array) -> SequenceModel:
        rngs = nnx.Rngs(key)
        block = Block(cells.MinGRUCell(8, 8, rngs=rngs), task.in_features, rngs=rngs)
        return SequenceModel(block, task.out_features, rngs=rngs)

    plan = rx.training.Plan(steps=60, batch_size=8, chunk=20, seeds=(0, 1), held_out=64)
    history = rx.training.fit(build, task, lambda: rx.training.adam(1e-2), plan)
    assert np.all(history.loss[:, -1] < 0.97 * history.loss[:, 0])


def test_a_block_is_saved_copied_and_described(tmp_path):
    rx.save(tmp_path / "m", lively())
    loaded = rx.load(tmp_path / "m", like=nnx.eval_shape(model))
    run, tokens = jit(lambda one, tokens: one(tokens)), np.arange(V)[None]
    for other in (loaded, pickle.loads(pickle.dumps(lively())), copy.deepcopy(lively())):
        np.testing.assert_array_equal(run(other, tokens), run(lively(), tokens))
        assert jax.tree.structure(other) == jax.tree.structure(lively())
    block, wider = (Block(cells.GRUCell(D, H, rngs=RNGS()), conv_size=size, rngs=RNGS()) for size in (4, 5))
    assert describe(block) == describe(copy.deepcopy(block)) != describe(wider)
    with pytest.raises(ValueError, match=r"conv.size is 4 there and 5 here"):
        rx.load(rx.save(tmp_path / "n", block), like=wider)
    many = jit(jax.vmap(lambda key: Block(cells.GRUCell(D, H, rngs=nnx.Rngs(key)), rngs=nnx.Rngs(key))))(
        jax.random.split(jax.random.key(0), 3)
    )
    assert many.gate.kernel.shape == (3, D, H)


def test_dtypes_and_ranks_are_those_of_the_inputs_and_parameters():
    half = cast(BLOCKS["LSTM"](), jnp.bfloat16)
    xs, (mask, resets) = inputs(jnp.float32), flags()
    with jax.numpy_rank_promotion("raise"):
        for block, given, expected in (
            (half, xs.astype(jnp.bfloat16), jnp.bfloat16),
            (half, xs, jnp.float32),
            (BLOCKS["LSTM"](), xs > 0, jnp.float32),
        ):
            carry, ys = jax.eval_shape(lambda b, x: b(x, mask=mask, resets=resets, return_carry=True), block, given)
            again, y = jax.eval_shape(block.step, carry, given[:, 0])
            assert {leaf.dtype for leaf in jax.tree.leaves((carry, ys, again, y))} == {jnp.dtype(expected)}
    assert {leaf.dtype for leaf in jax.tree.leaves(half.initialize_carry((D,)))} == {jnp.dtype(jnp.bfloat16)}


def test_sizes_that_jax_export_leaves_open_are_run():
    b, t = jax.export.symbolic_shape("b, t")
    block, xs = BLOCKS["LSTM"](), inputs(jnp.float32)
    for flagged in (False, True):
        run = jax.jit(lambda xs, mask, flagged=flagged: block(xs, mask=mask if flagged else None))
        shapes = jax.ShapeDtypeStruct((b, t, D), jnp.float32), jax.ShapeDtypeStruct((b, t), bool)
        mask = flags()[0]
        close(jax.export.export(run)(*shapes).call(xs, mask), run(xs, mask), "float32")


def cell(*sizes: int) -> cells.GRUCell:
    return cells.GRUCell(*sizes, rngs=RNGS())


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "both directions": (
        lambda: Block(rx.Bidirectional(RNN(cell(D, H)), RNN(cell(D, H))), rngs=RNGS()),
        TypeError, r"Block got Bidirectional; allowed: a cell, or an RNN that runs forward",
    ),
    "in reverse": (lambda: Block(RNN(cell(D, H), reverse=True), rngs=RNGS()), ValueError, r"reverse=True; allowed"),
    "images": (
        lambda: Block(cells.ConvLSTMCell(D, H, rngs=RNGS()), rngs=RNGS()), ValueError,
        r"ConvLSTMCell with 3 feature axes; allowed: cells with one",
    ),
    "two backends": (lambda: Block(RNN(cell(D, H)), backend="scan", rngs=RNGS()), ValueError, r"backend='scan' beside"),
    "a norm": (lambda: Block(cell(D, H), norm="batch", rngs=RNGS()), ValueError, r"norm='batch'; allowed: 'rms'"),
    "a size": (lambda: Block(cell(D, H), conv_size=0, rngs=RNGS()), ValueError, r"conv_size=0; allowed: an int >= 1"),
    "a hidden size": (lambda: Block(cell(D, H), mlp_features=0, rngs=RNGS()), ValueError, r"mlp_features=0; allowed"),
    "features": (lambda: Block(cell(D, H), -1, rngs=RNGS()), ValueError, r"features=-1; allowed: an int >= 1"),
    "no projection": (
        lambda: Block(cell(D, H), project=False, rngs=RNGS()), ValueError,
        r"project=False with 6 outputs of the recurrence and features=4",
    ),
    "unknown sizes": (
        lambda: Block(rx.Foreign(lambda h, x: (h, x)), rngs=RNGS()), ValueError, r"does not tell its sizes",
    ),
    "inputs": (lambda: BLOCKS["LSTM"]()(jnp.zeros((2, 3, 5))), ValueError, r"\(2, 3, 5\); this Block allows .*=4"),
    "no time": (lambda: BLOCKS["LSTM"]()(jnp.zeros(D)), ValueError, r"shape \(4,\); allowed: a time axis"),
    "complex": (lambda: BLOCKS["LSTM"]()(jnp.zeros((3, D), jnp.complex64)), TypeError, r"complex64; Block allows"),
    "a carry": (
        lambda: BLOCKS["MinGRU"]()(jnp.zeros((3, D)), initial_carry=jnp.zeros(D)), TypeError, r"allows \(window, carry",
    ),
    "read": (lambda: BLOCKS["LSTM"]()(jnp.zeros((3, D)), read="first"), ValueError, r"read='first'; allowed"),
    "within a pair": (
        lambda: rx.Bidirectional(BLOCKS["LSTM"](), BLOCKS["LSTM"]()), TypeError, r"Bidirectional got Block",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run_is_refused(name):
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        make()


def test_a_foreign_cell_that_tells_its_size_runs(x64):
    theirs = rx.Foreign(nnx.GRUCell(D, H, param_dtype=jnp.float64, rngs=RNGS()))
    block = cast(Block(theirs, D, rngs=RNGS()), jnp.float64)
    assert block.into is None and block(inputs()).shape == (B, T, D)
