"""The model that runs: reads ids, carries a state, says what may come next.

Owns the forward pass, in NumPy. Knows nothing of files, text or of how a next character is chosen.

A `State` is a value. Reading a character makes a new one and leaves the old one as it was, so that keeping a reference
is a snapshot and going back is free.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells import CELLS
from charlm.cells.base import FusableCell, LayerState, Units, Weights, with_arrays
from charlm.checkpoint import Checkpoint
from charlm.config import ModelConfig
from charlm.errors import CheckpointError, UsageError
from charlm.text.vocabulary import Vocabulary

Array = NDArray[np.float32]
Ids = NDArray[np.int64]

NORM_EPSILON = 1e-5
SEGMENT = 256  # steps that are read layer by layer at a time: enough for large products, little memory

_MAGIC = b"charlmS1"  # the last character is the version of the layout below
_HEADER = struct.Struct("<8s16sI")  # magic, fingerprint, B; then every layer's arrays, float32


@dataclass(frozen=True, slots=True)
class State:
    """What the model remembers of everything that it has read, for each of B independent streams.

    Attributes:
        layers: one cell state a layer, a NamedTuple of (B, H) arrays, which nobody changes.
    """

    layers: tuple[LayerState, ...]

    @property
    def batch(self) -> int:
        """B, the number of streams."""
        return len(self.layers[0].h)

    def rows(self, rows: slice | Sequence[int] | NDArray[np.integer[Any]]) -> State:
        """The states of some of the streams."""
        return State(tuple(with_arrays(layer, [part[rows] for part in layer]) for layer in self.layers))

    def repeat(self, times: int) -> State:
        """The state of one stream, as `times` streams that have read the same."""
        repeated = (with_arrays(layer, [np.repeat(part, times, axis=0) for part in layer]) for layer in self.layers)
        return State(tuple(repeated))

    def arrays(self) -> list[Array]:
        """Every array, layer by layer."""
        return [part for layer in self.layers for part in layer]


class _Layer(NamedTuple):
    """The weights of a layer, in the form in which they are used."""

    weights: Weights  # the recurrent ones
    w_xh: Array | None  # [W_x W_h], transposed; None for the first layer and for a cell that cannot use it
    w_x: Array | None  # (I, GH), transposed; None for the first layer, whose product is a table
    b: Array | None  # (GH,), with what the shifts of the norms below come to; None for the first layer
    residual: bool
    norm: tuple[Array, Array] | None  # scale, and 1 / H, (H,) each
    held: tuple[Units, Array] | None = None  # units whose memory is clamped, and at what


class Activations(NamedTuple):
    """What went on in a model while it read T ids.

    Attributes:
        state: after the last.
        logits: after each, (T, V).
        signals: layer by layer, by name as `SIGNALS` of the cell has them: (T, H) each, after each id.
    """

    state: State
    logits: Array
    signals: tuple[dict[str, Any], ...]


class Engine:
    """A model, ready to read.

    Args:
        checkpoint: what `charlm.checkpoint.load` gave.
        fingerprint: of the model whose states these are, if that is another: the one that this one was adapted from.
    """

    def __init__(self, checkpoint: Checkpoint, fingerprint: str | None = None) -> None:
        self._checkpoint = checkpoint
        self._fingerprint = fingerprint
        self.config: ModelConfig = checkpoint.config
        self.vocabulary: Vocabulary = checkpoint.vocabulary
        self._cell = CELLS[self.config.cell]
        tensors = checkpoint.tensors
        self._embedding = tensors["embedding"]  # (V, E)
        # What the first layer gets from below depends on nothing but the id: a product of matrices becomes a table.
        self._table = self._embedding @ tensors["layers.0.w_x"].T + tensors["layers.0.b"]  # (V, GH)
        # A norm's shift is the same at every step: what it adds to all that is above is part of the biases there.
        shift: Array | float = 0.0
        self._layers = []
        for layer in range(self.config.layers):
            self._layers.append(self._fuse(layer, shift))
            own = tensors[f"layers.{layer}.norm_shift"] if self.config.norm else 0.0
            shift = shift + own if self.config.has_residual(layer) else own
        w_out = tensors["embedding" if self.config.tied else "output.w"]  # (V, H)
        self._w_out = np.ascontiguousarray(w_out.T)
        self._b_out = _bias(tensors["output.b"], w_out, shift)

    def _fuse(self, layer: int, shift: Array | float) -> _Layer:
        def tensor(name: str) -> Array:
            return self._checkpoint.tensors[f"layers.{layer}.{name}"]

        # Columns lie together: a cell takes the product with the transpose, which is quicker so for one row to sixteen
        # of them, and never slower.
        shapes = self._cell.shapes(self.config.inputs(layer), self.config.hidden)
        weights, both, w_x = {name: tensor(name) for name in shapes if name not in ("w_x", "b")}, None, None
        if layer and isinstance(self._cell, FusableCell):
            inputs = self.config.inputs(layer)
            both = np.asfortranarray(np.concatenate((tensor("w_x"), tensor("w_h")), axis=1))
            w_x, weights["w_h"] = both[:, :inputs].T, both[:, inputs:]  # views
        elif layer:
            w_x = np.ascontiguousarray(tensor("w_x").T)
        return _Layer(
            weights={name: np.asfortranarray(part) for name, part in weights.items()},
            w_xh=None if both is None else both.T,
            w_x=w_x,
            b=_bias(tensor("b"), tensor("w_x"), shift) if layer else None,
            residual=self.config.has_residual(layer),
            norm=(tensor("norm_scale"), np.full(self.config.hidden, 1 / self.config.hidden, dtype=np.float32))
            if self.config.norm
            else None,
        )

    @property
    def checkpoint(self) -> Checkpoint:
        """The model as it stands in its file; its tensors are shared, and nobody changes them."""
        return self._checkpoint

    @property
    def fingerprint(self) -> str:
        """Of the model; states of models with another one do not fit."""
        return self._fingerprint or self._checkpoint.fingerprint

    def start(self, batch: int = 1) -> State:
        """The state before anything was read."""
        zero = np.zeros((batch, self.config.hidden), dtype=np.float32)
        parts = len(self._cell.state_fields)
        return State(tuple(self._cell.State(*[zero] * parts) for _ in self._layers))

    def step(self, state: State, ids: int | Ids) -> tuple[State, Array]:
        """Read one id in each stream.

        Args:
            state: of B streams.
            ids: one id, for a single stream; or (B,).

        Returns:
            The state after it, and the logits of what comes next: (V,) for a single id, (B, V) for an array.
        """
        if isinstance(ids, np.ndarray):
            return self._read(state, ids)
        state, logits = self._read(state, np.array((ids,)))
        return state, logits[0]

    def forward(self, state: State, ids: Ids) -> tuple[State, Array]:
        """Read ids and say at each what may come next.

        Args:
            state: of B streams.
            ids: (T,) for a single stream, or (T, B).

        Returns:
            The state after the last, and the logits after each, (T, V) or (T, B, V). Memory grows with T.
        """
        shape = ids.shape
        logits = np.empty((len(ids) * state.batch, self.config.vocabulary), dtype=np.float32)
        flat = np.ascontiguousarray(ids).reshape(-1)
        size = SEGMENT * state.batch
        for first in range(0, len(flat), size):
            state, logits[first : first + size] = self._read(state, flat[first : first + size])
        return state, logits.reshape(*shape, self.config.vocabulary)

    def prefill(self, state: State, ids: Ids) -> tuple[State, Array]:
        """Read ids, a prompt, in a single stream.

        Args:
            state: of one stream.
            ids: (T,), at least one.

        Returns:
            The state after the last, and the logits after it, (V,).
        """
        for first in range(0, len(ids), SEGMENT):
            state, logits = self._read(state, ids[first : first + SEGMENT], last_only=True)
        return state, logits[0]

    def forward_with_activations(self, state: State, ids: Ids) -> Activations:
        """Read ids in a single stream, and keep what its cells did. Memory grows with T.

        Args:
            state: of one stream.
            ids: (T,), at least one.
        """
        parts: list[list[dict[str, Any]]] = []
        logits = []
        for first in range(0, len(ids), SEGMENT):
            parts.append([])
            state, after = self._read(state, ids[first : first + SEGMENT], seen=parts[-1])
            logits.append(after)
        signals = tuple(
            {name: np.concatenate([part[name] for part in of_layer]) for name in of_layer[0]}
            for of_layer in zip(*parts, strict=True)
        )
        return Activations(state, np.concatenate(logits), signals)

    def with_clamps(self, values: Mapping[tuple[int, int], float]) -> Engine:
        """The same model with the memory of some units held at a value: set to it after every character that is read.

        Weights are shared. The state that it begins with is taken as it is.

        Args:
            values: (layer, unit) -> what the cell's memory (`charlm.cells`, MEMORY) is held at; none frees all.

        Raises:
            UsageError: there is no such unit.
        """
        for layer, unit in values:
            if not (0 <= layer < self.config.layers and 0 <= unit < self.config.hidden):
                raise UsageError(
                    f"there is no unit {layer}:{unit}",
                    f"layers are 0 to {self.config.layers - 1}, units 0 to {self.config.hidden - 1}",
                )
        engine = copy(self)
        engine._layers = [
            layer._replace(held=_held({unit: value for (at, unit), value in values.items() if at == number}))
            for number, layer in enumerate(self._layers)
        ]
        return engine

    def _read(
        self, state: State, ids: Ids, *, last_only: bool = False, seen: list[dict[str, Any]] | None = None
    ) -> tuple[State, Array]:
        # ids is (T * B,), all streams' first ids first. Layer by layer: what a layer gets from the one below, and the
        # logits, are one product for all steps; only the recurrence goes step by step.
        if len(ids) == 1:  # a view: half as long under way as a copy
            one = slice(index := int(ids[0]), index + 1)
            from_below, x = self._table[one], self._embedding[one]
        else:
            from_below = self._table.take(ids, axis=0)  # (T * B, GH)
            x = self._embedding.take(ids, axis=0)  # (T * B, E)
        after = []
        is_one_step, cell = len(ids) == state.batch and seen is None, self._cell
        for layer, before in zip(self._layers, state.layers, strict=True):
            h: Array
            if is_one_step and layer.w_xh is not None and layer.held is None:  # by far the most frequent case
                assert isinstance(cell, FusableCell)
                a = np.concatenate((x, before.h), axis=1).dot(layer.w_xh)
                a += layer.b
                last, _ = cell.activate(layer.weights, a, before)
                h = last.h
            else:
                if layer.w_x is not None:
                    from_below = x.dot(layer.w_x)
                    from_below += layer.b
                last, h = self._recur(layer, from_below, before, seen)
            after.append(last)
            if layer.norm is not None:
                h = _layer_norm(h, *layer.norm)
            x = x + h if layer.residual else h
        if last_only:
            x = x[-state.batch :]
        logits: Array = x.dot(self._w_out)
        logits += self._b_out
        return State(tuple(after)), logits

    def _recur(
        self, layer: _Layer, from_below: Array, state: LayerState, seen: list[dict[str, Any]] | None
    ) -> tuple[LayerState, Array]:
        batch, step, held = len(state.h), self._cell.step, layer.held
        if len(from_below) == batch and held is None and seen is None:
            state, _ = step(layer.weights, from_below, state)
            return state, state.h
        hs, signals = [], []
        for first in range(0, len(from_below), batch):
            state, trace = step(layer.weights, from_below[first : first + batch], state)
            if held is not None:
                state = self._cell.clamp_units(state, trace, *held)
            if seen is not None:
                signals.append(self._cell.read_signals(trace, state))
            hs.append(state.h)
        if seen is not None:
            together = {name: np.concatenate([one[name] for one in signals]) for name in self._cell.SIGNALS}
            if held is not None:  # where the trace has it, it is what it would have been
                together[self._cell.MEMORY][:, held[0]] = held[1]
            seen.append(together)
        return state, hs[0] if len(hs) == 1 else np.concatenate(hs)

    def to_bytes(self, state: State) -> bytes:
        """A state as bytes that `from_bytes` of this model reads."""
        parts = [np.ascontiguousarray(part, dtype="<f4").tobytes() for part in state.arrays()]
        return _HEADER.pack(_MAGIC, self.fingerprint.encode(), state.batch) + b"".join(parts)

    def from_bytes(self, data: bytes) -> State:
        """Read back what `to_bytes` wrote.

        Raises:
            CheckpointError: it is no state, a damaged one, or another model's.
        """
        if len(data) < _HEADER.size:
            raise CheckpointError("not a model's state: it is too short")
        magic, fingerprint, batch = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise CheckpointError("not a model's state, or one of another version of charlm")
        if fingerprint != self.fingerprint.encode():
            raise CheckpointError("this state belongs to another model", "feed the text again instead")
        fields, hidden = len(self._cell.state_fields), self.config.hidden
        size = fields * self.config.layers * hidden * 4
        if batch < 1 or len(data) - _HEADER.size != batch * size:
            raise CheckpointError("a model's state, but a damaged one: its length is wrong")
        values = np.frombuffer(data, "<f4", offset=_HEADER.size).reshape(self.config.layers, fields, batch, hidden)
        if not np.isfinite(values).all():
            raise CheckpointError("a model's state, but a damaged one: its values are not finite")
        return State(tuple(self._cell.State(*layer) for layer in values.astype(np.float32)))


def _held(values: Mapping[int, float]) -> tuple[NDArray[np.intp], Array] | None:
    if not values:
        return None
    return np.array(list(values), dtype=np.intp), np.array(list(values.values()), dtype=np.float32)


def _bias(b: Array, w: Array, shift: Array | float) -> Array:
    """The bias (R,) of a product with w (R, C) whose input still lacks a shift, (C,), or nothing."""
    return b if isinstance(shift, float) else b + w @ shift


def _layer_norm(x: Array, scale: Array, shares: Array) -> Array:
    """Layer normalisation over the last axis (Ba, Kiros and Hinton 2016), but for the shift, which is in the biases.

    Args:
        x: (N, H).
        scale: (H,).
        shares: (H,), 1 / H each; a product with them is a mean, and of one row half as long under way.
    """
    centred: Array
    width = x.shape[-1]
    if len(x) == 1:  # one stream: scalars where calls on tiny arrays would cost more than the arithmetic
        row = x[0]
        centred = row - row.dot(shares)
        centred *= 1 / math.sqrt(float(centred.dot(centred)) / width + NORM_EPSILON)
        centred *= scale
        return centred[None]
    centred = x - np.add.reduce(x, axis=-1, keepdims=True) / width
    variance = np.vecdot(centred, centred)[:, None] / width
    centred /= np.sqrt(variance + NORM_EPSILON)
    centred *= scale
    return centred
