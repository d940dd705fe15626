"""The result of an operation that draws a reply, and what is called meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from charlm.chat.turns import Turn
from charlm.inference.context import Context
from charlm.inference.generate import Piece
from charlm.inference.scoring import CharScore
from charlm.text.surprise import surprise_html


class Reply(NamedTuple):
    """The result of an operation that draws."""

    turn: Turn  # in the tree; the head as it was if nothing was shown
    text: str  # that was drawn, without the part kept of an older turn
    logprob: float  # of the text that was drawn, by the model; nats
    seconds: float
    reason: str  # see `Turn.reason`
    scores: Callable[[], list[CharScore]] = list  # scores the characters of the turn

    def _repr_html_(self) -> str:
        return surprise_html(self.scores())


class Observer(NamedTuple):
    """Functions that are called while a reply is drawn, in the thread that draws it."""

    on_piece: Callable[[Piece], None] = lambda piece: None  # with each piece as it comes; it may wait, to set a pace
    on_turn: Callable[[Turn], None] = lambda turn: None  # with your turn, then with the model's as it begins


NO_OBSERVER = Observer()


class Journal:
    """Saves what happens in a conversation. This one saves nothing; see `charlm.chat.storage.autosave`.

    No method raises. What cannot be written is written later.
    """

    def begin(self, turn: Turn) -> None:
        """Save a reply that begins, as a draft."""

    def draft(self, turn: Turn) -> None:
        """Save a draft that has grown."""

    def commit(self, turn: Turn | None) -> None:
        """Save a finished turn with its context, or only a move of the head. One transaction."""

    def withdraw(self, turn: Turn) -> None:
        """Delete a draft without shown text."""

    def fetch(self, turn: Turn) -> Context | None:
        """Return the saved context of a finished turn; None if there is none for the model."""
        return None
