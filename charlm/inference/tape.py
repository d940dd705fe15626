"""The network in NumPy: the forward pass with an optional tape, and the backward pass.

Layers run one after the other. Only the recurrence runs step by step. Arrays over time have T * B rows, all streams of
the first step first. The backward pass is truncated backpropagation through time (Werbos 1990; Williams and Peng 1990).
The gradient of a matrix is one product over all steps, returned as its two factors. To scale its rows or columns, scale
the factors: they are far smaller. `charlm.inference.fast_step` is the fast path for one step of generation.

    Ids (T, B) -> embedding -> [cell -> norm -> + input] x L -> output -> logits (T, B, V)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from charlm.cells import CELLS, AnyCell
from charlm.cells.base import Array, LayerState, Trace, Units, stack, with_arrays
from charlm.cells.base import Weights as LayerWeights
from charlm.config import ModelConfig
from charlm.inference.state import Ids, State

NORM_EPSILON = 1e-5

Weights = Mapping[str, Array]
"""Tensors of a model by name, see `charlm.tensor_shapes`; float32 or float64."""


Activate = Callable[[LayerWeights, Array, LayerState], tuple[LayerState, Trace]]
"""`FusableCell.activate`."""


class Layer(NamedTuple):
    """A layer as the forward pass uses it."""

    cell: AnyCell
    weights: LayerWeights
    input: tuple[Array, Array] | None  # W_x transposed, (I, GH), and b; None if `Network.table` has the product
    residual: bool
    norm_scale: Array | None  # (H,); None without norm
    norm_shift: Array | None  # (H,); None without norm, or where it is part of the biases above
    clamps: tuple[Units, Array] | None = None  # units whose memory is set after each step, and its values
    fused: tuple[Array, Activate] | None = None  # [W_x W_h] transposed, (I + H, GH), and the rest of a step


class Network(NamedTuple):
    """A model as the forward pass uses it."""

    embedding: Array  # (V, E)
    layers: tuple[Layer, ...]
    w_out: Array  # (H, V), transposed
    b_out: Array  # (V,)
    is_tied: bool  # the embedding is also w_out
    table: Array | None = None  # (V, GH) W_x e + b of the first layer, one row per id


class LayerTape(NamedTuple):
    """Values of one layer over all steps, for the backward pass and the signals."""

    layer: Layer
    x: Array  # (T * B, I) input
    traces: list[Trace]  # one per step
    states: list[LayerState]  # after each step
    normal: Array | None  # (T * B, H) normalised, before scale and shift; None without norm
    deviation: Array | None  # (T * B, 1) standard deviation


class Tape(NamedTuple):
    """Result of the forward pass, with all that the backward pass needs."""

    network: Network
    ids: Ids  # (T * B,)
    layers: list[LayerTape]
    x: Array  # (T * B, H) input of the output layer
    logits: Array  # (T * B, V) after each id
    state: State  # after the last step


class Outer(NamedTuple):
    """Gradient of a matrix as a product that is computed later: left.T @ right."""

    left: Array  # (N, R)
    right: Array  # (N, C)

    def dense(self) -> Array:
        product: Array = self.left.T @ self.right  # (R, C)
        return product


Gradients = dict[str, Outer | Array]
"""One per tensor: factors for a matrix, the gradient itself for a vector."""


def make_network(config: ModelConfig, weights: Weights) -> Network:
    """Return the network of a model's tensors, without a copy."""
    layers = []
    for layer in range(config.layers):
        own = layer_tensors(config, weights, layer)
        norm_scale, norm_shift = own.get("norm_scale"), own.get("norm_shift")
        inputs = own["w_x"].T, own["b"]
        layers.append(Layer(CELLS[config.cell], own, inputs, config.has_residual(layer), norm_scale, norm_shift))
    w_out = weights["embedding" if config.tied else "output.w"]  # (V, H)
    return Network(weights["embedding"], tuple(layers), w_out.T, weights["output.b"], config.tied)


def layer_tensors(config: ModelConfig, weights: Weights, layer: int) -> dict[str, Array]:
    """Return the tensors of a layer by their names within it."""
    names = [*CELLS[config.cell].shapes(config.inputs(layer), config.hidden)]
    names += ["norm_scale", "norm_shift"] if config.norm else []
    return {name: weights[f"layers.{layer}.{name}"] for name in names}


