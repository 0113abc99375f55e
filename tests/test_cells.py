"""Cells against independent NumPy equations, and against Flax's and PyTorch's cells with the same weights."""

import functools
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equations import EQUATIONS, Arrays
from flax import nnx
from reference import BATCH, CELLS, Case, D, H, T, abstract, build, case, dot, jit, loop, noise
from tolerances import close

import recurrax
from recurrax import Structure, cells, unroll

LSTMS = {"LSTM", "NoForgetGate", "NoInputGate", "NoOutputGate", "CIFG"}
VARIANTS = {"PeepholeLSTM", "ProjectedLSTM", "LayerNormLSTM", "MultiplicativeLSTM"}
TWO_STATES = LSTMS | VARIANTS | {"coRNN", "LEM", "SRU"}
# Of what is not one number a unit: two heads, or two states a channel.
SHAPES = {
    **{key: [(2 * H,)] for key in ("S4D", "Mamba")},
    **{key: [(2, 2, 2)] for key in ("DeltaNet", "GatedDeltaNet", "GLA", "Mamba2")},
    "mLSTM": [(2, 2, 3), (2,)],
}
every_own_cell = pytest.mark.parametrize("name", [cell.short for cell in cells.ALL])


def test_every_cell_has_equations_here():
    assert {cell.short for cell in cells.ALL} <= set(EQUATIONS)


@pytest.mark.parametrize("name", EQUATIONS)
def test_a_sequence_is_that_of_the_equations(name, x64):
    cell, carry, xs = case(name, seed=1)
    actual = jit(lambda *args: loop(*args))(cell, carry, xs)
    state, ys = jax.tree.map(np.asarray, carry), []
    for x in np.asarray(xs):
        state, y, _ = EQUATIONS[name](Arrays(cell), state, x)
        ys.append(y)
    close(actual, (state, np.stack(ys)))


@pytest.mark.parametrize("name", [name for name in EQUATIONS if hasattr(abstract(name), "gates")])
def test_gates_by_name_are_those_of_the_equations(name, x64):
    cell, carry, xs = case(name, seed=1)
    actual = cell.gates(carry, xs[0])
    *_, expected = EQUATIONS[name](Arrays(cell), jax.tree.map(np.asarray, carry), np.asarray(xs[0]))
    assert actual._fields == tuple(expected)
    close(actual._asdict(), expected)


def linen_lstm(cell: Any) -> dict[str, Any]:
    parts = {}
    for gate, index in {"f": 0, "i": 1, "g": 2, "o": 3}.items():
        parts[f"i{gate}"] = {"kernel": cell.kernel[index].T}
        parts[f"h{gate}"] = {"kernel": cell.recurrent_kernel[index].T, "bias": cell.bias[index]}
    return parts


def linen_gru(cell: Any) -> dict[str, Any]:
    parts = {}
    for index, gate in enumerate("rzn"):
        parts[f"i{gate}"] = {"kernel": cell.kernel[index].T, "bias": cell.bias[index]}
        parts[f"h{gate}"] = {"kernel": cell.recurrent_kernel[index].T}
    parts["hn"]["bias"] = cell.recurrent_bias[...]
    return parts


def linen_simple(cell: Any) -> dict[str, Any]:
    return {"i": {"kernel": cell.kernel[0].T, "bias": cell.bias[0]}, "h": {"kernel": cell.recurrent_kernel[0].T}}


def fused(array: jax.Array, *order: int) -> jax.Array:
    """Gates beside each other: kernels ``[G, H, D]`` to ``[D, G * H]``, biases ``[G, H]`` to ``[G * H]``."""
    return jnp.concatenate([array[gate].T for gate in order], axis=-1)


def nnx_cell(kind: Any, parts: dict[str, Any]) -> Any:
    """Flax's nnx cell with the given arrays, all of its parameters."""
    theirs = kind(D, H, rngs=nnx.Rngs(0), dtype=jnp.float64, param_dtype=jnp.float64)
    for layer, arrays in parts.items():
        for name, array in arrays.items():
            assert getattr(getattr(theirs, layer), name)[...].shape == array.shape
            setattr(getattr(theirs, layer), name, nnx.Param(array))
    assert len(jax.tree.leaves(theirs)) == len(jax.tree.leaves(parts))
    return theirs


def nnx_lstm(cell: Any) -> Any:
    return nnx_cell(nnx.LSTMCell, {"if_" if name == "if" else name: part for name, part in linen_lstm(cell).items()})


