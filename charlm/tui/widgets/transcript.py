"""The transcript: a view of a document in the colours of its authors, with a cursor and a selection."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Offset
from textual.message import Message
from textual.reactive import reactive
from textual.selection import Selection

from charlm.tui.widgets import cursor_motion
from charlm.tui.widgets.document import AUTHORS
from charlm.tui.widgets.document_view import DocumentView
from charlm.tui.widgets.rendering import HEAT_BITS, ColourScale, Palette, RowRenderer


class Transcript(DocumentView, can_focus=True):
    """A view of a conversation."""

    FOCUS_ON_CLICK = False  # after selecting text with the mouse, a person goes on writing in the prompt

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move('row', -1)", "Row above", show=False),
        Binding("down", "move('row', 1)", "Row below", show=False),
        Binding("pageup", "move('page', -1)", "Page up", show=False),
        Binding("pagedown", "move('page', 1)", "Page down", show=False),
        Binding("home", "move('row_edge', -1)", "First of the row, or the beginning", show=False),
        Binding("end", "move('row_edge', 1)", "Last of the row, or the end", show=False),
        Binding("ctrl+home", "move('document_edge', -1)", "The beginning", show=False),
        Binding("ctrl+end", "move('document_edge', 1)", "The end", show=False),
        Binding("left", "move('character', -1)", "Character before", show=False),
        Binding("right", "move('character', 1)", "Next character", show=False),
        Binding("ctrl+left", "move('word', -1)", "Word before", show=False),
        Binding("ctrl+right", "move('word', 1)", "Next word", show=False),
        Binding("shift+tab", "move('block', -1)", "Turn before", show=False),
        Binding("tab", "move('block', 1)", "Next turn"),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"transcript--{author}" for author in AUTHORS),
        *(f"transcript--label-{author}" for author in AUTHORS),
        *(f"transcript--heat-{level}" for level in range(len(HEAT_BITS))),
        "transcript--aside",
        "transcript--cursor",
    }

    # With few colours, the heat levels still differ by their attributes.
    DEFAULT_CSS = """
    Transcript {
        & > .transcript--you { color: $text-success; }
        & > .transcript--bot { color: $foreground; }
        & > .transcript--note { color: $text-muted; }
        & > .transcript--label-you { color: $text-success; text-style: bold; }
        & > .transcript--label-bot { color: $text-primary; text-style: bold; }
        & > .transcript--label-note { color: $text-muted; text-style: bold; }
        & > .transcript--aside { color: $text-muted; }
        & > .transcript--cursor { text-style: reverse; }
        & > .transcript--heat-0 { color: $foreground; text-style: dim; }
        & > .transcript--heat-1 { color: $foreground 75%; }
        & > .transcript--heat-2 { color: $foreground; }
        & > .transcript--heat-3 { color: $text-warning; }
        & > .transcript--heat-4 { color: auto; background: $warning 25%; text-style: underline; }
        & > .transcript--heat-5 { color: auto; background: $warning 50%; text-style: bold underline; }
        & > .transcript--heat-6 { color: auto; background: $error 60%; text-style: bold; }
        & > .transcript--heat-7 { color: auto; background: $error; text-style: bold; }
    }
    """

    heat: reactive[bool] = reactive(False)  # colour characters by their surprise
    unit_scale: reactive[ColourScale | None] = reactive(None)  # colour them by the values of the pinned unit instead

    class CursorMoved(Message):
        """The cursor is on another character."""

    def __init__(self) -> None:
        super().__init__()
        self._cursor: int | None = None  # offset
        self._cursor_column = 0  # cells; the cursor returns to it in longer rows

    # -- watchers and events ------------------------------------------------------------------------------------------

    def watch_heat(self) -> None:
        self.repaint()

    def watch_unit_scale(self) -> None:
        self.repaint()

    def on_resize(self) -> None:
        self.call_next(self._show_cursor)  # after the rows have moved

    def on_click(self, event: events.Click) -> None:
        """Move the cursor if there is one; two clicks select a word, three a block."""
        event.prevent_default()  # Textual would select everything
        _, clicked = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
        document = self.document
        offset = None if clicked is None else cursor_motion.nearest(document, clicked.x)
        if offset is None:
            return
        if event.chain == 1:
            if self._cursor is not None:
                self._go(offset)
        elif event.chain <= 3:
            start, end = (cursor_motion.word_at if event.chain == 2 else cursor_motion.block_at)(document, offset)
            selection = Selection(Offset(start, 0), Offset(end, 0))
            self.screen.selections = {**self.screen.selections, self: selection}

    def selection_updated(self, selection: Selection | None) -> None:
        """Keep the visible part while text is selected."""
        self.repaint()
        self.hold(selection is not None)

    # -- changes of the document --------------------------------------------------------------------------------------

    def text_removed(self, *, reloaded: bool) -> None:
        if self.is_mounted and self in self.screen.selections:
            self.screen.selections = {widget: one for widget, one in self.screen.selections.items() if widget != self}
        super().text_removed(reloaded=reloaded)
        if self._cursor is not None and (reloaded or self._cursor >= len(self.document)):
            last = cursor_motion.nearest(self.document, len(self.document))
            if reloaded or last is None:
                self.stop_cursor()
            else:
                self._go(last)

    def colours_changed(self) -> None:
        if self.heat or self.unit_scale is not None:
            self.repaint()

    # -- cursor -------------------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Key of the block and index in its text of the character under the cursor; None without a cursor."""
        if self._cursor is None:
            return None
        span = self.document.spans[self.document.span_index_at(self._cursor)]
        return span.key, self._cursor - span.start

    def start_cursor(self, key: int) -> None:
        """Take the focus and put a cursor on the first visible character of a block, if there is any text."""
        document = self.document
        span = document.span(key)
        top = document.row_start(self.scroll_offset.y)
        end = document.span_end(document.span_index_at(span.start))
        offset = cursor_motion.nearest(document, top if span.start < top < end else span.start, 1)
        if offset is not None:
            self.hold(True)
            self.focus()
            self._go(offset)
            self.refresh_bindings()

    def stop_cursor(self) -> None:
        if self._cursor is not None:
            self._set_cursor(None)
            self.hold(self.text_selection is not None)
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave keys that only move a cursor to others while there is none."""
        return self._cursor is not None or action != "move" or parameters[0] not in ("character", "word", "block")

    def action_move(self, unit: str, step: int) -> None:
        """Move the cursor, or without one scroll."""
        rows = step * max(1, self.size.height - 1) if unit == "page" else step
        if self._cursor is None:
            if unit in ("row", "page"):
                self.scroll_relative(y=rows, animate=False)
            elif step > 0:
                self.follow()
            else:
                self.scroll_to(y=0, animate=False)
        elif unit in ("row", "page"):
            column = self._cursor_column
            self._go(cursor_motion.by_row(self.document, self._cursor, rows, column))
            self._cursor_column = column
        else:
            self._go(cursor_motion.MOTIONS[unit](self.document, self._cursor, step))

    def _go(self, offset: int) -> None:
        """Put the cursor on a character and show it."""
        if offset == self._cursor:
            return
        self._set_cursor(offset)
        self._cursor_column = cursor_motion.column_at(self.document, offset)
        self._show_cursor()
        self.post_message(self.CursorMoved())

    def _show_cursor(self) -> None:
        if self._cursor is not None:
            self.show_row(self.document.row_at(self._cursor))

    def _set_cursor(self, offset: int | None) -> None:
        before, self._cursor = self._cursor, offset
        self.renderer.cursor = offset
        for y in {self.document.row_at(one) for one in (before, offset) if one is not None}:
            self.repaint_row(y)

    # -- selection ----------------------------------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text, without labels, symbols and row breaks, and what to put after it."""
        return self.document.slice(*self._selected_range(selection)), "\n"

    def _selected_range(self, selection: Selection | None) -> tuple[int, int]:
        """Return start and end offset in whole clusters. See `render_line` for a selection's coordinates."""
        document = self.document
        if selection is None or not len(document):
            return 0, 0
        start = 0 if selection.start is None else cursor_motion.cluster_at(document, selection.start.x)[0]
        end = len(document) if selection.end is None else cursor_motion.cluster_at(document, selection.end.x - 1)[1]
        if start == document.span_end(document.span_index_at(start)):
            start += 1  # leave out the separator before the first block
        return start, max(start, min(end, len(document)))

    # -- rendering ----------------------------------------------------------------------------------------------------

    def heat_legend(self) -> Content:
        levels = [
            (f" {bits:g} ", self.get_visual_style(f"transcript--heat-{level}")) for level, bits in enumerate(HEAT_BITS)
        ]
        return Content.assemble("surprise ", *levels, " bits")

    def make_renderer(self) -> RowRenderer:
        style = self.get_component_rich_style
        palette = Palette(
            base=self.rich_style,
            text={author: style(f"transcript--{author}") for author in AUTHORS},
            label={author: style(f"transcript--label-{author}") for author in AUTHORS},
            aside=style("transcript--aside"),
            heat=[style(f"transcript--heat-{level}") for level in range(len(HEAT_BITS))],
            selection=self.screen.get_component_rich_style("screen--selection"),
            cursor=style("transcript--cursor", partial=True),
        )
        selected = self._selected_range(self.text_selection)
        return RowRenderer(self.document, palette, self.size.width, self.heat, self._cursor, selected, self.unit_scale)
