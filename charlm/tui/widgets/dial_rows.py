"""Rows of the settings panel.

A row draws itself and computes the next value. The panel handles keys and clicks. The style's meta of a clickable part
is the value that a click sets ("text"), or a step ("by"). The panel imports this module when it first shows settings,
because the first frame of the app needs none.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Final

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

from charlm.config import ChatConfig, SamplingConfig
from charlm.settings import MAX_SEED, BoundSetting, settings_of
from charlm.tui.graphemes import one_line, shorten

_LABEL_CELLS: Final = 12
_VALUE_CELLS: Final = 8
_MIN_BAR_CELLS: Final = 3
_DIGITS: Final = frozenset("0123456789.")

Presets = Mapping[str, Mapping[str, float]]  # values by name


def _button(label: str, **meta: object) -> Content:
    return Content(label).stylize("$text-primary bold").stylize(Style.from_meta(meta))


class PanelRow(Widget):
    """One row of the panel, and below it the problem with a typed value."""

    allowed: ClassVar[frozenset[str]] = frozenset()  # characters that may be typed
    max_typed: ClassVar[int] = 20
    is_command: ClassVar[bool] = False  # whether the slash command of its name sets the value

    current: reactive[bool] = reactive(False, toggle_class="-current")  # whether keys go to it
    typed: reactive[str | None] = reactive(None)
    problem: reactive[str] = reactive("", layout=True)

    def on_resize(self) -> None:
        self.refresh(layout=True)

    def render(self) -> Content:
        width = self.content_size.width
        problem = f"\n{one_line(self.problem)}" if self.problem else ""
        return Content.assemble(self.draw(width), (problem, "$text-error")) if width else Content("")

    def draw(self, width: int) -> Content:
        raise NotImplementedError

    def show(self, dials: ChatConfig, seed: int | None, presets: Presets) -> None:
        raise NotImplementedError

    def step(self, by: int) -> str | None:
        """Return the next value (`by` 1) or the previous one (-1) as text; None to set nothing."""
        raise NotImplementedError

    def text_on_enter(self) -> str | None:
        """Return the value that Enter sets if nothing is typed."""
        return None

    def accept(self, text: str) -> None:
        """Take over a value that the command is about to set.

        Raises:
            UsageError: it is out of range.
        """


class PresetsRow(PanelRow):
    """The presets, wrapped."""

    is_command = True

    names: reactive[tuple[str, ...]] = reactive((), layout=True)
    chosen: reactive[int] = reactive(0)  # index of the preset that Enter would apply
    active: reactive[str] = reactive("")  # the preset that equals the settings; empty if none does

    def watch_names(self) -> None:
        self.chosen = 0

    def show(self, dials: ChatConfig, seed: int | None, presets: Presets) -> None:
        self.names = tuple(presets)
        self.active = next((name for name, values in presets.items() if _has(dials, values)), "")

    def draw(self, width: int) -> Content:
        lines: list[list[Content]] = [[]]
        room = width
        for index, name in enumerate(self.names):
            text = shorten(one_line(name), width - 2)
            if cell_len(text) + 2 > room and lines[-1]:
                lines.append([])
                room = width
            room -= cell_len(text) + 3
            style = "reverse" if self.current and index == self.chosen else ""
            style += " bold $text-success" if name == self.active else ""
            mark = "\u2022" if name == self.active else " "
            lines[-1].append(Content.styled(f"{mark}{text} ", style).stylize(Style.from_meta({"text": name})))
        return Content("\n").join([Content(" ").join(line) for line in lines])

    def step(self, by: int) -> str | None:
        self.chosen = max(0, min(self.chosen + by, len(self.names) - 1))
        return None

    def text_on_enter(self) -> str | None:
        return self.names[self.chosen] if self.names else None

    def accept(self, text: str) -> None:
        self.chosen = self.names.index(text)


class SettingRow(PanelRow):
    """The name and value of a setting, and controls that change it."""

    value: reactive[Any] = reactive(None)
    allowed = _DIGITS

    def __init__(self, setting: BoundSetting) -> None:
        super().__init__(name=setting.name)
        self.setting = setting

    def show(self, dials: ChatConfig, seed: int | None, presets: Presets) -> None:
        self.value = getattr(dials, self.setting.name)

    def draw(self, width: int) -> Content:
        controls = self.controls(width)
        room = width - _LABEL_CELLS - controls.cell_length
        if self.typed is None:
            value = Content.styled(shorten(self.setting.show(self.value), room).rjust(room), "bold")
        else:
            value = Content.styled(f"{self.typed}\u258f"[-room:].rjust(room), "reverse")
        return Content.assemble(self.setting.label.ljust(_LABEL_CELLS), value, controls)

    def controls(self, width: int) -> Content:
        """Return what stands right of the value."""
        return Content("")


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


class DialRow(SettingRow):
    """A setting with a slider between a minus and a plus."""

    def __init__(self, setting: BoundSetting) -> None:
        super().__init__(setting)
        self.scale = SliderScale(setting.setting.stops)

    def controls(self, width: int) -> Content:
        cells = max(_MIN_BAR_CELLS, width - _LABEL_CELLS - _VALUE_CELLS - 3)
        position = 0 if self.value is None else self.scale.position(self.value)
        filled = round(position * (cells - 1))
        bar = []
        for cell in range(cells):
            text, style = ("\u2501", "$primary") if cell < filled else ("\u2500", "$foreground 30%")
            if cell == filled:
                text, style = "\u25cf", "$text-accent"
            stop = self.scale.stop_at(cell / (cells - 1))
            bar.append(Content.styled(text, style).stylize(Style.from_meta({"text": f"{stop:g}"})))
        return Content.assemble(" ", _button("\u2212", by=-1), *bar, _button("+", by=1))

    def step(self, by: int) -> str | None:
        value = self.scale.step(self.value, by)
        return None if value == self.value else f"{value:g}"


class ClampRow(SettingRow):
    """The clamped units of the model."""

    allowed = _DIGITS | frozenset(":=,-+ ")
    max_typed = 60

    def step(self, by: int) -> str | None:
        return self.text_on_enter() if self.value else None

    def text_on_enter(self) -> str | None:
        return "off"


class SeedRow(SettingRow):
    """The seed of the random numbers."""

    allowed = frozenset("0123456789")
    is_command = True

    def show(self, dials: ChatConfig, seed: int | None, presets: Presets) -> None:
        self.value = self.value if seed is None else seed

    def controls(self, width: int) -> Content:
        return Content(" ").join(
            [Content(""), _button("\u2212", by=-1), _button("+", by=1), _button("new", text=self.text_on_enter())]
        )

    def step(self, by: int) -> str | None:
        seed = self.value + by
        return str(seed) if 0 <= seed <= MAX_SEED else None

    def text_on_enter(self) -> str | None:
        return str(random.getrandbits(32))

    def accept(self, text: str) -> None:
        seed = self.setting.parse(text)
        self.setting.check(seed)
        self.value = seed


def make_rows() -> list[PanelRow]:
    """Return the rows of the panel, from top to bottom."""
    dials = [DialRow(one) if one.setting.stops else ClampRow(one) for one in settings_of(ChatConfig)]
    seed = next(one for one in settings_of(SamplingConfig) if one.name == "seed")
    return [PresetsRow(name="preset"), *dials, SeedRow(seed)]


def _has(dials: ChatConfig, values: Mapping[str, float]) -> bool:
    return all(getattr(dials, name.replace("-", "_"), None) == value for name, value in values.items())
