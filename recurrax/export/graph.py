"""Builder of ONNX graphs: nodes, constants, inputs and outputs."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

OPSET = 17  # version of the operators, supported by onnxruntime since 1.12 (2022)
IR_VERSION = 8  # version of the file format that belongs to this opset


class Graph:
    """Collects the parts of a model; values are referred to by name.

    Raises:
        ImportError: onnx is not installed.
    """

    def __init__(self) -> None:
        try:
            self.onnx = importlib.import_module("onnx")
        except ImportError as error:
            raise ImportError('to_onnx needs onnx, which is not installed: pip install "recurrax[export]"') from error
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        """Adds a constant."""
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weights(self, name: str, array: np.ndarray) -> str:
        """Adds a constant in float32."""
        return self.constant(name, array.astype(np.float32))

    def integers(self, *values: int) -> str:
        """Adds a constant list of integers, such as axes or shapes."""
        name = f"int_{'_'.join(map(str, values))}"
        if name in (constant.name for constant in self.constants):
            return name
        return self.constant(name, np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Adds a node; returns the names of its outputs."""
        names = [f"{operator.lower()}_{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def one(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output; returns the name of the output."""
        return self.add(operator, *inputs, **attributes)[0]

    def input(self, name: str, dtype: type, shape: list[int | str]) -> str:
        """Adds an input; a size given as a word is free."""
        self.inputs.append(self._value(name, dtype, shape))
        return name

    def output(self, name: str, value: str, shape: list[int | str]) -> None:
        """Adds an output for a value, under the given name."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self._value(name, np.float32, shape))

    def model(self, description: str) -> Any:
        """Returns the complete model after onnx has checked it.

        Raises:
            onnx.checker.ValidationError: the model is invalid, which would be a bug in recurrax.
        """
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, "recurrax", self.inputs, self.outputs, self.constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="recurrax",
            producer_version=importlib.import_module("importlib.metadata").version("recurrax"),
            doc_string=description,
        )
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def _value(self, name: str, dtype: type, shape: list[int | str]) -> Any:
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)
