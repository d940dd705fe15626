"""One step of generation, fast: the same as `tape.run` with T = 1, and a test holds the two together.

A step of one stream works on small arrays, where a call costs more than its arithmetic. Here the first product is a
table, W_x and W_h share one product, norm shifts are part of the biases, and a single row takes shorter calls.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from charlm.cells import CELLS
from charlm.cells.base import Array, FusableCell
from charlm.config import ModelConfig
from charlm.inference.state import Ids, State
from charlm.inference.tape import NORM_EPSILON, Layer, Network, Weights, layer_tensors, normalise


def prepare(config: ModelConfig, tensors: Weights) -> Network:
    """Return the network of a model's tensors in the form that is fastest for inference."""
    embedding, first = tensors["embedding"], layer_tensors(config, tensors, 0)
    # The first layer's input depends on nothing but the id: its product becomes a table.
    table = embedding @ first["w_x"].T + first["b"]  # (V, GH)
    # A norm's shift is the same at every step: the biases above include its products.
    shift: Array | None = None
    layers = []
    for layer in range(config.layers):
        layers.append(_prepare_layer(config, tensors, layer, shift))
        own = tensors[f"layers.{layer}.norm_shift"] if config.norm else None
        shift = own if shift is None or own is None or not config.has_residual(layer) else shift + own
    w_out = tensors["embedding" if config.tied else "output.w"]  # (V, H)
    b_out = _shifted_bias(tensors["output.b"], w_out, shift)
    return Network(embedding, tuple(layers), np.ascontiguousarray(w_out.T), b_out, config.tied, table)


def _prepare_layer(config: ModelConfig, tensors: Weights, layer: int, shift: Array | None) -> Layer:
    own, cell = layer_tensors(config, tensors, layer), CELLS[config.cell]
    w_x, b, norm_scale = own.pop("w_x"), own.pop("b"), own.pop("norm_scale", None)
    own.pop("norm_shift", None)
    bias = _shifted_bias(b, w_x, shift)
    inputs, fused = None, None
    if layer and isinstance(cell, FusableCell):
        w_xh = np.asfortranarray(np.concatenate((w_x, own["w_h"]), axis=1))
        w_x, own["w_h"] = w_xh[:, : w_x.shape[1]], w_xh[:, w_x.shape[1] :]  # views
        fused = w_xh.T, cell.activate
    if layer:
        inputs = np.ascontiguousarray(w_x.T), bias
    # Fortran order: a product with the transpose is faster so for one to sixteen rows, and never slower.
    weights = {name: np.asfortranarray(part) for name, part in own.items()}
    return Layer(cell, weights, inputs, config.has_residual(layer), norm_scale, norm_shift=None, fused=fused)


def _shifted_bias(b: Array, w: Array, shift: Array | None) -> Array:
    """Return the bias of a product with w, (R, C), whose input lacks a shift, (C,)."""
    return b if shift is None else b + w @ shift


def fast_step(network: Network, state: State, ids: Ids) -> tuple[State, Array]:
    """Read one id in each of B streams with a network from `prepare`; return the state and the logits, (B, V)."""
    table = network.table
    assert table is not None
    is_single = len(ids) == 1
    if is_single:  # a slice: `take` would copy, which takes twice as long for one row
        row = slice(index := int(ids[0]), index + 1)
        input_proj, x = table[row], network.embedding[row]
    else:
        input_proj, x = table.take(ids, axis=0), network.embedding.take(ids, axis=0)  # (B, GH), (B, E)
    after, shares = [], _equal_shares(network.w_out.shape[0])
    for layer, before in zip(network.layers, state.layers, strict=True):
        if layer.input is None:
            last, trace = layer.cell.step(layer.weights, input_proj, before)
        elif layer.fused is None:
            w_x, b = layer.input
            input_proj = x.dot(w_x)
            input_proj += b
            last, trace = layer.cell.step(layer.weights, input_proj, before)
        else:
            w_xh, activate = layer.fused
            a = np.concatenate((x, before.h), axis=1).dot(w_xh)
            a += layer.input[1]
            last, trace = activate(layer.weights, a, before)
        if layer.clamps is not None:
            last = layer.cell.clamp_units(last, trace, *layer.clamps)
        after.append(last)
        h: Array = last.h
        if layer.norm_scale is not None:
            h = _normalise_row(h[0], shares)[None] if is_single else normalise(h)[0]
            h *= layer.norm_scale
        x = x + h if layer.residual else h
    logits: Array = x.dot(network.w_out)
    logits += network.b_out
    return State(tuple(after)), logits


def _normalise_row(row: Array, shares: Array) -> Array:
    """Return a row, (H,), normalised as by `normalise`, with scalars in place of arrays."""
    centred: Array = row - row.dot(shares)
    centred *= 1 / math.sqrt(float(centred.dot(centred)) / len(row) + NORM_EPSILON)
    return centred


@cache
def _equal_shares(width: int) -> Array:
    """Return 1 / H for each of H units. A product with them is a mean, in half the time for one row."""
    return np.full(width, 1 / width, dtype=np.float32)
