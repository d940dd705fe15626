"""The conversations that there are, and a search over them.

Owns the search field, the list, and how a row looks. Where conversations are kept, and what opening or deleting one
means, the app knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, Self

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from charlm.tui.graphemes import one_line

SEARCH_DELAY = 0.15  # seconds without a key before a search begins


class Summary(Protocol):
    """What a row says about a conversation."""

    @property
    def number(self) -> int:
        """Its own."""

    @property
    def title(self) -> str:
        """What it is called."""

    @property
    def model(self) -> str:
        """Who it was with."""

    @property
    def turns(self) -> int:
        """How many there are."""

    @property
    def updated(self) -> float:
        """When something last happened; seconds since 1970."""

    @property
    def snippet(self) -> str:
        """Where the search has found something; else empty."""


class _List(OptionList):
    """The rows. Keys for the highlighted one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete", "tell('delete')", "Delete", show=False),
        Binding("r", "tell('rename')", "Rename", show=False),
        Binding("n", "tell('new')", "New", show=False),
        Binding("slash", "tell('search')", "Search", show=False),
    ]

    class Wanted(Message):
        """A key was pressed.

        Attributes:
            what: "delete", "rename", "new" or "search".
            number: of the conversation; None if there is none.
        """

        def __init__(self, what: str, number: int | None) -> None:
            super().__init__()
            self.what = what
            self.number = number

    def action_tell(self, what: str) -> None:
        """Say which key was pressed, and where."""
        option = self.highlighted_option
        self.post_message(self.Wanted(what, None if option is None or option.id is None else int(option.id)))


class ConversationsPanel(Vertical):
    """A search field above a list.

    Args:
        clock: seconds since 1970.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "to_list", "To the list", show=False),
        Binding("ctrl+u", "clear", "Clear", show=False),
    ]

    DEFAULT_CSS = """
    ConversationsPanel {
        width: 34;
        border: round $border-blurred;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
        background: $surface;
        &:focus-within { border: round $border; }
        & Input, & Input:focus { border: none; height: 1; padding: 0 1; background: $panel; margin-bottom: 1; }
        & OptionList {
            height: 1fr;
            border: none;
            padding: 0;
            scrollbar-size-vertical: 1;
            text-wrap: nowrap;
            text-overflow: ellipsis;
            &:focus { border: none; }
            & > .option-list--option { padding: 0; }
        }
    }
    """

    class Searched(Message):
        """A person wants other rows.

        Attributes:
            query: what they should contain; empty for all.
        """

        def __init__(self, query: str) -> None:
            super().__init__()
            self.query = query

    class _About(Message):
        """Something is to be done with a conversation.

        Attributes:
            number: of it.
        """

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class Opened(_About):
        """A person wants to go on with it."""

    class Deleted(_About):
        """A person wants to be rid of it."""

    class Renamed(_About):
        """A person wants to call it something else; ask what."""

    class New(Message):
        """A person wants to begin another."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = "conversations"
        self._clock = clock
        self._timer: Timer | None = None
        self._query = ""
        self._search = Input(placeholder="search", select_on_focus=False)
        self._list = _List(markup=False)

    def compose(self) -> ComposeResult:
        """Field, list."""
        yield self._search
        yield self._list

    @property
    def query_text(self) -> str:
        """What is searched for."""
        return self._search.value.strip()

    def focus(self, scroll_visible: bool = True) -> Self:
        """Go to the list, or if it is empty to the search field."""
        (self._list if self._list.option_count else self._search).focus(scroll_visible)
        return self

    def show(self, summaries: Sequence[Summary], current: int | None) -> None:
        """Show rows.

        Args:
            summaries: of conversations, in the order in which they are shown.
            current: the number of the one that is open, which is marked.
        """
        option = self._list.highlighted_option
        before = int(option.id) if option is not None and option.id is not None else current
        place = self._list.highlighted or 0
        now = self._clock()
        self._list.set_options(Option(_row(one, one.number == current, now), id=str(one.number)) for one in summaries)
        numbers = [one.number for one in summaries]
        if numbers:  # where one was deleted, the next takes its place
            self._list.highlighted = numbers.index(before) if before in numbers else min(place, len(numbers) - 1)
        nothing = "nothing found" if self.query_text else "none yet"
        self.border_subtitle = f"{len(numbers):,} \u00b7 n new \u00b7 r rename \u00b7 del" if numbers else nothing

    # -- searching ----------------------------------------------------------------------------------------------------

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(SEARCH_DELAY, self._tell_search)

    def _tell_search(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        if self.query_text != self._query:
            self._query = self.query_text
            self.post_message(self.Searched(self._query))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self._tell_search()
        self.action_to_list()

    def action_to_list(self) -> None:
        """From the field to the list."""
        self._list.focus()

    def action_clear(self) -> None:
        """Search for nothing."""
        self._search.value = ""

    # -- the list -----------------------------------------------------------------------------------------------------

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option.id is not None:
            self.post_message(self.Opened(int(event.option.id)))

    @on(_List.Wanted)
    def _wanted(self, event: _List.Wanted) -> None:
        event.stop()
        if event.what == "new":
            self.post_message(self.New())
        elif event.what == "search":
            self._search.focus()
        elif event.number is not None:
            kind = self.Deleted if event.what == "delete" else self.Renamed
            self.post_message(kind(event.number))


def _row(summary: Summary, current: bool, now: float) -> Content:
    """Title, then what is known about it, then what was found; each line is cut to the width when it is drawn."""
    turns = f"{summary.turns:,} turn{'s' if summary.turns != 1 else ''}"
    about = f"{_when(summary.updated, now)}  {turns}  {one_line(summary.model)}"
    parts = [Content.styled(("\u25cf " if current else "  ") + (one_line(summary.title) or "untitled"), "bold")]
    parts.append(Content.styled(f"  {about}", "dim"))
    if found := one_line(summary.snippet):
        parts.append(Content.styled(f"  {found}", "$text-accent"))
    return Content("\n").join(parts)


def _when(updated: float, now: float) -> str:
    if now - updated >= 30 * 86_400:
        return time.strftime("%Y-%m-%d", time.localtime(updated))
    return age(now - updated)


def age(seconds: float) -> str:
    """How long ago, in a word or two."""
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return "now"
