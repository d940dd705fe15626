"""Position of a value on a slider, and the steps between its ends. Any other value in range may be typed."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from charlm.config import ChatConfig
from charlm.settings import settings_of


@dataclass(frozen=True)
class SliderScale:
    """The scale of one setting."""

    name: str  # of the field of `ChatConfig`
    label: str
    stops: tuple[float, ...]  # from least to most freedom; they rise, except for a last 0 that means no limit
    show: Callable[[float], str]  # returns a value as a person reads it

    def __post_init__(self) -> None:
        assert all(low < high for low, high in pairwise(self._rising)), self.name

    @property
    def _rising(self) -> tuple[float, ...]:
        return self.stops if self.stops[-1] else self.stops[:-1]

    def place(self, value: float) -> float:
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
        place = self.place(value)
        index = math.floor(place) + 1 if by > 0 else math.ceil(place) - 1
        if not 0 <= index < len(self.stops):
            return value
        return self.stops[index]

    def share(self, value: float) -> float:
        """Return the position of a value on the slider, 0 to 1."""
        return self.place(value) / (len(self.stops) - 1)

    def at(self, share: float) -> float:
        """Return the stop nearest to a position."""
        return self.stops[round(min(1, max(0, share)) * (len(self.stops) - 1))]


SCALES: Final = tuple(
    SliderScale(one.name, one.setting.label or one.shown_name, one.setting.stops, one.show)
    for one in settings_of(ChatConfig)
    if one.setting.stops
)
