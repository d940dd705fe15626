"""How far a dial turns at a time, and where a value stands between its ends.

Owns the steps and the words of each dial. What values a dial takes at all is `charlm.chat.dials`' affair: a step is a
suggestion, and any other value may be typed.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final


@dataclass(frozen=True)
class SliderScale:
    """One dial's.

    Attributes:
        name: of the dial, as `ChatConfig` calls it.
        label: as a person reads it.
        stops: the values that steps lead to, from the one that leaves the model the least freedom to the one that
            leaves it the most; they rise, but for the last, which may be a 0 that means no limit.
        words: what some values are called.
    """

    name: str
    label: str
    stops: tuple[float, ...]
    words: Mapping[float, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert all(low < high for low, high in pairwise(self._rising)), self.name

    @property
    def _rising(self) -> tuple[float, ...]:
        return self.stops if self.stops[-1] else self.stops[:-1]

    def place(self, value: float) -> float:
        """Where a value stands, in stops from the first: between two of them, if it is between."""
        if value == self.stops[-1]:
            return len(self.stops) - 1
        after = bisect_right(self._rising, value)
        if after in (0, len(self._rising)):
            return max(0, after - 1)
        low, high = self._rising[after - 1 : after + 1]
        return after - 1 + (value - low) / (high - low)

    def step(self, value: float, by: int) -> float:
        """The next stop above a value (`by` 1) or below it (-1); the value itself at the end."""
        place = self.place(value)
        index = math.floor(place) + 1 if by > 0 else math.ceil(place) - 1
        if not 0 <= index < len(self.stops):
            return value
        return self.stops[index]

    def share(self, value: float) -> float:
        """How far up a value stands, 0 to 1."""
        return self.place(value) / (len(self.stops) - 1)

    def at(self, share: float) -> float:
        """The stop nearest to a share."""
        return self.stops[round(min(1, max(0, share)) * (len(self.stops) - 1))]

    def show(self, value: float) -> str:
        """A value as a person reads it."""
        return self.words.get(value) or (f"{value:,}" if isinstance(value, int) else f"{value:,.6g}")


def _every(step: float, first: float, last: float) -> tuple[float, ...]:
    return tuple(round(first + index * step, 6) for index in range(round((last - first) / step) + 1))


SCALES: Final = (
    SliderScale("temperature", "temperature", _every(0.05, 0, 2), {0: "greedy"}),
    SliderScale("top_k", "top-k", (1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 60, 80, 100, 0), {0: "off"}),
    SliderScale("top_p", "top-p", (*_every(0.05, 0.05, 0.95), 0.98, 1), {1: "off"}),
    SliderScale("min_p", "min-p", (0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5), {0: "off"}),
    SliderScale("typical", "typical", (*_every(0.05, 0.05, 0.95), 0.98, 1), {1: "off"}),
    SliderScale("repetition_penalty", "repetition", _every(0.05, 1, 2), {1: "off"}),
    SliderScale("candidates", "candidates", (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)),
    SliderScale("relevance", "relevance", (*_every(0.1, 0, 1), 1.5, 2, 3, 5, 10), {0: "off"}),
    SliderScale("length", "length", (50, 100, 150, 200, 300, 400, 600, 800, 1000, 1500, 2000, 5000, 10_000)),
    SliderScale("pace", "pace", (5, 10, 15, 20, 30, 40, 60, 80, 120, 200, 400, 800, 0), {0: "no limit"}),
    SliderScale("learn", "learning", (0, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3), {0: "off"}),
)
