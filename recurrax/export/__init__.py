"""Exports trained models for programs without recurrax: as ONNX, with one operator per layer, and as StableHLO.

    rx.export.to_onnx(model)                  # an onnx.ModelProto; needs recurrax[export]
    rx.export.to_onnx(model, stream=True)     # one step, with the carry as inputs and outputs
    rx.export.to_int8(exported, samples)      # int8 weights, and the resulting error
    rx.export.to_stablehlo(model)             # bytes for jax.export.deserialize, of any cell

ONNX models run without JAX, on small machines too, and support LSTM, GRU and plain layers. StableHLO programs run
wherever JAX runs and support every cell.
"""

from recurrax.export.int8 import Int8 as Int8
from recurrax.export.int8 import to_int8 as to_int8
from recurrax.export.onnx import to_onnx as to_onnx
from recurrax.export.stablehlo import to_stablehlo as to_stablehlo
