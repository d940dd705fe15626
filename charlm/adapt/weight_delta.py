"""The learned part of a model's weights, apart from the trained part.

A `WeightDelta` is a value: how far every weight has moved. Weights change only in `WorkingWeights`, a step at a time;
deltas are loaded into it and taken from it. The trained weights are shared and never change. Without a delta, the model
is the trained one, bit for bit.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from charlm.adapt.gradient_rms import TensorRms
from charlm.checkpoint import Checkpoint, Tensors
from charlm.errors import CheckpointError
from charlm.inference.state import Array, unpack_header
from charlm.inference.tape import Gradients, Outer
from charlm.tensor_shapes import parameter_count, tensor_shapes

_MAGIC = b"charlmO1"  # the last character is the version of the layout
_HEADER = struct.Struct("<8s16sdQ")  # magic, fingerprint of the model, movement, P; then P float32


@dataclass(frozen=True, eq=False)
class WeightDelta:
    """Distance that every weight has moved. A value: never changed in place."""

    fingerprint: str  # of the model that it belongs to
    moved: Array = field(repr=False)  # (P,) all tensors in the order of `tensor_shapes`; (0,) if nothing was learned
    movement: float = 0.0  # |moved| / |trained weights|

    def __bool__(self) -> bool:
        return len(self.moved) > 0

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.moved.nbytes

    @cached_property
    def digest(self) -> str:
        """16 hex digits that identify the delta."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """Return the delta as bytes for `delta_from_bytes`."""
        header = _HEADER.pack(_MAGIC, self.fingerprint.encode(), self.movement, len(self.moved))
        return header + self.moved.astype("<f4", copy=False).tobytes()


def empty_delta(checkpoint: Checkpoint) -> WeightDelta:
    """Return the delta of a model that has learned nothing."""
    return WeightDelta(checkpoint.fingerprint, _read_only(np.empty(0, dtype=np.float32)))


def delta_from_bytes(checkpoint: Checkpoint, data: bytes) -> WeightDelta:
    """Read the output of `to_bytes`; raise CheckpointError if it is damaged or another model's."""
    name = "the learned weights of a model"
    fingerprint, movement, count = unpack_header(data, _HEADER, _MAGIC, name)
    if fingerprint != checkpoint.fingerprint.encode():
        raise CheckpointError("these weights were learned by another model", "let this model read the text itself")
    if count not in (0, parameter_count(checkpoint.config)) or len(data) - _HEADER.size != 4 * count:
        raise CheckpointError(f"{name} are damaged: their length is wrong")
    moved = np.frombuffer(data, "<f4", offset=_HEADER.size).astype(np.float32)
    if not np.isfinite(moved).all() or not 0 <= movement < np.inf:
        raise CheckpointError(f"{name} are damaged: some values are not finite")
    return WeightDelta(checkpoint.fingerprint, _read_only(moved), movement)


def adapted_tensors(checkpoint: Checkpoint, delta: WeightDelta) -> Tensors:
    """Return the weights with the delta added, as a model file stores them."""
    if not delta:
        return checkpoint.tensors
    moved = _views(delta.moved, checkpoint)
    return {name: tensor + moved[name] for name, tensor in checkpoint.tensors.items()}


class WorkingWeights:
    """Trained weights plus a delta that learns. `weights` is only to be read."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._trained = checkpoint.tensors
        self._norm = math.sqrt(sum(float(np.vdot(tensor, tensor)) for tensor in self._trained.values()))
        self._flat = np.zeros(parameter_count(checkpoint.config), dtype=np.float32)
        self._moved = _views(self._flat, checkpoint)
        largest = max(tensor.size for tensor in self._trained.values())
        self._buffer, self._decay_buffer = np.empty((2, largest), dtype=np.float32)
        self.weights: Tensors = {name: tensor.copy() for name, tensor in self._trained.items()}
        self._delta: WeightDelta | None = empty_delta(checkpoint)  # that of the present weights, if known

    def load(self, delta: WeightDelta) -> None:
        if delta is self._delta:
            return
        assert delta.fingerprint == self._checkpoint.fingerprint, "a delta belongs to its model"
        self._delta = None
        self._flat[:] = delta.moved if delta else 0
        self._add()
        self._delta = delta

    def delta(self) -> WeightDelta:
        """Return how far the weights have moved until now."""
        if self._delta is None:
            moved = self._flat.copy()
            movement = math.sqrt(float(np.vdot(moved, moved))) / max(self._norm, 1e-30)
            self._delta = WeightDelta(self._checkpoint.fingerprint, _read_only(moved), movement)
        return self._delta

    def step(
        self,
        gradients: Gradients,
        inv_rms: Mapping[str, TensorRms | Array],
        decay_factors: Tensors,
        *,
        lr: float,
        segment_fraction: float,
        clip: float,
    ) -> bool:
        """Take a small step down the gradients, and a small step back to the trained weights.

        Krause, Kahembwe, Murray and Renals (2018): moved' = decay_factor * moved - lr * gradient / rms. The RMS of a
        matrix's gradient is a product of one number per row and one per column, so scaling acts on the factors of the
        gradient.

        Args:
            gradients: of the loss.
            inv_rms: see `charlm.adapt.gradient_rms.inverse_rms`.
            decay_factors: one minus the rates of `charlm.adapt.gradient_rms.decay_rates`.
            lr: how far a gradient of the usual size moves its weight.
            segment_fraction: of a whole segment that was read; that much of the decay is applied.
            clip: maximum root mean square of a tensor's gradient, in units of its usual size.

        Returns:
            False if a gradient is not finite. Some weights may have moved then, and the delta is to be dropped.
        """
        self._delta, factor = None, np.float32(lr)
        for name, gradient in gradients.items():
            moved, scale = self._moved[name], inv_rms[name]
            step = self._buffer[: moved.size].reshape(moved.shape)
            if isinstance(gradient, Outer):
                assert isinstance(scale, TensorRms)
                np.matmul((gradient.left * (scale.rows * factor)).T, gradient.right * scale.columns, out=step)
            else:
                assert not isinstance(scale, TensorRms)
                np.multiply(gradient, scale * factor, out=step)
            rms = math.sqrt(float(np.vdot(step, step)) / step.size)
            if not math.isfinite(rms):
                return False
            if rms > lr * clip:
                step *= np.float32(lr * clip / rms)
            decay = decay_factors[name]
            if segment_fraction < 1:  # 1 - segment_fraction * rate
                out = self._decay_buffer[: moved.size].reshape(moved.shape)
                decay = np.multiply(decay, np.float32(segment_fraction), out=out)
                decay += np.float32(1 - segment_fraction)
            moved *= decay
            moved -= step
            np.add(self._trained[name], moved, out=self.weights[name])
        return True

    def shrink(self, share: float) -> None:
        """Keep only a share of the delta; 0 drops it."""
        self._delta = None
        if share:
            self._flat *= np.float32(share)
        else:
            self._flat[:] = 0  # also of values that are not finite
        self._add()

    def _add(self) -> None:
        for name, tensor in self._trained.items():
            np.add(tensor, self._moved[name], out=self.weights[name])


def _views(flat: Array, checkpoint: Checkpoint) -> Tensors:
    """Return one view of a flat array per tensor."""
    views, first = {}, 0
    for name, shape in tensor_shapes(checkpoint.config).items():
        size = math.prod(shape)
        views[name] = flat[first : first + size].reshape(shape)
        first += size
    return views


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array
