"""The transcript of a conversation, with a cursor that shows what else might have been written."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from charlm.tui.notices import report_errors
from charlm.tui.widgets.alternatives import Alternatives
from charlm.tui.widgets.document import Block
from charlm.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from charlm.chat.conversation import Conversation
    from charlm.chat.session import Session
    from charlm.chat.turns import Turn
    from charlm.inference.scoring import CharScore


class LookPane(Vertical):
    """The transcript, and below it the alternatives to the character at the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", tooltip="While you look: to the alternatives"),
        Binding("escape", "end", "Back", tooltip="While you look: leave the text"),
        Binding("e", "edit", "While you look: edit this turn", show=False),
        Binding("b", "branch", "While you look: let the model go on from here", show=False),
        Binding("left_square_bracket", "version(-1)", "While you look: the version before", show=False),
        Binding("right_square_bracket", "version(1)", "While you look: the next version", show=False),
        *(Binding(str(n), f"choose({n})", f"Alternative {n}", show=False) for n in range(1, 10)),
    ]

    DEFAULT_CSS = """
    LookPane {
        height: 1fr;
        & Transcript { height: 1fr; }
        & Alternatives { display: none; }
        &.-looking Alternatives { display: block; }
    }
    """

    @dataclass
    class Edited(Message):
        """The user edits a turn."""

        turn: Turn

    @dataclass
    class Branched(Message):
        """The user keeps the first characters of a turn, and puts a text after them."""

        turn: Turn
        character: int
        text: str

    @dataclass
    class VersionChosen(Message):
        """The user wants the next version of a turn, or the one before."""

        turn: Turn
        step: int

    class Closed(Message):
        """The cursor is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.transcript, self.alternatives = Transcript(), Alternatives()
        self.turns: list[Turn] = []  # a block each, also for one in progress; ids ascend
        self._notes = 0  # their blocks have negative keys
        self._conversation: Conversation | None = None
        self._scores: dict[Turn, list[CharScore]] = {}

    def compose(self) -> ComposeResult:
        yield self.transcript
        yield self.alternatives

    # -- turns as blocks ----------------------------------------------------------------------------------------------

    def show_turns(self, session: Session) -> None:
        """Show the visible turns; blocks that are there already stay."""
        if session.conversation is not self._conversation:
            self._conversation = session.conversation
            self._notes, self.turns = 0, []
            self.transcript.document.load([])
        self._scores.clear()
        path = session.conversation.path
        same = sum(1 for _ in takewhile(lambda pair: pair[0] is pair[1], zip(self.turns, path, strict=False)))
        self._truncate(same)
        for turn in self.turns:
            self.update_label(turn, session)
        if same == 0 and len(path) > 1:
            inline = not session.dialogue.has_turns
            blocks = [Block(one.id, one.author, session.label(one), one.text, inline) for one in path]
            self.transcript.document.load(blocks)
            self.turns = path
        else:
            for turn in path[same:]:
                self.begin_turn(turn, turn.text, session)
        if not path and not self._notes:
            self.add_note(session.introduction)

    def begin_turn(self, turn: Turn, text: str, session: Session) -> None:
        """Show a turn after its parent, with the text that it has so far."""
        self._truncate(turn.depth - 1)
        self.turns.append(turn)
        inline = not session.dialogue.has_turns
        self.transcript.document.begin_block(turn.id, turn.author, session.label(turn), inline)
        self.transcript.document.append(text)

    def update_label(self, turn: Turn, session: Session) -> None:
        """Show how many versions a turn has, and whether it was stopped."""
        if session.dialogue.has_turns:
            self.transcript.document.set_label(turn.id, session.label(turn))

    def add_note(self, text: str) -> None:
        """Show a text that is not part of the conversation."""
        self._notes -= 1
        self.transcript.document.begin_block(self._notes, "note", "")
        self.transcript.document.append(text)
        self.transcript.follow()

    def _truncate(self, keep: int) -> None:
        if keep < len(self.turns):
            self.transcript.document.remove_from(self.turns[keep].id)
            del self.turns[keep:]

    # -- the cursor ---------------------------------------------------------------------------------------------------

    @property
    def looking(self) -> bool:
        return self.transcript.cursor is not None

    @property
    def at_cursor(self) -> tuple[Turn, int] | None:
        """The turn and the character at the cursor; None without a cursor, and in a note."""
        key, character = self.transcript.cursor or (0, 0)
        place = bisect_left(self.turns, key, key=attrgetter("id"))
        if place < len(self.turns) and self.turns[place].id == key:
            return self.turns[place], character
        return None

    def toggle(self) -> None:
        """Start a cursor in the last turn, or end looking."""
        if self.looking or not self.turns:
            self.action_end()
        else:
            self.transcript.start_cursor(self.turns[-1].id)

    def action_end(self) -> None:
        self.transcript.stop_cursor()
        self.set_class(False, "-looking")
        self.post_message(self.Closed())

    @on(Transcript.CursorMoved)
    async def _show_alternatives(self) -> None:
        conversation, place = self._conversation, self.at_cursor
        if place is None or conversation is None or conversation.busy:
            return
        turn, character = place
        with report_errors(self):
            if turn not in self._scores:
                self._scores[turn] = await asyncio.to_thread(conversation.contexts.score_chars, turn)
            scores = self._scores[turn]
            if self.looking and character < len(scores):
                self.alternatives.show(*scores[character], offered=turn.author == "bot")
                self.set_class(True, "-looking")

    def action_open(self) -> None:
        if self.alternatives.display:
            self.alternatives.focus()

    # -- keys ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the keys to others without a cursor."""
        return self.looking or action not in ("open", "end", "edit", "branch", "version", "choose")

    @on(Alternatives.Chosen)
    def _branch_with(self, event: Alternatives.Chosen) -> None:
        self.action_branch(event.text)

    def action_branch(self, text: str = "") -> None:
        if (place := self.at_cursor) is not None:
            self.post_message(self.Branched(*place, text))

    def action_choose(self, number: int) -> None:
        if self.alternatives.display:
            self.alternatives.choose(number)

    def action_edit(self) -> None:
        if (place := self.at_cursor) is not None:
            self.action_end()
            self.post_message(self.Edited(place[0]))

    def action_version(self, step: int) -> None:
        if (place := self.at_cursor) is not None:
            self.action_end()
            self.post_message(self.VersionChosen(place[0], step))

    @property
    def legend(self) -> str | Content:
        """The scale of the colours in use."""
        transcript = self.transcript
        if transcript.unit_scale is not None:
            return transcript.unit_scale.legend
        return transcript.heat_legend() if transcript.heat else ""
