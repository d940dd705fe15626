"""A model that reads: ids in, logits and state out.

It knows nothing of files, text or of how the next character is chosen.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from copy import copy
from typing import NamedTuple

import numpy as np

from charlm.cells import CELLS
from charlm.checkpoint import Checkpoint
from charlm.config import ModelConfig
from charlm.errors import CheckpointError, UsageError
from charlm.inference.fast_step import fast_step, prepare
from charlm.inference.state import Array, Ids, State, unpack_header, zero_state
from charlm.inference.tape import LayerTape, read_signals, run
from charlm.text.vocabulary import Vocabulary

SEGMENT = 256  # steps that run layer by layer at a time: enough for large products, little memory
_MAGIC = b"charlmS1"  # of a state; the last character is the version of the layout
_HEADER = struct.Struct("<8s16sI")  # magic, fingerprint, B; then the arrays of all layers, float32


class Activations(NamedTuple):
    """All that happens in a model while it reads T ids in one stream."""

    state: State  # after the last id
    logits: Array  # (T, V) after each id
    signals: tuple[dict[str, Array], ...]  # per layer: the cell's SIGNALS by name, (T, H) each, after each id


class Engine:
    """A model, ready to read. The fingerprint is that of the trained model, if this one is adapted from it."""

    def __init__(self, checkpoint: Checkpoint, fingerprint: str | None = None) -> None:
        self.checkpoint = checkpoint  # its tensors are shared and never changed
        self._fingerprint = fingerprint
        self.config: ModelConfig = checkpoint.config
        self.vocabulary: Vocabulary = checkpoint.vocabulary
        self._network = prepare(self.config, checkpoint.tensors)

    @property
    def fingerprint(self) -> str:
        """States fit models of the same fingerprint."""
        return self._fingerprint or self.checkpoint.fingerprint

    def start(self, batch: int = 1) -> State:
        """Return the state before any input."""
        return zero_state(self.config, batch)

    def step(self, state: State, ids: int | Ids) -> tuple[State, Array]:
        """Read one id in each stream: one for a single stream, or (B,).

        Returns the state after it, and the logits of the next id: (V,) for a single id, (B, V) for an array.
        """
        if isinstance(ids, np.ndarray):
            return self._read(state, ids)
        state, logits = self._read(state, np.array((ids,)))
        return state, logits[0]

    def forward(self, state: State, ids: Ids) -> tuple[State, Array]:
        """Read ids, (T,) for a single stream, or (T, B). Memory grows with T.

        Returns the state after the last id, and the logits after each, (T, V) or (T, B, V).
        """
        logits = np.empty((ids.size, self.config.vocabulary), dtype=np.float32)
        for part, segment in _segments(ids, state.batch):
            state, logits[part] = self._read(state, segment)
        return state, logits.reshape(*ids.shape, self.config.vocabulary)

    def prefill(self, state: State, ids: Ids) -> tuple[State, Array]:
        """Read a prompt, (T,), not empty, in a single stream; return the state and logits, (V,), after its last id."""
        for _, segment in _segments(ids, 1):
            state, logits = self._read(state, segment, last_only=True)
        return state, logits[0]

    def hidden_states(self, state: State, ids: Ids) -> Array:
        """Read ids, (T,), in a single stream; return h of all layers before each and after the last, (T + 1, L * H)."""
        hidden = [state.hidden]
        for _, segment in _segments(ids, 1):
            tape: list[LayerTape] = []
            state, _, _ = run(self._network, segment, state, tape=tape)
            layers = [np.concatenate([one.h for one in layer.states]) for layer in tape]
            hidden.append(np.concatenate(layers, axis=1))
        return np.concatenate(hidden)

    def forward_with_activations(self, state: State, ids: Ids) -> Activations:
        """Read ids, (T,), at least one, in a single stream and keep the signals of its cells. Memory grows with T."""
        logits, signals = [], []
        for _, segment in _segments(ids, 1):
            tape: list[LayerTape] = []
            state, _, after = run(self._network, segment, state, tape=tape)
            logits.append(after)
            signals.append([read_signals(layer) for layer in tape])
        joined = [
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            for parts in zip(*signals, strict=True)
        ]
        return Activations(state, np.concatenate(logits), tuple(joined))

    def with_clamps(self, values: Mapping[tuple[int, int], float]) -> Engine:
        """Return the same model with the MEMORY of some units, by (layer, unit), set to a value after every step.

        Weights are shared. The state at the beginning counts as it is. Raises UsageError if there is no such unit.
        """
        for layer, unit in values:
            if not (0 <= layer < self.config.layers and 0 <= unit < self.config.hidden):
                raise UsageError(
                    f"there is no unit {layer}:{unit}",
                    f"layers are 0 to {self.config.layers - 1}, units 0 to {self.config.hidden - 1}",
                )
        layers = []
        for number, plain in enumerate(self._network.layers):
            own = {unit: value for (layer, unit), value in values.items() if layer == number}
            clamps = np.array(list(own), dtype=np.intp), np.array(list(own.values()), dtype=np.float32)
            layers.append(plain._replace(clamps=clamps if own else None))
        engine = copy(self)
        engine._network = self._network._replace(layers=tuple(layers))
        return engine

    def _read(self, state: State, ids: Ids, *, last_only: bool = False) -> tuple[State, Array]:
        """Read ids, (T * B,), all streams of the first step first; the logits have as many rows, or B."""
        if len(ids) == state.batch:
            return fast_step(self._network, state, ids)
        state, _, logits = run(self._network, ids, state, last_only=last_only)
        return state, logits

    def to_bytes(self, state: State) -> bytes:
        """Return a state as bytes for `from_bytes` of the same model."""
        parts = [np.ascontiguousarray(part, dtype="<f4").tobytes() for part in state.arrays()]
        return _HEADER.pack(_MAGIC, self.fingerprint.encode(), state.batch) + b"".join(parts)

    def from_bytes(self, data: bytes) -> State:
        """Read the output of `to_bytes`; raise CheckpointError if it is damaged or another model's."""
        fingerprint, batch = unpack_header(data, _HEADER, _MAGIC, "a model's state")
        if fingerprint != self.fingerprint.encode():
            raise CheckpointError("this state belongs to another model", "read the text again instead")
        cell = CELLS[self.config.cell]
        shape = (self.config.layers, len(cell.state_fields), batch, self.config.hidden)
        if batch < 1 or len(data) - _HEADER.size != 4 * np.prod(shape, dtype=object):
            raise CheckpointError("a model's state is damaged: its length is wrong")
        values = np.frombuffer(data, "<f4", offset=_HEADER.size).reshape(shape)
        if not np.isfinite(values).all():
            raise CheckpointError("a model's state is damaged: some values are not finite")
        return State(tuple(cell.State(*layer) for layer in values.astype(np.float32)))


def _segments(ids: Ids, batch: int) -> Iterator[tuple[slice, Ids]]:
    """Cut ids, (T,) or (T, B), into parts of SEGMENT steps, flat, with the rows they come from."""
    flat = np.ascontiguousarray(ids).reshape(-1)
    size = SEGMENT * batch
    for first in range(0, len(flat), size):
        part = slice(first, first + size)
        yield part, flat[part]
