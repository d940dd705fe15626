"""Replaying a conversation, to check that it comes out the same.

A person's text is read; the model's text is drawn again from the same context and random numbers. The settings change
at the same characters, and drawing stops after the same number of draws. The replay uses its own contexts from the
first character on, so a difference anywhere shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os.path import commonprefix

from charlm.chat.conversation import Conversation
from charlm.chat.reply_sampler import RecordedControls, ReplySampler
from charlm.chat.turns import Segment, Turn
from charlm.errors import CheckpointError
from charlm.inference.context import Context


@dataclass(frozen=True)
class Difference:
    """The first character that differs."""

    turn: Turn
    number: int  # of the turn among the visible ones, from 1
    position: int  # of the character in the turn, from 0
    expected: str  # the recorded character; empty if the reply had ended
    got: str  # the replayed character; empty if the reply ends now


@dataclass(frozen=True)
class Replayed:
    """The result of a replay."""

    turns: int  # that were replayed, up to the one with a difference
    characters: int  # that were drawn again and compared
    difference: Difference | None
    context: Context  # after the last turn that was replayed


def replay(conversation: Conversation, on_turn: Callable[[Turn], None] | None = None) -> Replayed:
    """Replay the visible turns of a conversation, which does not change. `on_turn` is called before each turn."""
    contexts = conversation.contexts
    context = conversation.context(conversation.data.root)
    characters = 0
    path = conversation.path
    for number, turn in enumerate(path, 1):
        if on_turn is not None:
            on_turn(turn)
        context = contexts.begin_turn(context, turn)
        replayed: tuple[Segment, ...] = ()
        for segment in turn.segments:
            if not segment.settings:
                context, _ = contexts.read_typed(context, segment.text, turn)
            else:
                start = sum(len(one.text) for one in replayed)
                sampler = _draw(conversation, turn, replayed, segment, context)
                assert sampler.context is not None
                context = sampler.context
                same = len(commonprefix((segment.text, sampler.text)))  # noqa: RUF071  # characters, not components
                characters += same
                if sampler.text != segment.text:
                    expected, got = segment.text[same : same + 1], sampler.text[same : same + 1]
                    difference = Difference(turn, number, start + same, expected, got)
                    return Replayed(number, characters, difference, context)
            replayed = (*replayed, segment)
    return Replayed(len(path), characters, None, context)


def _draw(
    conversation: Conversation, turn: Turn, before: tuple[Segment, ...], segment: Segment, context: Context
) -> ReplySampler:
    """Draw a segment as it was drawn, after those before it in its turn."""
    try:
        controls = RecordedControls(segment)
        partial = Turn(turn.id, turn.parent, turn.author, turn.name, before, policy=turn.policy)
        sampler = conversation.sampler(partial, context, controls, lambda: sampler.draws >= segment.draws)
        for _ in sampler:
            pass
    except ValueError as error:
        raise CheckpointError(f"the record of how {turn.text[:20]!r} was drawn is damaged") from error
    return sampler
