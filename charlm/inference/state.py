"""State of a model: a value that every step replaces and none changes.

Keeping a reference is a snapshot; going back costs nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class State:
    """State of B independent streams: one cell state per layer."""

    layers: tuple[LayerState, ...]

    @property
    def batch(self) -> int:
        """B, the number of streams."""
        return len(self.layers[0].h)

    @property
    def hidden(self) -> Array:
        """The vectors h of all layers in one row, (B, L * H)."""
        return np.concatenate([layer.h for layer in self.layers], axis=1)

    def map(self, function: Callable[[Array], Array]) -> State:
        """Return the state with a function applied to every array."""
        return State(tuple(with_arrays(layer, map(function, layer)) for layer in self.layers))

    def rows(self, rows: slice | Sequence[int] | NDArray[np.integer]) -> State:
        """Return the state of some of the streams."""
        return self.map(lambda part: part[rows])

    def zero_where(self, mask: NDArray[np.bool_]) -> State:
        """Return the state with zeros in the streams of a mask, (B,)."""
        return self.map(lambda part: part * ~mask[:, None])

    def repeat(self, times: int) -> State:
        """Return the state of one stream as that of N equal streams."""
        return self.map(lambda part: np.repeat(part, times, axis=0))

    def arrays(self) -> Iterator[Array]:
        """Yield every array, layer by layer."""
        for layer in self.layers:
            yield from layer


def zero_state(config: ModelConfig, batch: int) -> State:
    """Return the state before any input."""
    cell = CELLS[config.cell]
    zero: Array = np.zeros((batch, config.hidden), dtype=np.float32)
    return State(tuple(cell.State(*[zero] * len(cell.state_fields)) for _ in range(config.layers)))


def unpack_header(data: bytes, header: struct.Struct, magic: bytes, name: str) -> Sequence[Any]:
    """Return the fields of a header after its magic; raise CheckpointError, with the data's name, if it is wrong."""
    if len(data) < header.size:
        raise CheckpointError(f"not {name}: it is too short")
    found, *fields = header.unpack_from(data)
    if found != magic:
        raise CheckpointError(f"not {name}, or one of another version of charlm")
    return fields
