"""What the model weighed for one character, and a choice among it.

Owns the list of alternatives with their bars. Whose they are, and what happens to the chosen one, the app knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Protocol

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

from charlm.tui.graphemes import character_name, shorten
from charlm.tui.textual_internals import run_bindings

_BYTE = re.compile(r"<[0-9a-f]{2}>")  # what the vocabulary calls a byte of a character that it spells in bytes
_NAME = 9  # cells
_BAR = "\u2588"
_PARTS = ("", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589")  # eighths of a cell


class Alternative(Protocol):
    """What might have come: `charlm.inference.generate.Alternative`."""

    @property
    def text(self) -> str:
        """The character, or a byte's label."""

    @property
    def probability(self) -> float:
        """By the model, before the dials."""


class Alternatives(Widget, can_focus=True):
    """The alternatives, the likeliest first, numbered."""

    ROWS: ClassVar = 6  # that there is room for at most

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("enter", "choose", "Branch here", show=False),
    ]

    DEFAULT_CSS = """
    Alternatives {
        height: auto;
        width: 1fr;
        border: round $border-blurred;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
        padding: 0 1;
        background: $surface;
        text-wrap: nowrap;
        &:focus { border: round $border; }
    }
    """

    chosen: reactive[int] = reactive(0)
    """The place of the alternative that Enter takes."""

    class Chosen(Message):
        """A person wants another character in the place of the one that stands there.

        Attributes:
            text: the other.
        """

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._character = ""
        self._offered = True
        self._alternatives: list[Alternative] = []
        self.show("", None, ())

    def show(
        self, character: str, surprise_bits: float | None, alternatives: Sequence[Alternative], offered: bool = True
    ) -> None:
        """Show what was weighed.

        Args:
            character: that stands there; empty if the cursor is nowhere.
            surprise_bits: how surprising it was; None if that is not known.
            alternatives: the likeliest first.
            offered: whether one may be chosen; not where a person wrote what stands there.
        """
        self._character = character
        self._alternatives = list(alternatives[: self.ROWS])
        self._offered = offered
        self.set_reactive(Alternatives.chosen, max(0, self._next(-1, 1)))
        bits = "" if surprise_bits is None else f", a surprise of {surprise_bits:.1f} bits"
        self.border_title = Content(f"{character_name(character)}{bits}" if character else "no character")
        can_choose = any(self._is_choice(one) for one in self._alternatives)
        self.border_subtitle = (
            "number or Enter: branch here" if can_choose else "" if offered else "what the model expected of you"
        )
        self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The same whatever there is to show, so that nothing jumps; less on a small terminal."""
        return max(2, min(self.ROWS, (viewport.height - 8) // 2))

    def _is_choice(self, one: Alternative) -> bool:
        return self._offered and not _is_byte(one)

    def render(self) -> Content:
        """A row each: number, character, probability, bar. Without room for all, those around the chosen one."""
        if not self._alternatives:
            return Content.styled("Move the cursor over a reply to see what else might have stood there.", "dim")
        width = self.content_size.width
        widest = min(
            max(_NAME, *(cell_len(character_name(one.text)) for one in self._alternatives)), max(_NAME, width // 2)
        )
        height = max(1, self.content_size.height)
        first = max(0, min(self.chosen - height // 2, len(self._alternatives) - height))
        rows = list(enumerate(self._alternatives))[first : first + height]
        return Content("\n").join([self._draw(place, one, widest, width) for place, one in rows])

    def _draw(self, place: int, one: Alternative, widest: int, width: int) -> Content:
        byte, choice = _is_byte(one), self._is_choice(one)
        here = one.text == self._character
        shown = shorten(character_name(one.text), widest)
        head = f"{place + 1 if choice else ' '} {shown}{' ' * (widest - cell_len(shown))} {_percent(one.probability)} "
        room = max(0, width - cell_len(head) - 2)
        bar = _bar(one.probability, room)
        style = "dim" if byte else "reverse" if choice and place == self.chosen and self.has_focus else ""
        line = Content.assemble(
            (head, f"{style} bold" if here and not byte else style),
            (bar, "$foreground 30%" if byte else "$primary"),
            (" " * (room - cell_len(bar)) + (" \u25c2" if here else ""), ""),
        )
        return line.stylize(Style.from_meta({"place": place}))

    # -- choosing -----------------------------------------------------------------------------------------------------

    async def on_key(self, event: events.Key) -> None:
        """A number chooses."""
        if event.character is not None and event.character in "123456789":
            event.stop()
            self.choose(int(event.character) - 1)
        else:
            await run_bindings(self, event)

    def on_click(self, event: events.Click) -> None:
        """So does the mouse."""
        if "place" in event.style.meta:
            self.choose(event.style.meta["place"])

    def on_focus(self) -> None:
        """The chosen one is marked only where keys go to it."""
        self.refresh()

    def on_blur(self) -> None:
        """See `on_focus`."""
        self.refresh()

    def choose(self, place: int) -> None:
        """Choose an alternative by its place; bytes, and places where there is none, cannot be chosen."""
        if 0 <= place < len(self._alternatives) and self._is_choice(self._alternatives[place]):
            self.post_message(self.Chosen(self._alternatives[place].text))

    def action_choose(self) -> None:
        """Choose the one that is marked."""
        self.choose(self.chosen)

    def action_move(self, by: int) -> None:
        """Mark another one."""
        self.chosen = self._next(self.chosen, by)

    def _next(self, place: int, by: int) -> int:
        """The next place in a direction that can be chosen; the place itself if there is none."""
        found = place + by
        while 0 <= found < len(self._alternatives):
            if self._is_choice(self._alternatives[found]):
                return found
            found += by
        return place


def _is_byte(one: Alternative) -> bool:
    return _BYTE.fullmatch(one.text) is not None


def _percent(probability: float) -> str:
    """Four cells and a sign; what is rare is not said to be impossible."""
    if 0 < probability < 0.0005:
        return "<0.1%"
    return f"{100 * probability:4.1f}%" if probability < 0.9995 else " 100%"


def _bar(probability: float, width: int) -> str:
    eighths = round(min(1.0, max(0.0, probability)) * width * 8)
    return _BAR * (eighths // 8) + _PARTS[eighths % 8]
