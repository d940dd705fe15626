"""The list of stored conversations, with a search field.

Owns the field, the list and how a row looks. Posts messages; reads and changes no conversations itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

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
from charlm.tui.messages import CommandChosen
from charlm.tui.textual_internals import TolerantList

if TYPE_CHECKING:
    from charlm.chat.storage.listing import ConversationSummary

SEARCH_DELAY_SECONDS = 0.15  # after the last key


class ConversationsPanel(Vertical):
    """A search field above a list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus('conversation-list')", "To the list", show=False),
        Binding("ctrl+u", "clear", "Clear", show=False),
        # In the list; the field takes them as letters.
        Binding("delete", "delete", "Delete", show=False),
        Binding("r", "rename", "Rename", show=False),
        Binding("n", "new", "New", show=False),
        Binding("slash", "app.focus('conversation-search')", "Search", show=False),
    ]

    DEFAULT_CSS = """
    ConversationsPanel {
        & Input, & Input:focus {
            dock: top;
            border: none;
            height: 1;
            padding: 0 1;
            background: $panel;
            margin-bottom: 1;
        }
        & OptionList {
            height: 1fr;
            scrollbar-size-vertical: 1;
            text-wrap: nowrap;
            text-overflow: ellipsis;
        }
    }
    """

    BORDER_TITLE = "conversations"

    @dataclass
    class Searched(Message):
        """The user searches for a text; an empty one finds all conversations."""

        query: str

    @dataclass
    class Renamed(Message):
        """The user wants to rename a conversation."""

        number: int

    def __init__(self, *, clock: Callable[[], float] = time.time, search_delay: float = SEARCH_DELAY_SECONDS) -> None:
        super().__init__(id="conversations")
        self._clock = clock
        self._search_delay = search_delay
        self._timer: Timer | None = None
        self._query = ""
        self._search = Input(placeholder="search", select_on_focus=False, id="conversation-search")
        self._list = TolerantList(markup=False, compact=True, id="conversation-list")

    def compose(self) -> ComposeResult:
        yield self._list  # first, so that Tab goes to it before the field, which is docked above
        yield self._search

    def focus(self, scroll_visible: bool = True) -> Self:
        """Focus the list, or the search field if the list is empty."""
        (self._list if self._list.option_count else self._search).focus(scroll_visible)
        return self

    def show(self, summaries: Sequence[ConversationSummary], current: int | None) -> None:
        """Show conversations in the given order, and mark the current one."""
        highlighted = current if self._number is None else self._number
        place, now = self._list.highlighted or 0, self._clock()
        self._list.set_options(Option(_row(one, one.number == current, now), id=str(one.number)) for one in summaries)
        numbers = [one.number for one in summaries]
        if numbers:  # after a deletion, the next one
            place = numbers.index(highlighted) if highlighted in numbers else min(place, len(numbers) - 1)
            self._list.highlighted = place
        empty = "nothing found" if self._search.value.strip() else "none yet"
        self.border_subtitle = f"{len(numbers):,} \u00b7 n new \u00b7 r rename \u00b7 del" if numbers else empty

    # -- searching ----------------------------------------------------------------------------------------------------

    @on(Input.Changed)
    def _start_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(self._search_delay, self._post_search)

    def _post_search(self) -> None:
        query = self._search.value.strip()
        if query != self._query:
            self._query = query
            self.post_message(self.Searched(query))

    @on(Input.Submitted)
    def _search_now(self) -> None:
        self._post_search()
        self._list.focus()

    def action_clear(self) -> None:
        self._search.value = ""

    # -- the list -----------------------------------------------------------------------------------------------------

    @on(OptionList.OptionSelected)
    def _open(self) -> None:
        if self._number is not None:
            self.post_message(CommandChosen(f"/open {self._number}"))

    @property
    def _number(self) -> int | None:
        """The highlighted conversation."""
        option = self._list.highlighted_option
        return None if option is None or option.id is None else int(option.id)

    def action_delete(self) -> None:
        if self._number is not None:
            self.post_message(CommandChosen(f"/delete {self._number}"))

    def action_rename(self) -> None:
        if self._number is not None:
            self.post_message(self.Renamed(self._number))

    def action_new(self) -> None:
        self.post_message(CommandChosen("/new"))


def _row(summary: ConversationSummary, current: bool, now: float) -> Content:
    """Title, details, and the text that was found. The list cuts each line to its width."""
    from charlm.settings import plural  # only here: the first frame needs no settings

    details = f"{age(summary.updated, now)}  {plural(summary.turns, 'turn')}  {one_line(summary.model)}"
    parts = [Content.styled(("\u25cf " if current else "  ") + (one_line(summary.title) or "untitled"), "bold")]
    parts.append(Content.styled(f"  {details}", "dim"))
    if found := one_line(summary.snippet):
        parts.append(Content.styled(f"  {found}", "$text-accent"))
    return Content("\n").join(parts)


def age(updated: float, now: float) -> str:
    """Return how long ago a conversation was changed, or the date if that is a month or more."""
    seconds = now - updated
    if seconds >= 30 * 86_400:
        return time.strftime("%Y-%m-%d", time.localtime(updated))
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return "now"
