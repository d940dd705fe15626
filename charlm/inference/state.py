"""State of a model: a value that every step replaces and none changes.

Keeping a reference is a snapshot; going back costs nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.cells import CELLS
from charlm.cells.base import LayerState, with_arrays
from charlm.config import ModelConfig
from charlm.errors import CheckpointError

Array = NDArray[np.floating]
Ids = NDArray[np.int64]

_MAGIC = b"charlmS1"  # the last character is the version of the layout
_HEADER = struct.Struct("<8s16sI")  # magic, fingerprint, B; then the arrays of all layers, float32


@dataclass(frozen=True, slots=True)
class State:
    """State of B independent streams: one cell state per layer."""

    layers: tuple[LayerState, ...]

    @property
    def batch(self) -> int:
        """B, the number of streams."""
        return len(self.layers[0].h)

    def rows(self, rows: slice | Sequence[int] | NDArray[np.integer]) -> State:
        """Return the state of some of the streams."""
        return State(tuple(with_arrays(layer, [part[rows] for part in layer]) for layer in self.layers))

    def repeat(self, times: int) -> State:
        """Return the state of one stream as that of N equal streams."""
        repeated = (with_arrays(layer, [np.repeat(part, times, axis=0) for part in layer]) for layer in self.layers)
        return State(tuple(repeated))

    def arrays(self) -> Iterator[Array]:
        """Yield every array, layer by layer."""
        for layer in self.layers:
            yield from layer


def zero_state(config: ModelConfig, batch: int, dtype: type = np.float32) -> State:
    """Return the state before any input."""
    cell = CELLS[config.cell]
    zero: Array = np.zeros((batch, config.hidden), dtype=dtype)
    return State(tuple(cell.State(*[zero] * len(cell.state_fields)) for _ in range(config.layers)))


def state_to_bytes(state: State, fingerprint: str) -> bytes:
    """Return a state as bytes, marked with the fingerprint of its model."""
    parts = [np.ascontiguousarray(part, dtype="<f4").tobytes() for part in state.arrays()]
    return _HEADER.pack(_MAGIC, fingerprint.encode(), state.batch) + b"".join(parts)


def state_from_bytes(data: bytes, config: ModelConfig, fingerprint: str) -> State:
    """Read the output of `state_to_bytes`.

    Raises:
        CheckpointError: not a state, a damaged one, or that of another model.
    """
    expected, batch = unpack_header(data, _HEADER, _MAGIC, "a model's state")
    if expected != fingerprint.encode():
        raise CheckpointError("this state belongs to another model", "read the text again instead")
    cell = CELLS[config.cell]
    shape = (config.layers, len(cell.state_fields), batch, config.hidden)
    if batch < 1 or len(data) - _HEADER.size != 4 * np.prod(shape, dtype=object):
        raise CheckpointError("a model's state is damaged: its length is wrong")
    values = np.frombuffer(data, "<f4", offset=_HEADER.size).reshape(shape)
    if not np.isfinite(values).all():
        raise CheckpointError("a model's state is damaged: some values are not finite")
    return State(tuple(cell.State(*layer) for layer in values.astype(np.float32)))


def unpack_header(data: bytes, header: struct.Struct, magic: bytes, name: str) -> Sequence[Any]:
    """Return the fields of a binary header after its magic.

    Args:
        data: all bytes.
        header: layout; the magic comes first.
        magic: as expected.
        name: of what the bytes hold, for messages.

    Raises:
        CheckpointError: the bytes are too short or begin with another magic.
    """
    if len(data) < header.size:
        raise CheckpointError(f"not {name}: it is too short")
    found, *fields = header.unpack_from(data)
    if found != magic:
        raise CheckpointError(f"not {name}, or one of another version of charlm")
    return fields
