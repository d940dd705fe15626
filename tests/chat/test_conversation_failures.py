"""Ids read by an operation, and the state after an operation that fails."""

from __future__ import annotations

import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply import Journal, Observer
from charlm.chat.turns import Turn
from charlm.config import ChatConfig
from charlm.inference.generate import Piece
from charlm.text.dialogue import Dialogue

from .talkers import (
    ALL_DIALOGUES,
    STREAMED,
    Breaker,
    Broken,
    WatchedEngine,
    assert_remembers_what_is_seen,
    converse,
    each_kind,
    each_way,
    talkative_seed,
    talking_checkpoint,
    talking_engine,
    texts,
)

# Only what is new is read


def count_ids(engine: WatchedEngine) -> list[int]:
    """Sizes of the reads from here on."""
    read: list[int] = []
    engine.on_read = lambda ids, streams: read.append(ids)
    return read


@pytest.mark.parametrize("kind", ALL_DIALOGUES)
def test_operations_read_new_text_only(kind: str) -> None:
    engine = WatchedEngine(talking_checkpoint())
    conversation = converse(kind, engine=engine)
    dialogue = conversation.dialogue
    conversation.say("a beginning that is rather long, so that it would be noticed, " * 3)
    for said in ("hello", "what?", "no, not that"):
        read = count_ids(engine)
        reply = conversation.say(said)
        draws = sum(passage.draws for passage in reply.turn.segments)
        new = len(dialogue.closing) * 2 + len(dialogue.opening("Anna") + dialogue.opening("Bob")) + len(said)
        assert draws >= len(reply.text)
        assert sum(read) <= new + draws + 1
    head = conversation.head
    read = count_ids(engine)
    conversation.undo()
    conversation.redo()
    conversation.choose(conversation.data.root.children[0])
    assert conversation.head is head
    assert read == []
    for operation, most in (
        (conversation.regenerate, len(dialogue.closing + dialogue.opening("Anna"))),
        (lambda: conversation.branch_at(head, 1), len(dialogue.closing + dialogue.opening("Anna")) + 1),
        (conversation.continue_, 0),
    ):
        read = count_ids(engine)
        reply = operation()  # type: ignore[operator]  # each is
        assert sum(read) <= most + reply.turn.segments[-1].draws + 1
    read = count_ids(engine)
    conversation.edit(conversation.path[0], "short")
    assert sum(read) == len(dialogue.opening("Bob") + "short")


# What goes wrong


@each_way
@each_kind
@pytest.mark.parametrize("place", [1, 3])
def test_failing_observer_loses_no_shown_text(kind: str, has_bytes: bool, dials: ChatConfig, place: int) -> None:
    conversation = converse(kind, has_bytes, dials=dials, seed=talkative_seed(kind, has_bytes, dials, 12))
    shown: list[str] = []

    def listen(piece: Piece) -> None:
        shown.append(piece.text)
        if len(shown) == place:
            raise Broken

    with pytest.raises(Broken):
        conversation.say("hello", Observer(listen))
    assert texts(conversation) == ["hello", "".join(shown)]
    assert conversation.head.reason == "cancelled"
    assert not conversation.busy
    assert_remembers_what_is_seen(conversation)
    conversation.say("go on")
    assert_remembers_what_is_seen(conversation)


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("after_readings", [3, 4, 9])
@each_way
def test_failing_engine_loses_no_shown_text(dials: ChatConfig, after_readings: int, times: int | None) -> None:
    engine = WatchedEngine(talking_checkpoint())
    conversation = converse("play", engine=engine, dials=dials)
    conversation.say("hello")
    shown: list[Piece] = []
    engine.on_read = Breaker(after_readings, times)
    with pytest.raises(Broken):
        conversation.say("how are you?", Observer(shown.append))
    engine.on_read = lambda ids, streams: None  # the engine works again
    assert texts(conversation)[2] == "how are you?"
    assert "".join(texts(conversation)[3:]) == "".join([piece.text for piece in shown])
    assert_remembers_what_is_seen(conversation)
    conversation.say("go on")
    assert_remembers_what_is_seen(conversation)


def test_failing_engine_before_text_leaves_nothing() -> None:
    engine = WatchedEngine(talking_checkpoint())
    conversation = converse("play", engine=engine)
    conversation.say("hello")
    before = conversation.text()
    engine.on_read = Breaker(0, None)
    for operation in (
        lambda: conversation.say("no"),
        conversation.regenerate,
        lambda: conversation.edit(conversation.head, "x"),
        lambda: conversation.branch_at(conversation.head, 1),
    ):
        with pytest.raises(Broken):
            operation()
        assert conversation.text() == before
        assert (len(conversation.head.children), len(conversation.head.siblings)) == (0, 1)
        assert not conversation.busy


def test_failing_turn_observer_leaves_nothing() -> None:
    conversation = converse("lines")

    def begun(turn: Turn) -> None:
        if turn.author == "bot":
            raise Broken

    with pytest.raises(Broken):
        conversation.say("hello", Observer(on_turn=begun))
    assert texts(conversation) == ["hello"]
    assert_remembers_what_is_seen(conversation)


# A journal


class Diary(Journal):
    """Records its calls."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def begin(self, turn: Turn) -> None:
        self.told.append(("begin", turn.author, turn.text))

    def draft(self, turn: Turn) -> None:
        self.told.append(("draft", turn.author, turn.text))

    def commit(self, turn: Turn | None) -> None:
        self.told.append(("commit", turn.author if turn else "", turn.text if turn else ""))

    def withdraw(self, turn: Turn) -> None:
        self.told.append(("withdraw", turn.author, turn.text))


def test_journal_gets_every_event_in_order() -> None:
    diary, time = Diary(), iter(range(10_000))
    conversation = Conversation(
        talking_engine(),
        ConversationData.start(Dialogue("lines"), dials=STREAMED, seed=4),
        journal=lambda data, reader: diary,
        clock=lambda: next(time),
    )
    shown: list[str] = []

    def listen(piece: Piece) -> None:
        shown.append(piece.text)
        assert diary.told[-1] == ("draft", "bot", "".join(shown)), "kept before it is shown"

    reply = conversation.say("hello", Observer(listen))
    assert diary.told[:2] == [("commit", "you", "hello"), ("begin", "bot", "")]
    assert diary.told[-1] == ("commit", "bot", reply.text)
    conversation.undo()
    assert diary.told[-1] == ("commit", "", "")
    conversation.regenerate()
    assert [event[0] for event in diary.told].count("begin") == 2
