"""What `recurrax.interop` refuses, and that it says why."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from peers import D, H

import recurrax as rx
from recurrax import interop


def cell(kind=rx.LSTMCell, **options):
    return kind(D, H, rngs=nnx.Rngs(0), **options)


LAYER = rx.LSTM(D, H, rngs=nnx.Rngs(0))
STATE = interop.to_torch(LAYER)
BIAS_HN = interop.to_torch(cell(rx.GRUCell))
BIAS_HN["bias_hh"][2 * H :] = 1
WRONG = {  # what is done, the error, and what it says
    "a key too many": (
        lambda: interop.from_torch(LAYER, {**STATE, "weight_ih_l1": STATE["weight_ih_l0"]}),
        ValueError, r"'weight_ih_l1' would not be read: .* as many layers and directions",
    ),
    "a key too few": (
        lambda: interop.from_torch(LAYER, {name: STATE[name] for name in STATE if name != "weight_hh_l0"}),
        ValueError, r"no 'weight_hh_l0', which the LSTMCell needs in PyTorch; there are 'weight_ih_l0'",
    ),
    "one bias of two": (
        lambda: interop.from_torch(LAYER, {name: STATE[name] for name in STATE if name != "bias_hh_l0"}),
        ValueError, r"no 'bias_hh_l0', which",
    ),
    "another size": (
        lambda: interop.from_torch(rx.LSTM(D + 1, H, rngs=nnx.Rngs(0)), STATE),
        ValueError, r"weight_ih_l0 has shape \(16, 3\); allowed: \(16, 4\), for the LSTMCell with in_features=4, hidd",
    ),
    "another cell": (
        lambda: interop.from_torch(rx.GRU(D, H, rngs=nnx.Rngs(0)), STATE),
        ValueError, r"weight_ih_l0 has shape \(16, 3\); allowed: \(12, 3\), for the GRUCell",
    ),
    "a prefix that no key has": (
        lambda: interop.from_torch(LAYER, STATE, prefix="lstm."),
        ValueError, r"no key begins with 'lstm.'; there are 'weight_ih_l0'",
    ),
    "roles that there are not": (
        lambda: interop.from_torch(rx.SequenceModel(LAYER, 2, rngs=nnx.Rngs(0)), STATE, prefix={"lstm": ""}),
        ValueError, r"prefix has the keys \['lstm'\]; allowed: embed, layer, head",
    ),
    "no array": (
        lambda: interop.from_torch(LAYER, {**STATE, "bias_ih_l0": object()}),
        TypeError, r"bias_ih_l0 is a object; allowed: an array",
    ),
    "complex numbers": (
        lambda: interop.from_torch(LAYER, {name: array + 0j for name, array in STATE.items()}),
        TypeError, r"weight_ih_l0 has dtype complex",
    ),
    "peepholes": (
        lambda: interop.to_torch(cell(rx.cells.PeepholeLSTMCell)),
        ValueError, r"the PeepholeLSTMCell has no counterpart in PyTorch, which has no LSTM with peepholes",
    ),
    "norms": (
        lambda: interop.to_torch(cell(rx.cells.LayerNormLSTMCell)),
        TypeError, r"LayerNormLSTMCell cannot be exchanged: its .* no place there",
    ),
    "another step": (
        lambda: interop.to_keras(cell(rx.cells.NoForgetGateCell)),
        TypeError, r"NoForgetGateCell cannot be exchanged: its step is another one",
    ),
    "a reset before the product, in PyTorch": (
        lambda: interop.to_torch(cell(rx.GRUCell, reset_after=False)),
        ValueError, r"the GRUCell has no counterpart in PyTorch, which has only the GRU that resets the product",
    ),
    "a reset after the product, in Haiku": (
        lambda: interop.to_haiku(cell(rx.GRUCell)),
        ValueError, r"no counterpart in Haiku, which has only the GRU that resets h before",
    ),
    "a projection in Keras": (
        lambda: interop.to_keras(cell(rx.cells.ProjectedLSTMCell)),
        ValueError, r"no counterpart in Keras, which has no LSTM with a projection",
    ),
    "a plain network in Equinox": (
        lambda: interop.to_equinox(cell(rx.RNNCell)),
        ValueError, r"Equinox, which has no plain recurrent cell",
    ),
    "tanh in Haiku": (
        lambda: interop.to_haiku(cell(rx.RNNCell)),
        ValueError, r"activation_fn='tanh', and Haiku has none but relu there",
    ),
    "another gate in PyTorch": (
        lambda: interop.to_torch(cell(rx.GRUCell, gate_fn=jax.nn.hard_sigmoid)),
        ValueError, r"gate_fn='hard_sigmoid', and PyTorch has none but sigmoid",
    ),
    "b_hn in nnx": (
        lambda: interop.to_nnx(cell(rx.GRUCell, bias_init=nnx.initializers.ones)),
        ValueError, r"recurrent_bias b_hn that is not 0, and the GRU of flax.nnx has no place for it",
    ),
    "biases that would be lost": (
        lambda: interop.to_torch(cell(rx.LSTMCell, forget_bias=1.0), bias=False),
        ValueError, r"a bias that is not 0, and bias=False leaves it out",
    ),
    "b_hn that would be lost": (
        lambda: interop.to_torch(interop.from_torch(cell(rx.GRUCell), BIAS_HN), bias=False),
        ValueError, r"a bias that is not 0, and bias=False leaves it out",
    ),
    "Keras' other bias": (
        lambda: interop.from_keras(cell(rx.GRUCell), interop.to_keras(cell(rx.GRUCell, reset_after=False))),
        ValueError, r"weights\[2\] has shape \(12,\); allowed: \(2, 12\), .*build GRUCell with reset_after=False",
    ),
    "an array too many for Keras": (
        lambda: interop.from_keras(LAYER, [*interop.to_keras(LAYER), np.ones(3)]),
        ValueError, r"there are 4 arrays; allowed: 3 for this layer",
    ),
    "modules too few for Equinox": (
        lambda: interop.from_equinox(rx.LSTM(D, H, 2, rngs=nnx.Rngs(0)), interop.to_equinox(LAYER)),
        ValueError, r"there are 1 modules; allowed: 2",
    ),
    "names too few for Haiku": (
        lambda: interop.to_haiku(LAYER, modules=["a", "b"]), ValueError, r"has 2 names; allowed: one for each of the 1",
    ),
    "reverse alone in PyTorch": (
        lambda: interop.to_torch(rx.RNN(cell(), reverse=True)), ValueError, r"reverse=True, and PyTorch has none",
    ),
    "another merge in PyTorch": (
        lambda: interop.to_torch(rx.Bidirectional(rx.RNN(cell()), rx.RNN(cell()), merge_fn=jnp.add)),
        ValueError, r"a merge_fn of its own, and PyTorch concatenates",
    ),
    "residual connections": (
        lambda: interop.to_keras(rx.Stack([rx.RNN(cell())], residual=True)),
        ValueError, r"residual=True, layer_norm=False; allowed: False for both",
    ),
    "a learned carry": (
        lambda: interop.to_torch(rx.RNN(cell(), learn_initial_carry=True)), ValueError, r"learn_initial_carry=True",
    ),
    "no layer": (
        lambda: interop.to_torch(nnx.Linear(2, 3, rngs=nnx.Rngs(0))), TypeError, r"got Linear; allowed: a cell",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_exchanged_is_refused_with_the_reason(name):
    attempt, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        attempt()
