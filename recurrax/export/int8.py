"""Quantises the weights of an exported model to int8, and measures the resulting error."""

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
    """A model with int8 weights, and its deviation from the float32 model.

    Attributes:
        model: an ``onnx.ModelProto``.
        max_error: the largest absolute difference of the outputs.
        mean_error: the mean absolute difference.
        scale: the standard deviation of the outputs, for comparison.
        size: size of the model in bytes.
        size_before: size of the float32 model in bytes.
    """

    model: Any
    max_error: float
    mean_error: float
    scale: float
    size: int
    size_before: int


def to_int8(model: Any, inputs: Any, *, reduce_range: bool = True) -> Int8:
    """Quantises the weights of a model from `to_onnx`; activations are quantised at run time.

    Matrix products and LSTMs are quantised; GRUs and plain layers stay in float32, because onnxruntime has no int8
    operator for them. By default weights use 7 bits: sums of 8-bit products can overflow on CPUs without VNNI, which
    would make the error larger.

    Args:
        model: an ``onnx.ModelProto``.
        inputs: data for measuring the error: an array for the input ``inputs``, or a mapping for all inputs. Use
            sequences that were not in the training data.
        reduce_range: whether weights use 7 bits.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    try:
        quantization = importlib.import_module("onnxruntime.quantization")
    except ImportError as error:
        raise ImportError("to_int8 needs onnxruntime, which is not installed: pip install onnxruntime onnx") from error
    marked = copy.deepcopy(model)
    marked.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")  # silences a hint
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
