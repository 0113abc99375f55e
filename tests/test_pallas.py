"""The fused kernel: equal to Scan where it is interpreted, and lowered for devices that are not here."""

import contextlib
import functools
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import BATCH, Case, D, H, T, case, cast, dot, jit, noise
from tolerances import close

import recurrax
from recurrax import Scan, unroll
from recurrax.cells import TruncatedGradient
from recurrax.engines.pallas import Pallas, kernels
from recurrax.engines.pallas import engine as pallas_engine
from recurrax.engines.pallas.tiles import Tiles

slow = pytest.mark.slow
CELLS = ("RNN", "LSTM", "GRU", *(pytest.param(name, marks=slow) for name in ("CIFG", "Hochreiter1997", "Truncated")))
INTERPRETED = Pallas(platform="interpret")  # on an accelerator too
pytestmark = pytest.mark.usefixtures("exact")


@pytest.fixture(autouse=True)
def two_chunks(monkeypatch):
    """The carry has to pass from one chunk of time to the next."""
    monkeypatch.setattr(kernels, "LONGEST_CHUNK", T // 2)


@functools.cache
def flags() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    mask, resets = rng.random((T, *BATCH)) < 0.7, rng.random((T, *BATCH)) < 0.3
    mask[:, 1, 1] = False  # a sequence without steps
    return {"mask": mask, "resets": resets}


def primals(name: str, dtype: Any = jnp.float64) -> Case:
    if name != "Truncated":
        return case(name, 1, dtype)
    gru = case("GRU", 1, dtype)
    return gru._replace(cell=TruncatedGradient(gru.cell))


def run(engine: Any, flags: Any, primals: Case, weights: Any) -> Any:
    """Outputs, and the gradient of their weighted sum."""

    def weighted(primals: Case) -> Any:
        out = unroll(primals.cell, primals.xs, primals.carry, **flags, backend=engine)
        return dot(weights, out), out

    return jax.grad(weighted, has_aux=True)(primals)


def weights(primals: Case) -> Any:
    return noise((primals.carry, jax.ShapeDtypeStruct((*primals.xs.shape[:-1], H), primals.xs.dtype)), seed=2)


def both(engine: Any, flags: Any, primals: Case) -> tuple[Any, Any]:
    return tuple(jit(functools.partial(run, e))(flags, primals, weights(primals)) for e in (engine, Scan()))


@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_are_those_of_scan(x64, name):
    engine = Pallas(block=2, platform="interpret")  # two batch axes, 4 sequences in blocks of 2
    close(*both(engine, flags(), primals(name)))


@pytest.mark.parametrize("tiles", [Tiles("interpret", 16, 16), Tiles("interpret", 8, 32, gpu=True, registers=32)])
@pytest.mark.parametrize("name", ["LSTM", pytest.param("GRU", marks=slow)])
def test_padding_to_the_tiles_of_a_device_changes_nothing(x64, monkeypatch, name, tiles):
    monkeypatch.setattr(Pallas, "_tiles", lambda *_: tiles)
    close(*both(Pallas(), flags(), primals(name)))


def test_a_step_lies_as_the_tensor_cores_leave_a_product():
    """Thread L of warp w holds rows r = 16 w + L / 4 and r + 8, columns 2 (L % 4) and the next."""
    tiles = Tiles("cuda", 8, 64, gpu=True)
    stream = np.arange(3 * 16 * 64).reshape(3, 16, 64)
    there = tiles.to_device(stream)
    for w, thread in ((0, 0), (1, 5), (3, 31)):
        r, c = 16 * w + thread // 4, 2 * (thread % 4)
        held = [stream[2, 8 + column, row] for row in (r, r + 8) for column in (c, c + 1)]
        np.testing.assert_array_equal(there[2, 1].reshape(4, 32, 4)[w, thread], held)
    np.testing.assert_array_equal(tiles.read(there[:, 1], 2), stream[2, 8:].T)
    np.testing.assert_array_equal(tiles.from_device(there), stream)


@pytest.mark.parametrize(("dtype", "inputs"), [(np.float32, 8), (jnp.bfloat16, 16)])
def test_matrices_lie_as_the_tensor_cores_take_them(dtype, inputs):
    """Thread L of warp w holds rows r = 16 w + L / 4 and r + 8, columns L % 4 and those 4 on, or pairs of columns."""
    tiles = Tiles("cuda", 8, 64, gpu=True, registers=32)
    assert tiles.matrices_in_registers(dtype) == inputs // 8
    U = (np.arange(64 * 64) % 251).reshape(64, 64).astype(dtype)
    matrices = {0: [U, U + 1]}
    there = tiles.weights_to_device(matrices)
    assert [a.ndim for a in there[0]] == [1, 1 if inputs == 16 else 2]
    held = there[0][0].reshape(64 // inputs, 4, 32, inputs // 2)
    for block, w, thread in ((0, 0, 0), (1, 2, 5), (3, 3, 31)):
        r, c, pair = 16 * w + thread // 4, inputs * block, inputs // 8
        columns = [c + pair * (thread % 4 + 4 * half) + i for half in (0, 1) for i in range(pair)]
        expected = [U[row, columns[pair * half : pair * (half + 1)]] for half in (0, 1) for row in (r, r + 8)]
        np.testing.assert_array_equal(held[block, w, thread], np.concatenate(expected))
    back = tiles.matrices(there)
    jax.tree.map(np.testing.assert_array_equal, back, matrices)


def test_float32_without_batch_axes():
    one = primals("LSTM", jnp.float32)
    one = one._replace(carry=jax.tree.map(lambda leaf: leaf[0, 0], one.carry), xs=one.xs[:, 0, 0])
    close(*both(INTERPRETED, {}, one), "float32")


@pytest.mark.slow
def test_one_feature_and_one_step(x64):
    cell = recurrax.GRUCell(1, 1, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    xs, always = noise(jax.ShapeDtypeStruct((1, 2, 1), jnp.float64), seed=0), np.ones((1, 2), bool)
    close(unroll(cell, xs, mask=always, resets=always, backend=INTERPRETED), unroll(cell, xs, backend=Scan()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LSTM", pytest.param("GRU", marks=slow)])
def test_bfloat16_is_as_near_to_float32_as_scan(name):
    """In the mean over draws: a sum of few rounded numbers is now nearer to its value and now farther from it."""
    programs = [jit(functools.partial(run, engine)) for engine in (INTERPRETED, Scan(), Scan())]
    errors = []
    for seed in range(1, 9):
        low = case(name, seed, jnp.bfloat16)
        single = cast(low, jnp.float32), cast(weights(low), jnp.float32)
        runs = [(low, weights(low)), (low, weights(low)), single]
        trees = [program(flags(), *given) for program, given in zip(programs, runs, strict=True)]
        actual, scan, exact = (jax.tree.leaves(tree) for tree in trees)
        assert all(leaf.dtype == jnp.bfloat16 for leaf in (*actual, *scan))
        errors.append([[relative(x, e) for x in pair] for *pair, e in zip(actual, scan, exact, strict=True)])
    of_actual, of_scan = np.mean(errors, axis=0).T
    assert (of_actual < 1.1 * of_scan).all(), (of_actual, of_scan)


def relative(low: jax.Array, exact: jax.Array) -> float:
    """Norm of the error over that of the exact numbers."""
    return float(np.linalg.norm(np.asarray(low, np.float32) - exact) / np.linalg.norm(exact))


def test_an_ensemble_is_its_runs_alone(x64):
    runs = noise(jax.tree.map(lambda leaf: np.broadcast_to(leaf, (3, *leaf.shape)), primals("GRU")), seed=3, around=1)
    many = [jax.vmap(functools.partial(run, e, flags()), (0, None)) for e in (INTERPRETED, Scan())]
    close(*(jit(one)(runs, weights(primals("GRU"))) for one in many))


@pytest.mark.slow
def test_the_gradient_of_a_gradient_is_that_of_scan(x64):
    one = primals("RNN")

    def squares(engine: Any, xs: jax.Array) -> jax.Array:
        def total(*primals: Any) -> jax.Array:
            return jnp.sin(unroll(primals[0], primals[2], primals[1], backend=engine, **flags())[1]).sum()

        gradients = jax.grad(total, argnums=(0, 1, 2))(*one._replace(xs=xs))
        return sum(((leaf**2).sum() for leaf in jax.tree.leaves(gradients)), jnp.zeros(()))

    close(*(jit(jax.grad(functools.partial(squares, engine)))(one.xs) for engine in (INTERPRETED, Scan())))


@pytest.mark.parametrize("what", ["cell", "carry", "xs"])
def test_what_is_not_differentiated_may_be_a_constant(x64, what):
    """JAX transposes a linear system only where all of its right side has a tangent."""
    one = primals("LSTM")

    def total(engine: Any, value: Any) -> jax.Array:
        case = one._replace(**{what: value})
        return jnp.sin(unroll(case.cell, case.xs, case.carry, backend=engine)[1]).sum()

    value = getattr(one, what)
    close(*(jit(jax.grad(functools.partial(total, engine)))(value) for engine in (INTERPRETED, Scan())))


def test_auto_takes_the_kernel_where_it_fits_on_a_gpu(monkeypatch):
    monkeypatch.setattr(pallas_engine, "_is_cuda", lambda: True)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    cell = recurrax.LSTMCell(D, H, rngs=nnx.Rngs(0))
    xs = noise(jax.ShapeDtypeStruct((T, 2, D), jnp.float32), seed=0)
    run = jax.jit(jax.grad(lambda cell: unroll(cell, xs)[1].sum()))
    with device_named("cuda"), jax.default_matmul_precision(None):
        lowered = run.trace(cell).lower(lowering_platforms=("cuda",)).as_text()
    assert "xla.gpu.triton" in lowered or "triton_kernel_call" in lowered
    for other in (recurrax.RNNCell(D, 512, rngs=nnx.Rngs(0)), recurrax.cells.LRUCell(D, H, rngs=nnx.Rngs(0))):
        assert not Pallas().fits(other, other.initialize_carry((2, D)), xs)


@pytest.mark.slow
def test_a_program_for_a_gpu_runs_interpreted_where_it_is_sent_to_the_cpu(monkeypatch):
    cell = recurrax.RNNCell(D, H, rngs=nnx.Rngs(0))
    xs = noise(jax.ShapeDtypeStruct((T, 2, D), jnp.float32), seed=0)
    expected = jit(jax.grad(lambda cell: unroll(cell, xs, backend=Scan())[1].sum()))(cell)
    monkeypatch.setattr(pallas_engine, "_is_cuda", lambda: True)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    close(jax.jit(jax.grad(lambda cell: unroll(cell, xs)[1].sum()))(cell), expected, "float32")


def test_auto_leaves_a_cell_whose_padding_would_be_no_number(monkeypatch):
    monkeypatch.setattr(pallas_engine, "_is_cuda", lambda: True)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")

    class InverseCell(recurrax.cells.RNNCell):
        def update(self, carry: Any, a: Any) -> Any:
            return 1 / super().update(carry, a)

    xs = jnp.zeros((T, 2, D))
    for kind, expected in ((recurrax.cells.RNNCell, True), (InverseCell, False)):
        cell = kind(D, H, rngs=nnx.Rngs(0))
        assert Pallas().fits(cell, cell.initialize_carry((2, D)), xs) is expected


@pytest.mark.parametrize("options", [{"block": 0}, {"block": True}, {"block": 2.0}, {"platform": "gpu"}])
def test_options_that_are_no_options(options):
    with pytest.raises(ValueError, match="allowed"):
        Pallas(**options)


@pytest.mark.parametrize(
    ("engine", "hidden", "dtype", "words"),
    [
        (Pallas(platform="cuda"), 129, jnp.float32, "227 KiB"),
        (Pallas(platform="cuda"), 129, jnp.bfloat16, "227 KiB"),
        (Pallas(platform="cuda"), 8, jnp.float16, "float32, bfloat16"),
        (Pallas(platform="cuda", block=24), 8, jnp.float32, "powers of two"),
        (Pallas(platform="cuda", block=4), 8, jnp.float32, "powers of two"),
        (Pallas(platform="tpu", block=8), 8, jnp.float32, "multiples"),
        (Pallas(platform="tpu"), 1024, jnp.float32, "KiB"),
    ],
)
def test_what_a_device_cannot_hold_is_refused(engine, hidden, dtype, words):
    with pytest.raises(ValueError, match=f"allowed.*{words}"):
        jax.eval_shape(
            lambda: unroll(
                recurrax.GRUCell(1, hidden, param_dtype=dtype, rngs=nnx.Rngs(0)),
                jnp.zeros((2, 3, 1), dtype),
                backend=engine,
            )
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "capability", "hidden", "dtype", "precision", "fits"),
    [
        (recurrax.LSTMCell, "9.0", 128, jnp.bfloat16, None, True),
        (recurrax.LSTMCell, "8.0", 128, jnp.bfloat16, None, True),
        (recurrax.LSTMCell, "8.9", 128, jnp.bfloat16, None, True),  # in registers
        (recurrax.LSTMCell, "9.0", 65, jnp.float32, None, True),  # padded to 128, half in registers
        (recurrax.GRUCell, "8.0", 128, jnp.float32, None, True),
        (recurrax.LSTMCell, "8.9", 128, jnp.float32, None, False),
        (recurrax.LSTMCell, "9.0", 129, jnp.bfloat16, None, False),  # padded to 256
        (recurrax.LSTMCell, "9.0", 64, jnp.float32, "highest", True),
        (recurrax.LSTMCell, "8.9", 64, jnp.float32, "highest", False),
        (recurrax.GRUCell, "9.0", 128, jnp.float32, None, True),
        (recurrax.GRUCell, "9.0", 128, jnp.float32, "highest", False),
        (recurrax.GRUCell, "8.9", 128, jnp.float32, None, True),
        (recurrax.cells.RNNCell, "9.0", 256, jnp.bfloat16, None, True),
        (recurrax.cells.RNNCell, "12.0", 128, jnp.bfloat16, None, True),  # not listed: 99 KiB
    ],
)
def test_matrices_have_to_fit_into_registers_and_shared_memory(
    monkeypatch, build, capability, hidden, dtype, precision, fits
):
    zeros, device = jax.nn.initializers.zeros, types.SimpleNamespace(platform="gpu", compute_capability=capability)
    cell = build(2, hidden, param_dtype=dtype, recurrent_kernel_init=zeros, rngs=nnx.Rngs(0))
    carry = cell.initialize_carry((4, 2))
    monkeypatch.setattr(jax, "devices", lambda: [device])
    outcome = contextlib.nullcontext() if fits else pytest.raises(ValueError, match=r"needs \d+ KiB of shared memory")
    with jax.default_matmul_precision(precision), outcome:
        Pallas(platform="cuda")._tiles(cell, carry, 4)


def test_products_are_as_precise_as_jax_is_asked_for():
    one = primals("LSTM", jnp.float32)
    found = []
    for precision in (None, "tensorfloat32", "highest", "float32"):
        with jax.default_matmul_precision(precision):
            found += [Pallas(platform=name)._tiles(one.cell, one.carry, 4).precision for name in ("cuda", "tpu")]
    tf32, lax = jax.lax.DotAlgorithmPreset, jax.lax.Precision
    assert found == [tf32.TF32_TF32_F32, lax.DEFAULT] * 2 + [tf32.TF32_TF32_F32_X3, lax.HIGHEST] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "streams"), [(recurrax.LSTMCell, 2), (recurrax.GRUCell, 1), (recurrax.cells.RNNCell, 1)]
)
def test_the_backward_kernel_writes_a_cotangent_for_each_state(monkeypatch, build, streams):
    written = []
    launch = kernels.launch
    monkeypatch.setattr(pallas_engine, "launch", lambda *a, **k: (written.append(a[6][1]), launch(*a, **k))[1])
    cell, xs = build(D, H, rngs=nnx.Rngs(0)), jnp.zeros((T, 2, D))
    jax.eval_shape(jax.grad(lambda xs: unroll(cell, xs, backend=INTERPRETED)[1].sum()), xs)
    assert len(jax.tree.leaves(written[1])) == streams


def test_bfloat16_of_the_computation_is_what_the_kernel_takes_where_parameters_are_float32():
    cell = recurrax.LSTMCell(D, H, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    xs = noise(jax.ShapeDtypeStruct((T, 2, D), jnp.float32), seed=0)
    outs = [jit(functools.partial(unroll, backend=backend))(cell, xs) for backend in (INTERPRETED, Scan())]
    assert {leaf.dtype for leaf in jax.tree.leaves(outs)} == {jnp.dtype(jnp.bfloat16)}
    close(*outs, "bfloat16")


def test_cells_without_the_structure_are_refused():
    general = recurrax.GRUCell(D, H, reset_after=False, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"GENERAL; allowed.*Scan"):
        unroll(general, jnp.zeros((T, D)), backend=Pallas())
    cell = recurrax.cells.RNNCell(D, H, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"complex carry; allowed.*Scan"):
        Pallas()(cell, jnp.zeros(H, jnp.complex64), jnp.zeros((T, D)))


def device_named(platform: str) -> Any:
    """A device to lower for: jax 0.12 asks which GPU it would be."""
    if platform != "cuda" or not hasattr(jax.sharding, "AbstractDevice"):
        return contextlib.nullcontext()
    described = {"device_kind": "NVIDIA H100 80GB HBM3", "num_cores": 132, "platform": "gpu"}
    known = {name: described[name] for name in jax.sharding.AbstractDevice.__annotations__}
    device = jax.sharding.AbstractDevice(**known)
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), (), abstract_device=device))


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")  # since jax 0.12
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("build", [recurrax.cells.RNNCell, recurrax.LSTMCell, recurrax.GRUCell])
def test_both_kernels_are_lowered_for_devices_that_are_not_here(platform, build, dtype):
    cell = jax.eval_shape(lambda: build(2, 128, param_dtype=dtype, rngs=nnx.Rngs(0)))
    xs, keep = jax.ShapeDtypeStruct((20, 40, 2), dtype), jax.ShapeDtypeStruct((20, 40), bool)

    def loss(cell: Any, xs: jax.Array, mask: jax.Array, resets: jax.Array) -> jax.Array:
        return unroll(cell, xs, mask=mask, resets=resets, backend=Pallas(platform=platform))[1].sum()

    with device_named(platform), jax.default_matmul_precision(None):
        lowered = jax.jit(jax.grad(loss)).trace(cell, xs, keep, keep).lower(lowering_platforms=(platform,))
    text = lowered.as_text()
    names = "__gpu$xla.gpu.triton", "triton_kernel_call", "tpu_custom_call"
    assert sum(text.count(f"@{name}") + text.count(f'"{name}"') for name in names) == 2


