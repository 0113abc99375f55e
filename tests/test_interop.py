"""Weights from and to other libraries: the same outputs and gradients as there, in any layout."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from peers import LIBRARIES, B, D, H, Net, T, random
from reference import jit
from tolerances import close

import recurrax as rx
from recurrax import interop

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' variables

ROOT = Path(__file__).parents[1]
# Cells, layers, both directions and biases of every run; all other combinations are part of the slow tier.
EVERYDAY = [(kind, 2, True, True) for kind in ("LSTM", "GRU", "GRU reset before")]


def nets():
    for library, (_, kinds, without) in LIBRARIES.items():
        for kind in kinds:
            for layers, both, bias in [(n, d, b) for n in (1, 2) for d in (False, True) for b in (True, False)]:
                if bias or kind in without:
                    marks = () if (kind, layers, both, bias) in EVERYDAY else pytest.mark.slow
                    net = Net(kind, layers, both, bias)
                    yield pytest.param(library, net, marks=marks, id=f"{library}-{net}")


@pytest.mark.parametrize("library, net", [*nets()])
def test_the_same_outputs_and_gradients_as_in_the_other_library(library, net, request):
    if library != "keras":  # parts of which fail in double precision
        request.getfixturevalue("x64")
    peer, ours = LIBRARIES[library][0](net), net.ours()
    rng = np.random.default_rng(1)
    xs = rng.normal(size=(B, T, D))
    layer = peer.load(ours, peer.weights)
    run = jit(lambda layer, xs: layer(xs))
    expected = peer.run(peer.weights, xs)
    actual = run(layer, xs)
    close(actual, expected, peer.dtype)
    back = peer.save(layer)
    close(peer.run(back, xs), expected, peer.dtype)
    close(peer.load(ours, back), layer, peer.dtype)

    ys = rng.normal(0, 0.2, actual.shape)
    mine, mine_x = jit(jax.grad(lambda layer, xs: jnp.sum(layer(xs) * ys), argnums=(0, 1)))(layer, xs)
    theirs, theirs_x = peer.gradient(peer.weights, xs, ys)
    close(mine_x, theirs_x, peer.dtype)

    def linear(tree):
        """Our weights of theirs, without what Haiku adds."""
        zeros = peer.load(ours, jax.tree.map(np.zeros_like, tree))
        return jax.tree.map(np.subtract, peer.load(ours, jax.tree.map(np.asarray, tree)), zeros)

    # Each weight of ours is one of theirs, or minus it, or the sum of two biases, whose gradients are then the same.
    biases = jax.tree.map(np.abs, linear(jax.tree.map(np.ones_like, peer.weights)))
    close(linear(theirs), jax.tree.map(np.multiply, mine, biases), peer.dtype)
    assert max(float(leaf.max()) for leaf in jax.tree.leaves(biases)) <= 2


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_cell_of_torch_is_a_cell(kind, x64):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = getattr(torch.nn, f"{kind}Cell")(D, H, dtype=torch.float64)
    cell = interop.from_torch(Net(kind).cell(D, nnx.Rngs(0)), theirs)
    x = random(np.zeros((B, D)))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x))
    close(cell(cell.initialize_carry((B, D)), x)[1], np.asarray(expected[0] if kind == "LSTM" else expected))
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in interop.to_torch(cell).items()})


def test_safetensors_hold_what_torch_has(tmp_path):
    files = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    ours = rx.GRU(D, H, 2, bidirectional=True, rngs=nnx.Rngs(1))
    files.save_file(interop.to_torch(ours), tmp_path / "gru.safetensors")
    again = interop.from_torch(rx.GRU(D, H, 2, bidirectional=True, rngs=nnx.Rngs(2)), tmp_path / "gru.safetensors")
    jax.tree.map(np.testing.assert_array_equal, again, ours)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_parameters_keep_their_dtype(dtype):
    ours = rx.LSTM(D, H, param_dtype=dtype, rngs=nnx.Rngs(0))
    arrays = interop.to_torch(ours)
    assert {array.dtype for array in arrays.values()} == {jnp.dtype(dtype)}
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    jax.tree.map(np.testing.assert_array_equal, interop.from_torch(ours, wide), ours)
    assert {leaf.dtype for leaf in jax.tree.leaves(interop.from_torch(ours, wide))} == {jnp.dtype(dtype)}


def test_the_layer_that_is_given_stays_as_it_is_and_may_be_abstract():
    ours = rx.LSTM(D, H, rngs=nnx.Rngs(0))
    before = interop.to_torch(ours)
    other = interop.from_torch(ours, {name: array + 1 for name, array in before.items()})
    jax.tree.map(np.testing.assert_array_equal, interop.to_torch(ours), before)
    abstract = nnx.eval_shape(lambda: rx.LSTM(D, H, rngs=nnx.Rngs(0)))
    jax.tree.map(np.testing.assert_array_equal, interop.from_torch(abstract, interop.to_torch(other)), other)


PROGRAM = """
import sys
OTHERS = ("torch", "keras", "tensorflow", "haiku", "equinox", "safetensors", "h5py", "onnx", "onnxruntime")
for name in OTHERS:
    sys.modules[name] = None  # import raises ImportError
import jax
import numpy as np
from flax import nnx
import recurrax as rx

def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)

ways = [(getattr(rx.interop, f"from_{n}"), getattr(rx.interop, f"to_{n}")) for n in "torch keras linen equinox".split()]
for make in (rx.LSTM, rx.GRU):
    ours, other = (make(3, 4, 2, bidirectional=True, rngs=nnx.Rngs(seed)) for seed in (0, 1))
    for load, save in ways:
        same(load(other, save(ours)), ours)
    same(rx.interop.from_nnx(other, rx.interop.to_nnx(ours)), ours)
lstm, other = (rx.LSTMCell(3, 4, rngs=nnx.Rngs(seed)) for seed in (0, 1))
again = rx.interop.from_haiku(other, rx.interop.to_haiku(lstm))
jax.tree.map(np.testing.assert_allclose, again, lstm)  # 1 is subtracted and added
try:
    rx.interop.from_torch(lstm, "weights.safetensors")
except ImportError as error:
    assert "pip install safetensors" in str(error)
else:
    raise AssertionError
assert all(sys.modules[name] is None for name in OTHERS)
print("done")
"""


def test_it_works_where_no_other_library_can_be_imported():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout == "done\n", done.stderr


def test_weights_are_taken_inside_a_program_that_builds_many_models():
    """As `fit` builds them: every seed starts from the same weights, and from a head of its own."""
    arrays = interop.to_torch(rx.LSTM(D, H, rngs=nnx.Rngs(5)))

    @jax.jit
    @jax.vmap
    def build(key):
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(interop.from_torch(rx.LSTM(D, H, rngs=rngs), arrays), 2, rngs=rngs)

    models = build(jax.random.split(jax.random.key(0), 3))
    layers = [jax.tree.map(lambda leaf, n=n: leaf[n], models.layer) for n in range(3)]
    for layer in layers:
        jax.tree.map(np.testing.assert_array_equal, interop.to_torch(layer), arrays)
    assert np.ptp(models.head.kernel[...], axis=0).all()