def nnx_optimized_lstm(cell: Any) -> Any:
    order = (1, 0, 2, 3)  # theirs is i, f, g, o
    recurrent = {"kernel": fused(cell.recurrent_kernel, *order), "bias": fused(cell.bias, *order)}
    return nnx_cell(nnx.OptimizedLSTMCell, {"dense_i": {"kernel": fused(cell.kernel, *order)}, "dense_h": recurrent})


def nnx_gru(cell: Any) -> Any:
    inputs = {"kernel": fused(cell.kernel, 0, 1, 2), "bias": fused(cell.bias, 0, 1, 2)}
    return nnx_cell(nnx.GRUCell, {"dense_i": inputs, "dense_h": {"kernel": fused(cell.recurrent_kernel, 0, 1, 2)}})


def nnx_simple(cell: Any) -> Any:
    inputs = {"kernel": cell.kernel[0].T, "bias": cell.bias[0]}
    return nnx_cell(nnx.SimpleCell, {"dense_i": inputs, "dense_h": {"kernel": cell.recurrent_kernel[0].T}})


def linen(module: Any, arrange: Any) -> Any:
    return lambda cell: lambda carry, x: module(features=H).apply({"params": arrange(cell)}, carry, x)


FLAX: dict[str, tuple[str, Any]] = {
    "nnx.LSTMCell": ("LSTM", nnx_lstm),
    "nnx.OptimizedLSTMCell": ("LSTM", nnx_optimized_lstm),
    "nnx.GRUCell": ("GRU", nnx_gru),
    "nnx.SimpleCell": ("RNN", nnx_simple),
    "linen.LSTMCell": ("LSTM", linen(flax.linen.LSTMCell, linen_lstm)),
    "linen.OptimizedLSTMCell": ("LSTM", linen(flax.linen.OptimizedLSTMCell, linen_lstm)),
    "linen.GRUCell": ("GRU", linen(flax.linen.GRUCell, linen_gru)),
    "linen.SimpleCell": ("RNN", linen(flax.linen.SimpleCell, linen_simple)),
}


@pytest.mark.parametrize("name", FLAX)
def test_flax_with_the_same_weights_gives_the_same_outputs_and_gradients(name, x64):
    ours, convert = FLAX[name]
    one = case(ours, seed=1)
    if name == "nnx.GRUCell":  # it has no b_hn
        one.cell.recurrent_bias = nnx.Param(jnp.zeros(H))

    def weighted(run: Any, primals: Case) -> tuple[jax.Array, Any]:
        out = run(*primals)
        return dot(out, noise(out, seed=2)), out

    def theirs(cell: Any, carry: Any, xs: jax.Array) -> Any:
        return jax.lax.scan(lambda carry, x: convert(cell)(carry, x), carry, xs)

    def mine(cell: Any, carry: Any, xs: jax.Array) -> Any:
        return unroll(cell, xs, carry)

    @jit
    def both(primals: Case) -> Any:
        return [jax.grad(functools.partial(weighted, run), has_aux=True)(primals) for run in (mine, theirs)]

    actual, expected = both(one)
    if name == "nnx.GRUCell":
        actual[0].cell.recurrent_bias = expected[0].cell.recurrent_bias = None
    close(actual, expected)


TORCH = {"LSTM": ("LSTM", (1, 0, 2, 3)), "GRU": ("GRU", (0, 1, 2)), "RNN": ("RNN", (0,))}


