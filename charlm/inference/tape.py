"""The backward pass: how the loss over the last segment of a text depends on every weight.

Owns truncated backpropagation through time for one stream, in NumPy (Werbos 1990; Williams and Peng 1990). Knows
nothing of what is done with the gradients.

    ids (T,) -> embedding -> [cell -> norm -> + input] x L -> output -> logits (T, V)

A segment is read layer by layer, and what every step computes is kept on a `Tape`. Going back, only the recurrence must
go step by step; the gradient of a matrix is one product over all steps of the segment, and is handed out as the two
factors of that product. Whoever scales rows and columns of a gradient can scale the factors, which are far smaller.

The state before the segment is taken as given: what happened earlier had its turn when it was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from charlm.cells import CELLS
from charlm.cells.base import Array, LayerState, Trace, stack, with_arrays
from charlm.cells.base import Weights as LayerWeights
from charlm.config import ModelConfig
from charlm.inference.engine import NORM_EPSILON, Ids, State

Weights = Mapping[str, Array]
"""A model's tensors by name, as `ModelConfig.tensors` lists them; float32 or float64."""


class Outer(NamedTuple):
    """The gradient of a matrix, as a product that may be worked out later: left.T @ right.

    Attributes:
        left: (N, R)
        right: (N, C)
    """

    left: Array
    right: Array

    def dense(self) -> Array:
        """The gradient itself, (R, C)."""
        product: Array = self.left.T @ self.right
        return product


Gradients = dict[str, Outer | Array]
"""One for every tensor: factors for a matrix, the gradient itself for a vector."""


class _LayerTape(NamedTuple):
    """What a layer leaves for the way back, over a segment."""

    x: Array  # (T, I) what it read
    traces: list[Trace]  # one per step
    states: list[LayerState]  # after each step
    normal: Array | None  # (T, H) normalised, before scale and shift; None without norm
    deviation: Array | None  # (T, 1) what it was divided by


class Tape(NamedTuple):
    """What reading a segment leaves for the way back.

    Attributes:
        ids: (T,) what was read.
        layers: one a layer, the lowest first.
        x: (T, H) what the output layer read.
        logits: (T, V) of what comes after each id.
        state: after the last.
    """

    ids: Ids
    layers: tuple[_LayerTape, ...]
    x: Array
    logits: Array
    state: State


def forward(config: ModelConfig, weights: Weights, ids: Ids, state: State) -> Tape:
    """Read a segment and keep what the way back needs.

    Args:
        config: the model's shape.
        weights: its tensors.
        ids: (T,), at least one.
        state: of one stream, before the segment.
    """
    x = weights["embedding"].take(ids, axis=0)  # (T, E)
    layers, after = [], []
    for layer in range(config.layers):
        x, tape, last = _read_layer(config, weights, layer, x, state.layers[layer])
        layers.append(tape)
        after.append(last)
    logits = x @ weights["embedding" if config.tied else "output.w"].T
    logits += weights["output.b"]
    return Tape(ids, tuple(layers), x, logits, State(tuple(after)))


def _read_layer(
    config: ModelConfig, weights: Weights, layer: int, x: Array, state: LayerState
) -> tuple[Array, _LayerTape, LayerState]:
    cell = CELLS[config.cell]
    recurrent = _recurrent(config, weights, layer)
    from_below = x @ weights[f"layers.{layer}.w_x"].T  # (T, GH)
    from_below += weights[f"layers.{layer}.b"]
    out = np.empty((len(x), config.hidden), dtype=from_below.dtype)  # h after each step
    traces, states = [], []
    for step in range(len(x)):
        state, trace = cell.step(recurrent, from_below[step : step + 1], state)
        traces.append(trace)
        states.append(state)
        out[step] = state.h[0]
    normal = deviation = None
    if config.norm:
        normal = out - out.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.vecdot(normal, normal)[:, None] / config.hidden + NORM_EPSILON)
        normal /= deviation
        out = normal * weights[f"layers.{layer}.norm_scale"] + weights[f"layers.{layer}.norm_shift"]
    return x + out if config.has_residual(layer) else out, _LayerTape(x, traces, states, normal, deviation), state


def d_cross_entropy(logits: Array, targets: Ids) -> Array:
    """The gradient, with respect to the logits, of the summed surprise -log p(target): p minus one at the target.

    Args:
        logits: (T, V).
        targets: (T,) what came.
    """
    p: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    p[np.arange(len(targets)), targets] -= 1
    return p


