"""A view of a document that follows its end, or leaves the reader where they are.

Owns scrolling and the strips that have been painted: only rows that are seen are painted, each once until it changes.
Knows nothing of cursors, and of what is selected only that the view then holds still.

It does not use Textual's own `anchor`, which cannot be engaged again while text streams in (textual issue 6677).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from charlm.tui.widgets.document import Document
from charlm.tui.widgets.rendering import LEFT, RIGHT, Painter

SLACK: Final = 2  # rows from the end at which scrolling down ends there: a turn of the wheel, while the end moves on
MAX_STRIPS: Final = 400  # painted rows that are kept; each is some forty objects


class DocumentView(ScrollView):
    """A view of a document. It has neither border nor padding, see `render_lines`; a container may.

    Attributes:
        document: what is seen. Whoever changes it says so, with `changed`, `replaced` or `staying`.
        unseen: characters that have arrived below what is seen.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"document-view--unseen"}

    DEFAULT_CSS = """
    DocumentView {
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        background: $background;
        color: $foreground;
        & > .document-view--unseen { color: $text-accent; text-style: bold; }
    }
    """

    unseen: reactive[int] = reactive(0, repaint=False)

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(name=name, id=id, classes=classes)
        self.document = Document()
        self._painter: Painter | None = None
        self._strips: dict[int, Strip] = {}
        self._following = True
        self._held = False  # what is seen stays, although the end is followed
        self._moving = False  # it scrolls by itself, not by the reader
        self._top: tuple[int, int] | None = None  # the place at the top, and how many rows above its row
        self._thumb = (0, 0, False)  # of the scroll bar, as it is drawn

    # -- watchers and events ------------------------------------------------------------------------------------------

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
            with self.staying():
                if self.document.width != width - LEFT - RIGHT:
                    self.document.wrap(width - LEFT - RIGHT)
            self.folded()

    def folded(self) -> None:
        """The text has been folded anew, for another size: something may have to be shown."""

    def notify_style_update(self) -> None:
        """The theme has changed, or something else in the style sheets."""
        super().notify_style_update()
        self.repaint()

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def at_end(self) -> bool:
        """Whether it follows the end."""
        return self._following

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._following, self._held, self._top = True, False, None
        self._show_end()

    def hold(self, held: bool) -> None:
        """Leave what is seen where it is even if the end is followed, or no longer."""
        self._held = held
        if self._following and not held:
            self._show_end()

    def show_row(self, y: int) -> None:
        """Scroll no more than is needed to see a row of text; upwards, its label is to be seen too."""
        top, height = self.scroll_offset.y, self.size.height
        first = y
        while first > 0 and not self.document.is_text(first - 1):
            first -= 1
        if not top <= y < top + height:
            self._scroll_by_itself(max(y - height + 1, min(first, top)))

    def _show_end(self) -> None:
        if self.is_mounted:
            self._scroll_by_itself(self.max_scroll_y)
        self.unseen = 0

    def _scroll_by_itself(self, y: int) -> None:
        with self._by_itself():
            self.scroll_to(y=y, animate=False, force=True)

    @contextmanager
    def _by_itself(self) -> Iterator[None]:
        before, self._moving = self._moving, True
        try:
            yield
        finally:
            self._moving = before

    # -- what has happened to the document ----------------------------------------------------------------------------

    def changed(self, row: int, characters: int) -> None:
        """It is another one from a row on, and longer by so many characters."""
        for y in [y for y in self._strips if y >= row]:
            del self._strips[y]
        if not self.is_mounted:
            return
        top, height = self.scroll_offset.y, self.size.height
        if row < top + height:
            self.refresh(Region(0, max(0, row - top), self.size.width, height))
        self._set_rows()
        if self._following and not self._held:
            self._show_end()
        elif self.scroll_offset.y < self.max_scroll_y:
            self.unseen += characters
        self._move_thumb()

    def replaced(self) -> None:
        """Some of it, or all, has gone or is another one."""
        self._top = None
        self.repaint()
        if not self.is_mounted:
            return
        self._set_rows()
        if self.scroll_offset.y >= self.max_scroll_y or (self._following and not self._held):
            self.follow()
        self._move_thumb()

    @contextmanager
    def staying(self) -> Iterator[None]:
        """The same text stays at the top, or the end at the end, while rows move."""
        document = self.document
        if self._top is None and 0 <= self.scroll_offset.y < document.rows:
            place = document.start_of_row(self.scroll_offset.y)
            self._top = place, document.row_at(place) - self.scroll_offset.y
        yield
        self.repaint()
        if not self.is_mounted:
            return
        self._set_rows()
        if self._following and not self._held:
            self._show_end()
        elif self._top is not None:
            place, above = self._top
            self._scroll_by_itself(document.row_at(place) - above)
        self._move_thumb()

    def _set_rows(self) -> None:
        """Say how many rows there are, without the new layout of the whole screen that Textual would make for it."""
        size = Size(self.scrollable_content_region.width, self.document.rows)
        if size != self.virtual_size:
            self.set_reactive(DocumentView.virtual_size, size)
            with self._by_itself():
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

    # -- rendering ----------------------------------------------------------------------------------------------------

    def make_painter(self) -> Painter:
        """What paints rows, until the next `repaint`. Every kind of view has its own."""
        raise NotImplementedError

    def repaint(self, *rows: int) -> None:
        """Paint rows anew, or everything."""
        for y in rows:
            self._strips.pop(y, None)
            self.refresh_line(y)
        if not rows:
            self._painter = None
            self._strips.clear()
            self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """What is seen.

        Textual would make a new strip of each line, with borders and padding, at every frame. Here the same row is the
        same strip as long as it does not change, and all that Textual works out for a strip is kept with it.
        """
        strips = [self._strip(self.scroll_offset.y + y) for y in crop.line_range]
        last = self.size.height - 1 - crop.y
        if self.unseen and 0 <= last < len(strips):
            strips[last] = self._marked(strips[last])
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
            self._painter = self.make_painter()
        return self._painter

    def _marked(self, strip: Strip) -> Strip:
        """The last line, while there is more below."""
        column = self.scrollable_content_region.width - 1
        mark = Segment("\u2193", self.get_component_rich_style("document-view--unseen"))
        return Strip([*strip.crop(0, column), mark, *strip.crop(column + 1)], strip.cell_length)
