"""Recording of a model's gates, cells and hidden states over a text, and its summary.

Each cell declares its signals (`charlm.cells`); nothing here depends on the kind of cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
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

GATE_CLOSED, GATE_OPEN = 0.1, 0.9  # below and above these a gate counts as saturated
SATURATED = 0.9  # magnitude above which a signal between -1 and 1 counts as saturated


@dataclass(frozen=True)
class Recording:
    """Signals and predictions of a model over a text of N characters."""

    text: str  # composed (NFC)
    cell: str  # key of `charlm.cells.CELLS`
    signals: Mapping[tuple[int, str], Array]  # (layer, name) -> (N, H), after each character
    surprisal: NDArray[np.float64]  # (N,) bits; NaN for the first character, which has no prediction
    entropy: NDArray[np.float64]  # (N,) bits of the prediction after each character
    state: State  # after the last character

    @property
    def layers(self) -> int:
        return 1 + max(layer for layer, _ in self.signals)

    @property
    def bits_per_character(self) -> float:
        """Mean surprisal; NaN for a text of one character."""
        return float(self.surprisal[1:].mean()) if len(self.text) > 1 else math.nan


def record(
    engine: Engine,
    text: str,
    *,
    names: Container[str] | None = None,
    state: State | None = None,
    on_read: Callable[[int], None] = lambda ids: None,
) -> Recording:
    """Read a text of at least one character after a state, None for a new one, and keep the signals of the cells.

    Unknown characters are replaced. All signals are kept unless `names` selects some: those of 2 layers of 256 take
    about 12 KB per character. Calls `on_read` with the number of ids read since the last call.
    """
    text = normalise(text)
    assert text
    config, vocabulary = engine.config, engine.vocabulary
    ids = encode_lossy(vocabulary, text)
    begins = vocabulary.begins[ids]
    ends = np.append(begins[1:], True)  # a character spelled in bytes ends with its last byte
    kept = [name for name in CELLS[config.cell].SIGNALS if names is None or name in names]
    rows: dict[tuple[int, str], list[Array]] = {(layer, name): [] for layer in range(config.layers) for name in kept}
    nats, entropy = np.full(len(ids), np.nan), np.empty(len(ids))
    state = engine.start() if state is None else state
    log_p_before: Array = np.full((1, config.vocabulary), np.nan, dtype=np.float32)
    for first in range(0, len(ids), SEGMENT):
        part = slice(first, first + SEGMENT)
        state, logits, seen = engine.forward_with_activations(state, ids[part])
        for (layer, name), parts in rows.items():
            parts.append(seen[layer][name][ends[part]])
        log_p = log_softmax(logits)
        entropy[part] = entropy_bits(log_p)
        log_p_before = np.concatenate((log_p_before[-1:], log_p))
        nats[part] = -log_p_before[np.arange(len(log_p)), ids[part]]
        on_read(len(log_p))
    return Recording(
        text=text,
        cell=config.cell,
        signals={key: np.concatenate(parts) for key, parts in rows.items()},
        surprisal=np.add.reduceat(nats, np.flatnonzero(begins)) / math.log(2),
        entropy=entropy[ends],
        state=state,
    )


def entropy_bits(log_p: Array) -> NDArray[np.float64]:
    """Return the entropy of each distribution, (T,), from log-probabilities in nats, (T, V)."""
    bits: NDArray[np.float64] = -(np.exp(log_p) * log_p).sum(axis=-1, dtype=np.float64) / math.log(2)
    return bits


class SignalSummary(NamedTuple):
    """A signal of a layer, over all units and characters."""

    layer: int
    name: str
    meaning: str
    mean: float
    deviation: float
    low: float | None  # share of values saturated at the lower end; None without one
    high: float | None  # share of values saturated at the upper end; None without one
    norm: float | None  # mean norm of the vector of all units; None but for the memory


def summarise(recording: Recording) -> list[SignalSummary]:
    """Return a row for each layer and signal."""
    cell = CELLS[recording.cell]
    rows = []
    for (layer, name), values in recording.signals.items():
        signal = cell.SIGNALS[name]
        low, high = saturation_bounds(signal)
        rows.append(
            SignalSummary(
                layer=layer,
                name=name,
                meaning=signal.meaning,
                mean=float(values.mean(dtype=np.float64)),
                deviation=float(values.std(dtype=np.float64)),
                low=float((values < low).mean()) if math.isfinite(signal.low) and signal.low <= 0 else None,
                high=float((values > high).mean()) if math.isfinite(signal.high) else None,
                norm=float(np.linalg.norm(values, axis=-1).mean(dtype=np.float64)) if name == cell.MEMORY else None,
            )
        )
    return rows


def saturation_bounds(signal: Signal) -> tuple[float, float]:
    """Return the values below and above which a signal counts as saturated."""
    return (GATE_CLOSED, GATE_OPEN) if signal.is_gate else (-SATURATED, SATURATED)
