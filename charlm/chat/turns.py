"""The turns of a conversation as a tree.

Owns what a turn is and how turns hang together. A turn's text never changes once it is finished, so the tree only
grows. Knows nothing of models.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from charlm.chat.adaptive_reader import NO_LESSON, LearnPolicy
from charlm.chat.reply_sampler import Segment, Snapshot

YOU, BOT = "you", "bot"


@dataclass(eq=False)
class Turn:
    """One turn: yours or the model's.

    Attributes:
        id: unique in a conversation and never changed, see `ConversationData.attach`; 0 for the root, which is empty.
        parent: the turn before it; None for the root.
        author: "you" or "bot"; empty for the root.
        name: of the speaker.
        passages: what it says, and where each part came from.
        reason: why it ended: "stop", "length" or "cancelled"; "typed" for what a person wrote, "draft" while it is
            under way or if it was cut off by a crash.
        children: what followed it, in the order in which it came about.
        depth: number of turns up to its end.
        characters: number of characters of the context up to its end.
        created: seconds since 1970.
        lesson: what is learned with it.
        snapshot: what the model remembers after it; None if that must be fetched or read again.
        nats: how surprising each id of it was, (N,), if the model had learned something and that is known.
    """

    id: int
    parent: Turn | None
    author: str
    name: str
    passages: tuple[Segment, ...] = ()
    reason: str = ""
    children: list[Turn] = field(default_factory=list)
    depth: int = 0
    characters: int = 0
    created: float = field(default_factory=time.time)
    lesson: LearnPolicy = NO_LESSON
    snapshot: Snapshot | None = field(default=None, repr=False)
    nats: NDArray[np.float64] | None = field(default=None, repr=False)
    visited: Turn | None = field(default=None, repr=False)  # the child that was visible last

    @property
    def text(self) -> str:
        """What it says."""
        return "".join([passage.text for passage in self.passages])

    @property
    def siblings(self) -> list[Turn]:
        """It and what else followed the turn before it."""
        return self.parent.children if self.parent is not None else [self]

    def __repr__(self) -> str:
        return f"Turn({self.id}, {self.author}, {self.text!r}, {self.reason})"


def upwards(turn: Turn) -> Iterator[Turn]:
    """A turn and those before it, without the root, the last first."""
    while turn.parent is not None:
        yield turn
        turn = turn.parent


def branch(here: Turn, there: Turn) -> list[Turn]:
    """The turns up to one of two from where their paths part, the last first. It takes as long as that is far away."""
    mine, theirs = {here}, {there}
    left, right = here, there
    while left not in theirs and right not in mine:
        left, right = left.parent or left, right.parent or right
        mine.add(left)
        theirs.add(right)
    parting = left if left in theirs else right
    turns = []
    while there is not parting:
        turns.append(there)
        assert there.parent is not None
        there = there.parent
    return turns


def last_visited(turn: Turn) -> Turn:
    """The turn at the end of what was last visible after it."""
    while turn.children:
        turn = turn.visited or turn.children[-1]
    return turn