def run(
    network: Network, ids: Ids, state: State, *, last_only: bool = False, tape: list[LayerTape] | None = None
) -> tuple[State, Array, Array]:
    """Read ids.

    Args:
        network: the model.
        ids: (T * B,), all streams of the first step first; at least one step.
        state: of B streams, before the first step.
        last_only: return x and logits of the last step alone, of B rows.
        tape: gets one item per layer.

    Returns:
        The state after the last step; the input of the output layer, (T * B, H); the logits after each id, (T * B, V).
    """
    x, after = network.embedding.take(ids, axis=0), []  # (T * B, E)
    for number, layer in enumerate(network.layers):
        if layer.input is None:
            assert network.table is not None
            input_proj = network.table.take(ids, axis=0)  # (T * B, GH)
        else:
            w_x, b = layer.input
            input_proj = x.dot(w_x)
            input_proj += b
        x, last = _run_layer(layer, x, input_proj, state.layers[number], tape)
        after.append(last)
    if last_only:
        x = x[-state.batch :]
    logits: Array = x.dot(network.w_out)
    logits += network.b_out
    return State(tuple(after)), x, logits


def _run_layer(
    layer: Layer, x: Array, input_proj: Array, state: LayerState, tape: list[LayerTape] | None
) -> tuple[Array, LayerState]:
    batch, step, weights = len(state.h), layer.cell.step, layer.weights
    hs, traces, states = [], [], []
    for first in range(0, len(input_proj), batch):
        state, trace = step(weights, input_proj[first : first + batch], state)
        if layer.clamps is not None:
            state = layer.cell.clamp_units(state, trace, *layer.clamps)
        hs.append(state.h)
        if tape is not None:
            traces.append(trace)
            states.append(state)
    h: Array = np.concatenate(hs)
    normal = deviation = None
    if layer.norm_scale is not None:
        normal, deviation = normalise(h)
        h = normal * layer.norm_scale
        if layer.norm_shift is not None:
            h += layer.norm_shift
    if tape is not None:
        tape.append(LayerTape(layer, x, traces, states, normal, deviation))
    return x + h if layer.residual else h, state


def normalise(x: Array) -> tuple[Array, Array]:
    """Return rows of mean 0 and deviation 1, (N, H), and their deviation before, (N, 1) (Ba, Kiros and Hinton 2016)."""
    width = x.shape[-1]
    normal: Array = x - np.add.reduce(x, axis=-1, keepdims=True) / width
    deviation: Array = np.sqrt(np.vecdot(normal, normal)[:, None] / width + NORM_EPSILON)
    normal /= deviation
    return normal, deviation


def read_signals(tape: LayerTape) -> dict[str, Array]:
    """Return the signals of a layer over all steps, (T * B, H) each, by name."""
    cell, clamps = tape.layer.cell, tape.layer.clamps
    signals = cell.read_signals(stack(tape.traces), stack(tape.states))
    if clamps is not None:  # the trace of an sLSTM has the memory before it was set
        units, values = clamps
        signals[cell.MEMORY][:, units] = values
    return signals


def forward(config: ModelConfig, weights: Weights, ids: Ids, state: State) -> Tape:
    """Read ids, (T,) for one stream or (T, B), at least one step, and keep what the backward pass needs."""
    network, layers, ids = make_network(config, weights), list[LayerTape](), ids.reshape(-1)
    after, x, logits = run(network, ids, state, tape=layers)
    return Tape(network, ids, layers, x, logits, after)


def d_cross_entropy(logits: Array, targets: Ids) -> Array:
    """Return the gradient of the summed surprisal of targets, (N,), by the logits, (N, V): p, less 1 at the target."""
    p: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    p[np.arange(len(targets)), targets] -= 1
    return p


