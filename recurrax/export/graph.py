"""A graph of ONNX while it is written: nodes, constants, inputs and outputs."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

OPSET = 17  # of the operators; onnxruntime has it since 1.12 (2022)
IR_VERSION = 8  # of the file, the one that belongs to this opset


class Graph:
    """Collects what a model consists of; a value is its name.

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
        """A constant of the graph."""
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weights(self, name: str, array: np.ndarray) -> str:
        """A constant in float32."""
        return self.constant(name, array.astype(np.float32))

    def integers(self, *values: int) -> str:
        """A constant list of integers, as operators take axes and shapes."""
        name = f"int_{'_'.join(map(str, values))}"
        if name in (constant.name for constant in self.constants):
            return name
        return self.constant(name, np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """A node; gives the names of its outputs."""
        names = [f"{operator.lower()}_{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def one(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; gives its name."""
        return self.add(operator, *inputs, **attributes)[0]

    def input(self, name: str, dtype: type, shape: list[int | str]) -> str:
        """An input; a size that is a word is free."""
        self.inputs.append(self._value(name, dtype, shape))
        return name

    def output(self, name: str, value: str, shape: list[int | str]) -> None:
        """Gives a value out under a name of its own."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self._value(name, np.float32, shape))

    def model(self, description: str) -> Any:
        """The whole model, which onnx has checked.

        Raises:
            onnx.checker.ValidationError: it is not right, which would be an error of recurrax.
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
