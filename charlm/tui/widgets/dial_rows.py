"""The rows of the dials panel.

Owns how a row is drawn and what a step makes of its value. Keys, clicks and messages are the panel's affair: what can
be clicked in a row says so in its style's meta.
"""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.style import Style
from textual.widgets import Static

from charlm.tui.graphemes import one_line, shorten
from charlm.tui.widgets.slider_scale import SliderScale

MOST_SEED = (1 << 63) - 1

_LABEL = 12  # cells, as are these
_VALUE = 9


def _button(text: str, by: int) -> Content:
    return Content(text).stylize("$text-primary bold").stylize(Style.from_meta({"by": by}))


class PanelRow(Static):
    """One line of the panel, and below it what is wrong with what was typed. It draws; the panel has the keys.

    Attributes:
        current: whether keys go to it.
        typed: what is being typed; None if nothing is.
        problem: one sentence; empty if there is none.
    """

    shown: ClassVar[tuple[str, ...]] = ()
    """The reactives of a kind of row that change its look."""

    current: reactive[bool] = reactive(False, toggle_class="-current")
    typed: reactive[str | None] = reactive(None)
    problem: reactive[str] = reactive("")

    def __init__(self) -> None:
        super().__init__(markup=False)

    def on_mount(self) -> None:
        """Draw whenever anything changes."""
        for name in ("current", "typed", "problem", *self.shown):
            self.watch(self, name, self.redraw, init=False)

    def on_resize(self) -> None:
        """Another width."""
        self.redraw()

    def redraw(self) -> None:
        """Draw it anew."""
        if width := self.content_size.width:
            problem = Content.styled(f"\n{one_line(self.problem)}", "$text-error") if self.problem else Content("")
            self.update(Content.assemble(self.draw(width), problem))

    def draw(self, width: int) -> Content:
        """The line, that wide."""
        raise NotImplementedError

    def stepped(self, by: int) -> str | None:
        """What a step down or up would make of the value; None if it is at the end."""
        raise NotImplementedError


class PresetsRow(PanelRow):
    """The presets, side by side as far as there is room.

    Attributes:
        names: of them.
        chosen: the place of the one that Enter would apply.
        active: the one that the dials stand at; empty if none.
    """

    names: reactive[tuple[str, ...]] = reactive(())
    chosen: reactive[int] = reactive(0)
    active: reactive[str] = reactive("")
    shown = ("names", "chosen", "active")

    def draw(self, width: int) -> Content:
        """All names, folded."""
        lines: list[list[Content]] = [[]]
        room = width
        for place, name in enumerate(self.names):
            text = shorten(one_line(name), width - 2)
            if cell_len(text) + 2 > room and lines[-1]:
                lines.append([])
                room = width
            room -= cell_len(text) + 3
            style = "reverse" if self.current and place == self.chosen else ""
            style += " bold $text-success" if name == self.active else ""
            mark = "\u2022" if name == self.active else " "
            lines[-1].append(Content.styled(f"{mark}{text} ", style).stylize(Style.from_meta({"preset": name})))
        return Content("\n").join([Content(" ").join(line) for line in lines])

    def stepped(self, by: int) -> str | None:
        """The next preset's name."""
        place = self.chosen + by
        return self.names[place] if 0 <= place < len(self.names) else None


class DialRow(PanelRow):
    """One dial: its name, its value, and where that stands between a minus and a plus.

    Args:
        scale: of the dial.

    Attributes:
        value: it is set to.
    """

    value: reactive[float] = reactive(0.0)
    shown = ("value",)

    def __init__(self, scale: SliderScale) -> None:
        super().__init__()
        self.scale = scale

    def draw(self, width: int) -> Content:
        """Name, value, bar."""
        text = self.scale.show(self.value) if self.typed is None else f"{self.typed}\u258f"
        value = Content.styled(
            shorten(text, _VALUE - 1).rjust(_VALUE - 1) + " ", "bold" if self.typed is None else "reverse"
        )
        bar = self._bar(max(3, width - _LABEL - _VALUE - 2))
        return Content.assemble(self.scale.label.ljust(_LABEL), value, _button("\u2212", -1), bar, _button("+", 1))

    def _bar(self, width: int) -> Content:
        filled = round(self.scale.share(self.value) * (width - 1))
        parts = []
        for place in range(width):
            text, style = ("\u2501", "$primary") if place < filled else ("\u2500", "$foreground 30%")
            if place == filled:
                text, style = "\u25cf", "$text-accent"
            meta = Style.from_meta({"at": place / (width - 1)})
            parts.append(Content.styled(text, style).stylize(meta))
        return Content("").join(parts)

    def stepped(self, by: int) -> str | None:
        """The next stop."""
        value = self.scale.step(self.value, by)
        return None if value == self.value else f"{value:g}"


class HeldRow(PanelRow):
    """The units of the model that are held, as they are written.

    Attributes:
        value: what is written; empty for none.
    """

    value: reactive[str] = reactive("")
    shown = ("value",)

    def draw(self, width: int) -> Content:
        """Name and value."""
        text = self.value or "off" if self.typed is None else f"{self.typed}\u258f"
        room = width - _LABEL
        if cell_len(text) > room and self.typed is not None:
            text = text[-room:]
        value = Content.styled(shorten(text, room).rjust(room), "bold" if self.typed is None else "reverse")
        return Content.assemble("clamp".ljust(_LABEL), value)

    def stepped(self, by: int) -> str | None:
        """All units go free, at either step."""
        return "off" if self.value else None


class SeedRow(PanelRow):
    """The seed of the random numbers.

    Attributes:
        value: of it.
    """

    value: reactive[int] = reactive(0)
    shown = ("value",)

    def draw(self, width: int) -> Content:
        """Name and value."""
        text = str(self.value) if self.typed is None else f"{self.typed}\u258f"
        room = width - _LABEL - 8
        value = Content.styled(shorten(text, room).rjust(room), "bold" if self.typed is None else "reverse")
        new = Content.styled("new", "$text-primary bold").stylize(Style.from_meta({"new": True}))
        return Content.assemble("seed".ljust(_LABEL), value, " ", _button("\u2212", -1), " ", _button("+", 1), " ", new)

    def stepped(self, by: int) -> str | None:
        """The next number."""
        return str(self.value + by) if 0 <= self.value + by <= MOST_SEED else None
