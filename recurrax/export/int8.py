"""The weights of an exported model as int8, and the error that this makes."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Int8:
    """A model with int8 weights, and how far it is from the one it was made of.

    Attributes:
        model: an ``onnx.ModelProto``.
        max_error: the largest absolute difference of an output.
        mean_error: the mean absolute difference.
        scale: the standard deviation of the outputs, to compare with.
        size: bytes.
        size_before: bytes of the model in float32.
    """

    model: Any
    max_error: float
    mean_error: float
    scale: float
    size: int
    size_before: int


def to_int8(model: Any, inputs: Any, *, reduce_range: bool = True) -> Int8:
    """Quantises the weights of a model that `to_onnx` gave; its activations are quantised while it runs.

    Matrix products and LSTMs are quantised; onnxruntime has no int8 operator for GRUs and plain layers, which stay in
    float32. By default the weights take 7 bits, as the sums of 8-bit products can overflow on CPUs without VNNI,
    which makes the error larger.

    Args:
        model: an ``onnx.ModelProto``.
        inputs: what the error is measured on: an array for the input ``inputs``, or a mapping for all inputs. Take
            sequences that the model has not been trained on.
        reduce_range: weights of 7 bits.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    try:
        quantization = importlib.import_module("onnxruntime.quantization")
    except ImportError as error:
        raise ImportError("to_int8 needs onnxruntime, which is not installed: pip install onnxruntime onnx") from error
    marked = copy.deepcopy(model)
    marked.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")  # else it asks for that, in vain
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantization.quantize_dynamic(
            marked, path, weight_type=quantization.QuantType.QInt8, extra_options={"WeightSymmetric": True},
            reduce_range=reduce_range,
        )  # fmt: skip
        small = importlib.import_module("onnx").load(path)
    given = inputs if isinstance(inputs, Mapping) else {"inputs": inputs}
    before, after = _run(model, given), _run(small, given)
    errors = np.concatenate([np.abs(a - b).ravel() for a, b in zip(after, before, strict=True)])
    outputs = np.concatenate([array.ravel() for array in before])
    return Int8(
        small, float(errors.max()), float(errors.mean()), float(outputs.std()),
        len(small.SerializeToString()), len(model.SerializeToString()),
    )  # fmt: skip


def _run(model: Any, given: Mapping[str, Any]) -> list[np.ndarray]:
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    dtypes = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
    feed = {one.name: np.asarray(given[one.name], dtypes[one.type]) for one in session.get_inputs()}
    return session.run(None, feed)
