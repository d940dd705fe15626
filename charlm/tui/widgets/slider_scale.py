"""Position of a value on a slider, and the steps between its ends."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class SliderScale:
    """The stops of a slider, from least to most freedom. They rise, except for a last 0 that means no limit."""

    stops: tuple[float, ...]

    def __post_init__(self) -> None:
        assert all(low < high for low, high in pairwise(self._rising))

    @property
    def _rising(self) -> tuple[float, ...]:
        return self.stops if self.stops[-1] else self.stops[:-1]

    def index(self, value: float) -> float:
        """Return the index of a value among the stops; a fraction if it lies between two."""
        if value == self.stops[-1]:
            return len(self.stops) - 1
        after = bisect_right(self._rising, value)
        if after in (0, len(self._rising)):
            return max(0, after - 1)
        low, high = self._rising[after - 1 : after + 1]
        return after - 1 + (value - low) / (high - low)

    def step(self, value: float, by: int) -> float:
        """Return the next stop above a value (`by` 1) or below it (-1), or the value itself at the end."""
        index = self.index(value)
        target = math.floor(index) + 1 if by > 0 else math.ceil(index) - 1
        return self.stops[target] if 0 <= target < len(self.stops) else value

    def position(self, value: float) -> float:
        """Return the position of a value on the slider, 0 to 1."""
        return self.index(value) / (len(self.stops) - 1)

    def stop_at(self, position: float) -> float:
        """Return the stop nearest to a position."""
        return self.stops[round(position * (len(self.stops) - 1))]
