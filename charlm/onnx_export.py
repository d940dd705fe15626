"""Writes a model as an ONNX file: one step, with the state as input and output.

    ids (B,), state (B, S)  ->  logits (B, V), next_state (B, S)

B is free. A text begins with a state of zeros. S is layers x state fields x H; the fields of a layer are those of its
cell's `State`. The file's metadata has the vocabulary. Each formula here is that of the cell in `charlm.cells`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from charlm.cells import CELLS
from charlm.cells.base import Array
from charlm.checkpoint import Checkpoint
from charlm.errors import UsageError
from charlm.files import write_bytes
from charlm.inference.tape import NORM_EPSILON, layer_tensors

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET: Final = 18  # the first whose Split takes the number of parts


class _Graph:
    """Nodes and constants of a graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operator: str, outputs: int, *inputs: _Value, **attributes: float) -> list[_Value]:
        from onnx import helper

        names = [f"{operator.lower()}{len(self.nodes)}.{part}" for part in range(outputs)]
        self.nodes.append(helper.make_node(operator, [value.name for value in inputs], names, **attributes))
        return [_Value(self, name) for name in names]

    def constant(self, array: Array) -> _Value:
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=np.float32), name))
        return _Value(self, name)


@dataclass(frozen=True)
class _Value:
    """A result within a graph, with the operations that the cells need."""

    graph: _Graph
    name: str

    def apply(self, operator: str, *others: _Value, **attributes: float) -> _Value:
        return self.graph.add(operator, 1, self, *others, **attributes)[0]

    def split(self, parts: int) -> list[_Value]:
        """Return equal parts of the last axis."""
        return self.graph.add("Split", parts, self, axis=-1, num_outputs=parts)

    def times(self, matrix: Array) -> _Value:
        """Return the product with a matrix as a model file has it, (R, C): (B, C) becomes (B, R)."""
        return self.apply("MatMul", self.graph.constant(matrix.T))

    def __add__(self, other: _Value) -> _Value:
        return self.apply("Add", other)

    def __sub__(self, other: _Value) -> _Value:
        return self.apply("Sub", other)

    def __mul__(self, other: _Value) -> _Value:
        return self.apply("Mul", other)

    def sigmoid(self) -> _Value:
        return self.apply("Sigmoid")

    def tanh(self) -> _Value:
        return self.apply("Tanh")


_Weights = Mapping[str, Array]
_State = Sequence[_Value]
_Step = Callable[[_Weights, _Value, _State], _State]
"""From a layer's weights, W_x x + b and its state to the state after the step."""


def _lstm(weights: _Weights, input_proj: _Value, state: _State) -> _State:
    """Take a step of the LSTM; w_m makes it multiplicative, p_i to p_o are its peepholes."""
    h, c = state
    if "w_m" in weights:
        *blocks, scale = input_proj.split(5)
        input_proj, h = blocks[0].apply("Concat", *blocks[1:], axis=-1), scale * h.times(weights["w_m"])
    i, f, o, g = (input_proj + h.times(weights["w_h"])).split(4)
    p_i, p_f, p_o = [h.graph.constant(weights[name]) if name in weights else None for name in ("p_i", "p_f", "p_o")]
    i, f = (i + p_i * c if p_i else i), (f + p_f * c if p_f else f)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    o = o + p_o * c if p_o else o
    return o.sigmoid() * c.tanh(), c


def _cifg(weights: _Weights, input_proj: _Value, state: _State) -> _State:
    h, c = state
    f, o, g = (input_proj + h.times(weights["w_h"])).split(3)
    g = g.tanh()
    c = g + f.sigmoid() * (c - g)
    return o.sigmoid() * c.tanh(), c


def _gru(weights: _Weights, input_proj: _Value, state: _State) -> _State:
    (h,) = state
    (x_r, x_z, x_n), (u_r, u_z, u_n) = input_proj.split(3), h.times(weights["w_h"]).split(3)
    n = (x_n + (x_r + u_r).sigmoid() * (u_n + h.graph.constant(weights["b_h"]))).tanh()
    return (n + (x_z + u_z).sigmoid() * (h - n),)


def _rnn(weights: _Weights, input_proj: _Value, state: _State) -> _State:
    return ((input_proj + state[0].times(weights["w_h"])).tanh(),)


def _slstm(weights: _Weights, input_proj: _Value, state: _State) -> _State:
    h, c, n, m = state
    a_i, a_f, a_o, a_z = (input_proj + h.times(weights["w_h"])).split(4)
    zero = h.graph.constant(np.zeros(1))
    log_f = m - (zero - a_f).apply("Softplus")  # log sigma(a) is -softplus(-a)
    has_input = n.apply("Greater", zero)
    m = has_input.apply("Where", log_f.apply("Max", a_i), a_i)
    i = (a_i - m).apply("Exp")
    f = has_input.apply("Where", (log_f - m).apply("Min", zero).apply("Exp"), zero)
    c, n = f * c + i * a_z.tanh(), f * n + i
    return a_o.sigmoid() * c.apply("Div", n), c, n, m


_STEPS: Final[Mapping[str, _Step]] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn": _rnn,
    "peephole": _lstm,
    "cifg": _cifg,
    "multiplicative": _lstm,
    "slstm": _slstm,
}


def _step(graph: _Graph, checkpoint: Checkpoint) -> tuple[_Value, _Value]:
    """Add a step of the whole model; return the logits and the next state."""
    config, tensors = checkpoint.config, checkpoint.tensors
    fields = len(CELLS[config.cell].state_fields)
    ids, before = _Value(graph, "ids"), _Value(graph, "state").split(config.layers * fields)
    x = graph.constant(tensors["embedding"]).apply("Gather", ids)
    after: list[_Value] = []
    for layer in range(config.layers):
        weights = layer_tensors(config, tensors, layer)
        input_proj = x.times(weights["w_x"]) + graph.constant(weights["b"])
        after += _STEPS[config.cell](weights, input_proj, before[layer * fields :][:fields])
        h = after[-fields]
        if config.norm:
            scale, shift = graph.constant(weights["norm_scale"]), graph.constant(weights["norm_shift"])
            h = h.apply("LayerNormalization", scale, shift, epsilon=NORM_EPSILON)
        x = x + h if config.has_residual(layer) else h
    logits = x.times(tensors["embedding" if config.tied else "output.w"]) + graph.constant(tensors["output.b"])
    return logits, after[0].apply("Concat", *after[1:], axis=-1)


def write_onnx(checkpoint: Checkpoint, path: Path) -> None:
    """Write a model's ONNX file atomically.

    Raises UsageError if the package onnx is missing, OutputError if the file cannot be written.
    """
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise UsageError("an .onnx file needs onnx, which is not installed", "pip install onnx") from error
    config, vocabulary, graph = checkpoint.config, checkpoint.vocabulary, _Graph()
    for value, name in zip(_step(graph, checkpoint), ("logits", "next_state"), strict=True):
        graph.nodes.append(helper.make_node("Identity", [value.name], [name]))
    width = config.layers * len(CELLS[config.cell].state_fields) * config.hidden
    info, real = helper.make_tensor_value_info, TensorProto.FLOAT
    inputs = [info("ids", TensorProto.INT64, ["B"]), info("state", real, ["B", width])]
    outputs = [info("logits", real, ["B", config.vocabulary]), info("next_state", real, ["B", width])]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "charlm", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # of that opset
        producer_name="charlm",
    )
    characters = {"characters": "".join(vocabulary.characters), "bytes": vocabulary.has_bytes}
    helper.set_model_props(model, {"charlm": json.dumps(characters)})
    write_bytes(path, model.SerializeToString())
