"""Settings that change during a conversation, empty replies, and characters that the model does not know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply import Observer
from charlm.chat.reply_sampler import MAX_EMPTY_TRIES
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.inference.context import Context
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Sampler, make_rng

from .models import random_checkpoint
from .talkers import (
    ALL_DIALOGUES,
    CHOSEN,
    GREEDY,
    STREAMED,
    WatchedEngine,
    after,
    assert_remembers_what_is_seen,
    at,
    converse,
    each_way,
    reading,
    stop_at,
    talking_checkpoint,
    talking_engine,
)


def generated(start: Context, sampler: Sampler, **options: Any) -> str:
    """The text of a plain generation."""
    return "".join([piece.text for piece in Generation(start, sampler, **options)])


# Dials


@pytest.mark.parametrize("place", [1, 2, 9])
@each_way
def test_dial_changed_mid_reply_acts_at_once(dials: ChatConfig, place: int) -> None:
    conversation = converse("plain", dials=dials, seed=2)

    def turn() -> None:
        conversation.dials = GREEDY

    reply = conversation.say("hello", Observer(at(place, turn)))
    engine, before = conversation.engine, after(conversation, reply.turn.parent)
    state, logits = before.state, before.logits
    for number, index in enumerate(engine.vocabulary.encode(reply.text).tolist()):
        if number >= place:
            assert index == int(logits.argmax())
        state, logits = engine.step(state, index)
    (passage,) = reply.turn.segments
    assert [(one.draw, one.dials) for one in passage.settings] == [(0, dials), (place, GREEDY)]
    assert passage.draws == len(reply.text) == STREAMED.length


def test_dial_changed_while_best_is_shown_streams_on() -> None:
    for seed in range(1, 9):
        conversation = converse("play", dials=CHOSEN, seed=seed)
        whole = converse("play", dials=CHOSEN, seed=seed).say("hello")

        def turn(conversation: Conversation = conversation) -> None:
            conversation.dials = replace(CHOSEN, temperature=0.0)

        reply = conversation.say("hello", Observer(at(4, turn)))
        assert reply.text[:4] == whole.text[:4]
        (passage,) = reply.turn.segments
        if len(whole.text) > 4:
            assert [one.draw for one in passage.settings] == [0, 4]
            before = reading(conversation, reply.turn.parent, "\n\nANNA:\n" + reply.text[:4])
            likeliest = int(before.logits.argmax())
            assert reply.text[4:5] in ("", conversation.engine.vocabulary.characters[likeliest])
        assert "\n\n" not in reply.text
        assert_remembers_what_is_seen(conversation)


def test_dial_without_effect_on_draws_is_not_recorded() -> None:
    conversation = converse("plain")

    def turn() -> None:
        conversation.dials = replace(conversation.dials, pace=30.0, candidates=3, length=7)

    reply = conversation.say("hello", Observer(at(5, turn)))
    assert len(reply.turn.segments[0].settings) == 1
    assert conversation.say("again").turn.segments[0].settings[0].dials.pace == 30.0


@each_way
def test_reseed_mid_reply_acts_at_once(dials: ChatConfig) -> None:
    replies = []
    for seed in (1, 2):
        conversation = converse("plain", dials=dials, seed=seed)
        conversation.say("hello")
        conversation.branch_at(conversation.head, 0, "said ", Observer(at(1, lambda: conversation.reseed(99))))  # noqa: B023  # it is called at once
        assert conversation.data.seed == 99
        text = conversation.head.text
        start = reading(conversation, conversation.path[0], text[:6])
        sampler = Sampler(conversation.engine, dials.sampling, [make_rng(99)])
        assert text[6:] == generated(start, sampler, max_chars=STREAMED.length - 1)
        passage = conversation.head.segments[-1]
        assert [one.draw for one in passage.settings] == [0, 1]
        assert passage.settings[1].rng == make_rng(99).bit_generator.state
        replies.append(text)
    assert_remembers_what_is_seen(conversation)


@each_way
def test_reseed_restarts_the_random_numbers(dials: ChatConfig) -> None:
    conversation = converse("lines", dials=dials)
    first = conversation.say("hello")
    conversation.undo()
    conversation.reseed(1)
    assert conversation.say("hello").text == first.text
    with pytest.raises(UsageError, match="seed is -1"):
        conversation.reseed(-1)
    assert conversation.data.seed == 1


@each_way
@pytest.mark.parametrize("kind", ["plain", "play"])
def test_repetition_penalty_covers_the_context(kind: str, dials: ChatConfig) -> None:
    dials = replace(dials, temperature=0.0, repetition_penalty=3.0, candidates=1)
    conversation = converse(kind, dials=dials)
    for said in ("a long text of yours, longer than the window, so that its beginning is out of sight? and on", "no"):
        reply = conversation.say(said)
        turn = reply.turn
        before = (conversation.text(turn)[len(conversation.dialogue.beginning) :]).removesuffix(reply.text)
        window = conversation.engine.vocabulary.encode(before)[-dials.sampling.repetition_window :].tolist()
        start = reading(conversation, turn.parent, conversation.data.lead(turn))
        sampler, stops = Sampler.seeded(conversation.engine, dials.sampling), conversation.dialogue.stops
        assert reply.text == generated(start, sampler, max_chars=STREAMED.length, recent=window, stops=stops)


def test_repetition_penalty_mid_reply_covers_the_context() -> None:
    conversation = converse("plain", dials=GREEDY)
    penalised = replace(GREEDY, repetition_penalty=3.0)

    def turn() -> None:
        conversation.dials = penalised

    reply = conversation.say("a text that was there before", Observer(at(3, turn)))
    read = conversation.text(reply.turn)[1:].removesuffix(reply.text[3:])
    start = reading(conversation, reply.turn.parent, reply.text[:3])
    window = conversation.engine.vocabulary.encode(read)[-64:].tolist()
    sampler = Sampler.seeded(conversation.engine, penalised.sampling)
    assert reply.text[3:] == generated(start, sampler, max_chars=STREAMED.length - 3, recent=window)


# Replies that are empty, characters that are unknown


@each_way
@pytest.mark.parametrize("kind", ["lines", "transcript", "play", "spaced"])
def test_empty_reply_is_drawn_again_then_kept(kind: str, dials: ChatConfig) -> None:
    engine = WatchedEngine(talking_checkpoint(newlines=500.0))
    conversation = converse(kind, engine=engine, dials=dials)
    reply = conversation.say("hello")
    assert (reply.text, reply.reason, reply.logprob) == ("", "stop", 0.0)
    newlines = 1 if kind in ("lines", "transcript", "play") else 2
    drawn = conversation.head.segments[0].draws
    assert drawn == MAX_EMPTY_TRIES * newlines
    assert_remembers_what_is_seen(conversation)
    conversation.say("really nothing?")
    assert_remembers_what_is_seen(conversation)


def test_empty_reply_is_rare() -> None:
    engine = talking_engine(newlines=11.0)
    replies = [converse("lines", engine=engine, seed=seed).say("hello").text for seed in range(40)]
    assert sum(reply == "" for reply in replies) <= 8
    start = engine.prefill(engine.start(), engine.vocabulary.encode("\n\nhello\n"))
    silent = 0
    for seed in range(40):
        silent += not generated(Context(*start), Sampler(engine, STREAMED.sampling, [make_rng(seed)]), stops=["\n"])
    assert silent > 20, "more than half of the first tries are"


@pytest.mark.parametrize("kind", ALL_DIALOGUES)
def test_unknown_characters_are_shown_as_read(kind: str) -> None:
    conversation = converse(kind)
    conversation.say("snow ☃ and\x00 é")
    assert conversation.path[0].text == "snow ? and? ?"
    assert_remembers_what_is_seen(conversation)
    with_bytes = converse(kind, True)
    with_bytes.say("snow ☃ e\u0301 \ud800")
    assert with_bytes.path[0].text == "snow ☃ é ?".replace("?", "\ufffd")
    assert_remembers_what_is_seen(with_bytes)


@pytest.mark.parametrize("characters", ["ab", "\nab", "\n\tab", " ab", "a?", "ab:AB\n", "\x00\n?"])
@pytest.mark.parametrize("kind", ALL_DIALOGUES)
@given(text=st.text(st.sampled_from("ab ?\n\t☃é:\u2028"), max_size=12))
@settings(max_examples=30)
def test_fit_keeps_to_any_vocabulary(kind: str, characters: str, text: str) -> None:
    engine = Engine(random_checkpoint(characters=characters, hidden=4))
    conversation = Conversation(engine, ConversationData.start(ALL_DIALOGUES[kind], dials=STREAMED, seed=1))
    fitted = conversation.fit(text)
    assert conversation.fit(fitted) == fitted
    assert set(fitted) <= set(characters)
    assert not conversation.dialogue.has_turns or conversation.dialogue.closing not in fitted


def test_context_is_of_the_text_not_its_bytes() -> None:
    engine = talking_engine(has_bytes=True, newlines=0.0, in_bytes=9.0)
    strange = 0
    for kind in ("plain", "play"):
        for dials in (STREAMED, CHOSEN):
            conversation = converse(kind, engine=engine, dials=dials)
            reply = conversation.say("hello")
            strange += reply.text.count("\ufffd")
            assert_remembers_what_is_seen(conversation)
            conversation.say("go on", Observer(stop_at(conversation, 5)))
            assert_remembers_what_is_seen(conversation)
    assert strange > 20
