"""Which turns the transcript shows.

Owns the correspondence of the conversation's visible path and the transcript's blocks, and changes no more of the
latter than has changed in the former.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from charlm.tui.widgets.document import Block
from charlm.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from charlm.chat.conversation import Conversation
    from charlm.chat.session import Session
    from charlm.chat.turns import Turn


class TranscriptPresenter:
    """The transcript's turns.

    Args:
        transcript: shows them.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._turns: list[Turn] = []
        self._place: dict[int, int] = {}  # of a turn, by its id
        self._labels: list[str] = []
        self._conversation: Conversation | None = None
        self._notes = 0

    @property
    def turns(self) -> Sequence[Turn]:
        """From the first to the last."""
        return self._turns

    def turn(self, key: int) -> Turn | None:
        """The turn that a block shows; None for a note."""
        place = self._place.get(key)
        return None if place is None else self._turns[place]

    def show(self, session: Session) -> None:
        """Show the conversation's path."""
        conversation = session.conversation
        path = conversation.path
        same = 0
        if conversation is self._conversation:
            for old, new in zip(self._turns, path, strict=False):
                if old is not new:
                    break
                same += 1
        else:
            self._conversation = conversation
            self._transcript.document.load([])
            self._turns, self._place, self._labels, self._notes = [], {}, [], 0
        self._cut(same)
        self._relabel(session.label)
        inline = not session.dialogue.has_turns
        if same == 0 and len(path) > 1:
            self._transcript.document.load(
                [Block(one.id, one.author, session.label(one), one.text, inline) for one in path]
            )
            for turn in path:
                self._note(turn, session.label(turn))
            return
        for turn in path[same:]:
            self.begin(turn, turn.text, session)

    def begin(self, turn: Turn, text: str, session: Session) -> None:
        """Show a turn at the end, so far; what stood after the turn before it is no longer visible."""
        self._conversation = session.conversation
        before = turn.parent.id if turn.parent is not None else 0
        self._cut(self._place[before] + 1 if before in self._place else 0)
        label = session.label(turn)
        self._note(turn, label)
        self._transcript.document.begin_block(turn.id, turn.author, label, inline=not session.dialogue.has_turns)
        self._transcript.document.append(text)

    def finish(self, turn: Turn, session: Session) -> None:
        """A turn is complete, and may have become one of several versions."""
        if (place := self._place.get(turn.id)) is not None:
            self._label(place, session.label(turn))

    def note(self, text: str) -> None:
        """Show something that is no part of the conversation."""
        self._notes -= 1
        self._transcript.document.begin_block(self._notes, "note", "")
        self._transcript.document.append(text)

    def _note(self, turn: Turn, label: str) -> None:
        self._place[turn.id] = len(self._turns)
        self._turns.append(turn)
        self._labels.append(label)

    def _cut(self, keep: int) -> None:
        if keep >= len(self._turns):
            return
        self._transcript.document.remove_from(self._turns[keep].id)
        for turn in self._turns[keep:]:
            del self._place[turn.id]
        del self._turns[keep:], self._labels[keep:]

    def _relabel(self, label: Callable[[Turn], str]) -> None:
        for place, turn in enumerate(self._turns):
            self._label(place, label(turn))

    def _label(self, place: int, label: str) -> None:
        if self._labels[place] != label:
            self._labels[place] = label
            self._transcript.document.set_label(self._turns[place].id, label)
