"""Trained models for programs without recurrax: as ONNX, with one operator a layer, and as StableHLO.

    rx.export.to_onnx(model)                  # an onnx.ModelProto; needs recurrax[export]
    rx.export.to_onnx(model, stream=True)     # one step, with the carry as inputs and outputs
    rx.export.to_int8(exported, samples)      # its weights as int8, and the error that this makes
    rx.export.to_stablehlo(model)             # bytes for jax.export.deserialize, of any cell

ONNX runs without JAX, on small machines too, and holds LSTM, GRU and plain layers. StableHLO runs where JAX runs and
holds every cell.
"""

from recurrax.export.int8 import Int8 as Int8
from recurrax.export.int8 import to_int8 as to_int8
from recurrax.export.onnx import to_onnx as to_onnx
from recurrax.export.stablehlo import to_stablehlo as to_stablehlo
