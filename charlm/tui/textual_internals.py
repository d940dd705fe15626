"""Uses of what Textual keeps private: `pyproject.toml` pins Textual below its next minor release.

Everything else in `charlm.tui` uses Textual's public names, apart from `charlm.tui.driver`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Final

from textual import events, on
from textual._widget_navigation import Direction
from textual.app import App, ComposeResult
from textual.notifications import Notification, Notify
from textual.screen import Screen, ScreenResultType
from textual.widget import Widget
from textual.widgets import Footer, OptionList, TextArea
from textual.widgets.text_area import DocumentNavigator, Location, WrappedDocument
from textual.worker import WorkerFailed

from charlm.tui.graphemes import UNLIMITED, lay_out
from charlm.tui.widgets.wrapping import MIN_WIDTH_CELLS, wrap

MIN_TOAST_SECONDS: Final = 0.1


class LateNotification(Notification):
    """A notification that always has time left: Textual starts a timer of that time, and a negative one never ends."""

    @property
    def time_left(self) -> float:
        return max(MIN_TOAST_SECONDS, super().time_left)

    @property
    def has_expired(self) -> bool:
        return super().time_left <= 0


class ReportingApp(App[int]):
    """An app that ends without a traceback after an unhandled error, and keeps the error."""

    @property
    def crash(self) -> BaseException | None:
        return self._exception.error if isinstance(self._exception, WorkerFailed) else self._exception

    def _fatal_error(self) -> None:
        self._close_messages_no_wait()

    def _on_notify(self, event: Notify) -> None:
        """Runs before Textual's own, which shows the notification."""
        event.notification = LateNotification(**vars(event.notification))

    async def on_event(self, event: events.Event) -> None:
        try:
            await super().on_event(event)
        except AttributeError:
            if not isinstance(event, events.MouseDown):  # Textual fails at one on a widget that was just removed
                raise


class SteadyScreen(Screen[ScreenResultType]):
    """A screen that ignores a size that the terminal no longer has.

    Textual's screen sends each new size to itself once more. Two sizes in its queue would follow each other forever.
    """

    @on(events.Resize)
    def _drop_old_size(self, event: events.Resize) -> None:
        if event.size != self.app.size:
            event.prevent_default()


class KeyBar(Footer):
    """A footer that forgets removed keys. Textual's keeps each of them until `compact` changes."""

    def compose(self) -> ComposeResult:
        self.mutate_reactive(Footer.compact)
        yield from super().compose()


class TolerantList(OptionList):
    """An option list that ignores page keys until it is laid out, and clicks on an option that is gone."""

    @on(events.Click)
    def _drop_late_click(self, event: events.Click) -> None:
        if event.style.meta.get("option", -1) >= self.option_count:
            event.prevent_default()

    def _move_page(self, direction: Direction) -> None:
        with suppress(KeyError):
            super()._move_page(direction)


def forgotten(work: Callable[[], None]) -> Callable[[], None]:
    """Return a function for a worker that calls `work` once, and forgets it.

    Each of Textual's threads keeps its last worker, and so everything that the worker's function refers to.
    """
    waiting = [work]
    return lambda: waiting.pop()()


async def run_bindings(widget: Widget, event: events.Key) -> None:
    """Run the widget's own bindings for a key now, in the order of typing.

    Textual hands a key to the focused widget and only later, by way of the app, to the bindings. Keys that arrive
    faster than they are handled change places there: a letter overtakes the Enter before it. A widget that takes both
    letters and bound keys calls this in `on_key`. Keys without a binding go on as usual.
    """
    for binding in widget._bindings.key_to_bindings.get(event.key, ()):
        if await widget.app.run_action(binding.action, widget):
            event.stop()
            event.prevent_default()
            return


class ClusterTextArea(TextArea):
    """A text area that wraps its text as the transcript does, by grapheme clusters."""

    def restart_cursor_blink(self) -> None:
        self._restart_blink()

    def _recompute_cursor_offset(self) -> None:
        with suppress(ValueError):  # an undone edit leaves the cursor behind the end for a moment
            super()._recompute_cursor_offset()  # type: ignore[no-untyped-call]

    def _set_document(self, text: str, language: str | None) -> None:
        super()._set_document(text, language)
        self.wrapped_document = ClusterWrappedDocument(self.document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self._rewrap_and_refresh_virtual_size()


class ClusterWrappedDocument(WrappedDocument):
    """A document wrapped by `wrapping.wrap`, with columns found by grapheme cluster.

    Textual cuts long words at code points, which splits a family of emoji, and takes a Japanese sentence for one word.
    This class fills the lookup tables of `WrappedDocument`. Every edit wraps all lines again; the editor keeps its
    text short.
    """

    def wrap(self, width: int, tab_width: int | None = None) -> None:
        """Wrap every line; a width of 0 turns wrapping off."""
        self._width = width
        self._tab_width = tab_width or self._tab_width
        self._wrap_offsets = []
        self._tab_width_cache = []
        self._offset_to_line_info = []
        self._line_index_to_offsets = []
        for index, line in enumerate(self.document.lines):
            breaks = wrap(line, max(width, MIN_WIDTH_CELLS))[1:] if width else []
            top = len(self._offset_to_line_info)
            self._wrap_offsets.append(breaks)
            self._line_index_to_offsets.append(list(range(top, top + len(breaks) + 1)))
            self._offset_to_line_info.extend((index, section) for section in range(len(breaks) + 1))
            rows = self.get_sections(index) if "\t" in line else []
            self._tab_width_cache.append(
                [cell.cells for row in rows for cell in lay_out(row, width) if row[cell.start] == "\t"]
            )

    def wrap_range(self, start: Location, old_end: Location, new_end: Location) -> None:
        """Wrap again after an edit."""
        self.wrap(self._width)

    def get_sections(self, line_index: int) -> list[str]:
        """Return the rows of a line."""
        line = self.document[line_index]
        breaks = [0, *self._wrap_offsets[line_index], len(line)]
        return [line[start:end] for start, end in pairwise(breaks)]

    def get_target_document_column(self, line_index: int, x_offset: int, y_offset: int) -> int:
        """Return the index in a line of the character at cell `x_offset` of the line's row `y_offset`."""
        sections = self.get_sections(line_index)
        y_offset %= len(sections)
        section_start = sum(map(len, sections[:y_offset]))
        clusters = lay_out(sections[y_offset], self._width or UNLIMITED)
        for cluster in clusters:
            if cluster.column + cluster.cells > x_offset:
                return section_start + cluster.start
        # The index after a row's last character is on the next row: only the last row may have the cursor there.
        is_last = y_offset == len(sections) - 1
        return section_start + (len(sections[y_offset]) if is_last or not clusters else clusters[-1].start)
