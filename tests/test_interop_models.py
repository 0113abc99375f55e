"""Whole models of other libraries, with an embedding below and a head above: the same outputs, there and back."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from peers import D, H, keras_library
from reference import jit, noise
from tolerances import close

import recurrax as rx
from recurrax import interop

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' variables
TOKENS = np.arange(8).reshape(2, 4) % 7


def model(vocabulary=None, both=True, **options):
    rngs = nnx.Rngs(0)
    layer = rx.LSTM(D, H, 2, bidirectional=both, rngs=rngs)
    return rx.SequenceModel(layer, 5, vocabulary=vocabulary, rngs=rngs, **options)


def test_a_model_of_torch_with_an_embedding_and_a_head_under_names_of_its_own():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.fc = torch.nn.Embedding(7, D), torch.nn.Linear(2 * H, 5)
            self.lstm = torch.nn.LSTM(D, H, 2, batch_first=True, bidirectional=True)

        def forward(self, tokens):
            return self.fc(self.lstm(self.emb(tokens))[0])

    theirs = Tagger()
    names = {"embed": "emb.", "layer": "lstm.", "head": "fc."}
    ours = interop.from_torch(model(vocabulary=7), theirs, prefix=names)
    with torch.no_grad():
        close(jit(lambda ours: ours(TOKENS))(ours), theirs(torch.from_numpy(TOKENS)).numpy(), "float32")
    back = interop.to_torch(ours, prefix=names)
    assert back.keys() == theirs.state_dict().keys()
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in back.items()})
    head = interop.from_torch(ours.layer, {f"a.{name}": array for name, array in back.items()}, prefix="a.lstm.")
    close(head, ours.layer, "float32")


def test_a_model_of_keras_as_a_list_and_as_a_file(tmp_path):
    keras = keras_library()
    pytest.importorskip("h5py", reason="files of Keras need h5py")

    def build():
        layers = [keras.layers.Bidirectional(keras.layers.LSTM(H, return_sequences=True)) for _ in range(2)]
        return keras.Sequential([keras.Input((None,)), keras.layers.Embedding(7, D), *layers, keras.layers.Dense(5)])

    theirs, again = build(), build()
    theirs.compile("adam", "mse")  # its file holds the optimiser too
    ours = interop.from_keras(model(vocabulary=7), theirs.get_weights())
    close(jit(lambda ours: ours(TOKENS))(ours), np.asarray(theirs(TOKENS)), "float32")
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    close(interop.from_keras(model(vocabulary=7), tmp_path / "theirs.weights.h5"), ours, "float32")

    other = jax.tree.map(lambda leaf: 0.5 * leaf, ours)
    interop.to_keras(other, tmp_path / "ours.weights.h5")
    again.load_weights(tmp_path / "ours.weights.h5")
    close(again.get_weights(), interop.to_keras(other), "float32")


def tagger():
    rngs = nnx.Rngs(1)
    return rx.SequenceModel(rx.LSTM(D, H, 2, rngs=rngs), 5, vocabulary=7, rngs=rngs)


def in_linen(ours):
    class Tagger(flax.linen.Module):
        def setup(self):
            self.embed, self.head = flax.linen.Embed(7, D), flax.linen.Dense(5)
            self.layer = flax.linen.Sequential([flax.linen.RNN(flax.linen.LSTMCell(H)) for _ in range(2)])

        def __call__(self, tokens):
            return self.head(self.layer(self.embed(tokens)))

    variables = {"params": interop.to_linen(ours)}
    return jit(Tagger().apply)(variables, TOKENS), interop.from_linen(tagger(), variables)


def in_nnx(ours):
    class Tagger(nnx.Module):
        def __init__(self, rngs):
            self.embed, self.head = nnx.Embed(7, D, rngs=rngs), nnx.Linear(H, 5, rngs=rngs)
            cells = [nnx.LSTMCell(size, H, rngs=rngs) for size in (D, H)]
            self.layer = nnx.Sequential(*[nnx.RNN(cell, rngs=rngs) for cell in cells])

    module = Tagger(nnx.Rngs(0, carry=0))
    state = nnx.state(module)
    nnx.replace_by_pure_dict(state, interop.to_nnx(ours))
    nnx.update(module, state)
    return module.head(module.layer(module.embed(TOKENS))), interop.from_nnx(tagger(), module)


def in_haiku(ours):
    haiku = pytest.importorskip("haiku", reason="Haiku is not installed")
    names = ["embed", "first", "second", "out"]

    def whole(tokens):
        xs = haiku.Embed(7, D, name=names[0])(tokens)
        for name in names[1:3]:
            core = haiku.LSTM(H, name=name)
            xs, _ = haiku.dynamic_unroll(core, xs, core.initial_state(len(xs)), time_major=False)
        return haiku.Linear(5, name=names[3])(xs)

    params = interop.to_haiku(ours, prefix="tagger/~/", modules=names)
    others = {"encoder/linear": {"w": np.ones(2)}}
    again = interop.from_haiku(tagger(), params | others, prefix="tagger/~/", modules=names)
    mine = {name.removeprefix("tagger/~/"): arrays for name, arrays in params.items()}
    return jit(haiku.without_apply_rng(haiku.transform(whole)).apply)(mine, TOKENS), again


def in_equinox(ours):
    eqx = pytest.importorskip("equinox", reason="Equinox is not installed")
    key = jax.random.key(0)
    modules = [
        eqx.nn.Embedding(7, D, key=key),
        eqx.nn.LSTMCell(D, H, key=key),
        eqx.nn.LSTMCell(H, H, key=key),
        eqx.nn.Linear(H, 5, key=key),
    ]

    def load(module, arrays):
        return eqx.tree_at(
            lambda one: [getattr(one, name) for name in arrays], module, list(map(jnp.asarray, arrays.values()))
        )

    embed, *cells, head = loaded = [load(*pair) for pair in zip(modules, interop.to_equinox(ours), strict=True)]

    def one(tokens):
        xs = jax.vmap(embed)(tokens)
        for cell in cells:
            start = (jnp.zeros(H), jnp.zeros(H))
            xs = jax.lax.scan(lambda carry, x, cell=cell: 2 * (cell(x, carry),), start, xs)[1][0]
        return jax.vmap(head)(xs)

    return jax.vmap(one)(TOKENS), interop.from_equinox(tagger(), loaded)


@pytest.mark.parametrize("other", [in_linen, in_nnx, in_haiku, in_equinox], ids=lambda other: other.__name__)
def test_models_of_the_libraries_on_jax(other):
    ours = noise(tagger(), seed=2, around=1, scale=0.3)
    theirs, again = other(ours)
    close(theirs, jit(lambda ours: ours(TOKENS))(ours), "float32")
    close(again, ours, "float32")