def backward(tape: Tape, d_logits: Array) -> Gradients:
    """Return the gradient of every tensor from that of the logits, (T * B, V).

    The weights must not have changed since `forward`.
    """
    ids, network = tape.ids, tape.network
    gradients: Gradients = {"output.b": d_logits.sum(axis=0)}
    d_x: Array = d_logits @ network.w_out.T  # (T * B, H)
    for number, layer in reversed(list(enumerate(tape.layers))):
        d_x, own, _ = _backward_layer(layer, d_x)
        gradients |= {f"layers.{number}.{name}": gradient for name, gradient in own.items()}
    one_hot = np.zeros((len(ids), len(network.embedding)), dtype=d_x.dtype)
    one_hot[np.arange(len(ids)), ids] = 1
    if network.is_tied:
        gradients["embedding"] = Outer(np.concatenate((one_hot, d_logits)), np.concatenate((d_x, tape.x)))
    else:
        gradients["embedding"] = Outer(one_hot, d_x)
        gradients["output.w"] = Outer(d_logits, tape.x)
    return gradients


def state_gradients(tape: Tape, d_logits: Array) -> list[list[LayerState]]:
    """Return the gradient with respect to the state of each layer after each step; arguments as in `backward`.

    The gradient of h includes what the layer above reads of it at the same step.
    """
    d_x: Array = d_logits @ tape.network.w_out.T
    found = []
    for layer in reversed(tape.layers):
        d_x, _, d_states = _backward_layer(layer, d_x)
        found.append(d_states)
    return found[::-1]


def _backward_layer(tape: LayerTape, d_out: Array) -> tuple[Array, Gradients, list[LayerState]]:
    """Return the gradient with respect to a layer's input, (T * B, I), its tensors, and its state after each step."""
    layer, gradients, d_h = tape.layer, Gradients(), d_out
    if layer.norm_scale is not None and tape.normal is not None and tape.deviation is not None:
        gradients["norm_scale"] = (d_out * tape.normal).sum(axis=0)
        gradients["norm_shift"] = d_out.sum(axis=0)
        d_h = _d_normalise(d_out * layer.norm_scale, tape.normal, tape.deviation)
    trace = stack(tape.traces)
    d_input_proj, d_recurrent, d_states = _backward_recurrence(layer, trace, d_h, len(tape.traces))
    gradients["w_x"] = Outer(d_input_proj, tape.x)
    gradients["b"] = d_input_proj.sum(axis=0)
    for name, gradient in layer.cell.weight_grads(trace, d_recurrent).items():
        gradients[name] = Outer(*gradient) if isinstance(gradient, tuple) else gradient
    d_x: Array = d_input_proj @ layer.weights["w_x"]
    if layer.residual:
        d_x += d_out
    return d_x, gradients, d_states


def _d_normalise(d_normal: Array, normal: Array, deviation: Array) -> Array:
    # A shift or a stretch of the whole row has no effect: remove both from the gradient.
    width = normal.shape[-1]
    d_h: Array = d_normal - d_normal.mean(axis=-1, keepdims=True)
    d_h -= normal * (np.vecdot(d_normal, normal)[:, None] / width)
    d_h /= deviation
    return d_h


def _backward_recurrence(layer: Layer, trace: Trace, d_h: Array, steps: int) -> tuple[Array, Array, list[LayerState]]:
    """Go back through T steps, from their stacked trace and the gradients of h from the layer above, (T * B, H).

    Returns the stacked gradients with respect to W_x x + b and to the recurrent products, and those with respect to the
    state after each step.
    """
    cell, weights = layer.cell, layer.weights
    derivatives = cell.local_derivatives(trace)  # of all steps at once
    by_step = zip(*[part.reshape(steps, -1, part.shape[-1])[::-1] for part in derivatives], strict=True)
    d_above = d_h.reshape(steps, -1, d_h.shape[-1])
    d_input_projs, d_recurrents, d_states = [], [], []
    d_after = cell.State(*[np.zeros_like(d_above[0]) for _ in cell.state_fields])  # none from beyond the last step
    for parts, d_from_above in zip(by_step, d_above[::-1], strict=True):
        np.add(d_after.h, d_from_above, out=d_after.h)
        d_states.append(d_after)
        d_input_proj, d_recurrent, d_after = cell.step_backward(weights, with_arrays(derivatives, parts), d_after)
        d_input_projs.append(d_input_proj)
        d_recurrents.append(d_recurrent)
    return np.concatenate(d_input_projs[::-1]), np.concatenate(d_recurrents[::-1]), d_states[::-1]
