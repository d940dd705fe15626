"""A scroll view over a `TranscriptText` that follows its end, or leaves a reader alone who scrolled up.

It does not use Textual's `anchor`, which does not engage again while text streams in (textual issue 6677). Only visible
rows are rendered, each once until it changes, so thousands of characters a second may arrive.
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

from charlm.tui.widgets.document import DocumentObserver, TranscriptText
from charlm.tui.widgets.rendering import MARGIN_LEFT, MARGIN_RIGHT, RowRenderer

END_SLACK_ROWS: Final = 2  # scrolling down to here follows the end: a wheel turn, while the end moves on


class DocumentView(ScrollView, DocumentObserver):
    """A view of `document`. Change the document, and the view follows. It has neither border nor padding."""

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

    unseen: reactive[int] = reactive(0, repaint=False)  # characters that have arrived below the visible part

    def __init__(self) -> None:
        super().__init__()
        self.document = TranscriptText(observer=self)
        self.following = True  # the view follows the end
        self._held = False  # ... but not now: the visible part stays
        self._self_scrolling = False  # the reader did not cause the present scrolling
        self._anchor = (0, 0)  # offset of the text at the top, and number of rows above its row
        self._drawn_thumb = (0, 0, False)  # of the scroll bar
        self._renderer: RowRenderer | None = None

    # -- watchers and events ------------------------------------------------------------------------------------------

    def watch_unseen(self, before: int, now: int) -> None:
        if bool(before) != bool(now):
            self.refresh(Region(0, self.size.height - 1, self.size.width, 1))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Stop following the end when the reader scrolls up, and follow it again from when it is reached."""
        if round(old_value) != round(new_value):
            self.refresh(self.size.region)
        self._move_thumb()
        if self._self_scrolling:
            return
        self._set_anchor()
        if new_value >= self.max_scroll_y - (END_SLACK_ROWS if new_value > old_value else 0):
            self.follow()
        elif new_value < old_value:
            self.following = False

    def on_resize(self) -> None:
        width = self.scrollable_content_region.width
        if not width:
            return
        if self.document.width != width - MARGIN_LEFT - MARGIN_RIGHT:
            self.document.rewrap(width - MARGIN_LEFT - MARGIN_RIGHT)
        else:
            self.rows_moved()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.repaint()

    # -- changes of the document --------------------------------------------------------------------------------------

    def text_appended(self, first_row: int, char_count: int) -> None:
        if self._renderer is not None:
            self._renderer.discard_from(first_row)
        if not self.is_mounted:
            return
        top, height = self.scroll_offset.y, self.size.height
        if first_row < top + height:
            self.refresh(Region(0, max(0, first_row - top), self.size.width, height))
        self._update_virtual_size()
        if self.following and not self._held:
            self._show_end()
        elif self.scroll_offset.y < self.max_scroll_y:
            self.unseen += char_count
        self._move_thumb()

    def text_removed(self, *, reloaded: bool) -> None:
        self.repaint()
        if self.is_mounted:
            self._update_virtual_size()
            self._set_anchor()
            self._move_thumb()
        if reloaded or self.scroll_offset.y >= self.max_scroll_y or (self.following and not self._held):
            self.follow()

    def rows_moved(self) -> None:
        """Keep the end at the end, or the same text at the top."""
        self.repaint()
        if not self.is_mounted:
            return
        self._update_virtual_size()
        if self.following and not self._held:
            self._show_end()
        else:
            offset, rows_above = self._anchor
            self._scroll_to_row(self.document.row_at(offset) - rows_above)
        self._move_thumb()

    # -- scrolling ----------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.following, self._held = True, False
        self._show_end()

    def hold(self, held: bool) -> None:
        """Keep the visible part although the end is followed, or no longer."""
        self._held = held
        if self.following and not held:
            self._show_end()
        self._set_anchor()

    def _show_end(self) -> None:
        if self.is_mounted:
            self._scroll_to_row(self.max_scroll_y)
        self.unseen = 0

    def show_row(self, y: int) -> None:
        """Scroll no more than is needed to show a row of text; upwards, show its label too."""
        top, height = self.scroll_offset.y, self.size.height
        first = y
        while first > 0 and not self.document.is_text_row(first - 1):
            first -= 1
        if not top <= y < top + height:
            self._scroll_to_row(max(y - height + 1, min(first, top)))
            self._set_anchor()

    def _scroll_to_row(self, y: int) -> None:
        with self._scrolling_itself():
            self.scroll_to(y=y, animate=False, force=True)

    @contextmanager
    def _scrolling_itself(self) -> Iterator[None]:
        before, self._self_scrolling = self._self_scrolling, True
        try:
            yield
        finally:
            self._self_scrolling = before

    def _set_anchor(self) -> None:
        """Note the text at the top, which stays there when rows move."""
        top = self.scroll_offset.y
        if top < self.document.row_count:
            offset = self.document.row_start(top)
            self._anchor = offset, self.document.row_at(offset) - top

    def _update_virtual_size(self) -> None:
        """Set the number of rows without the layout of the whole screen that Textual would do for it."""
        size = Size(self.scrollable_content_region.width, self.document.row_count)
        if size != self.virtual_size:
            self.set_reactive(DocumentView.virtual_size, size)
            with self._scrolling_itself():
                self.scroll_y = min(self.scroll_y, self.max_scroll_y)

    def _move_thumb(self) -> None:
        """Update the scroll bar only if it looks different: to paint it costs as much as to paint the text."""
        height, rows = self.size.height, self.virtual_size.height
        size = max(1.0, height * height / max(1, rows))
        top = (height - size) * self.scroll_y / max(1, rows - height)
        thumb = int(8 * top), int(8 * size), rows > height  # drawn in eighths of a cell
        if thumb != self._drawn_thumb:
            self._drawn_thumb = thumb
            self.vertical_scrollbar.window_virtual_size = rows
            self.vertical_scrollbar.position = self.scroll_y

    # -- rendering ----------------------------------------------------------------------------------------------------

    def make_renderer(self) -> RowRenderer:
        """Return a renderer with the present colours; it is used until the next `repaint`."""
        raise NotImplementedError

    @property
    def renderer(self) -> RowRenderer:
        if self._renderer is None:
            self._renderer = self.make_renderer()
        return self._renderer

    def repaint(self) -> None:
        """Render every row again."""
        self._renderer = None
        self.refresh()

    def repaint_row(self, y: int) -> None:
        self.renderer.discard(y)
        self.refresh_line(y)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Render visible rows.

        Textual would make a new strip of each line, with borders and padding, at every frame. Here an unchanged row
        keeps its strip, and with it all that Textual computes for a strip.
        """
        renderer = self.renderer
        strips = [renderer.strip(self.scroll_offset.y + y) for y in crop.line_range]
        last = self.size.height - 1 - crop.y
        if self.unseen and 0 <= last < len(strips):
            strips[last] = self._mark_unseen(strips[last])
        _, background = self.background_colors
        for line_filter in self.get_line_filters():
            strips = [strip.apply_filter(line_filter, background) for strip in strips]
        return [strip.crop(*crop.column_span) for strip in strips]

    def render_line(self, y: int) -> Strip:
        """Return blank cells, each with its document offset: Textual asks for this strip to locate the mouse.

        The offset is the x of a coordinate, as if all text were one endless line. So a selection stays on its text when
        rows move, and copying it is a slice.
        """
        offsets = self.renderer.offsets(self.scroll_offset.y + y)
        return Strip([Segment(" ", Style.from_meta({"offset": (offset, 0)})) for offset in offsets], len(offsets))

    def _mark_unseen(self, strip: Strip) -> Strip:
        """Put an arrow down into the last column."""
        column = self.scrollable_content_region.width - 1
        mark = Segment("\u2193", self.get_component_rich_style("document-view--unseen"))
        return Strip([*strip.crop(0, column), mark, *strip.crop(column + 1)], strip.cell_length)
