"""The turns of a conversation as a tree.

Owns what a turn is and how turns are connected. A turn's text never changes once it is finished, so the tree only
grows. Knows nothing of models.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from charlm.chat.learning import NO_LEARNING, LearnPolicy
from charlm.config import ChatConfig
from charlm.inference.context import Context
from charlm.inference.scoring import Nats

YOU, BOT = "you", "bot"


@dataclass(frozen=True)
class SamplerCheckpoint:
    """The settings from one draw on."""

    draw: int  # ids of the segment that were drawn before
    dials: ChatConfig
    rng: Mapping[str, object]  # state of the random numbers, as NumPy's bit generator has it


@dataclass(frozen=True)
class Segment:
    """A stretch of a turn, and where it came from."""

    text: str
    settings: tuple[SamplerCheckpoint, ...] = ()  # in order; empty if a person wrote the segment
    draws: int = 0  # ids that were drawn, shown or not


def restored_rng(state: Mapping[str, object]) -> np.random.Generator:
    """Return random numbers that go on from a state; raise ValueError if it is not one of PCG64."""
    generator = np.random.PCG64(0)
    try:
        generator.state = state  # type: ignore[assignment]  # NumPy checks it
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError("not a state of PCG64") from error
    return np.random.Generator(generator)


@dataclass(eq=False)
class Turn:
    """One turn: yours or the model's."""

    id: int  # unique in a conversation and never changed, see `ConversationData.attach`; 0 for the root, which is empty
    parent: Turn | None  # the turn before it; None for the root
    author: str  # "you" or "bot"; empty for the root
    name: str  # of the speaker
    segments: tuple[Segment, ...] = ()
    reason: str = ""  # why it ended: "stop", "length", "cancelled", or "typed" by a person; "draft" before that
    children: list[Turn] = field(default_factory=list)  # oldest first
    depth: int = 0  # number of turns up to its end
    characters: int = 0  # of the context up to its end
    created: float = field(default_factory=time.time)  # seconds since 1970
    policy: LearnPolicy = NO_LEARNING
    context: Context | None = None  # after it; None if it must be fetched or read again
    nats: Nats | None = None  # surprisal of each id, (N,), if the model had learned by then
    visited: Turn | None = None  # the child that was visible last

    @property
    def text(self) -> str:
        return "".join([segment.text for segment in self.segments])

    @property
    def siblings(self) -> list[Turn]:
        """The turn and its alternatives, oldest first."""
        return self.parent.children if self.parent is not None else [self]

    @property
    def version(self) -> str:
        """Its number among its alternatives, like "2/3"; empty if it has none, or was withdrawn meanwhile."""
        versions = self.siblings
        return f"{versions.index(self) + 1}/{len(versions)}" if len(versions) > 1 and self in versions else ""

    def __repr__(self) -> str:
        return f"Turn({self.id}, {self.author}, {self.text!r}, {self.reason})"


def upwards(turn: Turn) -> Iterator[Turn]:
    """Yield a turn and those before it, the last first, without the root."""
    while turn.parent is not None:
        yield turn
        turn = turn.parent


def branch(here: Turn, there: Turn) -> list[Turn]:
    """Return the turns from the fork of two paths to `there`, the last first. The cost is the distance of the fork."""
    turns = []
    while here is not there:
        if there.depth >= here.depth:
            turns.append(there)
            assert there.parent is not None
            there = there.parent
        else:
            assert here.parent is not None
            here = here.parent
    return turns


def last_visited(turn: Turn) -> Turn:
    """Return the end of the path that was last visible after a turn."""
    while turn.children:
        turn = turn.visited or turn.children[-1]
    return turn
