"""A field for typing that sees text as the eye does.

Owns editing by clusters, long pastes as one word, and marks under what the model cannot spell. `Prompt` makes of it
what a person sends from.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.style import Style
from rich.text import Span, Text
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widgets import TextArea
from textual.widgets.text_area import Edit, EditResult, Location

from charlm.tui.graphemes import boundary_after, boundary_before, character_name, clean_input, iter_clusters, shorten
from charlm.tui.textual_internals import ClusterTextArea, run_bindings
from charlm.tui.widgets.paste_placeholders import LONGEST, SHORTEST, PastePlaceholders

_NOT_OURS: Final = ("f6", "f7")  # keys of TextArea's that an app has better uses for


class _Line(Text):
    """A line of text in which no style ends inside a cluster: an escape sequence there would tear it apart."""

    def stylize(self, style: str | Style, start: int = 0, end: int | None = None) -> None:
        """Apply a style to a part, widened to whole clusters."""
        if end is not None:
            start, end = boundary_before(self.plain, start), boundary_after(self.plain, end)
        super().stylize(style, start, end)


class Editor(ClusterTextArea, inherit_bindings=False):
    """A text area that grows with its text."""

    LINES: ClassVar = 8  # that it grows to, where the terminal is not small

    BINDINGS: ClassVar[list[BindingType]] = [
        one for one in TextArea.BINDINGS if not isinstance(one, Binding) or one.key not in _NOT_OURS
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {"editor--unknown", "editor--pasted"}

    DEFAULT_CSS = """
    Editor {
        height: auto;
        border: round $border-blurred;
        background: $surface;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        border-subtitle-color: $text-warning;
        &:focus { border: round $border; }
        & .editor--unknown { color: $text-warning; text-style: underline; }
        & .editor--pasted { color: $text-primary; text-style: italic; }
    }
    """

    substitute: reactive[Callable[[str], str | None] | None] = reactive(None, init=False)
    """What the model will read for a character that it cannot spell; None for others. None while there is no model."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        # What TextArea's initialiser already needs comes before it.
        self._pasted = PastePlaceholders()
        self._readings: dict[str, str | None] = {}
        self._marks: dict[tuple[str, int], list[Span]] = {}
        super().__init__(id=id, classes=classes, highlight_cursor_line=False)
        self.match_cursor_bracket = False

    def on_resize(self) -> None:
        """The text is folded otherwise."""
        self._note_unknown()
        self.call_after_refresh(self.scroll_cursor_visible)

    async def on_key(self, event: events.Key) -> None:
        """Bound keys come before what TextArea makes of them, and in order with the letters."""
        self.restart_cursor_blink()
        await run_bindings(self, event)

    def watch_substitute(self) -> None:
        """Another model spells other characters."""
        self._readings.clear()
        self.notify_style_update()
        self._note_unknown()
        self.refresh()

    def notify_style_update(self) -> None:
        """What is drawn is cached, with its colours."""
        self._marks.clear()
        super().notify_style_update()

    # -- the text -----------------------------------------------------------------------------------------------------

    @property
    def value(self) -> str:
        """What would be sent: the text, with what was pasted in place of its stand-ins."""
        return self._pasted.expand(self.text)

    @value.setter
    def value(self, value: str) -> None:
        self.load_text(value)

    @property
    def selected_text(self) -> str:
        """What is selected, whole."""
        return self._pasted.expand(super().selected_text)

    def load_text(self, text: str) -> None:
        """Put a text in place of what is there, with the cursor at its end."""
        self._pasted = PastePlaceholders()
        self._marks.clear()
        super().load_text(self._pasted.stand_in(clean_input(text)))
        self.move_cursor(self.document.end)
        self.update_suggestion()

    def edit(self, edit: Edit) -> EditResult:
        """Every change comes through here: nothing gets in that drives a terminal, and no cluster is cut."""
        last = self.document.end
        start, end = min(edit.top, last), min(edit.bottom, last)  # TextArea deletes the line after the last one too
        if start != end:
            start, end = self._before(start), self._after(end)
        room = LONGEST - len(self.text) + len(self.get_text_range(start, end))
        text = self._pasted.stand_in(clean_input(edit.text), max(room, SHORTEST))
        result = super().edit(Edit(text, start, end, edit.maintain_selection_offset))
        self.scroll_cursor_visible()  # TextArea did so while the text still had its old height
        return result

    def update_suggestion(self) -> None:
        """The text has changed."""
        self._marks.clear()
        self._note_unknown()

    @property
    def unread(self) -> int:
        """How many characters, at the beginning, are not for the model."""
        return 0

    # -- where the cursor may be --------------------------------------------------------------------------------------

    def clamp_visitable(self, location: Location) -> Location:
        """The nearest place for the cursor: not inside a cluster or a stand-in."""
        return self._before(super().clamp_visitable(location))

    def get_cursor_right_location(self) -> Location:
        """The place after the next cluster."""
        return self._after(super().get_cursor_right_location())

    def get_cursor_word_right_location(self) -> Location:
        """The place after the next word."""
        return self._after(super().get_cursor_word_right_location())

    def _before(self, location: Location) -> Location:
        row, column = location
        line = self.document.get_line(row)
        inside = [start for start, end in self._pasted.spans(line) if start < column < end]
        return row, inside[0] if inside else boundary_before(line, column)

    def _after(self, location: Location) -> Location:
        row, column = location
        line = self.document.get_line(row)
        inside = [end for start, end in self._pasted.spans(line) if start < column < end]
        return row, inside[0] if inside else boundary_after(line, column)

    def action_redo(self) -> None:
        """Take an undo back; if there is none, this is a key for others."""
        if not self.history.redo_stack:
            raise SkipAction
        super().action_redo()

    def action_cursor_page_up(self) -> None:
        """A page up in the text, if there is more of it than can be seen; else this is a key for others."""
        self._skip_if_all_is_seen()
        super().action_cursor_page_up()

    def action_cursor_page_down(self) -> None:
        """A page down in the text, if there is more of it than can be seen; else this is a key for others."""
        self._skip_if_all_is_seen()
        super().action_cursor_page_down()

    def _skip_if_all_is_seen(self) -> None:
        if self.wrapped_document.height <= self.content_size.height:
            raise SkipAction

    # -- how it looks -------------------------------------------------------------------------------------------------

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As high as the text, up to `LINES` or a third of the terminal."""
        return min(super().get_content_height(container, viewport, width), self.LINES, max(1, viewport.height // 3))

    def get_line(self, line_index: int) -> Text:
        """A line of the text, with its marks."""
        text = self.document.get_line(line_index)
        above = sum(len(self.document.get_line(row)) + 1 for row in range(line_index))
        unread = min(max(0, self.unread - above), len(text))
        if (text, unread) not in self._marks:  # asked for once a row
            self._marks[text, unread] = [
                Span(start, end, self.get_component_rich_style(f"editor--{part}", partial=True))
                for part, spans in (("unknown", self._unknown(text, unread)), ("pasted", self._pasted.spans(text)))
                for start, end in spans
            ]
        return _Line(text, end="", no_wrap=True, spans=list(self._marks[text, unread]))

    def _unknown(self, line: str, unread: int) -> list[tuple[int, int]]:
        strange = {one for one in set(unicodedata.normalize("NFC", line)) if self._reading(one) is not None}
        if not strange:
            return []
        return [
            (start, end)
            for start, end, _ in iter_clusters(line, 0, len(line))
            if start >= unread and not strange.isdisjoint(unicodedata.normalize("NFC", line[start:end]))
        ]

    def _reading(self, character: str) -> str | None:
        if self.substitute is None:
            return None
        if character not in self._readings:
            self._readings[character] = self.substitute(character)
        return self._readings[character]

    def _note_unknown(self) -> None:
        """Say below the text what will be read in place of what."""
        readings: dict[str, list[str]] = {}
        for one in dict.fromkeys(unicodedata.normalize("NFC", self._pasted.characters(self.text[self.unread :]))):
            if (reading := self._reading(one)) is not None:
                readings.setdefault(reading, []).append(character_name(one))
        room = self.content_size.width
        self.border_subtitle = Content(shorten("; ".join(_sentence(*one, room) for one in readings.items()), room))


def _sentence(reading: str, characters: Sequence[str], room: int) -> str:
    """What is read in place of some characters; as many of them as there is room for."""
    becomes = f"read as {character_name(reading)}" if reading else "left out"
    for count in range(min(len(characters), 20), 0, -1):
        more = len(characters) - count
        names = ", ".join(characters[:count]) + (f" and {more:,} more" if more else "")
        sentence = f"{names} {'is' if len(characters) == 1 else 'are'} {becomes}"
        if cell_len(sentence) <= room:
            break
    return sentence