@pytest.mark.parametrize("name", TORCH)
def test_pytorch_with_the_same_weights_gives_the_same_outputs_and_gradients(name, x64):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    kind, order = TORCH[name]
    cell, carry, xs = case(name, seed=1)
    carry, xs = jax.tree.map(lambda leaf: leaf[0], carry), xs[:, 0]  # PyTorch knows one batch axis

    def tensor(array: Any) -> Any:
        return torch.tensor(np.asarray(array), requires_grad=True)

    theirs = getattr(torch.nn, kind)(D, H, dtype=torch.float64)
    p, hidden = Arrays(cell), np.zeros(len(order) * H)
    if name == "GRU":
        hidden[2 * H :] = p.recurrent_bias
    weights = {
        "weight_ih_l0": np.concatenate([p.kernel[g] for g in order]),
        "weight_hh_l0": np.concatenate([p.recurrent_kernel[g] for g in order]),
        "bias_ih_l0": np.concatenate([p.bias[g] for g in order]),
        "bias_hh_l0": hidden,
    }
    theirs.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    start = [tensor(leaf[None]) for leaf in jax.tree.leaves(carry)]
    inputs = tensor(xs)
    out, last = theirs(inputs, (start[1], start[0]) if name == "LSTM" else start[0])
    last = (last[1][0], last[0][0]) if name == "LSTM" else last[0]  # (h, c) there, (c, h) here
    expected = (last, out)
    weigh = noise(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.float64), expected), seed=2)
    pairs = zip(jax.tree.leaves(expected), jax.tree.leaves(weigh), strict=True)
    sum((leaf * torch.tensor(np.asarray(w))).sum() for leaf, w in pairs).backward()

    def weighted(cell: Any, carry: Any, xs: jax.Array) -> tuple[jax.Array, Any]:
        out = unroll(cell, xs, carry)
        return dot(out, weigh), out

    (d_cell, d_carry, d_xs), actual = jit(jax.grad(weighted, argnums=(0, 1, 2), has_aux=True))(cell, carry, xs)
    close(actual, jax.tree.map(lambda leaf: leaf.detach().numpy(), expected))
    close((jax.tree.leaves(d_carry), d_xs), ([leaf.grad[0].numpy() for leaf in start], inputs.grad.numpy()))
    d = Arrays(d_cell)
    close(np.concatenate([d.kernel[g] for g in order]), theirs.weight_ih_l0.grad.numpy())
    close(np.concatenate([d.recurrent_kernel[g] for g in order]), theirs.weight_hh_l0.grad.numpy())
    close(np.concatenate([d.bias[g] for g in order]), theirs.bias_ih_l0.grad.numpy())
    if name == "GRU":
        close(d.recurrent_bias, theirs.bias_hh_l0.grad.numpy()[2 * H :])


@pytest.mark.parametrize("name", [name for name in CELLS if name != "Foreign-function"])
def test_the_initial_carry_is_zero_with_the_shape_and_dtype_of_the_cell(name):
    cell = build(name, seed=0, dtype=jnp.bfloat16)
    leaves = jax.tree.leaves(cell.initialize_carry((*BATCH, D)))
    count = 4 if name in ("Hochreiter1997", "sLSTM") else 2 if set(name.split("-")) & TWO_STATES else 1
    assert [leaf.shape for leaf in leaves] == [(*BATCH, *shape) for shape in SHAPES.get(name, [(H,)] * count)]
    # Flax's cells start in float32, whatever their parameters are, and matrices are sums over many steps.
    wide = name.startswith("Foreign") or cell.structure is Structure.MATRIX
    expected = jnp.complex64 if name in ("LRU", "S5", "S4D", "HGRN") else jnp.float32 if wide else jnp.bfloat16
    assert all(leaf.dtype == expected for leaf in leaves)
    if name == "sLSTM":
        m = leaves.pop(2)
        assert np.exp(float(m.max())) == 0 and np.isfinite(float(m.min()))
    assert not any(leaf.any() for leaf in leaves)
    assert cell.dtype is None and cell.promoted_dtype() == jnp.bfloat16
    assert cell.num_feature_axes == 1


@every_own_cell
def test_carry_init_draws_each_array_from_rngs(name):
    one = build(name, seed=0, dtype=jnp.float32)
    draw = functools.partial(one.initialize_carry, (50, D), carry_init=jax.nn.initializers.normal(2.0))
    named = zip(one.states, jax.tree.leaves(draw(rngs=nnx.Rngs(carry=0))), strict=True)
    leaves = [leaf for state, leaf in named if state != "m"]  # the scale of other states starts where it is safe
    assert all(1.5 < leaf.std() < 2.5 for leaf in leaves)
    assert len({complex(leaf.reshape(-1)[0]) for leaf in leaves}) == len(leaves)
    with pytest.raises(ValueError, match=r"rngs is None; allowed: an nnx.Rngs"):
        draw()


@pytest.mark.slow
@every_own_cell
def test_flax_runs_our_cells(name):
    one, two = (build(name, seed, jnp.float32) for seed in (0, 1))
    xs, lengths = noise(jax.ShapeDtypeStruct((2, T, D), jnp.float32), seed=0), jnp.array([T, 4])

    def run(module: Any, one: Any, two: Any) -> Any:
        carry, _ = module.RNN(one, return_carry=True)(xs, seq_lengths=lengths)
        return carry, module.RNN(one)(xs), module.Bidirectional(module.RNN(one), module.RNN(two))(xs)

    close(*(jit(functools.partial(run, module))(one, two) for module in (nnx, recurrax)), "float32")


@pytest.mark.parametrize("cell", cells.ALL)
@pytest.mark.parametrize("size", [0, -1, 2.0, True, "3"])
def test_sizes_that_are_no_positive_int_are_refused(cell, size):
    for sizes in ((size, H), (D, size)):
        with pytest.raises(ValueError, match=rf"got \w+_features={size!r}; allowed: an int >= 1"):
            cell(*sizes, rngs=nnx.Rngs(0))


