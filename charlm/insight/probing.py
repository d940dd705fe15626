"""Units that track what a person could name.

The text is cut in two. On the first half the unit that goes best with a feature is chosen; the correlation that counts
is the one on the second half, which had no part in the choice. Yes-and-no features are compared by their point-biserial
correlation, counts by the rank correlation (Spearman 1904), each with every unit's memory and hidden state.

A control does the same with the feature's values shuffled: what it finds is what choosing among so many units finds
where there is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.insight.activations import Recording
from charlm.insight.features import Column, is_count, runs

LEAST_RUNS = 20  # that a feature has in each half, for a correlation to mean anything

Matrix = NDArray[np.floating[Any]]


class UnitIndex(NamedTuple):
    """A place in a model.

    Attributes:
        layer: from 0.
        number: of the unit, from 0.
        signal: which of its signals.
    """

    layer: int
    number: int
    signal: str

    def __str__(self) -> str:
        return f"{self.layer}:{self.number} {self.signal}"


class Match(NamedTuple):
    """How well a unit goes with a feature.

    Attributes:
        unit: which.
        chosen: correlation on the first half, on which it was chosen.
        held_out: on the second.
    """

    unit: UnitIndex
    chosen: float
    held_out: float


@dataclass(frozen=True)
class ProbeResult:
    """What was found for a feature.

    Attributes:
        feature: its name.
        kind: "point-biserial" or "rank".
        matches: the best units, by their correlation on the first half.
        control: the best unit for the shuffled feature: its correlation on the second half, and on the first.
        why_not: why nothing was looked for; empty if it was.
    """

    feature: str
    kind: str = ""
    matches: tuple[Match, ...] = ()
    control: Match | None = None
    why_not: str = field(default="")

    @property
    def score(self) -> float:
        """The best unit's correlation on text that had no part in choosing it, without its sign."""
        return abs(self.matches[0].held_out) if self.matches else 0.0


def find(recording: Recording, features: Mapping[str, Column], *, top: int = 3, seed: int = 0) -> list[ProbeResult]:
    """Look for units that track features.

    Args:
        recording: of memory and hidden states, see `tracked`.
        features: name -> (N,).
        top: how many units to keep for each feature.
        seed: of the shuffled control.

    Returns:
        One for each feature, the best first.
    """
    half = len(recording.text) // 2
    units = [
        UnitIndex(layer, number, name) for (layer, name), h in recording.signals.items() for number in range(h.shape[1])
    ]
    values = np.concatenate(list(recording.signals.values()), axis=1)  # (N, U)
    sides = _Side(values[:half]), _Side(values[half:])
    rng = np.random.default_rng(seed)
    found = []
    for name, column in features.items():
        first, second = column[:half], column[half:]
        if min(runs(first), runs(second)) < LEAST_RUNS:
            found.append(ProbeResult(name, why_not="it is hardly ever there, or hardly ever not"))
            continue
        by_rank = is_count(column)
        chosen, held_out = (side.correlations(part, by_rank) for side, part in zip(sides, (first, second), strict=True))
        best = np.argsort(-abs(chosen), kind="stable")[:top]
        shuffled = (rng.permutation(first), rng.permutation(second))
        by_chance = [side.correlations(part, by_rank) for side, part in zip(sides, shuffled, strict=True)]
        luckiest = int(np.argmax(abs(by_chance[0])))
        found.append(
            ProbeResult(
                name,
                "rank" if by_rank else "point-biserial",
                tuple(Match(units[unit], float(chosen[unit]), float(held_out[unit])) for unit in best),
                Match(units[luckiest], float(by_chance[0][luckiest]), float(by_chance[1][luckiest])),
            )
        )
    return sorted(found, key=lambda each: -each.score)


class _Side:
    """One half of the text, ready to be correlated with features.

    Args:
        values: (N, U) of every unit.
    """

    def __init__(self, values: Matrix) -> None:
        self._values = values
        self._standard = _standardise(values)
        self._ranks: Matrix | None = None  # standardised as well

    def correlations(self, feature: Column, by_rank: bool) -> NDArray[np.float64]:
        """Of the feature with every unit, (U,)."""
        if not by_rank:
            return self._with(self._standard, feature)
        if self._ranks is None:
            self._ranks = _standardise(
                np.stack([ranks(self._values[:, unit]) for unit in range(self._values.shape[1])], 1)
            )
        return self._with(self._ranks, ranks(feature))

    def _with(self, standard: Matrix, feature: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        column = _standardise(feature[:, None])[:, 0]
        return (column.astype(standard.dtype) @ standard).astype(np.float64) / len(column)


def _standardise(values: Matrix) -> Matrix:
    """Mean 0 and deviation 1, by columns; a column that never changes becomes 0."""
    centred: Matrix = values - values.mean(axis=0, dtype=np.float64).astype(values.dtype)
    deviation = np.sqrt((centred.astype(np.float32) ** 2).mean(axis=0, dtype=np.float64))
    return (centred / np.where(deviation > 1e-7, deviation, np.inf)).astype(np.float32)


def ranks(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The rank of each number, (N,), equal numbers sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: NDArray[np.float32] = (last - (counts - 1) / 2)[inverse].astype(np.float32)
    return shared


def tracked(memory: str) -> frozenset[str]:
    """The signals that `find` looks at."""
    return frozenset({memory, "h"})
