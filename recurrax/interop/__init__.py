"""Converts weights from and to other libraries, as mappings of NumPy arrays, without importing the libraries.

    layer = rx.interop.from_torch(rx.LSTM(8, 32, 2, rngs=nnx.Rngs(0)), module.state_dict())
    module.load_state_dict({key: torch.from_numpy(a) for key, a in rx.interop.to_torch(layer).items()})

Weights do not contain the cell, sizes, directions and activations, so build the same layer as in the other library.
``from_...`` returns a copy of the layer with the given weights, and ``to_...`` returns the weights of the layer. Both
layers compute the same outputs and gradients. Anything that the other library cannot represent is refused with the
reason, and an unread key is an error.

The order of the gates in packed arrays (i input, f forget, c candidate, o output; r reset, z update, n candidate):

    library          LSTM      GRU      matrices     biases
    recurrax         f i c o   r z n    [G, H, D]    one, and b_hn of the GRU
    PyTorch          i f c o   r z n    [G H, D]     two
    Equinox          i f c o   r z n    [G H, D]     one, and b_hn of the GRU
    Keras            i f c o   z r n    [D, G H]     one; two of the GRU
    flax.nnx         i f c o   r z n    [D, G H]     one; no b_hn
    flax.linen       one each  one each [D, H]       one, and b_hn of the GRU
    Haiku            i c f o   z r n    [D, G H]     one; 1 is added to f
"""

from recurrax.interop.equinox import from_equinox as from_equinox
from recurrax.interop.equinox import to_equinox as to_equinox
from recurrax.interop.flax import from_linen as from_linen
from recurrax.interop.flax import from_nnx as from_nnx
from recurrax.interop.flax import to_linen as to_linen
from recurrax.interop.flax import to_nnx as to_nnx
from recurrax.interop.haiku import from_haiku as from_haiku
from recurrax.interop.haiku import to_haiku as to_haiku
from recurrax.interop.keras import from_keras as from_keras
from recurrax.interop.keras import to_keras as to_keras
from recurrax.interop.pytorch import from_torch as from_torch
from recurrax.interop.pytorch import to_torch as to_torch
