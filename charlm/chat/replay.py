"""Playing a conversation again, to see whether it comes out the same.

Owns the comparison. What a person typed is read, what the model drew is drawn again: from the same memory, with the
dials turned at the same characters, out of the same random numbers, and stopped after the same number of draws. Memory
is that of the replay from the first character on, so a difference anywhere shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

from charlm.chat.conversation import Conversation
from charlm.chat.reply_sampler import RecordedControls, ReplySampler, Segment, Snapshot
from charlm.chat.turns import Turn
from charlm.errors import CheckpointError


@dataclass(frozen=True)
class Difference:
    """The first character that came out otherwise.

    Attributes:
        turn: in which.
        number: of the turn among the visible ones, from 1.
        position: of the character in the turn, from 0.
        expected: what was said; empty if the reply had ended.
        got: what is drawn now; empty if the reply ends now.
    """

    turn: Turn
    number: int
    position: int
    expected: str
    got: str


@dataclass(frozen=True)
class Replayed:
    """What a replay has found.

    Attributes:
        turns: that were played, those before a difference and the one with it.
        characters: that were drawn again and compared.
        difference: the first; None if everything came out the same.
        snapshot: what the model remembers after the last turn that was played.
    """

    turns: int
    characters: int
    difference: Difference | None
    snapshot: Snapshot


def replay(conversation: Conversation, on_turn: Callable[[Turn], None] | None = None) -> Replayed:
    """Play the visible turns of a conversation again. The conversation stays as it is.

    Args:
        conversation: with the model that spoke.
        on_turn: told each turn before it is played.

    Raises:
        CheckpointError: the record of a turn is damaged.
    """
    snapshot = conversation.snapshot(conversation.root)
    characters = 0
    path = conversation.path
    for number, turn in enumerate(path, 1):
        if on_turn is not None:
            on_turn(turn)
        snapshot = conversation.reader.begin(snapshot, conversation.lead(turn), turn.lesson)
        played: tuple[Segment, ...] = ()
        for passage in turn.passages:
            if not passage.settings:
                closing = conversation.dialogue.closing
                snapshot = conversation.reader.read(snapshot, passage.text, turn.lesson, closing).snapshot
            else:
                start = sum(len(one.text) for one in played)
                drawing = _draw(conversation, turn, played, passage, snapshot)
                assert drawing.snapshot is not None
                snapshot = drawing.snapshot
                same = _same(passage.text, drawing.text)
                characters += same
                if drawing.text != passage.text:
                    expected, got = passage.text[same : same + 1], drawing.text[same : same + 1]
                    difference = Difference(turn, number, start + same, expected, got)
                    return Replayed(number, characters, difference, snapshot)
            played = (*played, passage)
    return Replayed(len(path), characters, None, snapshot)


def _draw(
    conversation: Conversation, turn: Turn, before: tuple[Segment, ...], passage: Segment, start: Snapshot
) -> ReplySampler:
    """Draw a passage as it was drawn, after those before it in its turn."""
    try:
        hand = RecordedControls(passage)
        grown = Turn(turn.id, turn.parent, turn.author, turn.name, before)
        drawing = conversation.drawing(grown, start, hand, lambda: drawing.draws >= passage.draws)
        for _ in drawing:
            pass
    except ValueError as error:
        raise CheckpointError(f"how {turn.text[:20]!r} was drawn is damaged in the record") from error
    return drawing


def _same(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    return next((place for place, (a, b) in enumerate(zip_longest(one, other)) if a != b), len(one))