accelerator = pytest.mark.skipif(
    jax.default_backend() == "cpu", reason="no accelerator: the compiled kernel cannot be run"
)


@accelerator
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_the_compiled_kernel_equals_the_interpreted_one(name):
    one = primals(name, jnp.float32)
    program = [jax.jit(functools.partial(run, engine)) for engine in (Pallas(), INTERPRETED)]
    close(*(p(flags(), one, weights(one)) for p in program), "float32")


@accelerator
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("build", "hidden", "dtype", "precision", "allowed"),
    [
        (recurrax.LSTMCell, 64, jnp.float32, "highest", 1e-5),
        (recurrax.LSTMCell, 64, jnp.float32, None, 3e-3),
        (recurrax.LSTMCell, 128, jnp.float32, None, 3e-3),
        (recurrax.GRUCell, 128, jnp.float32, None, 3e-3),
        (recurrax.LSTMCell, 128, jnp.bfloat16, None, 3e-2),
        (recurrax.cells.RNNCell, 256, jnp.bfloat16, None, 3e-2),
    ],
)
@pytest.mark.parametrize("engine", [Pallas(), recurrax.Adjoint()], ids=["pallas", "adjoint"])
def test_engines_on_a_device_are_scan_in_float32(engine, build, hidden, dtype, precision, allowed):
    rng = np.random.default_rng(0)
    cell = build(3, hidden, param_dtype=dtype, rngs=nnx.Rngs(0), recurrent_kernel_init=jax.nn.initializers.normal(0.05))
    xs, w = (jnp.asarray(rng.normal(size=(60, 24, size)), dtype) for size in (3, hidden))
    mask, resets = rng.random((60, 24)) < 0.9, rng.random((60, 24)) < 0.1

    def run(backend: Any, cell: Any, xs: jax.Array, w: jax.Array) -> Any:
        def weighted(cell: Any, xs: jax.Array) -> Any:
            ys = unroll(cell, xs, mask=mask, resets=resets, backend=backend)[1]
            return jnp.sum((ys * w).astype(jnp.float32)), ys

        return jax.grad(weighted, (0, 1), has_aux=True)(cell, xs)

    expected = jax.jit(functools.partial(run, Scan()))(*cast((cell, xs, w), jnp.float32))
    with jax.default_matmul_precision(precision):
        actual = jax.jit(functools.partial(run, engine))(cell, xs, w)
    for a, e in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
        assert np.linalg.norm(np.asarray(a, np.float32) - e) <= allowed * np.linalg.norm(e)
