"""The turns of the conversation as blocks of the transcript.

Changes no more blocks than turns have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from charlm.tui.widgets.document import Block
from charlm.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from charlm.chat.conversation import Conversation
    from charlm.chat.session import Session
    from charlm.chat.turns import Turn


class TranscriptPresenter:
    """Shows a conversation's visible path in a transcript."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self._turns: list[Turn] = []
        self._places: dict[int, int] = {}  # in the list, by the turn's id
        self._conversation: Conversation | None = None
        self._notes = 0

    @property
    def turns(self) -> Sequence[Turn]:
        """The shown turns, also one in progress."""
        return self._turns

    def turn(self, key: int) -> Turn | None:
        """Return the turn that a block shows; None for a note."""
        place = self._places.get(key)
        return None if place is None else self._turns[place]

    def show(self, session: Session) -> None:
        """Show the conversation's path."""
        if session.conversation is not self._conversation:
            self._conversation = session.conversation
            self.transcript.document.load([])
            self._turns, self._places, self._notes = [], {}, 0
        path = session.conversation.path
        pairs = enumerate(zip(self._turns, path, strict=False))
        same = next((place for place, (old, new) in pairs if old is not new), min(len(self._turns), len(path)))
        self._truncate(same)
        for turn in self._turns:
            self.update_label(turn, session)
        inline = not session.dialogue.has_turns
        if same == 0 and len(path) > 1:
            self.transcript.document.load(
                [Block(one.id, one.author, session.label(one), one.text, inline) for one in path]
            )
            for turn in path:
                self._add(turn)
        else:
            for turn in path[same:]:
                self.begin(turn, turn.text, session)

    def begin(self, turn: Turn, text: str, session: Session) -> None:
        """Show a turn after its parent, with the text that it has so far."""
        self._conversation = session.conversation
        place = self._places.get(turn.parent.id) if turn.parent is not None else None
        self._truncate(0 if place is None else place + 1)
        self._add(turn)
        inline = not session.dialogue.has_turns
        self.transcript.document.begin_block(turn.id, turn.author, session.label(turn), inline=inline)
        self.transcript.document.append(text)

    def update_label(self, turn: Turn, session: Session) -> None:
        """Show how many versions a turn has, and whether it was stopped."""
        if turn.id in self._places and session.dialogue.has_turns:
            self.transcript.document.set_label(turn.id, session.label(turn))

    def note(self, text: str) -> None:
        """Show a text that is not part of the conversation."""
        self._notes -= 1
        self.transcript.document.begin_block(self._notes, "note", "")
        self.transcript.document.append(text)

    def _add(self, turn: Turn) -> None:
        self._places[turn.id] = len(self._turns)
        self._turns.append(turn)

    def _truncate(self, keep: int) -> None:
        if keep < len(self._turns):
            self.transcript.document.remove_from(self._turns[keep].id)
            for turn in self._turns[keep:]:
                del self._places[turn.id]
            del self._turns[keep:]