def test_a_step_refuses_inputs_of_another_size_and_complex_ones():
    cell = build("GRU", seed=0, dtype=jnp.float32)
    carry = cell.initialize_carry((D,))
    with pytest.raises(ValueError, match=r"shape \(5,\); GRUCell allows a last axis of in_features=3"):
        cell(carry, jnp.zeros(5))
    with pytest.raises(TypeError, match=r"dtype complex64; GRUCell allows real numbers.*jnp.concatenate\(\[xs.real"):
        cell(carry, jnp.zeros(D, jnp.complex64))


@every_own_cell
@pytest.mark.parametrize("kind", [bool, np.int8])
def test_numbers_that_are_no_floats_are_taken_as_float32_by_a_step_and_a_sequence(name, kind):
    cell = build(name, seed=0, dtype=jnp.float32)
    xs = np.random.default_rng(0).integers(2, size=(T, D))
    carry = cell.initialize_carry((D,))
    for run in (lambda xs: cell(carry, xs[0]), lambda xs: unroll(cell, xs)):
        jax.tree.map(np.testing.assert_array_equal, run(xs.astype(kind)), run(xs.astype(np.float32)))


@every_own_cell
def test_parameters_of_bfloat16_and_inputs_of_float32_run_in_float32(name):
    """The carry starts in bfloat16; Flax's loop refuses one that changes its dtype."""
    cell = build(name, seed=0, dtype=jnp.bfloat16)
    xs = noise(jax.ShapeDtypeStruct((2, T, D), jnp.float32), seed=1)
    fine = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), cell)
    (carry, ys), expected = (recurrax.RNN(one, return_carry=True)(xs) for one in (cell, fine))
    assert {leaf.dtype for leaf in jax.tree.leaves((carry, ys))} <= {jnp.dtype("float32"), jnp.dtype("complex64")}
    jax.tree.map(np.testing.assert_array_equal, (carry, ys), expected)


@pytest.mark.parametrize("cell", cells.ALL)
def test_dtype_is_that_of_the_computation_and_param_dtype_that_of_the_parameters(cell):
    one = jit(lambda: cell(D, H, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)))()
    assert {leaf.dtype for leaf in jax.tree.leaves(one)} == {jnp.dtype("float32")}
    xs = noise(jax.ShapeDtypeStruct((T, D), jnp.float32), seed=1)
    carry, ys = unroll(one, xs)
    half = {jnp.dtype(one.state_dtype(xs.dtype))}
    assert half <= {jnp.dtype(kind) for kind in ("bfloat16", "float32", "complex64")}
    assert ys.dtype == jnp.bfloat16 and {leaf.dtype for leaf in jax.tree.leaves(carry)} == half
    assert {leaf.dtype for leaf in jax.tree.leaves(one.initialize_carry((D,)))} == half
    low = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (one, xs))
    jax.tree.map(np.testing.assert_array_equal, (carry, ys), unroll(*low))
    gradient = jax.eval_shape(jax.grad(lambda one: unroll(one, xs)[1].sum()), one)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}


def test_flax_s_own_loop_still_refuses_what_ours_promotes():
    """If this fails, Flax has learnt it: take the difference out of the docs."""
    cell = nnx.LSTMCell(D, H, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    xs = jnp.ones((2, T, D))
    with pytest.raises(TypeError, match="carry"):
        nnx.RNN(cell)(xs)
    assert recurrax.RNN(cell)(xs).dtype == jnp.float32


@pytest.mark.parametrize("build", [recurrax.LSTMCell, recurrax.GRUCell, cells.CIFGCell, cells.MinLSTMCell])
@pytest.mark.parametrize("batch", [(), (8,), (2, 4)])
def test_a_step_reads_its_kernels_where_they_lie(build, batch):
    """XLA copied the kernels of every gate at each call, which took longer than the step itself."""
    cell = build(64, 64, rngs=nnx.Rngs(0))
    arguments = cell, cell.initialize_carry((*batch, 64)), jnp.zeros((*batch, 64))
    memory = jax.jit(lambda cell, carry, x: cell(carry, x)).lower(*arguments).compile().memory_analysis()
    assert memory.temp_size_in_bytes < cell.kernel[...].nbytes


def test_names_that_users_see():
    assert recurrax.LSTMCell is cells.LSTMCell and recurrax.GRUCell is cells.GRUCell
    assert recurrax.RNN is not cells.RNNCell  # the layer, and one step of Elman's network