def backward(config: ModelConfig, weights: Weights, tape: Tape, d_logits: Array) -> Gradients:
    """Carry a loss's gradient from the logits to every weight.

    Args:
        config: the model's shape.
        weights: those that `forward` used.
        tape: what `forward` left.
        d_logits: (T, V), see `d_cross_entropy`.

    Returns:
        The gradient of every tensor.
    """
    gradients: Gradients = {"output.b": d_logits.sum(axis=0)}
    d_x: Array = d_logits @ weights["embedding" if config.tied else "output.w"]  # (T, H)
    for layer in reversed(range(config.layers)):
        d_x = _backward_layer(config, weights, layer, tape.layers[layer], d_x, gradients)
    read_rows = np.zeros((len(tape.ids), config.vocabulary), dtype=d_x.dtype)
    read_rows[np.arange(len(tape.ids)), tape.ids] = 1
    if config.tied:  # the embedding's rows are read below and predict above
        gradients["embedding"] = Outer(np.concatenate((read_rows, d_logits)), np.concatenate((d_x, tape.x)))
    else:
        gradients["embedding"] = Outer(read_rows, d_x)
        gradients["output.w"] = Outer(d_logits, tape.x)
    return gradients


def _backward_layer(
    config: ModelConfig, weights: Weights, layer: int, tape: _LayerTape, d_out: Array, gradients: Gradients
) -> Array:
    """From the gradient of what a layer gives, (T, H), to that of what it reads, (T, I); adds those of its weights."""
    prefix = f"layers.{layer}."
    d_h = d_out
    if tape.normal is not None:
        assert tape.deviation is not None
        gradients[prefix + "norm_scale"] = (d_out * tape.normal).sum(axis=0)
        gradients[prefix + "norm_shift"] = d_out.sum(axis=0)
        d_h = _d_layer_norm(d_out * weights[prefix + "norm_scale"], tape.normal, tape.deviation)
    trace = stack(tape.traces)
    d_below, d_recurrent = _d_recurrence(config, weights, layer, trace, d_h)
    gradients[prefix + "w_x"] = Outer(d_below, tape.x)
    gradients[prefix + "b"] = d_below.sum(axis=0)
    for name, gradient in CELLS[config.cell].weight_grads(trace, d_recurrent).items():
        gradients[prefix + name] = Outer(*gradient) if isinstance(gradient, tuple) else gradient
    d_x: Array = d_below @ weights[prefix + "w_x"]
    if config.has_residual(layer):
        d_x += d_out
    return d_x


def _d_layer_norm(d_normal: Array, normal: Array, deviation: Array) -> Array:
    """Through normalisation: what would only shift or stretch the whole row has no effect, and is taken out."""
    width = normal.shape[-1]
    d_h: Array = d_normal - d_normal.mean(axis=-1, keepdims=True)
    d_h -= normal * (np.vecdot(d_normal, normal)[:, None] / width)
    d_h /= deviation
    return d_h


def _d_recurrence(config: ModelConfig, weights: Weights, layer: int, trace: Trace, d_h: Array) -> tuple[Array, Array]:
    """Back through time, from the last step to the first.

    Only what depends on the step after is worked out step by step.

    Args:
        config: the model's shape.
        weights: its tensors.
        layer: which.
        trace: what all its steps left, stacked.
        d_h: (T, H) gradient with respect to each hidden state, as far as it comes from above.

    Returns:
        The gradient with respect to W_x x + b and that with respect to
        the recurrent products, (T, GH) each.
    """
    cell = CELLS[config.cell]
    recurrent = _recurrent(config, weights, layer)
    derivatives = cell.local_derivatives(trace)
    by_step = [with_arrays(derivatives, parts) for parts in zip(*[part[:, None] for part in derivatives], strict=True)]
    d_belows, d_recurrents = [], []
    d_after = cell.State(*[np.zeros_like(d_h[:1]) for _ in cell.state_fields])  # nothing comes from beyond the segment
    for one, d_above in zip(reversed(by_step), d_h[::-1], strict=True):
        np.add(d_after.h, d_above, out=d_after.h)  # the step back has just made it
        d_below, d_recurrent, d_after = cell.step_backward(recurrent, one, d_after)
        d_belows.append(d_below)
        d_recurrents.append(d_recurrent)
    return np.concatenate(d_belows[::-1]), np.concatenate(d_recurrents[::-1])


def _recurrent(config: ModelConfig, weights: Weights, layer: int) -> LayerWeights:
    names = CELLS[config.cell].shapes(config.inputs(layer), config.hidden)
    return {name: weights[f"layers.{layer}.{name}"] for name in names}
