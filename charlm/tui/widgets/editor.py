"""A text area that edits whole grapheme clusters, shows long pastes as one word, and marks unknown characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.style import Style
from rich.text import Span, Text
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widgets import TextArea
from textual.widgets.text_area import Edit, EditResult, Location

from charlm.tui.graphemes import boundary_after, boundary_before, character_name, clean_input, iter_clusters, shorten
from charlm.tui.textual_internals import ClusterTextArea, run_bindings
from charlm.tui.widgets.paste_placeholders import MAX_FIELD_CHARS, MIN_PASTE_CHARS, PastePlaceholders

_APP_KEYS: Final = ("f6", "f7")  # keys of TextArea that the app binds
_MAX_NAMED_CHARACTERS: Final = 20  # unknown characters named below the text


def _no_substitute(character: str) -> None:
    """Take every character for a known one, until there is a model."""


class _ClusterText(Text):
    """A line whose styles cover whole clusters: an escape sequence inside a cluster would tear it apart."""

    def stylize(self, style: str | Style, start: int = 0, end: int | None = None) -> None:
        if end is not None:
            start, end = boundary_before(self.plain, start), boundary_after(self.plain, end)
        super().stylize(style, start, end)


class Editor(ClusterTextArea, inherit_bindings=False):
    """A text area that grows with its text."""

    MAX_ROWS: ClassVar = 8  # and a third of the terminal

    BINDINGS: ClassVar[list[BindingType]] = [
        *(one for one in TextArea.BINDINGS if not isinstance(one, Binding) or one.key not in _APP_KEYS),
        Binding("ctrl+underscore", "undo", "Undo", show=False),  # Ctrl-Z suspends the app
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
    """Returns what the model reads for a character that is not in its vocabulary, and None for one that is."""

    def __init__(self) -> None:
        # TextArea's __init__ already loads a text, which uses these attributes.
        self._placeholders = PastePlaceholders()
        self._substitute_for: Callable[[str], str | None] = _no_substitute
        self._line_spans: dict[tuple[str, int], list[Span]] = {}  # by line and start of the model's part
        super().__init__(highlight_cursor_line=False)
        self.match_cursor_bracket = False

    # -- watchers and events ------------------------------------------------------------------------------------------

    def watch_substitute(self) -> None:
        self._substitute_for = cache(self.substitute or _no_substitute)
        self.notify_style_update()
        self._show_substitutes()
        self.refresh()

    def on_resize(self) -> None:
        self._show_substitutes()
        self.call_after_refresh(self.scroll_cursor_visible)

    async def on_key(self, event: events.Key) -> None:
        """Run bindings before TextArea handles the key, and in order with the letters."""
        self.restart_cursor_blink()
        await run_bindings(self, event)

    def notify_style_update(self) -> None:
        self._line_spans.clear()
        super().notify_style_update()

    # -- text ---------------------------------------------------------------------------------------------------------

    @property
    def value(self) -> str:
        """The whole text, with pasted texts in place of their placeholders."""
        return self._placeholders.expand(self.text)

    @value.setter
    def value(self, value: str) -> None:
        self.load_text(value)

    @property
    def selected_text(self) -> str:
        return self._placeholders.expand(super().selected_text)

    @property
    def model_text_start(self) -> int:
        """Index of the first character that the model will read."""
        return 0

    def load_text(self, text: str) -> None:
        """Replace the text and put the cursor at its end."""
        self._placeholders = PastePlaceholders()
        self._line_spans.clear()
        super().load_text(self._placeholders.shorten(clean_input(text)))
        self.move_cursor(self.document.end)
        self.update_suggestion()

    def edit(self, edit: Edit) -> EditResult:
        """Apply any change to the text: controls are dropped, no cluster is cut, long pastes get a placeholder."""
        last = self.document.end
        start, end = min(edit.top, last), min(edit.bottom, last)  # TextArea deletes beyond the last line, too
        if start != end:
            start, end = self._snap(start, 0), self._snap(end, 1)
        room = MAX_FIELD_CHARS - len(self.text) + len(self.get_text_range(start, end))
        text = self._placeholders.shorten(clean_input(edit.text), max(room, MIN_PASTE_CHARS))
        result = super().edit(Edit(text, start, end, edit.maintain_selection_offset))
        self.scroll_cursor_visible()  # TextArea scrolled while the text still had its old height
        return result

    def update_suggestion(self) -> None:
        """Update the marks: TextArea calls this after each change."""
        self._line_spans.clear()
        self._show_substitutes()

    # -- cursor -------------------------------------------------------------------------------------------------------

    def clamp_visitable(self, location: Location) -> Location:
        return self._snap(super().clamp_visitable(location), 0)

    def get_cursor_right_location(self) -> Location:
        return self._snap(super().get_cursor_right_location(), 1)

    def get_cursor_word_right_location(self) -> Location:
        return self._snap(super().get_cursor_word_right_location(), 1)

    def _snap(self, location: Location, side: int) -> Location:
        """Return the start (`side` 0) or the end (1) of the cluster or placeholder around a location."""
        row, column = location
        line = self.document.get_line(row)
        for span in self._placeholders.spans(line):
            if span[0] < column < span[1]:
                return row, span[side]
        return row, (boundary_before, boundary_after)[side](line, column)

    # -- actions ------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave a key that does nothing here to others."""
        if action in ("cursor_page_up", "cursor_page_down"):
            return self.wrapped_document.height > self.content_size.height
        return action != "redo" or bool(self.history.redo_stack)

    # -- rendering ----------------------------------------------------------------------------------------------------

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return min(super().get_content_height(container, viewport, width), self.MAX_ROWS, max(1, viewport.height // 3))

    def get_line(self, line_index: int) -> Text:
        """Return a line with unknown characters and placeholders marked."""
        line = self.document.get_line(line_index)
        line_start = sum(len(self.document.get_line(row)) + 1 for row in range(line_index))
        model_start = min(max(0, self.model_text_start - line_start), len(line))
        if (line, model_start) not in self._line_spans:  # TextArea asks once for each row of the line
            marks = {"unknown": self._unknown_spans(line, model_start), "pasted": self._placeholders.spans(line)}
            self._line_spans[line, model_start] = [
                Span(start, end, self.get_component_rich_style(f"editor--{mark}", partial=True))
                for mark, spans in marks.items()
                for start, end in spans
            ]
        return _ClusterText(line, end="", no_wrap=True, spans=list(self._line_spans[line, model_start]))

    def _unknown_spans(self, line: str, model_start: int) -> list[tuple[int, int]]:
        unknown = {one for one in set(unicodedata.normalize("NFC", line)) if self._substitute_for(one) is not None}
        if not unknown:
            return []
        return [
            (start, end)
            for start, end, _ in iter_clusters(line, 0, len(line))
            if start >= model_start and not unknown.isdisjoint(unicodedata.normalize("NFC", line[start:end]))
        ]

    def _show_substitutes(self) -> None:
        """Name unknown characters and their substitutes below the text."""
        names: dict[str, list[str]] = {}  # of characters, by substitute
        characters = self._placeholders.distinct_characters(self.text[self.model_text_start :])
        for character in dict.fromkeys(unicodedata.normalize("NFC", characters)):
            if (substitute := self._substitute_for(character)) is not None:
                names.setdefault(substitute, []).append(character_name(character))
        room = self.content_size.width
        sentences = [_substitution_sentence(substitute, names[substitute], room) for substitute in names]
        self.border_subtitle = Content(shorten("; ".join(sentences), room))


def _substitution_sentence(substitute: str, names: Sequence[str], room: int) -> str:
    """Say what the model reads in place of some characters, with as many names as fit into `room` cells."""
    verb = "is" if len(names) == 1 else "are"
    becomes = f"read as {character_name(substitute)}" if substitute else "left out"
    for count in range(min(len(names), _MAX_NAMED_CHARACTERS), 0, -1):
        more = f" and {len(names) - count:,} more" if count < len(names) else ""
        sentence = f"{', '.join(names[:count])}{more} {verb} {becomes}"
        if cell_len(sentence) <= room:
            break
    return sentence
