"""What was learned, kept apart from what was trained.

An `WeightDelta` is a value: what every weight has moved by, and nobody changes it. A `WorkingWeights` is the one
place where weights
do change, a step at a time; overlays are put on it and taken from it. The trained weights are shared and stay as they
are, so that without an overlay there is the trained model, bit for bit.
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
from charlm.inference.state import Array
from charlm.inference.tape import Gradients, Outer
from charlm.tensor_shapes import parameter_count, tensor_shapes

_MAGIC = b"charlmO1"  # the last character is the version of the layout below
_HEADER = struct.Struct("<8s16sdQ")  # magic, the model's fingerprint, movement, how many numbers; then those, float32


@dataclass(frozen=True, eq=False)
class WeightDelta:
    """What every weight has moved by. A value: never changed in place.

    Attributes:
        fingerprint: of the model that it belongs to.
        moved: (P,), all tensors one after the other as `ModelConfig.tensors` lists them; (0,) if nothing was learned.
        movement: how far the weights have moved, as a share of their own size: |moved| / |weights|.
    """

    fingerprint: str
    moved: Array = field(repr=False)
    movement: float = 0.0

    def __bool__(self) -> bool:
        return len(self.moved) > 0

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.moved.nbytes

    @cached_property
    def digest(self) -> str:
        """16 hex digits that tell overlays apart."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """As bytes that `overlay_from_bytes` reads."""
        header = _HEADER.pack(_MAGIC, self.fingerprint.encode(), self.movement, len(self.moved))
        return header + self.moved.astype("<f4", copy=False).tobytes()


def nothing(checkpoint: Checkpoint) -> WeightDelta:
    """The overlay of a model that has learned nothing."""
    return WeightDelta(checkpoint.fingerprint, _sealed(np.empty(0, dtype=np.float32)))


def overlay_from_bytes(checkpoint: Checkpoint, data: bytes) -> WeightDelta:
    """Read back what `WeightDelta.to_bytes` wrote.

    Args:
        checkpoint: the model that it belongs to.
        data: all of it.

    Raises:
        CheckpointError: it is no overlay, a damaged one, or another model's.
    """
    if len(data) < _HEADER.size:
        raise CheckpointError("nothing that a model has learned: it is too short")
    magic, fingerprint, movement, count = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise CheckpointError("nothing that a model has learned, or by another version of charlm")
    if fingerprint != checkpoint.fingerprint.encode():
        raise CheckpointError("this was learned by another model", "let this one read the text itself")
    if count not in (0, parameter_count(checkpoint.config)) or len(data) - _HEADER.size != 4 * count:
        raise CheckpointError("what a model has learned, but damaged: its length is wrong")
    moved = np.frombuffer(data, "<f4", offset=_HEADER.size).astype(np.float32)
    if not np.isfinite(moved).all() or not 0 <= movement < np.inf:
        raise CheckpointError("what a model has learned, but damaged: its values are not finite")
    return WeightDelta(checkpoint.fingerprint, _sealed(moved), movement)


def adapted(checkpoint: Checkpoint, overlay: WeightDelta) -> Tensors:
    """The weights with what was learned, as a model file stores them."""
    if not overlay:
        return checkpoint.tensors
    moved = _cut(overlay.moved, checkpoint)
    return {name: tensor + moved[name] for name, tensor in checkpoint.tensors.items()}


class WorkingWeights:
    """Weights that move: trained ones, with what was learned added.

    Args:
        checkpoint: the model.

    Attributes:
        weights: as they are now; to be read only.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._trained = checkpoint.tensors
        self._size = math.sqrt(sum(float(np.vdot(tensor, tensor)) for tensor in self._trained.values()))
        self._flat = np.zeros(parameter_count(checkpoint.config), dtype=np.float32)
        self._moved = _cut(self._flat, checkpoint)
        largest = max(tensor.size for tensor in self._trained.values())
        self._room, self._more_room = np.empty((2, largest), dtype=np.float32)
        self.weights: Tensors = {name: tensor.copy() for name, tensor in self._trained.items()}
        self._holds: WeightDelta | None = nothing(checkpoint)

    def put(self, overlay: WeightDelta) -> None:
        """Begin with what an overlay says."""
        if overlay is self._holds:
            return
        assert overlay.fingerprint == self._checkpoint.fingerprint, "an overlay belongs to its model"
        self._holds = None
        self._flat[:] = overlay.moved if overlay else 0
        self._add()
        self._holds = overlay

    def take(self) -> WeightDelta:
        """What the weights have moved by until now."""
        if self._holds is None:
            moved = self._flat.copy()
            movement = math.sqrt(float(np.vdot(moved, moved))) / max(self._size, 1e-30)
            self._holds = WeightDelta(self._checkpoint.fingerprint, _sealed(moved), movement)
        return self._holds

    def step(
        self,
        gradients: Gradients,
        scales: Mapping[str, TensorRms | Array],
        keeps: Tensors,
        *,
        rate: float,
        share: float,
        clip: float,
    ) -> bool:
        """Take a small step down the gradients, and a small pull back to the trained weights.

        Krause, Kahembwe, Murray and Renals (2018): moved' = moved - pull * moved - rate * gradient / its usual size.
        The usual size of a matrix's gradient is a product of one figure a row and one a column, so that scaling is a
        matter of the gradient's factors.

        Args:
            gradients: of the loss.
            scales: see `charlm.adapt.gradient_rms.scales`.
            keeps: one less the pull, see `charlm.adapt.gradient_rms.pulls`.
            rate: how far a gradient of the usual size moves its weight.
            share: of a whole segment that was read; so much of the pull is applied.
            clip: the most that a tensor's gradient, in units of the usual size, may have as its root mean square.

        Returns:
            False if a gradient is not finite; then some weights may have moved, and the overlay is to be dropped.
        """
        self._holds, pace = None, np.float32(rate)
        for name, gradient in gradients.items():
            moved, scale = self._moved[name], scales[name]
            step = self._room[: moved.size].reshape(moved.shape)
            if isinstance(gradient, Outer):
                assert isinstance(scale, TensorRms)
                np.matmul((gradient.left * (scale.rows * pace)).T, gradient.right * scale.columns, out=step)
            else:
                assert not isinstance(scale, TensorRms)
                np.multiply(gradient, scale * pace, out=step)
            size = math.sqrt(float(np.vdot(step, step)) / step.size)
            if not math.isfinite(size):
                return False
            if size > rate * clip:
                step *= np.float32(rate * clip / size)
            keep = keeps[name]
            if share < 1:  # 1 - share * pull
                keep = np.multiply(keep, np.float32(share), out=self._more_room[: moved.size].reshape(moved.shape))
                keep += np.float32(1 - share)
            moved *= keep
            moved -= step
            np.add(self._trained[name], moved, out=self.weights[name])
        return True

    def shrink(self, share: float) -> None:
        """Keep only a share of what was learned; 0 forgets it."""
        self._holds = None
        if share:
            self._flat *= np.float32(share)
        else:
            self._flat[:] = 0  # also of what is not finite
        self._add()

    def _add(self) -> None:
        for name, tensor in self._trained.items():
            np.add(tensor, self._moved[name], out=self.weights[name])


def _cut(flat: Array, checkpoint: Checkpoint) -> Tensors:
    """Views of one array, one a tensor."""
    views, first = {}, 0
    for name, shape in tensor_shapes(checkpoint.config).items():
        size = math.prod(shape)
        views[name] = flat[first : first + size].reshape(shape)
        first += size
    return views


def _sealed(array: Array) -> Array:
    array.flags.writeable = False
    return array
