"""The most probable characters at one place of the text, to choose another one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual import on
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from charlm.tui.graphemes import bar, character_name, shorten
from charlm.tui.textual_internals import TolerantList

if TYPE_CHECKING:
    from charlm.inference.generate import Alternative

MAX_ROWS: Final = 6
NAME_CELLS: Final = 9

_BYTE = re.compile(r"<[0-9a-f]{2}>")  # label of a byte, where the vocabulary spells characters in bytes


class Alternatives(TolerantList):
    """A numbered list, the most probable character first. Bytes cannot be chosen."""

    DEFAULT_CSS = """
    Alternatives, Alternatives:focus {
        width: 1fr;
        border: round $border-blurred;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
        padding: 0 1;
        background-tint: $surface 0%;
        text-wrap: nowrap;
        scrollbar-size-vertical: 0;
        & > .option-list--option-highlighted { color: $foreground; background: $surface; text-style: none; }
        & > .option-list--option-disabled { color: $foreground; }
    }
    Alternatives:focus {
        border: heavy $border;
        & > .option-list--option-highlighted { text-style: reverse; }
    }
    """

    @dataclass
    class Chosen(Message):
        """The user chose another character."""

        text: str

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._character = ""
        self._offered = True
        self._alternatives: Sequence[Alternative] = ()

    def show(
        self, character: str, surprise_bits: float | None, alternatives: Sequence[Alternative], offered: bool = True
    ) -> None:
        """Show the alternatives to a character, the most probable first. None can be chosen if they are not offered."""
        self._character, self._alternatives, self._offered = character, alternatives[:MAX_ROWS], offered
        bits = "" if surprise_bits is None else f", a surprise of {surprise_bits:.1f} bits"
        self.border_title = Content(f"{character_name(character)}{bits}")
        self._fill()
        can_choose = any(not option.disabled for option in self.options)
        self.border_subtitle = (
            "number or Enter: branch here" if can_choose else "" if offered else "what the model expected of you"
        )
        self.action_first()

    def on_resize(self) -> None:
        highlighted = self.highlighted
        self._fill()
        self.highlighted = highlighted

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the same height for all characters, so that the text above does not jump."""
        return max(2, min(MAX_ROWS, (viewport.height - 8) // 2))

    def _fill(self) -> None:
        width = self.scrollable_content_region.width
        widest = max([NAME_CELLS, *(cell_len(character_name(one.text)) for one in self._alternatives)])
        name_cells = min(widest, max(NAME_CELLS, width // 2))
        self.set_options(
            self._option(number, one, name_cells, width) for number, one in enumerate(self._alternatives, 1)
        )

    def _option(self, number: int, one: Alternative, name_cells: int, width: int) -> Option:
        is_byte = _BYTE.fullmatch(one.text) is not None
        can_choose = self._offered and not is_byte
        here = one.text == self._character
        shown = shorten(character_name(one.text), name_cells)
        padding = " " * (name_cells - cell_len(shown))
        head = f"{number if can_choose else ' '} {shown}{padding} {_percent(one.probability)} "
        room = max(0, width - cell_len(head) - 2)
        line = Content.assemble(
            (head, "dim" if is_byte else "bold" if here else ""),
            (bar(one.probability, room).ljust(room), "$foreground 30%" if is_byte else "$primary"),
            " \u25c2" if here else "",
        )
        return Option(line, disabled=not can_choose)

    def choose(self, number: int) -> None:
        """Choose by number, from 1; nothing happens if that one cannot be chosen."""
        if 0 < number <= len(self._alternatives) and not self.options[number - 1].disabled:
            self.post_message(self.Chosen(self._alternatives[number - 1].text))

    @on(OptionList.OptionSelected)
    def _select(self, event: OptionList.OptionSelected) -> None:
        self.choose(event.option_index + 1)


def _percent(probability: float) -> str:
    """Return five cells; no possible character is shown as 0 %."""
    if 0 < probability < 0.0005:
        return "<0.1%"
    return f"{100 * probability:4.1f}%" if probability < 0.9995 else " 100%"
