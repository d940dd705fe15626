"""Looking: a cursor over the transcript, and the alternatives to the character at the cursor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from charlm.tui.notices import report_errors
from charlm.tui.transcript_presenter import TranscriptPresenter
from charlm.tui.widgets.alternatives import Alternatives
from charlm.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from charlm.chat.context_cache import CharScore
    from charlm.chat.conversation import Conversation
    from charlm.chat.turns import Turn


class LookPane(Vertical):
    """The transcript above the alternatives, which are shown with the cursor only."""

    BINDINGS: ClassVar[list[BindingType]] = [
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

    class Edited(Message):
        """The user wants to edit a turn."""

        def __init__(self, turn: Turn) -> None:
            super().__init__()
            self.turn = turn

    class Branched(Message):
        """The user keeps the first characters of a turn, and then another text."""

        def __init__(self, turn: Turn, character: int, text: str) -> None:
            super().__init__()
            self.turn, self.character, self.text = turn, character, text

    class VersionChosen(Message):
        """The user wants the next version of a turn, or the one before."""

        def __init__(self, turn: Turn, step: int) -> None:
            super().__init__()
            self.turn, self.step = turn, step

    class Left(Message):
        """The cursor is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.transcript, self.alternatives = Transcript(), Alternatives()
        self.view = TranscriptPresenter(self.transcript)
        self._conversation: Conversation | None = None
        self._scores: dict[Turn, list[CharScore]] = {}

    def compose(self) -> ComposeResult:
        yield self.transcript
        yield self.alternatives

    # -- the cursor ---------------------------------------------------------------------------------------------------

    @property
    def place(self) -> tuple[Turn, int] | None:
        """The turn and the character at the cursor; without a cursor, the end of the last turn."""
        if not self.view.turns:
            return None
        key, character = self.transcript.cursor or (0, 0)
        if (turn := self.view.turn(key)) is not None:
            return turn, character
        return self.view.turns[-1], len(self.view.turns[-1].text)

    @property
    def looking(self) -> bool:
        """Whether there is a cursor."""
        return self.transcript.cursor is not None

    def set_conversation(self, conversation: Conversation) -> None:
        """Look at this conversation from now on; forget earlier scores."""
        self._conversation = conversation
        self._scores.clear()

    def toggle(self) -> None:
        """Start a cursor in the last turn, or end looking."""
        if self.looking or not self.view.turns:
            self.end()
        else:
            self.transcript.start_cursor(self.view.turns[-1].id)
            self.transcript.focus()

    @on(Transcript.Left)
    def end(self) -> None:
        self.transcript.stop_cursor()
        self.set_class(False, "-looking")
        self.post_message(self.Left())

    @on(Transcript.CursorMoved)
    async def _show_alternatives(self, event: Transcript.CursorMoved) -> None:
        turn, conversation = self.view.turn(event.key), self._conversation
        if turn is None or conversation is None or conversation.busy:
            return
        with report_errors(self):
            if turn not in self._scores:
                self._scores[turn] = await asyncio.to_thread(conversation.consider, turn)
            scores = self._scores[turn]
            if event.character < len(scores) and self.looking:
                self.alternatives.show(*scores[event.character], offered=turn.author == "bot")
                self.set_class(True, "-looking")

    @on(Transcript.Opened)
    def _focus_alternatives(self) -> None:
        if self.alternatives.display:
            self.alternatives.focus()

    # -- keys ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the keys to others without a cursor."""
        return self.looking or action not in ("edit", "branch", "version", "choose")

    @on(Alternatives.Chosen)
    def _branch_to(self, event: Alternatives.Chosen) -> None:
        self._branch(event.text)

    def action_branch(self) -> None:
        self._branch("")

    def _branch(self, text: str) -> None:
        if self.looking and (place := self.place) is not None:
            self.post_message(self.Branched(*place, text))

    def action_choose(self, number: int) -> None:
        if self.alternatives.display:
            self.alternatives.choose(number)

    def action_edit(self) -> None:
        if (place := self.place) is not None:
            self.end()
            self.post_message(self.Edited(place[0]))

    def action_version(self, step: int) -> None:
        if (place := self.place) is not None:
            self.end()
            self.post_message(self.VersionChosen(place[0], step))

    # -- colours ------------------------------------------------------------------------------------------------------

    @property
    def legend(self) -> str | Content:
        """The scale of the colours in use."""
        transcript = self.transcript
        if transcript.unit_scale is not None:
            return transcript.unit_scale.legend
        return transcript.heat_legend() if transcript.heat else ""
