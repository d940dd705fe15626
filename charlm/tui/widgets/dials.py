"""The dials, a row each, and the presets.

Owns turning, typing and drawing them. Which values are allowed, the dials themselves say; what happens when one is
turned, the app decides.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.style import Style
from textual.widgets import Static

from charlm.errors import CharlmError
from charlm.tui.glyphs import cells, one_line, shorten
from charlm.tui.keys import act
from charlm.tui.widgets.scale import SCALES, Scale

if TYPE_CHECKING:
    from charlm.chat.dials import Dials  # at run time this would import NumPy before the first paint

MOST_SEED = (1 << 63) - 1

_LABEL = 12  # cells, as are these
_VALUE = 9
_TYPED = frozenset("0123456789.")


def _button(text: str, by: int) -> Content:
    return Content(text).stylize("$text-primary bold").stylize(Style.from_meta({"by": by}))


class Row(Static):
    """One line of the panel, and below it what is wrong with what was typed. It draws; the panel has the keys.

    Attributes:
        current: whether keys go to it.
        typed: what is being typed; None if nothing is.
        problem: one sentence; empty if there is none.
    """

    current: reactive[bool] = reactive(False, toggle_class="-current")
    typed: reactive[str | None] = reactive(None)
    problem: reactive[str] = reactive("")

    def __init__(self) -> None:
        super().__init__(markup=False)

    def on_mount(self) -> None:
        """Draw whenever anything changes."""
        for name in ("current", "typed", "problem", *self.shown):
            self.watch(self, name, self.redraw, init=False)

    shown: ClassVar[tuple[str, ...]] = ()
    """The reactives of a kind of row that change its look."""

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


class PresetsRow(Row):
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
            if cells(text) + 2 > room and lines[-1]:
                lines.append([])
                room = width
            room -= cells(text) + 3
            style = "reverse" if self.current and place == self.chosen else ""
            style += " bold $text-success" if name == self.active else ""
            mark = "\u2022" if name == self.active else " "
            lines[-1].append(Content.styled(f"{mark}{text} ", style).stylize(Style.from_meta({"preset": name})))
        return Content("\n").join([Content(" ").join(line) for line in lines])

    def stepped(self, by: int) -> str | None:
        """The next preset's name."""
        place = self.chosen + by
        return self.names[place] if 0 <= place < len(self.names) else None


class DialRow(Row):
    """One dial: its name, its value, and where that stands between a minus and a plus.

    Args:
        scale: of the dial.

    Attributes:
        value: it is set to.
    """

    value: reactive[float] = reactive(0.0)
    shown = ("value",)

    def __init__(self, scale: Scale) -> None:
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


class SeedRow(Row):
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


