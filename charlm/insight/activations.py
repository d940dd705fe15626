"""What a model's gates, cells and hidden states do over a text.

Owns the recording, and what is summed up from it. Which signals there are, each cell declares itself
(`charlm.cells`), so nothing here knows one cell from another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells import CELLS
from charlm.cells.base import Signal
from charlm.inference.context import encode_lossy
from charlm.inference.engine import SEGMENT, Engine
from charlm.inference.sampling import log_softmax
from charlm.inference.state import Array, State
from charlm.text.decoding import normalise

SHUT, OPEN = 0.1, 0.9  # beyond these a gate counts as saturated
FLAT = 0.9  # and beyond this, either way, what lies between -1 and 1

Watched = Callable[[int, str], bool]
"""Of a layer and a signal's name, whether it is recorded."""


@dataclass(frozen=True)
class Recording:
    """What went on in a model while it read a text.

    Attributes:
        text: of N characters, composed (NFC).
        cell: a key of `charlm.cells.CELLS`.
        signals: (layer, signal's name) -> (N, H), after each character.
        surprise: bits of each character, (N,); NaN for the first, which nothing predicts.
        entropy: bits of what may come after each character, (N,).
        state: after the last.
    """

    text: str
    cell: str
    signals: Mapping[tuple[int, str], Array]
    surprise: NDArray[np.float64]
    entropy: NDArray[np.float64]
    state: State

    @property
    def layers(self) -> int:
        """L."""
        return 1 + max(layer for layer, _ in self.signals)

    @property
    def bits_per_character(self) -> float:
        """The mean surprise; NaN for a text of one character."""
        return float(self.surprise[1:].mean()) if len(self.text) > 1 else math.nan


def signals_of(cell: str) -> Mapping[str, Signal]:
    """What can be watched in a cell, by name."""
    signals: Mapping[str, Signal] = CELLS[cell].SIGNALS
    return signals


def memory_of(cell: str) -> str:
    """The signal that a cell carries on and on."""
    name: str = CELLS[cell].MEMORY
    return name


def record(
    engine: Engine,
    text: str,
    *,
    watched: Watched = lambda layer, name: True,
    state: State | None = None,
    on_read: Callable[[int], None] = lambda characters: None,
) -> Recording:
    """Read a text and keep what the cells did.

    Args:
        engine: the model.
        text: at least one character; those that the model cannot spell are replaced.
        watched: what to keep; everything of 2 layers of 256 is some 12 KB a character.
        state: of one stream, before the text; None starts afresh.
        on_read: is told how many ids were read since it was told last.
    """
    text = normalise(text)
    assert text
    config, cell = engine.config, CELLS[engine.config.cell]
    ids = encode_lossy(engine.vocabulary, text)
    begins = engine.vocabulary.begins[ids]
    ends = np.append(begins[1:], True)  # a character spelled in bytes is read when its last byte is
    keys = [(layer, name) for layer in range(config.layers) for name in cell.SIGNALS if watched(layer, name)]
    rows: dict[tuple[int, str], list[Array]] = {key: [] for key in keys}
    nats, entropy = np.full(len(ids), np.nan), np.empty(len(ids))
    state = engine.start() if state is None else state
    following: Array | None = None
    for first in range(0, len(ids), SEGMENT):
        part = ids[first : first + SEGMENT]
        state, logits, signals = engine.forward_with_activations(state, part, watched)
        for layer, name in keys:
            rows[layer, name].append(signals[layer][name][ends[first : first + SEGMENT]])
        log_p = log_softmax(logits)
        entropy[first : first + SEGMENT] = -(np.exp(log_p) * log_p).sum(axis=-1)
        before = log_p[:-1] if following is None else np.concatenate((following[None], log_p[:-1]))
        targets = part[len(part) - len(before) :]
        nats[first + len(part) - len(targets) : first + len(part)] = -before[np.arange(len(targets)), targets]
        following = log_p[-1]
        on_read(len(part))
    starts = np.flatnonzero(begins)
    return Recording(
        text=text,
        cell=config.cell,
        signals={key: np.concatenate(parts) for key, parts in rows.items()},
        surprise=np.add.reduceat(nats, starts) / math.log(2),
        entropy=entropy[ends] / math.log(2),
        state=state,
    )


class SignalSummary(NamedTuple):
    """A signal of a layer, over all units and characters.

    Attributes:
        layer: from 0, the lowest.
        name: the signal's.
        meaning: in words.
        mean: of a gate its openness.
        deviation: standard deviation.
        low: the share that is saturated at the lower end: a gate below .1, or a value below -.9; None without an end.
        high: and at the upper end.
        norm: the mean length of the vector of all units, for the memory; None for the others.
    """

    layer: int
    name: str
    meaning: str
    mean: float
    deviation: float
    low: float | None
    high: float | None
    norm: float | None


def summarise(recording: Recording) -> list[SignalSummary]:
    """A row a layer and signal."""
    signals, memory = signals_of(recording.cell), memory_of(recording.cell)
    rows = []
    for (layer, name), values in recording.signals.items():
        signal = signals[name]
        below, above = (SHUT, OPEN) if signal.is_gate else (-FLAT, FLAT)
        rows.append(
            SignalSummary(
                layer=layer,
                name=name,
                meaning=signal.meaning,
                mean=float(values.mean(dtype=np.float64)),
                deviation=float(values.std(dtype=np.float64)),
                low=float((values < below).mean()) if math.isfinite(signal.low) and signal.low <= 0 else None,
                high=float((values > above).mean()) if math.isfinite(signal.high) else None,
                norm=float(np.linalg.norm(values, axis=-1).mean(dtype=np.float64)) if name == memory else None,
            )
        )
    return rows


def only(names: Collection[str]) -> Watched:
    """Watch signals of these names, in every layer."""
    return lambda layer, name: name in names
