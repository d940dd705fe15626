"""Probing: find units that track a feature of the text.

The best unit is chosen on the first half of the text and judged by its correlation on the second. Binary features use
the point-biserial correlation, counts the rank correlation (Spearman 1904). A control repeats the choice with the
feature's values shuffled: it shows what the choice among many units finds by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.insight.activations import Recording
from charlm.insight.features import Column

MIN_RUNS = 20  # runs of a feature in each half: with fewer, a correlation means nothing

Matrix = NDArray[np.floating]


class UnitIndex(NamedTuple):
    """A signal of a unit. Layers and units count from 0."""

    layer: int
    number: int
    signal: str

    def __str__(self) -> str:
        return f"{self.layer}:{self.number} {self.signal}"


class Match(NamedTuple):
    """Correlations of a unit with a feature."""

    unit: UnitIndex
    chosen: float  # on the first half, on which the unit was chosen
    held_out: float  # on the second half


@dataclass(frozen=True)
class ProbeResult:
    """The best units for a feature."""

    feature: str
    kind: str = ""  # "point-biserial" or "rank"
    matches: tuple[Match, ...] = ()  # best first, by the first half
    control: Match | None = None  # best unit for the shuffled feature
    skip_reason: str = ""  # not empty if the feature cannot be probed

    @property
    def score(self) -> float:
        """Absolute held-out correlation of the best unit."""
        return abs(self.matches[0].held_out) if self.matches else 0.0


def find(recording: Recording, features: Mapping[str, Column], *, top: int = 3, seed: int = 0) -> list[ProbeResult]:
    """Return the `top` units that track each feature, (N,), the best feature first; the seed is the control's."""
    half = len(recording.text) // 2
    units = [
        UnitIndex(layer, number, name) for (layer, name), h in recording.signals.items() for number in range(h.shape[1])
    ]
    values = np.concatenate(list(recording.signals.values()), axis=1)  # (N, U)
    halves = _Half(values[:half]), _Half(values[half:])
    rng = np.random.default_rng(seed)
    results = []
    for name, column in features.items():
        first, second = column[:half], column[half:]
        if min(np.count_nonzero(np.diff(part)) + 1 for part in (first, second)) < MIN_RUNS:
            results.append(ProbeResult(name, skip_reason="it is hardly ever true, or hardly ever false"))
            continue
        by_rank = len(np.unique(column)) > 2
        matches = _best_matches(units, halves, (first, second), by_rank, top)
        (control,) = _best_matches(units, halves, (rng.permutation(first), rng.permutation(second)), by_rank, 1)
        results.append(ProbeResult(name, "rank" if by_rank else "point-biserial", matches, control))
    return sorted(results, key=lambda result: -result.score)


class _Half:
    """Values of every unit over one half of the text, (N, U), prepared for correlation."""

    def __init__(self, values: Matrix) -> None:
        self._values = values
        self._standard = _standardise(values)
        self._ranks: Matrix | None = None  # standardised as well

    def correlations(self, feature: Column, by_rank: bool) -> NDArray[np.float64]:
        """Return the correlation of a feature with every unit, (U,)."""
        if not by_rank:
            return _correlate(self._standard, feature)
        if self._ranks is None:
            self._ranks = _standardise(np.stack([ranks(unit) for unit in self._values.T], 1))
        return _correlate(self._ranks, ranks(feature))


def _best_matches(
    units: list[UnitIndex], halves: tuple[_Half, _Half], feature: tuple[Column, Column], by_rank: bool, count: int
) -> tuple[Match, ...]:
    chosen, held_out = (half.correlations(part, by_rank) for half, part in zip(halves, feature, strict=True))
    best = np.argsort(-abs(chosen), kind="stable")[:count]
    return tuple(Match(units[unit], float(chosen[unit]), float(held_out[unit])) for unit in best)


def _correlate(standardised: Matrix, feature: NDArray[np.floating]) -> NDArray[np.float64]:
    return (_standardise(feature[:, None])[:, 0] @ standardised).astype(np.float64) / len(feature)


def _standardise(values: Matrix) -> Matrix:
    """Return columns of mean 0 and deviation 1; a constant column becomes 0."""
    centred: Matrix = values - values.mean(axis=0, dtype=np.float64).astype(values.dtype)
    deviation = np.sqrt((centred.astype(np.float32) ** 2).mean(axis=0, dtype=np.float64))
    return (centred / np.where(deviation > 1e-7, deviation, np.inf)).astype(np.float32)


def ranks(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the rank of each number, (N,); equal numbers share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(mean_ranks[inverse], dtype=np.float32)
