"""Models that end their replies now and then, and engines that count, wait or fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.turns import Turn
from charlm.checkpoint import Checkpoint
from charlm.config import ChatConfig
from charlm.inference.context import Context, StaticModel, encode_lossy
from charlm.inference.engine import Engine
from charlm.inference.generate import Piece
from charlm.inference.state import Array, State
from charlm.text.dialogue import Dialogue
from tests.conftest import assert_states_close

from .models import CHARACTERS, DIALOGUES, random_checkpoint

ALL_DIALOGUES = {
    **DIALOGUES,
    "primed": Dialogue("lines", primer="hello?\nhi.\n\n"),
    "spaced": Dialogue("transcript", ("Anna", "Bob"), spaced=True),
    "wide": Dialogue("transcript", ("Anna", "Bob"), "："),
}
KINDS = [*product(ALL_DIALOGUES, [False]), ("plain", True), ("play", True)]
"""Names of formats, and whether the model spells unknown characters in bytes."""
KNOWN = CHARACTERS + "NO："


@cache
def talking_checkpoint(*, has_bytes: bool = False, newlines: float = 2.0, in_bytes: float = -4.0) -> Checkpoint:
    """A model with random weights that can spell every name.

    Args:
        has_bytes: whether it spells unknown characters in bytes.
        newlines: added to the logit of a new line.
        in_bytes: added to the logits of bytes, which seldom make sense.
    """
    made = random_checkpoint(has_bytes=has_bytes, scale=0.5, characters=KNOWN)
    bias = made.tensors["output.b"].copy()
    bias[KNOWN.index("\n")] += newlines
    bias[len(KNOWN) :] += in_bytes
    return Checkpoint(made.config, made.vocabulary, {**made.tensors, "output.b": bias})


@cache
def talking_engine(*, has_bytes: bool = False, newlines: float = 2.0, in_bytes: float = -4.0) -> Engine:
    """The engine of `talking_checkpoint`."""
    return Engine(talking_checkpoint(has_bytes=has_bytes, newlines=newlines, in_bytes=in_bytes))


class WatchedEngine(Engine):
    """Calls `on_read` before each reading, with the number of ids in all streams and the number of streams."""

    def __init__(self, checkpoint: Checkpoint, on_read: Callable[[int, int], None] = lambda ids, streams: None) -> None:
        super().__init__(checkpoint)
        self.on_read = on_read

    def _read(self, state: State, ids: Any, *, last_only: bool = False) -> tuple[State, Array]:
        self.on_read(len(ids), state.batch)
        return super()._read(state, ids, last_only=last_only)


class Broken(Exception):  # noqa: N818  # it is one
    """An engine or a listener has failed."""


class Breaker:
    """Fails after a number of readings.

    Args:
        after: readings that succeed.
        times: readings that fail then; None for all.
    """

    def __init__(self, after: int, times: int | None = 1) -> None:
        self._left, self._times = after, times

    def __call__(self, ids: int, streams: int) -> None:
        self._left -= 1
        if self._left < 0 and (self._times is None or self._left >= -self._times):
            raise Broken


STREAMED = ChatConfig(candidates=1, length=24, temperature=1.0, top_p=1.0)
CHOSEN = ChatConfig(candidates=3, length=24, temperature=1.0, top_p=1.0)


def converse(
    kind: str = "play",
    has_bytes: bool = False,
    *,
    engine: Engine | None = None,
    dials: ChatConfig = STREAMED,
    seed: int = 1,
) -> Conversation:
    """A conversation in one of `ALL_DIALOGUES`, without a journal."""
    engine = engine or talking_engine(has_bytes=has_bytes)
    return Conversation(engine, ConversationData.start(ALL_DIALOGUES[kind], dials=dials, seed=seed))


@cache
def talkative_seed(kind: str, has_bytes: bool, dials: ChatConfig, characters: int) -> int:
    """A seed whose first reply is longer than a number of characters."""
    for seed in range(1, 1000):
        if len(converse(kind, has_bytes, dials=dials, seed=seed).say("hello").text) > characters:
            return seed
    raise AssertionError


def assert_same_context(found: Context, expected: Context) -> None:
    """Check that state and logits are the same, but for rounding."""
    np.testing.assert_allclose(found.logits, expected.logits, rtol=0, atol=1e-4)
    assert_states_close(found.state, expected.state)


def assert_remembers_what_is_seen(conversation: Conversation, turn: Turn | None = None) -> None:
    """Check that the context after a turn, by default the head, is that of a model that reads its text once."""
    turn = turn or conversation.head
    assert_same_context(conversation.context(turn), after(conversation, turn))


def texts(conversation: Conversation) -> list[str]:
    """Texts of the visible turns."""
    return [turn.text for turn in conversation.path]


def turns_below(turn: Turn) -> list[Turn]:
    """All turns below a turn, parents before children."""
    return [one for child in turn.children for one in (child, *turns_below(child))]


def tree(turn: Turn) -> tuple[object, ...]:
    """All below a turn, without its number."""
    return (turn.author, turn.name, turn.reason, turn.segments, turn.policy, [tree(child) for child in turn.children])


GREEDY = replace(STREAMED, temperature=0.0)
each_kind = pytest.mark.parametrize(("kind", "has_bytes"), KINDS)
each_way = pytest.mark.parametrize("dials", [STREAMED, CHOSEN], ids=["streamed", "chosen"])


def after(conversation: Conversation, turn: Turn | None) -> Context:
    """Return the context of the visible text up to a turn, read from the start."""
    engine = conversation.engine
    return Context(*engine.prefill(engine.start(), encode_lossy(engine.vocabulary, conversation.text(turn))))


def reading(conversation: Conversation, turn: Turn | None, text: str) -> Context:
    """The context after a text that follows a turn."""
    return StaticModel(conversation.engine).read(after(conversation, turn), conversation.engine.vocabulary.encode(text))


def stop_at(conversation: Conversation, character: int) -> Callable[[Piece], None]:
    """A listener that stops the reply once a number of characters is shown."""
    shown = 0

    def listen(piece: Piece) -> None:
        nonlocal shown
        shown += len(piece.text)
        if shown >= character:
            conversation.stop()

    return listen


def at(place: int, act: Callable[[], None]) -> Callable[[Piece], None]:
    """A listener that does something after a number of pieces."""
    seen = 0

    def listen(piece: Piece) -> None:
        nonlocal seen
        seen += 1
        if seen == place:
            act()

    return listen