class DialsPanel(VerticalScroll, inherit_bindings=False):
    """All dials.

    Attributes:
        presets: by name, the values that each sets.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("home", "move(-100)", "First", show=False),
        Binding("end", "move(100)", "Last", show=False),
        Binding("left,minus", "turn(-1)", "Less", show=False),
        Binding("right,plus,equals_sign", "turn(1)", "More", show=False),
        Binding("enter,space", "accept", "Set", show=False),
        Binding("escape", "give_up", "Leave as it was", show=False),
        Binding("backspace", "rub_out", "Delete a digit", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
    ]

    DEFAULT_CSS = """
    DialsPanel {
        width: 34;
        border: round $border-blurred;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
        padding: 0 1;
        background: $surface;
        scrollbar-size-vertical: 1;
        &:focus { border: round $border; }
        &:focus .-current { background: $block-hover-background; }
        & Row { height: auto; width: 1fr; }
        & PresetsRow { margin-bottom: 1; }
    }
    """

    presets: reactive[Mapping[str, Mapping[str, Any]]] = reactive(dict, init=False)

    class Changed(Message):
        """A person has turned a dial.

        Attributes:
            dials: as they now stand.
        """

        def __init__(self, dials: Dials) -> None:
            super().__init__()
            self.dials = dials

    class Reseeded(Message):
        """A person wants other random numbers.

        Attributes:
            seed: to begin them with.
        """

        def __init__(self, seed: int) -> None:
            super().__init__()
            self.seed = seed

    class PresetChosen(Message):
        """A person has chosen a preset; the panel waits to be shown what that makes of the dials.

        Attributes:
            name: of it.
        """

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.border_title = "dials"
        self.border_subtitle = "left, right or a number"
        self._dials: Dials | None = None
        self._presets = PresetsRow()
        self._seed = SeedRow()
        self._rows: list[Row] = [self._presets, *map(DialRow, SCALES), self._seed]
        self._place = 1
        self._row.current = True

    def compose(self) -> ComposeResult:
        """The rows."""
        yield from self._rows

    def watch_presets(self) -> None:
        """Other presets."""
        self._presets.names = tuple(self.presets)
        self._presets.chosen = 0
        self._mark_active()

    def on_blur(self) -> None:
        """What is half typed is given up."""
        self._row.typed = None

    # -- what is shown ------------------------------------------------------------------------------------------------

    def show(self, dials: Dials, seed: int) -> None:
        """Show how the dials stand; nothing is posted."""
        self._dials = dials
        for row in self._dial_rows():
            row.value = getattr(dials, row.scale.name)
        self._seed.value = seed
        self._mark_active()

    def _dial_rows(self) -> Iterator[DialRow]:
        return (row for row in self._rows if isinstance(row, DialRow))

    def _mark_active(self) -> None:
        matches = [
            name
            for name, values in self.presets.items()
            if all(getattr(self._dials, key.replace("-", "_"), None) == value for key, value in values.items())
        ]
        self._presets.active = matches[0] if matches else ""

    @property
    def _row(self) -> Row:
        return self._rows[self._place]

    def _go(self, place: int) -> None:
        self._row.current, self._row.typed, self._row.problem = False, None, ""
        self._place = min(max(0, place), len(self._rows) - 1)
        self._row.current = True
        self.scroll_to_widget(self._row, animate=False)

    # -- keys and mouse -----------------------------------------------------------------------------------------------

    async def on_key(self, event: events.Key) -> None:
        """Digits are a value that is being typed."""
        row = self._row
        if event.character is None or event.character not in _TYPED or isinstance(row, PresetsRow):
            await act(self, event)
            return
        event.stop()
        row.problem = ""
        row.typed = ((row.typed or "") + event.character)[:20]

    def on_click(self, event: events.Click) -> None:
        """On a minus, a plus, a place of the bar, or a preset."""
        row, meta = event.widget, event.style.meta
        if not isinstance(row, Row):
            return
        self._go(self._rows.index(row))
        if "by" in meta:
            self.action_turn(meta["by"])
        elif "at" in meta and isinstance(row, DialRow):
            self._set(row, f"{row.scale.at(meta['at']):g}")
        elif "preset" in meta and isinstance(row, PresetsRow):
            row.chosen = row.names.index(meta["preset"])
            self.action_accept()
        elif "new" in meta:
            self.action_accept()

    def action_move(self, by: int) -> None:
        """To another row; what was typed is set first, and where it cannot be, the row is not left."""
        if self._commit():
            self._go(self._place + by)

    def action_turn(self, by: int) -> None:
        """A step less, or more."""
        row = self._row
        if not self._commit():
            return
        text = row.stepped(by)
        if isinstance(row, PresetsRow):
            row.chosen = row.names.index(text) if text is not None else row.chosen
        elif text is not None:
            self._set(row, text)

    def action_accept(self) -> None:
        """Set what was typed; apply the preset; draw a new seed."""
        row = self._row
        if row.typed is not None:
            self._commit()
        elif isinstance(row, PresetsRow) and row.names:
            self.post_message(self.PresetChosen(row.names[row.chosen]))
        elif isinstance(row, SeedRow):
            self._set(row, str(secrets.randbelow(1 << 32)))

    def action_rub_out(self) -> None:
        """Take back a digit."""
        if self._row.typed is None:
            raise SkipAction
        self._row.typed = self._row.typed[:-1]

    def action_give_up(self) -> None:
        """Forget what was typed; if nothing was, Escape is a key for others."""
        if self._row.typed is None and not self._row.problem:
            raise SkipAction
        self._row.typed, self._row.problem = None, ""

    def _commit(self) -> bool:
        """Set what was typed, if anything was; false if it cannot be."""
        text, self._row.typed = self._row.typed, None
        return self._set(self._row, text) if text else True

    def _set(self, row: Row, text: str) -> bool:
        row.problem = ""
        if isinstance(row, SeedRow):
            if not text.isdecimal() or int(text) > MOST_SEED:
                row.problem = f"{text!r} is no seed: it is a whole number below 2^63"
                return False
            row.value = int(text)
            self.post_message(self.Reseeded(row.value))
        elif isinstance(row, DialRow) and self._dials is not None:
            try:
                dials = self._dials.with_value(row.scale.name, text)
            except CharlmError as error:
                row.problem = error.message
                return False
            if dials != self._dials:
                self.show(dials, self._seed.value)
                self.post_message(self.Changed(dials))
        return True
