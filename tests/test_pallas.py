"""The fused kernel: equal to Scan where it is interpreted, and lowered for devices that are not here."""

import contextlib
import functools
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
from recurrax.engines import pallas_kernels
from recurrax.engines.pallas import Pallas
from recurrax.engines.pallas_kernels import Tiles

CELLS = ("RNN", "LSTM", "GRU", "CIFG", "Truncated")


@pytest.fixture(autouse=True)
def two_chunks(monkeypatch):
    """The carry has to pass from one chunk of time to the next."""
    monkeypatch.setattr(pallas_kernels, "LONGEST_CHUNK", T // 2)


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
    close(*both(Pallas(block=3), flags(), primals(name)))  # two batch axes, 4 sequences in blocks of 3


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_padding_to_the_tiles_of_a_device_changes_nothing(x64, monkeypatch, name):
    monkeypatch.setattr(Pallas, "_tiles", lambda *_: Tiles("interpret", 16, 16))
    close(*both(Pallas(), {}, primals(name)))


def test_float32_without_batch_axes():
    one = primals("LSTM", jnp.float32)
    one = one._replace(carry=jax.tree.map(lambda leaf: leaf[0, 0], one.carry), xs=one.xs[:, 0, 0])
    close(*both(Pallas(), {}, one), "float32")


def test_one_feature_and_one_step(x64):
    cell = recurrax.GRU(1, 1, dtype=jnp.float64, rngs=nnx.Rngs(0))
    xs, always = noise(jax.ShapeDtypeStruct((1, 2, 1), jnp.float64), seed=0), np.ones((1, 2), bool)
    close(unroll(cell, xs, mask=always, resets=always, backend=Pallas()), unroll(cell, xs, backend=Scan()))


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_bfloat16_is_as_near_to_float32_as_scan(name):
    low = primals(name, jnp.bfloat16)
    actual, scan = both(Pallas(), flags(), low)
    exact = jit(functools.partial(run, Scan()))(flags(), cast(low, jnp.float32), cast(weights(low), jnp.float32))
    for a, s, e in zip(*(jax.tree.leaves(tree) for tree in (actual, scan, exact)), strict=True):
        assert a.dtype == s.dtype == jnp.bfloat16
        of_actual, of_scan = (np.linalg.norm(np.asarray(x, np.float32) - e) / np.linalg.norm(e) for x in (a, s))
        assert of_actual < max(1.5 * of_scan, 2**-8)  # 2**-9 is half a unit in the last place


def test_an_ensemble_is_its_runs_alone(x64):
    runs = noise(jax.tree.map(lambda leaf: np.broadcast_to(leaf, (3, *leaf.shape)), primals("GRU")), seed=3, around=1)
    many = [jax.vmap(functools.partial(run, e, flags()), (0, None)) for e in (Pallas(), Scan())]
    close(*(jit(one)(runs, weights(primals("GRU"))) for one in many))


def test_forward_mode_and_second_derivatives_are_refused():
    one = primals("RNN", jnp.float32)

    def total(xs: jax.Array) -> jax.Array:
        return unroll(one.cell, xs, one.carry, backend=Pallas())[1].sum()

    for run in (total, jax.grad(total)):
        with pytest.raises(TypeError, match="custom_vjp"):
            jax.jvp(run, (one.xs,), (one.xs,))
    with pytest.raises(TypeError, match=r"second derivative; allowed.*Adjoint"):
        jax.grad(lambda xs: jax.grad(total)(xs).sum())(one.xs)


@pytest.mark.parametrize("options", [{"block": 0}, {"block": True}, {"block": 2.0}, {"platform": "gpu"}])
def test_options_that_are_no_options(options):
    with pytest.raises(ValueError, match="allowed"):
        Pallas(**options)


@pytest.mark.parametrize(
    ("engine", "hidden", "dtype", "words"),
    [
        (Pallas(platform="cuda"), 129, jnp.float32, "H up to 128"),
        (Pallas(platform="cuda"), 257, jnp.bfloat16, "256 in bfloat16"),
        (Pallas(platform="cuda"), 8, jnp.float16, "float32, bfloat16"),
        (Pallas(platform="cuda", block=24), 8, jnp.float32, "powers of two"),
        (Pallas(platform="cuda", block=8), 8, jnp.float32, "powers of two"),
        (Pallas(platform="tpu", block=8), 8, jnp.float32, "multiples"),
        (Pallas(platform="tpu"), 1024, jnp.float32, "KiB"),
    ],
)
def test_what_a_device_cannot_hold_is_refused(engine, hidden, dtype, words):
    with pytest.raises(ValueError, match=f"allowed.*{words}"):
        jax.eval_shape(
            lambda: unroll(
                recurrax.GRU(1, hidden, dtype=dtype, rngs=nnx.Rngs(0)), jnp.zeros((2, 3, 1), dtype), backend=engine
            )
        )


def test_cells_without_the_structure_are_refused():
    general = recurrax.GRU(D, H, reset_after=False, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"GENERAL; allowed.*Scan"):
        unroll(general, jnp.zeros((T, D)), backend=Pallas())
    cell = recurrax.cells.RNN(D, H, rngs=nnx.Rngs(0))
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
@pytest.mark.parametrize("build", [recurrax.cells.RNN, recurrax.LSTM, recurrax.GRU])
def test_both_kernels_are_lowered_for_devices_that_are_not_here(platform, build, dtype):
    cell = jax.eval_shape(lambda: build(2, 128, dtype=dtype, rngs=nnx.Rngs(0)))
    xs, keep = jax.ShapeDtypeStruct((20, 40, 2), dtype), jax.ShapeDtypeStruct((20, 40), bool)

    def loss(cell: Any, xs: jax.Array, mask: jax.Array, resets: jax.Array) -> jax.Array:
        return unroll(cell, xs, mask=mask, resets=resets, backend=Pallas(platform=platform))[1].sum()

    with device_named(platform):
        lowered = jax.jit(jax.grad(loss)).trace(cell, xs, keep, keep).lower(lowering_platforms=(platform,))
    text = lowered.as_text()
    names = "__gpu$xla.gpu.triton", "triton_kernel_call", "tpu_custom_call"
    assert sum(text.count(f"@{name}") + text.count(f'"{name}"') for name in names) == 2


@pytest.mark.skipif(jax.default_backend() == "cpu", reason="no accelerator: the compiled kernel cannot be run")
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_the_compiled_kernel_equals_the_interpreted_one(name):
    one = primals(name, jnp.float32)
    program = [jax.jit(functools.partial(run, engine)) for engine in (Pallas(), Pallas(platform="interpret"))]
    with jax.default_matmul_precision("highest"):
        close(*(p(flags(), one, weights(one)) for p in program), "float32")
