"""The transcript: everything that was said, streaming at thousands of characters a second.

Owns the blocks' look, the colours of surprise, a cursor over the text, and what the mouse selects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Offset
from textual.message import Message
from textual.reactive import reactive
from textual.selection import Selection

from charlm.tui.widgets import cursor_motion
from charlm.tui.widgets.document import Block
from charlm.tui.widgets.document_view import DocumentView
from charlm.tui.widgets.rendering import HEAT, ColourScale, Painter, Palette, heat_scale

__all__ = ["Block", "Transcript"]

AUTHORS: Final = ("you", "bot", "note")


class Transcript(DocumentView, can_focus=True):
    """A view of a conversation.

    Attributes:
        heat: whether characters are coloured by their surprise.
        tint: how they are coloured by what a unit of the model did, instead; None if they are not.
    """

    FOCUS_ON_CLICK = False  # who clicks to select some text is going on to write, not here

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move('row', -1)", "Row above", show=False),
        Binding("down", "move('row', 1)", "Row below", show=False),
        Binding("pageup", "move('page', -1)", "Page up", show=False),
        Binding("pagedown", "move('page', 1)", "Page down", show=False),
        Binding("home", "move('edge', -1)", "First of the row, or the beginning", show=False),
        Binding("end", "move('edge', 1)", "Last of the row, or the end", show=False),
        Binding("ctrl+home", "move('whole', -1)", "The beginning", show=False),
        Binding("ctrl+end", "move('whole', 1)", "The end", show=False),
        Binding("left", "move('character', -1)", "Character before", show=False),
        Binding("right", "move('character', 1)", "Next character", show=False),
        Binding("ctrl+left", "move('word', -1)", "Word before", show=False),
        Binding("ctrl+right", "move('word', 1)", "Next word", show=False),
        Binding("shift+tab", "move('block', -1)", "Turn before", show=False),
        Binding("tab", "move('block', 1)", "Next turn"),
        Binding("enter", "open", "Open"),
        Binding("escape", "leave", "Back"),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"transcript--{author}" for author in AUTHORS),
        *(f"transcript--label-{author}" for author in AUTHORS),
        *(f"transcript--heat-{level}" for level in range(len(HEAT))),
        "transcript--aside",
        "transcript--cursor",
    }

    # Where there are few colours, the steps of the scale still differ by their attributes.
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

    heat: reactive[bool] = reactive(False)
    tint: reactive[ColourScale | None] = reactive(None)

    class CursorMoved(Message):
        """The cursor stands on another character.

        Attributes:
            key: of the block.
            character: its place in the block's text.
        """

        def __init__(self, key: int, character: int) -> None:
            super().__init__()
            self.key, self.character = key, character

    class Opened(Message):
        """Enter was pressed on the character under the cursor.

        Attributes:
            key: of the block.
            character: its place in the block's text.
        """

        def __init__(self, key: int, character: int) -> None:
            super().__init__()
            self.key, self.character = key, character

    class Left(Message):
        """Escape was pressed: the cursor is gone, and the focus should go elsewhere."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(name=name, id=id, classes=classes)
        self._cursor: int | None = None
        self._column = 0  # where the cursor goes in the next row, in cells

    # -- watchers and events ------------------------------------------------------------------------------------------

    def watch_heat(self) -> None:
        """Paint everything anew."""
        self.repaint()

    def watch_tint(self) -> None:
        """Paint everything anew."""
        self.repaint()

    def folded(self) -> None:
        """The cursor is still to be seen."""
        if self._cursor is not None:
            self.show_row(self.document.row_at(self._cursor))

    def selection_updated(self, selection: Selection | None) -> None:
        """Hold still while text is selected."""
        self.repaint()
        self.hold(selection is not None)

    async def _on_click(self, event: events.Click) -> None:
        """A click moves the cursor if there is one; two select a word, three a block."""
        event.prevent_default()  # or Textual would select everything
        _, offset = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
        place = None if offset is None else cursor_motion.settle(self.document, offset.x)
        if place is None:
            return
        if event.chain == 1 and self._cursor is not None:
            self._go(place)
        elif event.chain > 1 and event.chain <= 3:
            start, end = cursor_motion.around(self.document, place, whole=event.chain == 3)
            selection = Selection(Offset(start, 0), Offset(end, 0))
            self.screen.selections = {**self.screen.selections, self: selection}

    # -- blocks -------------------------------------------------------------------------------------------------------

    def begin(self, key: int, author: str, label: str, inline: bool = False) -> None:
        """A new block at the end.

        Args:
            key: its number; no two blocks share one.
            author: "you", "bot" or "note".
            label: stands over it; what follows two spaces is drawn quietly.
            inline: its text goes on where the last block's text ended, and there is no label.
        """
        rows = self.document.rows
        self.document.begin(key, author, label, inline)
        self.changed(rows, 0)

    def append(self, text: str, surprises: Sequence[float] = ()) -> None:
        """Add to the last block.

        Args:
            text: to be added.
            surprises: of its characters, in bits; may be empty.
        """
        if text:
            self.changed(self.document.append(text, surprises), len(text))

    def label(self, key: int, label: str) -> None:
        """Another label for a block."""
        with self.staying():
            self.document.label(key, label)

    def rekey(self, old: int, new: int) -> None:
        """Another key for a block."""
        self.document.rekey(old, new)

    def set_surprises(self, key: int, surprises: Sequence[float]) -> None:
        """The surprises of a block's characters, in bits."""
        self.document.set_surprises(key, surprises)
        if self.heat:
            self.repaint()

    def set_tints(self, key: int, first: int, tints: Sequence[float]) -> None:
        """What the unit did at a block's characters, from a place in it on."""
        if key in self.document:
            self.document.set_tints(key, first, tints)
            self.repaint()

    def load(self, blocks: Sequence[Block]) -> None:
        """Show these blocks instead of what there is, and stand at the end."""
        self.stop_cursor()
        self.document.load(blocks)
        self._removed()
        self.follow()

    def remove_from(self, key: int) -> None:
        """Take away a block and all after it."""
        self.document.truncate(key)
        self._removed()

    def clear(self) -> None:
        """Take away everything, and follow the end again."""
        self.load([])

    def _removed(self) -> None:
        """Some text has gone, and with it what was selected and perhaps the cursor."""
        if self.is_mounted and self in self.screen.selections:
            self.screen.selections = {one: what for one, what in self.screen.selections.items() if one is not self}
        self.replaced()
        if self._cursor is not None and self._cursor >= len(self.document):
            place = cursor_motion.settle(self.document, len(self.document))
            if place is None:
                self.stop_cursor()
            else:
                self._go(place)

    # -- the cursor ---------------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> tuple[int, int] | None:
        """The key of the block and the character in its text that the cursor stands on; None without a cursor."""
        if self._cursor is None:
            return None
        span = self.document.spans[self.document.index_at(self._cursor)]
        return span.key, self._cursor - span.start

    def start_cursor(self, key: int | None = None) -> None:
        """Take the focus and move a cursor over the text.

        It begins at the first character that is seen of a block. Nothing happens if there is no text.

        Args:
            key: of the block; None is the last reply, or if there is none the last block.
        """
        document = self.document
        if not document.spans:
            return
        if key is None:
            replies = [span for span in document.spans if span.author == "bot"]
            key = (replies or document.spans)[-1].key
        span = document.span(key)
        seen = document.start_of_row(min(self.scroll_offset.y, document.rows - 1))
        end = document.end(document.index_at(span.start))
        place = cursor_motion.settle(document, seen if span.start < seen < end else span.start, 1)
        if place is None:
            return
        self.hold(True)
        self.focus()
        self._go(place)
        self.refresh_bindings()

    def stop_cursor(self) -> None:
        """Take the cursor away."""
        if self._cursor is not None:
            self._put_cursor(None)
            self.hold(self.text_selection is not None)
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a cursor, keys that only move one are left to others."""
        if action in ("open", "leave") or (action == "move" and parameters[0] in ("character", "word", "block")):
            return self._cursor is not None
        return True

    def action_move(self, unit: str, step: int) -> None:
        """Move the cursor, or without one scroll."""
        page = max(1, self.size.height - 1)
        document, place = self.document, self._cursor
        if place is None:
            if unit in ("row", "page"):
                self.scroll_relative(y=step * (page if unit == "page" else 1), animate=False)
            elif step > 0:
                self.follow()
            else:
                self.scroll_to(y=0, animate=False)
        elif unit in ("row", "page"):
            column = self._column
            self._go(cursor_motion.by_row(document, place, step * (page if unit == "page" else 1), column))
            self._column = column
        elif unit == "whole":
            self._go(cursor_motion.settle(document, len(document) if step > 0 else 0))
        else:
            move = {
                "character": cursor_motion.by_character,
                "word": cursor_motion.by_word,
                "block": cursor_motion.by_block,
                "edge": cursor_motion.to_edge,
            }[unit]
            self._go(move(document, place, step))

    def action_open(self) -> None:
        """Say that Enter was pressed on the character under the cursor."""
        if (cursor := self.cursor) is not None:
            self.post_message(self.Opened(*cursor))

    def action_leave(self) -> None:
        """Take the cursor away and say so."""
        self.stop_cursor()
        self.post_message(self.Left())

    def _go(self, place: int | None) -> None:
        """Put the cursor somewhere, bring it into view and say so."""
        if place is None or place == self._cursor:
            return
        self._put_cursor(place)
        self._column = cursor_motion.column(self.document, place)
        self.show_row(self.document.row_at(place))
        cursor = self.cursor
        assert cursor is not None
        self.post_message(self.CursorMoved(*cursor))

    def _put_cursor(self, place: int | None) -> None:
        before, self._cursor = self._cursor, place
        painter = self._paints()
        painter.cursor = place
        self.repaint(*(self.document.row_at(one) for one in (before, place) if one is not None))

    # -- selecting ----------------------------------------------------------------------------------------------------

    @property
    def selected_text(self) -> str:
        """What the mouse has selected, as it was written: no labels, no symbols, no folds."""
        return self.document.slice(*self._selected(self.text_selection))

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text of a selection, and what to put after it. See `render_line` for what its offsets mean."""
        return self.document.slice(*self._selected(selection)), "\n"

    def _selected(self, selection: Selection | None) -> tuple[int, int]:
        """From where to where, in whole clusters."""
        document = self.document
        if selection is None or not len(document):
            return 0, 0
        start = 0 if selection.start is None else cursor_motion.cluster(document, selection.start.x)[0]
        end = len(document) if selection.end is None else cursor_motion.cluster(document, selection.end.x - 1)[1]
        if start == document.end(document.index_at(start)):
            start += 1  # begun at the end of a block or above one: what separates them does not count
        return start, max(start, min(end, len(document)))

    # -- rendering ----------------------------------------------------------------------------------------------------

    def heat_legend(self) -> Content:
        """The scale of surprise in its colours."""
        return heat_scale(lambda level: self.get_visual_style(f"transcript--heat-{level}"))

    def make_painter(self) -> Painter:
        """With the theme's colours, and what is selected now."""
        selected = self._selected(self.text_selection)
        return Painter(self.document, self._palette(), self.size.width, self.heat, self._cursor, selected, self.tint)

    def _palette(self) -> Palette:
        style = self.get_component_rich_style
        return Palette(
            base=self.rich_style,
            text={author: style(f"transcript--{author}") for author in AUTHORS},
            label={author: style(f"transcript--label-{author}") for author in AUTHORS},
            aside=style("transcript--aside"),
            heat=[style(f"transcript--heat-{level}") for level in range(len(HEAT))],
            selection=self.screen.get_component_rich_style("screen--selection"),
            cursor=style("transcript--cursor", partial=True),
        )
