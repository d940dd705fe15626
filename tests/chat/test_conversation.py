"""Operations of a conversation: reply, continue, stop, undo, redo, edit, branch, choose."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charlm.chat.conversation_data import MAX_MOVES
from charlm.chat.reply import Observer
from charlm.chat.turns import Turn
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.inference.context import Context
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Piece, Sampler, generate_batch, make_rng
from charlm.inference.matching import Matcher
from charlm.inference.sampling import log_softmax
from charlm.inference.search import rerank_mmi
from tests.conftest import PATIENCE

from .models import random_matching
from .talkers import (
    ALL_DIALOGUES,
    CHOSEN,
    STREAMED,
    WatchedEngine,
    assert_remembers_what_is_seen,
    at,
    converse,
    each_kind,
    each_way,
    reading,
    stop_at,
    talkative_seed,
    talking_checkpoint,
    talking_engine,
    texts,
)

# Saying and continuing


@each_way
@each_kind
def test_text_is_the_turns_in_their_format(kind: str, has_bytes: bool, dials: ChatConfig) -> None:
    conversation = converse(kind, has_bytes, dials=dials)
    for said in ("hello there", "what is it?", "no"):
        reply = conversation.say(said)
        you, bot = conversation.path[-2:]
        assert (you.author, you.text, you.reason) == ("you", said, "typed")
        assert (bot.author, bot.text, bot) == ("bot", reply.text, reply.turn)
        assert (conversation.head, bot.parent) == (bot, you)
        assert reply.reason == bot.reason in ("stop", "length")
        assert len(reply.text) <= dials.length
    dialogue = conversation.dialogue
    written = dialogue.closing.join(dialogue.opening(turn.name) + turn.text for turn in conversation.path)
    assert conversation.text() == dialogue.beginning + written
    assert conversation.head.characters == len(written)
    if dialogue.has_turns:
        assert not any(dialogue.closing in text for text in texts(conversation))
    assert_remembers_what_is_seen(conversation)


def test_single_candidate_is_plain_generation() -> None:
    conversation = converse("play")
    reply = conversation.say("hello")
    prompt = "\n\nBOB:\nhello\n\nANNA:\n"
    start = conversation.engine.prefill(conversation.engine.start(), conversation.engine.vocabulary.encode(prompt))
    alone = Generation(
        Context(*start),
        Sampler(conversation.engine, STREAMED.sampling, [make_rng(1)]),
        max_chars=STREAMED.length,
        stops=["\n\n"],
        shown_before="\n",
    )
    pieces = list(alone)
    assert reply.text == "".join([piece.text for piece in pieces]) != ""
    assert reply.logprob == pytest.approx(sum(piece.logprob for piece in pieces))
    assert conversation.text() == prompt + reply.text


@pytest.mark.parametrize(
    ("kind", "prompt", "alone"),
    [("lines", "\n\nhello\n", "\n\n"), ("play", "\n\nBOB:\nhello\n\nANNA:\n", "\n\nANNA:\n")],
)
@pytest.mark.parametrize("penalty", [1.0, 4.0])
def test_candidates_show_the_best(kind: str, prompt: str, alone: str, penalty: float) -> None:
    engine, shown = Engine(replace(talking_engine().checkpoint, matching=random_matching())), []
    matcher = Matcher(*random_matching().values())
    start, nothing = (
        Context(*engine.prefill(engine.start(), engine.vocabulary.encode(text))) for text in (prompt, alone)
    )
    recent = engine.vocabulary.encode(prompt[2:])
    for relevance, matching in ((0.0, 0.0), (1.0, 0.0), (5.0, 0.0), (0.0, 10.0)):
        dials = replace(CHOSEN, candidates=8, relevance=relevance, matching=matching, repetition_penalty=penalty)
        conversation = converse(kind, engine=engine, dials=dials)
        reply = conversation.say("hello")
        params = replace(dials.sampling, seed=int(make_rng(1).integers(1 << 62)))
        stops = conversation.dialogue.stops
        candidates = generate_batch(
            start, engine, params, 8, max_chars=dials.length, stops=stops, recent=recent.tolist(), shown_before="\n"
        )
        assert len({one.text for one in candidates}) > 4
        bonus = matching * matcher.similarity(["hello"], [one.text for one in candidates])
        best = rerank_mmi(engine, candidates, relevance, nothing, bonus)[0]
        assert (reply.text, reply.reason) == (best.text, best.reason)
        assert reply.logprob == pytest.approx(best.logprob)
        shown.append(reply.text)
    assert len(set(shown[:3])) > 1, "relevance changes the choice"
    assert shown[3] != shown[0], "matching changes the choice"


def test_candidates_are_off_in_plain_text() -> None:
    one, several = converse("plain", dials=STREAMED), converse("plain", dials=CHOSEN)
    assert one.say("once upon").text == several.say("once upon").text


@each_kind
def test_say_without_text_lets_the_model_continue(kind: str, has_bytes: bool) -> None:
    conversation = converse(kind, has_bytes)
    conversation.say("" if kind == "plain" else " \n ")
    conversation.say("")
    assert [turn.author for turn in conversation.path] == ["bot", "bot"]
    assert_remembers_what_is_seen(conversation)


@pytest.mark.parametrize("kind", [kind for kind in ALL_DIALOGUES if kind != "plain"])
@each_way
def test_continue_makes_a_longer_sibling(kind: str, dials: ChatConfig) -> None:
    conversation = converse(kind, dials=dials, seed=3)
    conversation.say("hello", Observer(stop_at(conversation, 2)))
    short = conversation.head
    reply = conversation.continue_()
    long = conversation.head
    assert long.text == short.text + reply.text
    assert long.segments[: len(short.segments)] == short.segments
    assert long.siblings == [short, long]
    assert conversation.dialogue.closing not in long.text
    assert_remembers_what_is_seen(conversation)


def test_continue_in_plain_text_adds_a_turn() -> None:
    conversation = converse("plain")
    conversation.say("once ")
    conversation.continue_()
    assert [turn.author for turn in conversation.path] == ["you", "bot", "bot"]
    conversation = converse("play")
    conversation.say("hello")
    yours = conversation.path[0]
    conversation.choose(conversation.edit(yours, "hallo"))
    conversation.continue_()
    assert [turn.author for turn in conversation.path] == ["you", "bot"]


def test_continue_of_a_cut_ending_ends_at_once() -> None:
    # A play's turns end with two newlines: one that was shown before counts.
    conversation = converse("play", engine=talking_engine(newlines=50.0))
    bob = conversation.edit(conversation.say("hello").turn, "no")
    reply = conversation.branch_at(bob, 2, "\n")
    assert (reply.text, reply.reason, reply.turn.text) == ("", "stop", "no\n")
    assert_remembers_what_is_seen(conversation)


# Stopping


@each_way
@each_kind
@pytest.mark.parametrize("character", [1, 7])
def test_stop_while_reply_is_shown_keeps_text(kind: str, has_bytes: bool, dials: ChatConfig, character: int) -> None:
    seed = talkative_seed(kind, has_bytes, dials, 12)
    whole = converse(kind, has_bytes, dials=dials, seed=seed).say("hello")
    conversation = converse(kind, has_bytes, dials=dials, seed=seed)
    reply = conversation.say("hello", Observer(stop_at(conversation, character)))
    # What was held back because it could have been the end may come with the character after it.
    assert character <= len(reply.text) <= character + max(0, len(conversation.dialogue.closing) - 1)
    assert whole.text.startswith(reply.text)
    assert reply.reason == conversation.head.reason == "cancelled"
    assert_remembers_what_is_seen(conversation)
    conversation.say("go on")
    assert_remembers_what_is_seen(conversation)


@each_way
@each_kind
def test_stop_before_the_first_character_keeps_nothing(kind: str, has_bytes: bool, dials: ChatConfig) -> None:
    conversation = converse(kind, has_bytes, dials=dials)

    def begun(turn: Turn) -> None:
        if turn.author == "bot":
            conversation.stop()

    shown: list[Piece] = []
    reply = conversation.say("hello", Observer(shown.append, begun))
    assert (reply.text, reply.reason, shown) == ("", "cancelled", [])
    assert reply.turn is conversation.head
    assert texts(conversation) == ["hello"]
    assert_remembers_what_is_seen(conversation)
    assert conversation.regenerate().text, "the next operation is not stopped"
    assert_remembers_what_is_seen(conversation)
    assert len(conversation.head.siblings) == 1


@each_way
@each_kind
def test_stop_before_any_text_leaves_the_head(kind: str, has_bytes: bool, dials: ChatConfig) -> None:
    conversation = converse(kind, has_bytes, dials=dials, seed=talkative_seed(kind, has_bytes, dials, 12))
    conversation.say("hello")
    head, moves = conversation.head, list(conversation.data.moves)

    def begun(turn: Turn) -> None:
        conversation.stop()

    stopping = Observer(on_turn=begun)
    operations = [lambda: conversation.regenerate(stopping), lambda: conversation.continue_(stopping)]
    for operation in [*operations, lambda: conversation.say("", Observer(on_turn=begun))]:
        assert operation().reason == "cancelled"
        assert (conversation.head, conversation.data.moves, head.siblings, head.children) == (head, moves, [head], [])
    # What is kept of an older reply is shown at once.
    conversation.branch_at(head, 3, "?", Observer(on_turn=begun))
    assert conversation.head.text == head.text[:3] + "?"
    assert len(head.siblings) == 2
    assert_remembers_what_is_seen(conversation)


def test_stop_while_candidates_are_drawn() -> None:
    engine = WatchedEngine(talking_checkpoint())
    conversation = converse("lines", engine=engine, dials=CHOSEN)
    steps = 0

    def count(ids: int, streams: int) -> None:
        nonlocal steps
        steps += streams > 1
        if steps == 3:
            conversation.stop()

    engine.on_read = count
    reply = conversation.say("hello")
    assert (reply.text, reply.reason, steps) == ("", "cancelled", 3)
    assert_remembers_what_is_seen(conversation)


@each_way
def test_stop_from_another_thread(dials: ChatConfig) -> None:
    conversation = converse("plain", dials=replace(dials, length=5000))
    shown, stopped = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        shown.set()
        assert stopped.wait(PATIENCE)

    def stop() -> None:
        assert shown.wait(PATIENCE)
        assert conversation.busy
        conversation.stop()
        stopped.set()

    other = threading.Thread(target=stop)
    other.start()
    reply = conversation.say("hello", Observer(at(20, wait_for_it)))
    other.join()
    assert (len(reply.text), reply.reason) == (20, "cancelled")
    assert not conversation.busy
    assert_remembers_what_is_seen(conversation)


def test_stop_without_an_operation_does_nothing() -> None:
    conversation, other = converse(), converse()
    conversation.stop()
    assert conversation.say("hello").text == other.say("hello").text


@pytest.mark.parametrize("operation", ["say", "continue_", "regenerate", "undo", "redo", "edit", "branch_at", "choose"])
def test_operation_during_another_is_refused(operation: str) -> None:
    conversation = converse()
    bot = conversation.say("hello").turn
    conversation.say("no")
    conversation.undo()
    arguments: dict[str, tuple[Any, ...]] = {
        "say": ("no",), "edit": (bot, "no"), "branch_at": (bot, 0), "choose": (bot,),
    }  # fmt: skip

    refused = 0

    def interfere(piece: Piece) -> None:
        nonlocal refused
        with pytest.raises(UsageError, match="being written"):
            getattr(conversation, operation)(*arguments.get(operation, ()))
        refused += 1

    reply = conversation.regenerate(Observer(interfere))
    assert refused == len(reply.text) > 0
    assert reply.turn.siblings == [bot, reply.turn]
    assert_remembers_what_is_seen(conversation)


# Going back and forth


def test_new_turn_after_undo_ends_redo() -> None:
    conversation = converse()
    first = conversation.say("hello").turn
    conversation.say("how are you?")
    conversation.undo()
    conversation.say("who are you?")
    assert not conversation.redo()
    assert texts(conversation)[2] == "who are you?"
    assert [turn.text for turn in first.children] == ["how are you?", "who are you?"]


def test_moves_are_bounded() -> None:
    conversation = converse()
    turn = conversation.edit(conversation.say("hello").turn, "a")
    other = conversation.edit(turn, "b")
    for _ in range(MAX_MOVES):
        conversation.choose(turn)
        conversation.choose(other)
    assert len(conversation.data.moves) == MAX_MOVES
    undone = 0
    while conversation.undo():
        undone += 1
    assert undone == MAX_MOVES - 1
    assert conversation.head in (turn, other)


@each_way
def test_regenerate_makes_a_sibling(dials: ChatConfig) -> None:
    conversation = converse("lines", dials=dials)
    first = conversation.say("hello").turn
    second = conversation.regenerate().turn
    conversation.undo()
    conversation.undo()
    assert conversation.head is conversation.data.root
    conversation.redo()
    assert conversation.head is first
    third = conversation.regenerate().turn
    for turn in (first, second, third):
        assert turn.siblings == [first, second, third]
        conversation.choose(turn)
        assert conversation.head is turn
        assert_remembers_what_is_seen(conversation)
    assert len({first.text, second.text, third.text}) > 1


def test_regenerate_without_a_reply_replies() -> None:
    conversation = converse()
    opening = conversation.regenerate().turn
    assert (opening.parent, opening.author) == (conversation.data.root, "bot")
    yours = conversation.edit(conversation.say("hello").turn.parent, "hi")  # type: ignore[arg-type]  # it has one
    assert conversation.regenerate().turn.parent is yours


def test_choose_shows_what_was_visible_last() -> None:
    conversation = converse()
    first = conversation.say("hello").turn
    older = conversation.say("one").turn
    newer = conversation.regenerate().turn
    conversation.choose(older)
    conversation.choose(first)
    assert conversation.head is older
    conversation.choose(newer)
    conversation.choose(conversation.data.root.children[0])
    assert conversation.head is newer


@each_kind
def test_edit_makes_a_sibling(kind: str, has_bytes: bool) -> None:
    conversation = converse(kind, has_bytes)
    conversation.say("hello")
    conversation.say("how are you?")
    for number in range(4):
        old = conversation.path[number]
        before = old.text
        new = conversation.edit(old, "other words")
        assert conversation.head is new
        assert (new.text, new.author, new.name, new.reason) == ("other words", old.author, old.name, "typed")
        assert (old.text, old.siblings) == (before, new.siblings)
        assert_remembers_what_is_seen(conversation)
        conversation.choose(old)
    assert texts(conversation)[0::2] == ["hello", "how are you?"]


def test_edit_and_branch_refuse_impossible_places() -> None:
    conversation = converse()
    conversation.say("hello")
    yours, bot = conversation.path
    for operation, says in (
        (lambda: conversation.edit(conversation.data.root, "x"), "nothing to edit"),
        (lambda: conversation.edit(yours, " \n "), "cannot be empty"),
        (lambda: conversation.branch_at(yours, 0), "only a reply"),
        (lambda: conversation.branch_at(conversation.data.root, 0), "only a reply"),
        (lambda: conversation.branch_at(bot, -1), "no character -1"),
        (lambda: conversation.branch_at(bot, len(bot.text) + 1), "no character"),
    ):
        with pytest.raises(UsageError, match=says):
            operation()
        assert conversation.head is bot
    assert_remembers_what_is_seen(conversation)


@each_way
@each_kind
@pytest.mark.parametrize("instead", ["", "☃", "\n"])
def test_branch_at_any_character(kind: str, has_bytes: bool, dials: ChatConfig, instead: str) -> None:
    conversation = converse(kind, has_bytes, dials=dials, seed=5)
    bot = conversation.edit(conversation.say("hello").turn, "a reply to branch")
    for place in (0, 5, len(bot.text)):
        reply = conversation.branch_at(bot, place, instead)
        kept = bot.text[:place] + conversation.engine.vocabulary.replace_unknown(instead)
        closing = conversation.dialogue.closing
        if closing and closing in kept:
            kept = kept.partition(closing)[0]
            assert (reply.text, reply.reason) == ("", "stop")
        assert conversation.head.text == kept + reply.text
        assert (conversation.head.parent, conversation.head.author) == (bot.parent, "bot")
        assert_remembers_what_is_seen(conversation)


# Looking back


@each_kind
def test_score_chars_agrees_with_single_steps(kind: str, has_bytes: bool) -> None:
    conversation = converse(kind, has_bytes)
    reply = conversation.say("hello ☃ there", Observer(stop_at(conversation, 20)))
    assert conversation.contexts.score_chars(conversation.data.root) == []
    for turn in conversation.path:
        seen = conversation.contexts.score_chars(turn, alternatives=3)
        assert "".join([one.text for one in seen]) == turn.text
        assert all(len(one.alternatives) == 3 for one in seen)
        engine = conversation.engine
        before = reading(conversation, turn.parent, conversation.data.lead(turn))
        state, logits = before.state, before.logits
        nats, ids = 0.0, engine.vocabulary.encode(turn.text)
        first = np.exp(log_softmax(logits))
        assert [one.probability for one in seen[0].alternatives] == pytest.approx(sorted(first, reverse=True)[:3])
        for index in ids.tolist():
            nats -= float(log_softmax(logits)[index])
            state, logits = engine.step(state, index)
        assert sum(one.surprisal for one in seen) * math.log(2) == pytest.approx(nats, rel=1e-4)
    if conversation.engine.vocabulary.decode(ids) == reply.text and "\ufffd" not in reply.text:
        assert nats == pytest.approx(-reply.logprob, rel=1e-4)
