"""A conversation that is played again comes out the same, and a difference is found where it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.export import export, from_json
from charlm.chat.replay import replay
from charlm.chat.reply import Observer
from charlm.config import ChatConfig
from charlm.errors import CheckpointError
from charlm.inference.context import context_to_bytes
from charlm.inference.engine import Engine

from .models import DIALOGUES, random_engine

CANDIDATES = pytest.mark.parametrize("candidates", [1, 4])
FORMATS = pytest.mark.parametrize("form", DIALOGUES)


def talk(engine: Engine, form: str, candidates: int) -> Conversation:
    """A conversation with everything that a replay must know of."""
    dials = ChatConfig(candidates=candidates, length=30, temperature=1.2, repetition_penalty=1.2)
    conversation = Conversation(engine, ConversationData.start(DIALOGUES[form], dials=dials, seed=4))
    seen: list[str] = []

    def stop(piece: object) -> None:
        seen.append("")
        if len(seen) % 7 == 0:
            conversation.stop()

    def turn(piece: object) -> None:
        seen.append("")
        if len(seen) % 5 == 0:
            conversation.dials = replace(conversation.dials, temperature=0.3 + len(seen) % 3, top_k=len(seen) % 4)
        if len(seen) % 11 == 0:
            conversation.reseed(len(seen))

    conversation.say("hello", Observer(stop))
    conversation.continue_(Observer(stop))
    conversation.continue_(Observer(turn))
    conversation.say("go on", Observer(turn))
    conversation.regenerate(Observer(turn))
    conversation.branch_at(conversation.head, len(conversation.head.text) // 2, "ab", Observer(stop))
    conversation.continue_()
    conversation.edit(conversation.head, "something else")
    conversation.continue_(Observer(turn))
    conversation.data.bot = "Bob"
    conversation.say("and you", Observer(turn))
    conversation.say("")
    return conversation


@FORMATS
@CANDIDATES
@pytest.mark.parametrize("has_bytes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_replay_gives_the_same_context(form: str, candidates: int, has_bytes: bool) -> None:
    engine = random_engine(has_bytes=has_bytes)
    conversation = talk(engine, form, candidates)

    def state() -> tuple[object, ...]:
        data = conversation.data
        return data.head, data.controls.rng.bit_generator.state, data.controls.dials, len(data.moves)

    before = state()
    told: list[object] = []
    played = replay(conversation, told.append)
    assert played.difference is None
    drawn = sum(len(one.text) for turn in conversation.path for one in turn.segments if one.settings)
    assert (played.turns, played.characters) == (len(conversation.path), drawn)
    assert drawn > 20
    assert told == conversation.path
    assert context_to_bytes(played.context, engine) == context_to_bytes(conversation.context(conversation.head), engine)
    assert state() == before
    for _ in range(3):
        assert conversation.undo()
        assert replay(conversation).difference is None


def test_replay_of_an_empty_conversation() -> None:
    played = replay(Conversation(random_engine(), ConversationData.start()))
    assert (played.turns, played.characters, played.difference) == (0, 0, None)


@CANDIDATES
@pytest.mark.parametrize("place", [0, 3, 9])
def test_replay_finds_a_changed_character(candidates: int, place: int) -> None:
    engine = random_engine()
    conversation = Conversation(
        engine, ConversationData.start(dials=ChatConfig(candidates=candidates, length=10), seed=1)
    )
    for text in ("hello", "again", "more"):
        conversation.say(text)
    turn = conversation.path[3]
    [passage] = turn.segments
    assert len(passage.text) == 10
    wrong = "b" if passage.text[place] != "b" else "c"
    turn.segments = (replace(passage, text=passage.text[:place] + wrong + passage.text[place + 1 :]),)
    played = replay(conversation)
    assert played.difference is not None
    found = played.difference
    assert (found.turn, found.number, found.position) == (turn, 4, place)
    assert (found.expected, found.got) == (wrong, passage.text[place])
    assert (played.turns, played.characters) == (4, 10 + place)


def test_replay_finds_a_changed_end() -> None:
    conversation = Conversation(random_engine(), ConversationData.start(dials=ChatConfig(length=10), seed=1))
    conversation.say("hello")
    conversation.continue_()
    turn = conversation.head
    [passage] = turn.segments
    text = passage.text
    turn.segments = (replace(passage, text=text + "x"),)
    found = replay(conversation).difference
    assert found is not None
    assert (found.position, found.expected, found.got) == (len(text), "x", "")
    turn.segments = (replace(passage, text=text[:-1]),)
    found = replay(conversation).difference
    assert found is not None
    assert (found.position, found.expected, found.got) == (len(text) - 1, "", text[-1])


def test_replay_finds_a_change_in_a_second_segment() -> None:
    conversation = Conversation(
        random_engine(), ConversationData.start(DIALOGUES["lines"], dials=ChatConfig(candidates=1, length=8), seed=2)
    )
    conversation.say("hello")
    conversation.continue_()
    first, second = conversation.head.segments
    other = np.random.Generator(np.random.PCG64(99)).bit_generator.state
    conversation.head.segments = (first, replace(second, settings=(replace(second.settings[0], rng=other),)))
    found = replay(conversation).difference
    assert found is not None
    assert found.position >= len(first.text)
    assert found.expected == conversation.head.text[found.position : found.position + 1]
    assert found.got != found.expected


def test_replay_with_another_model_differs() -> None:
    conversation = Conversation(random_engine(), ConversationData.start(dials=ChatConfig(length=30), seed=1))
    conversation.say("hello")
    other = Conversation(random_engine(seed=1), from_json(export(conversation.data, "json")))
    assert [turn.text for turn in other.path] == [turn.text for turn in conversation.path]
    assert replay(other).difference is not None


def test_replay_refuses_a_damaged_record() -> None:
    conversation = Conversation(random_engine(), ConversationData.start(dials=ChatConfig(length=10), seed=1))
    conversation.say("hello")
    [passage] = conversation.head.segments
    conversation.head.segments = (replace(passage, settings=(replace(passage.settings[0], rng={}),)),)
    with pytest.raises(CheckpointError, match="damaged"):
        replay(conversation)
