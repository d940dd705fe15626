"""The context is that of the visible text, after any operations, stops and failures."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import MAX_MOVES
from charlm.chat.reply import Observer
from charlm.chat.reply_sampler import MAX_EMPTY_TRIES
from charlm.chat.turns import Turn
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.inference.context import Context, StaticModel
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Piece, Sampler, generate_batch, make_rng
from charlm.inference.sampling import log_softmax
from charlm.inference.search import rerank_mmi
from charlm.text.dialogue import Dialogue

from .models import random_checkpoint
from .talkers import (
    ALL_DIALOGUES,
    CHOSEN,
    KINDS,
    STREAMED,
    Breaker,
    Broken,
    WatchedEngine,
    assert_remembers_what_is_seen,
    converse,
    talkative_seed,
    talking_checkpoint,
    talking_engine,
    texts,
)

GREEDY = replace(STREAMED, temperature=0.0)
each_kind = pytest.mark.parametrize(("kind", "has_bytes"), KINDS)
each_way = pytest.mark.parametrize("dials", [STREAMED, CHOSEN], ids=["streamed", "chosen"])


def after(conversation: Conversation, turn: Turn | None) -> Context:
    """Return the context of the visible text up to a turn, read from the start."""
    engine = conversation.engine
    return Context(*engine.prefill(engine.start(), engine.vocabulary.encode(conversation.text(turn))))


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


@each_way
@each_kind
def test_same_seed_gives_the_same_conversation(kind: str, has_bytes: bool, dials: ChatConfig) -> None:
    def play(seed: int) -> str:
        conversation = converse(kind, has_bytes, dials=dials, seed=seed)
        conversation.say("hello")
        conversation.regenerate()
        conversation.say("and you?")
        conversation.continue_()
        return conversation.text()

    assert play(1) == play(1) != play(2)


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
def test_candidates_show_the_most_relevant(kind: str, prompt: str, alone: str, penalty: float) -> None:
    engine, shown = talking_engine(), []
    start, nothing = (
        Context(*engine.prefill(engine.start(), engine.vocabulary.encode(text))) for text in (prompt, alone)
    )
    recent = engine.vocabulary.encode(prompt[2:])
    for relevance in (0.0, 1.0, 5.0):
        dials = replace(CHOSEN, candidates=8, relevance=relevance, repetition_penalty=penalty)
        conversation = converse(kind, engine=engine, dials=dials)
        reply = conversation.say("hello")
        params = replace(dials.sampling, seed=int(make_rng(1).integers(1 << 62)))
        stops = conversation.dialogue.stops
        candidates = generate_batch(
            start, engine, params, 8, max_chars=dials.length, stops=stops, recent=recent.tolist(), shown_before="\n"
        )
        assert len({one.text for one in candidates}) > 4
        best = rerank_mmi(engine, candidates, relevance, nothing)[0]
        assert (reply.text, reply.reason) == (best.text, best.reason)
        assert reply.logprob == pytest.approx(best.logprob)
        shown.append(reply.text)
    assert len(set(shown)) > 1, "relevance changes the choice"


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
def test_stop_while_a_reply_is_shown_keeps_the_text(
    kind: str, has_bytes: bool, dials: ChatConfig, character: int
) -> None:
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
        assert stopped.wait(60)

    def stop() -> None:
        assert shown.wait(60)
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


@pytest.mark.parametrize(
    "operation",
    ["say", "continue_", "regenerate", "undo", "redo", "edit", "branch_at", "choose"],
)
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


@each_kind
def test_undo_and_redo_retrace_every_step(kind: str, has_bytes: bool) -> None:
    conversation = converse(kind, has_bytes)
    seen = [conversation.text()]
    operations: list[Callable[[], object]] = [
        lambda: conversation.say("hello"),
        lambda: conversation.say("how are you?"),
        conversation.regenerate,
        lambda: conversation.edit(conversation.path[0], "hi"),
        conversation.continue_,
        lambda: conversation.branch_at(conversation.head, 1),
        lambda: conversation.choose(conversation.root.children[0]),
    ]
    for operation in operations:
        operation()
        seen.append(conversation.text())
    for text in reversed(seen[:-1]):
        assert conversation.undo()
        assert conversation.text() == text
        assert_remembers_what_is_seen(conversation)
    assert not conversation.undo()
    assert conversation.text() == seen[0]
    for text in seen[1:]:
        assert conversation.redo()
        assert conversation.text() == text
        assert_remembers_what_is_seen(conversation)
    assert not conversation.redo()


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
    assert conversation.head is conversation.root
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
    assert (opening.parent, opening.author) == (conversation.root, "bot")
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
    conversation.choose(conversation.root.children[0])
    assert conversation.head is newer


def test_choose_older_turn_shows_its_last_path() -> None:
    conversation = converse()
    first = conversation.say("hello").turn
    conversation.say("one")
    followed = conversation.say("two").turn
    other = conversation.branch_at(first, 1).turn
    conversation.say("three")
    conversation.choose(first)
    assert conversation.head is followed
    conversation.choose(other)
    assert texts(conversation)[-2] == "three"


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
        (lambda: conversation.edit(conversation.root, "x"), "nothing to edit"),
        (lambda: conversation.edit(yours, " \n "), "cannot be empty"),
        (lambda: conversation.branch_at(yours, 0), "only a reply"),
        (lambda: conversation.branch_at(conversation.root, 0), "only a reply"),
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
        assert conversation.seed == 99
        text = conversation.head.text
        start = reading(conversation, conversation.path[0], text[:6])
        expected = Generation(
            start,
            Sampler(conversation.engine, dials.sampling, [make_rng(99)]),
            max_chars=STREAMED.length - 1,
        )
        assert text[6:] == "".join([piece.text for piece in expected])
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
    assert conversation.seed == 1


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
        start = reading(conversation, turn.parent, conversation.lead(turn))
        expected = Generation(
            start,
            Sampler.seeded(conversation.engine, dials.sampling),
            max_chars=STREAMED.length,
            recent=window,
            stops=conversation.dialogue.stops,
        )
        assert reply.text == "".join([piece.text for piece in expected])


def test_repetition_penalty_mid_reply_covers_the_context() -> None:
    conversation = converse("plain", dials=GREEDY)
    penalised = replace(GREEDY, repetition_penalty=3.0)

    def turn() -> None:
        conversation.dials = penalised

    reply = conversation.say("a text that was there before", Observer(at(3, turn)))
    read = conversation.text(reply.turn)[1:].removesuffix(reply.text[3:])
    start = reading(conversation, reply.turn.parent, reply.text[:3])
    window = conversation.engine.vocabulary.encode(read)[-64:].tolist()
    expected = Generation(
        start,
        Sampler.seeded(conversation.engine, penalised.sampling),
        max_chars=STREAMED.length - 3,
        recent=window,
    )
    assert reply.text[3:] == "".join([piece.text for piece in expected])


# Replies that are empty, characters that are unknown


@pytest.mark.parametrize("dials", [STREAMED, CHOSEN], ids=["streamed", "chosen"])
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
        first = Generation(Context(*start), Sampler(engine, STREAMED.sampling, [make_rng(seed)]), stops=["\n"])
        silent += not list(first)
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
    conversation = Conversation(engine, ALL_DIALOGUES[kind], dials=STREAMED, seed=1)
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
    conversation.choose(conversation.root.children[0])
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


def test_turn_cost_is_independent_of_length() -> None:
    engine = WatchedEngine(talking_checkpoint())
    conversation = converse("lines", engine=engine, dials=replace(CHOSEN, length=8))
    costs = []
    for _ in range(60):
        conversation.reseed(1)
        read = count_ids(engine)
        reply = conversation.say("hello")
        costs.append(sum(read) / (1 + len(reply.text)))
    assert max(costs[30:]) <= max(costs[:30]) * 2


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


# Who plays whom


@pytest.mark.parametrize("form", ["transcript", "play"])
@pytest.mark.parametrize(
    ("you", "bot", "expected"),
    [
        (None, None, ("BEN", "ANNA")),
        ("ben", None, ("BEN", "ANNA")),
        ("ANNA", None, ("ANNA", "BEN")),
        (None, "ben", ("ANNA", "BEN")),
        (None, "cle", ("ANNA", "CLEO")),
        ("cleo", "an", ("CLEO", "ANNA")),
        ("A stranger", None, ("A stranger", "ANNA")),
        (" ben ", "CLEO", ("BEN", "CLEO")),
    ],
)
def test_roles_are_chosen_from_the_names(
    form: str, you: str | None, bot: str | None, expected: tuple[str, str]
) -> None:
    dialogue = Dialogue(form, ("ANNA", "BEN", "CLEO"))
    conversation = Conversation(talking_engine(), dialogue, you=you, bot=bot, seed=1)
    assert (conversation.you, conversation.bot) == expected


@pytest.mark.parametrize(("names", "expected"), [((), ("BOT", "YOU")), (("ANNA",), ("YOU", "ANNA"))])
def test_roles_with_too_few_names(names: tuple[str, ...], expected: tuple[str, str]) -> None:
    conversation = Conversation(talking_engine(), Dialogue("play", names), seed=1)
    assert {conversation.you, conversation.bot} == set(expected)
    assert not names or conversation.bot == names[0]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a: b", "x" * 41, "He said. Then", "12", "a\x1b"])
def test_roles_invalid_names_are_refused(name: str) -> None:
    for role in ({"you": name}, {"bot": name}):
        with pytest.raises(UsageError, match="cannot be the name"):
            Conversation(talking_engine(), Dialogue("play", ("ANNA", "BEN")), **role)  # type: ignore[arg-type]  # a str


def test_roles_are_distinct_or_absent() -> None:
    engine = talking_engine()
    with pytest.raises(UsageError, match="both speakers are ANNA"):
        Conversation(engine, Dialogue("play", ("ANNA", "BEN")), you="anna", bot="ANNA")
    for kind in ("plain", "lines"):
        conversation = converse(kind, engine=engine)
        assert (conversation.you, conversation.bot) == ("you", "bot")


def test_role_change_keeps_earlier_turns() -> None:
    conversation = converse("play")
    conversation.say("hello", Observer(stop_at(conversation, 3)))
    conversation.data.bot = "BABA"
    conversation.continue_()
    assert conversation.head.name == "ANNA"
    conversation.branch_at(conversation.head, 1)
    assert conversation.head.name == "ANNA"
    assert_remembers_what_is_seen(conversation)
    conversation.say("and you?")
    assert conversation.head.name == "BABA"
    assert_remembers_what_is_seen(conversation)


# Looking back


@each_kind
def test_score_chars_agrees_with_single_steps(kind: str, has_bytes: bool) -> None:
    conversation = converse(kind, has_bytes)
    reply = conversation.say("hello ☃ there", Observer(stop_at(conversation, 20)))
    assert conversation.contexts.score_chars(conversation.root) == []
    for turn in conversation.path:
        seen = conversation.contexts.score_chars(turn, alternatives=3)
        assert "".join([one.text for one in seen]) == turn.text
        assert all(len(one.alternatives) == 3 for one in seen)
        engine = conversation.engine
        before = reading(conversation, turn.parent, conversation.lead(turn))
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


# A journal


class Diary:
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

    def fetch(self, turn: Turn, reader: AdaptiveModel) -> Context | None:
        return None


def test_journal_gets_every_event_in_order() -> None:
    diary, time = Diary(), iter(range(10_000))
    conversation = Conversation(
        talking_engine(),
        Dialogue("lines"),
        dials=STREAMED,
        seed=4,
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


# Any operations in any order

SAYING = ("say", "say", "continue", "regenerate", "edit", "branch", "fail")
DOINGS = (*SAYING, "undo", "undo", "redo", "choose", "dials", "reseed")
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(DOINGS),
        st.integers(0, 40),
        st.integers(0, 40),
        st.text(st.sampled_from("abc ?\n:☃A\u0301"), max_size=8),
    ),
    min_size=1,
    max_size=10,
)  # fmt: skip


def operate(conversation: Conversation, name: str, number: int, character: int, text: str) -> None:
    """Do one thing, with what the numbers pick; a third of the replies are stopped after some characters."""
    path, dials = conversation.path, conversation.dials
    turn = path[number % len(path)] if path else None
    listen: Callable[[Piece], None] = stop_at(conversation, character) if character % 3 == 0 else lambda piece: None
    if character % 5 == 1:
        turned = replace(dials, temperature=number / 20)

        def listen(piece: Piece) -> None:
            conversation.dials = turned

    match name:
        case "say":
            conversation.say(text, Observer(listen))
        case "continue":
            conversation.continue_(Observer(listen))
        case "regenerate":
            conversation.regenerate(Observer(listen))
        case "undo":
            conversation.undo()
        case "redo":
            conversation.redo()
        case "edit" if turn is not None:
            conversation.edit(turn, "a" + text)
        case "branch" if turn is not None and turn.author == "bot":
            conversation.branch_at(turn, character % (len(turn.text) + 1), text[:1], Observer(listen))
        case "choose" if turn is not None:
            conversation.choose(turn.siblings[number % len(turn.siblings)])
        case "dials":
            conversation.dials = replace(
                dials, temperature=number / 20, candidates=1 + character % 3, repetition_penalty=1 + number % 2
            )
        case "reseed":
            conversation.reseed(number)
        case "fail":

            def fail(piece: Piece) -> None:
                raise Broken

            with suppress(Broken):  # an empty reply has no piece to fail at
                conversation.say(text, Observer(fail))


def all_turns(conversation: Conversation) -> list[Turn]:
    turns, branches = [], [conversation.root]
    while branches:
        children = branches.pop().children
        turns += children
        branches += children
    return turns


@pytest.mark.parametrize(("kind", "has_bytes"), KINDS)
@given(operations=OPERATIONS, seed=st.integers(0, 3))
@settings(max_examples=12)
def test_context_matches_the_text_after_any_operations(
    kind: str, has_bytes: bool, operations: list[tuple[str, int, int, str]], seed: int
) -> None:
    dials = replace(CHOSEN, candidates=2, length=12)
    conversation, twin = (converse(kind, has_bytes, dials=dials, seed=seed) for _ in range(2))
    closing = conversation.dialogue.closing
    said: dict[int, str] = {}
    for operation in operations:
        before = conversation.text()
        operate(conversation, *operation)
        operate(twin, *operation)
        assert conversation.text() == twin.text()
        assert_remembers_what_is_seen(conversation)
        assert conversation.head.characters == len(conversation.text()) - len(conversation.dialogue.beginning)
        for turn in all_turns(conversation):
            assert said.setdefault(turn.id, turn.text) == turn.text, "a finished turn never changes"
            assert not closing or closing not in turn.text
        changed = conversation.text()
        if changed != before and operation[0] not in ("undo", "redo"):
            assert conversation.undo()
            assert conversation.text() == before
            assert conversation.redo()
            assert conversation.text() == changed
            assert twin.undo()
            assert twin.redo()
