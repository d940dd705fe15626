"""The transcript: everything that was said, streaming at thousands of characters a second.

A widget around a `Document`: it scrolls, keeps the reader's place or follows the end, and moves a cursor over the text.
Only rows that are seen are painted, each once until it changes.

It does not use Textual's own `anchor`, which cannot be engaged again while text streams in (textual issue 6677).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from charlm.tui.widgets import moving
from charlm.tui.widgets.document import Block, Document
from charlm.tui.widgets.painting import HEAT, LEFT, RIGHT, Painter, Palette, heat_scale

__all__ = ["Block", "Transcript"]

AUTHORS: Final = ("you", "bot", "note")
SLACK: Final = 2  # rows from the end at which scrolling down ends there: a turn of the wheel, while the end moves on
MAX_STRIPS: Final = 400  # painted rows that are kept; each is some forty objects


class Transcript(ScrollView, can_focus=True):
    """A view of a conversation.

    Attributes:
        heat: whether characters are coloured by their surprise.
        unseen: characters that have arrived below what is seen.
    """

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
        "transcript--unseen",
    }

    # Where there are few colours, the steps of the scale still differ by their attributes.
    DEFAULT_CSS = """
    Transcript {
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        background: $background;
        color: $foreground;
        & > .transcript--you { color: $text-success; }
        & > .transcript--bot { color: $foreground; }
        & > .transcript--note { color: $text-muted; }
        & > .transcript--label-you { color: $text-success; text-style: bold; }
        & > .transcript--label-bot { color: $text-primary; text-style: bold; }
        & > .transcript--label-note { color: $text-muted; text-style: bold; }
        & > .transcript--aside { color: $text-muted; }
        & > .transcript--cursor { text-style: reverse; }
        & > .transcript--unseen { color: $text-accent; text-style: bold; }
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
    unseen: reactive[int] = reactive(0, repaint=False)

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
        self._document = Document()
        self._painter: Painter | None = None
        self._strips: dict[int, Strip] = {}
        self._following = True
        self._held = False  # what is seen stays, although it follows: something is selected, or there is a cursor
        self._moving = False  # the widget scrolls by itself
        self._thumb = (0, 0, False)  # of the scroll bar, as it is drawn
        self._top: tuple[int, int] | None = None  # the place at the top, and how many rows above its row
        self._cursor: int | None = None
        self._column = 0  # where the cursor goes in the next row, in cells

    # -- watchers and events ------------------------------------------------------------------------------------------

    def watch_heat(self) -> None:
        """Paint everything anew."""
        self._forget_paint()

    def watch_unseen(self, before: int, now: int) -> None:
        """Show or hide the mark."""
        if bool(before) != bool(now):
            self.refresh(Region(0, self.size.height - 1, self.size.width, 1))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow the end from when it is reached until the reader scrolls up."""
        if round(old_value) != round(new_value):
            self.refresh(self.size.region)
        self._move_thumb()
        if self._moving:
            return
        self._top = None
        if new_value >= self.max_scroll_y - (SLACK if new_value > old_value else 0):
            self.follow()
        elif new_value < old_value:
            self._following = False

    def on_resize(self) -> None:
        """Fold the text anew, keeping the end or what is at the top where it is."""
        width = self.scrollable_content_region.width
        if width:
            with self._staying():
                if self._document.width != width - LEFT - RIGHT:
                    self._document.wrap(width - LEFT - RIGHT)

    def notify_style_update(self) -> None:
        """The theme has changed, or something else in the style sheets."""
        super().notify_style_update()
        self._forget_paint()

    def selection_updated(self, selection: Selection | None) -> None:
        """Hold still while text is selected."""
        self._forget_paint()
        self._hold(selection is not None)

    async def _on_click(self, event: events.Click) -> None:
        """A click moves the cursor if there is one; two select a word, three a block."""
        event.prevent_default()  # or Textual would select everything
        _, offset = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
        place = moving.settle(self._document, offset.x) if offset else None
        if place is None:
            return
        if event.chain == 1 and self._cursor is not None:
            self._go(place)
        elif event.chain > 1 and event.chain <= 3:
            start, end = moving.around(self._document, place, whole=event.chain == 3)
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
        rows = self._document.rows
        self._document.begin(key, author, label, inline)
        self._changed(rows, 0)

    def append(self, text: str, surprises: Sequence[float] = ()) -> None:
        """Add to the last block.

        Args:
            text: to be added.
            surprises: of its characters, in bits; may be empty.
        """
        if text:
            self._changed(self._document.append(text, surprises), len(text))

    def label(self, key: int, label: str) -> None:
        """Another label for a block."""
        with self._staying():
            self._document.label(key, label)

    def rekey(self, old: int, new: int) -> None:
        """Another key for a block."""
        self._document.rekey(old, new)

    def set_surprises(self, key: int, surprises: Sequence[float]) -> None:
        """The surprises of a block's characters, in bits."""
        self._document.set_surprises(key, surprises)
        if self.heat:
            self._forget_paint()

    def load(self, blocks: Sequence[Block]) -> None:
        """Show these blocks instead of what there is, and stand at the end."""
        self._document.load(blocks)
        self._replaced()
        self.follow()

    def remove_from(self, key: int) -> None:
        """Take away a block and all after it."""
        self._document.truncate(key)
        self._replaced()

    def clear(self) -> None:
        """Take away everything, and follow the end again."""
        self.load([])

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def at_end(self) -> bool:
        """Whether it follows the end."""
        return self._following

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._following, self._held, self._top = True, False, None
        self._show_end()

    def _show_end(self) -> None:
        if self.is_mounted:
            with self._by_itself():
                self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
        self.unseen = 0

    def _hold(self, held: bool) -> None:
        self._held = held
        if self._following and not held:
            self._show_end()

    @contextmanager
    def _by_itself(self) -> Iterator[None]:
        before, self._moving = self._moving, True
        try:
            yield
        finally:
            self._moving = before

    @contextmanager
    def _staying(self) -> Iterator[None]:
        """The same text stays at the top, or the end at the end, while rows move."""
        document = self._document
        if self._top is None and 0 <= self.scroll_offset.y < document.rows:
            place = document.start_of_row(self.scroll_offset.y)
            self._top = place, document.row_at(place) - self.scroll_offset.y
        yield
        self._forget_paint()
        if not self.is_mounted:
            return
        with self._by_itself():
            self._set_rows()
            if self._following and not self._held:
                self._show_end()
            elif self._top is not None:
                place, above = self._top
                self.scroll_to(y=document.row_at(place) - above, animate=False, force=True)
        self._move_thumb()

    # -- the cursor ---------------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> tuple[int, int] | None:
        """The key of the block and the character in its text that the cursor stands on; None without a cursor."""
        if self._cursor is None:
            return None
        span = self._document.spans[self._document.index_at(self._cursor)]
        return span.key, self._cursor - span.start

    def start_cursor(self, key: int | None = None) -> None:
        """Take the focus and move a cursor over the text.

        It begins at the first character that is seen of a block. Nothing happens if there is no text.

        Args:
            key: of the block; None is the last reply, or if there is none the last block.
        """
        document = self._document
        if not document.spans:
            return
        if key is None:
            replies = [span for span in document.spans if span.author == "bot"]
            key = (replies or document.spans)[-1].key
        span = document.span(key)
        seen = document.start_of_row(min(self.scroll_offset.y, document.rows - 1))
        end = document.end(document.index_at(span.start))
        place = moving.settle(document, seen if span.start < seen < end else span.start, 1)
        if place is None:
            return
        self._held = True
        self.focus()
        self._go(place)
        self.refresh_bindings()

    def stop_cursor(self) -> None:
        """Take the cursor away."""
        if self._cursor is not None:
            self._put_cursor(None)
            self._hold(self.text_selection is not None)
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a cursor, keys that only move one are left to others."""
        if action in ("open", "leave") or (action == "move" and parameters[0] in ("character", "word", "block")):
            return self._cursor is not None
        return True

    def action_move(self, unit: str, step: int) -> None:
        """Move the cursor, or without one scroll."""
        page = max(1, self.size.height - 1)
        document, place = self._document, self._cursor
        if place is None:
            if unit in ("row", "page"):
                self.scroll_relative(y=step * (page if unit == "page" else 1), animate=False)
            elif step > 0:
                self.follow()
            else:
                self.scroll_to(y=0, animate=False)
        elif unit in ("row", "page"):
            column = self._column
            self._go(moving.by_row(document, place, step * (page if unit == "page" else 1), column))
            self._column = column
        elif unit == "whole":
            self._go(moving.settle(document, len(document) if step > 0 else 0))
        else:
            move = {
                "character": moving.by_character,
                "word": moving.by_word,
                "block": moving.by_block,
                "edge": moving.to_edge,
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
        self._column = moving.column(self._document, place)
        first = last = self._document.row_at(place)
        while first > 0 and not self._document.is_text(first - 1):
            first -= 1  # its label should be seen too
        top, height = self.scroll_offset.y, self.size.height
        if not top <= last < top + height:
            with self._by_itself():
                self.scroll_to(y=max(last - height + 1, min(first, top)), animate=False, force=True)
        cursor = self.cursor
        assert cursor is not None
        self.post_message(self.CursorMoved(*cursor))

    def _put_cursor(self, place: int | None) -> None:
        for one in (self._cursor, place):
            if one is not None:
                y = self._document.row_at(one)
                self._strips.pop(y, None)
                self.refresh_line(y)
        self._cursor = place

    # -- selecting ----------------------------------------------------------------------------------------------------

    @property
    def selected_text(self) -> str:
        """What the mouse has selected, as it was written: no labels, no symbols, no folds."""
        return self._document.slice(*self._selected(self.text_selection))

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text of a selection, and what to put after it. See `render_line` for what its offsets mean."""
        return self._document.slice(*self._selected(selection)), "\n"

    def _selected(self, selection: Selection | None) -> tuple[int, int]:
        """From where to where, in whole clusters."""
        document = self._document
        if selection is None or not len(document):
            return 0, 0
        start = 0 if selection.start is None else moving.cluster(document, selection.start.x)[0]
        end = len(document) if selection.end is None else moving.cluster(document, selection.end.x - 1)[1]
        if start == document.end(document.index_at(start)):
            start += 1  # begun at the end of a block or above one: what separates them does not count
        return start, max(start, min(end, len(document)))

    # -- rendering ----------------------------------------------------------------------------------------------------

    def heat_legend(self) -> Content:
        """The scale of surprise in its colours."""
        return heat_scale(lambda level: self.get_visual_style(f"transcript--heat-{level}"))

    def render_lines(self, crop: Region) -> list[Strip]:
        """What is seen.

        Textual would make a new strip of each line, with borders and padding, at every frame. Here the same row is the
        same strip as long as it does not change, and all that Textual works out for a strip is kept with it. So a
        transcript has neither border nor padding; a container may.
        """
        top = self.scroll_offset.y
        strips = [self._strip(top + y) for y in crop.line_range]
        if self.unseen and crop.y <= self.size.height - 1 < crop.bottom:
            strips[self.size.height - 1 - crop.y] = self._marked(strips[self.size.height - 1 - crop.y])
        _, background = self.background_colors
        for one in self.get_line_filters():
            strips = [strip.apply_filter(one, background) for strip in strips]
        return [strip.crop(*crop.column_span) for strip in strips]

    def render_line(self, y: int) -> Strip:
        """What the mouse finds on a line: blank cells, each with its place in the document.

        That is what Textual asks this for. A place is put down as an offset whose x it is, as if all text stood on one
        endless line: so a selection stays on its text when rows are folded anew, and cutting it out is a slice.
        """
        places = self._paints().places(self.scroll_offset.y + y)
        return Strip([Segment(" ", Style.from_meta({"offset": (place, 0)})) for place in places], len(places))

    def _marked(self, strip: Strip) -> Strip:
        """The last line, while there is more below."""
        column = self.scrollable_content_region.width - 1
        mark = Segment("\u2193", self.get_component_rich_style("transcript--unseen"))
        return Strip([*strip.crop(0, column), mark, *strip.crop(column + 1)], strip.cell_length)

    def _strip(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            if len(self._strips) >= MAX_STRIPS:
                near = range(y - self.size.height, y + self.size.height)
                self._strips = {one: kept for one, kept in self._strips.items() if one in near}
            strip = self._strips[y] = self._paints().paint(y)
        return strip

    def _paints(self) -> Painter:
        if self._painter is None:
            self._painter = Painter(self._document, self._palette(), self.size.width)
            self._painter.heat = self.heat
            self._painter.selection = self._selected(self.text_selection)
        self._painter.cursor = self._cursor
        return self._painter

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

    def _forget_paint(self) -> None:
        self._painter = None
        self._strips.clear()
        self.refresh()

    def _changed(self, row: int, characters: int) -> None:
        """The document has changed from a row on: so many characters have been added."""
        for y in [y for y in self._strips if y >= row]:
            del self._strips[y]
        if not self.is_mounted:
            return
        top, height = self.scroll_offset.y, self.size.height
        if row < top + height:
            self.refresh(Region(0, max(0, row - top), self.size.width, height))
        with self._by_itself():
            self._set_rows()
        if self._following and not self._held:
            self._show_end()
        elif self.scroll_offset.y < self.max_scroll_y:
            self.unseen += characters
        self._move_thumb()

    def _replaced(self) -> None:
        """Some of the document, or all of it, is another one."""
        self._top = None
        if not self.is_mounted:
            self._strips.clear()
            return
        if self in self.screen.selections:
            self.screen.selections = {one: what for one, what in self.screen.selections.items() if one is not self}
        if self._cursor is not None and self._cursor >= len(self._document):
            place = moving.settle(self._document, len(self._document))
            if place is None:
                self.stop_cursor()
            else:
                self._go(place)
        self._forget_paint()
        with self._by_itself():
            self._set_rows()
        if self.scroll_offset.y >= self.max_scroll_y or (self._following and not self._held):
            self.follow()
        self._move_thumb()

    def _set_rows(self) -> None:
        """Say how many rows there are, without the new layout of the whole screen that Textual would make for it."""
        size = Size(self.scrollable_content_region.width, self._document.rows)
        if size != self.virtual_size:
            self.set_reactive(Transcript.virtual_size, size)
            self.scroll_y = min(self.scroll_y, self.max_scroll_y)

    def _move_thumb(self) -> None:
        """Tell the scroll bar where it stands, if it looks different there: it costs as much to paint as the text."""
        height, rows = self.size.height, self.virtual_size.height
        size = max(1.0, height * height / max(1, rows))
        top = (height - size) * self.scroll_y / max(1, rows - height)
        thumb = int(8 * top), int(8 * size), rows > height  # it is drawn in eighths of a cell
        if thumb != self._thumb:
            self._thumb = thumb
            self.vertical_scrollbar.window_virtual_size = rows
            self.vertical_scrollbar.position = self.scroll_y
