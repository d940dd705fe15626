"""A conversation that is saved, closed and opened agrees with one that never was, and with reading its text."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.adapt.learner import AdaptedContext, Learner, adapted_to_bytes
from charlm.cells import CELLS
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.replay import replay
from charlm.chat.reply import Observer
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import BOT, Turn, upwards
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.inference.context import context_to_bytes, encode_lossy
from charlm.inference.engine import Engine
from charlm.inference.generate import Piece
from tests.conftest import assert_states_close, examples

from .models import DIALOGUES, learning_engine, random_engine
from .talkers import ALL_DIALOGUES, Broken, assert_remembers_what_is_seen, texts, tree, turns_below

TEXTS = ("hello", "a", "how are you?", " what\n\nnow ", "AB: no", "\u00e9\U0001f600 or", "!")


class Step(NamedTuple):
    """One operation."""

    what: str  # its name
    where: int  # picks a turn, a text or a value
    stop: int  # characters until a reply is stopped; 0 is before the first
    turn: int  # characters until a setting is changed


WHATS = (
    *("say", "say", "say", "continue", "continue", "regenerate", "regenerate", "undo", "undo", "redo"),
    *("edit", "branch", "choose", "dial", "reseed", "fail", "reopen", "reopen"),
)
LEARNING_WHATS = (*WHATS, "forget", "rate", "say", "say", "undo")
RATE = 3e-3


def some_steps(whats: tuple[str, ...]) -> st.SearchStrategy[list[Step]]:
    places = st.one_of(st.just(99), st.integers(0, 9))
    one = st.builds(Step, st.sampled_from(whats), st.integers(0, 50), places, st.integers(0, 30))
    return st.lists(one, min_size=1, max_size=14)


STEPS, LEARNING_STEPS = some_steps(WHATS), some_steps(LEARNING_WHATS)


def fail(piece: Piece) -> None:
    raise Broken


def play(conversation: Conversation, step: Step) -> None:
    """Do it, unless there is nothing to do it to."""
    shown = 0

    def on_piece(piece: Piece) -> None:
        nonlocal shown
        shown += 1
        if shown == step.turn:
            conversation.dials = replace(conversation.dials, temperature=0.2 + step.where % 3, top_k=step.where % 5)
        if shown == step.turn + 3:
            conversation.reseed(step.where)
        if shown == step.stop:
            conversation.stop()

    def on_turn(begun: Turn) -> None:
        if step.stop == 0 and begun.author == BOT:
            conversation.stop()

    path, text = conversation.path, TEXTS[step.where % len(TEXTS)]
    turn = path[step.where % len(path)] if path else None
    if step.what == "say":
        conversation.say(text, Observer(on_piece, on_turn))
    elif step.what == "continue":
        conversation.continue_(Observer(on_piece, on_turn))
    elif step.what == "regenerate":
        conversation.regenerate(Observer(on_piece, on_turn))
    elif step.what == "undo":
        conversation.undo()
    elif step.what == "redo":
        conversation.redo()
    elif step.what == "dial":
        conversation.dials = replace(conversation.dials, repetition_penalty=1 + step.where % 2, top_p=0.8)
    elif step.what == "fail":
        with suppress(Broken):  # an empty reply has no piece to fail at
            conversation.say(text, Observer(fail))
    elif step.what == "reseed":
        conversation.reseed(step.where)
    elif step.what == "rate":
        conversation.dials = replace(conversation.dials, learn=(RATE, 0.0, 2 * RATE)[step.where % 3])
    elif step.what == "forget":
        with suppress(UsageError):  # there may be nothing to forget
            conversation.forget()
    elif turn is None:
        pass
    elif step.what == "edit":
        conversation.edit(turn, text)
    elif step.what == "choose":
        conversation.choose(turn.siblings[step.turn % len(turn.siblings)])
    elif step.what == "branch" and turn.author == BOT:
        conversation.branch_at(
            turn, step.where % (len(turn.text) + 1), text[: step.turn % 3], Observer(on_piece, on_turn)
        )


def check_memory(conversation: Conversation, turn: Turn) -> None:
    """Assert that the context after a turn is that of reading everything up to it."""
    check = check_learned if isinstance(conversation.context(turn), AdaptedContext) else assert_remembers_what_is_seen
    check(conversation, turn)


def check_learned(conversation: Conversation, turn: Turn) -> None:
    """Assert that another learner that reads the same pieces learns the same.

    To the bit, if it has learned all along: reading without learning goes character by character as well as at once,
    which float32 tells apart.
    """
    engine, dialogue = conversation.engine, conversation.dialogue
    learner = Learner(engine)
    memory: AdaptedContext | None = None
    state, logits = engine.prefill(engine.start(), encode_lossy(engine.vocabulary, dialogue.beginning))
    always = True
    for one in reversed(list(upwards(turn))):
        if one.policy.forget and memory is not None:
            state, memory = memory.base.state, None
        how = one.policy.settings
        pieces = [(conversation.data.lead(one), False), *((passage.text, how is not None) for passage in one.segments)]
        for text, learns in pieces:
            ids = encode_lossy(engine.vocabulary, text)
            if memory is None and how is not None and len(ids):
                memory, ids = learner.begin(state, int(ids[0])), ids[1:]
            if memory is None:
                always = always and not len(ids)
                state, logits = engine.prefill(state, ids) if len(ids) else (state, logits)
            else:
                then = encode_lossy(engine.vocabulary, dialogue.closing)
                memory = learner.read(
                    memory,
                    ids,
                    learn=learns,
                    next_id=int(then[0]) if learns and len(then) else None,
                    lr=how.rate if how is not None and learns else None,
                ).context
    assert memory is not None
    found = conversation.context(turn)
    assert isinstance(found, AdaptedContext)
    if always:
        assert adapted_to_bytes(found, learner.base) == adapted_to_bytes(memory, learner.base)
        assert found.delta.to_bytes() == memory.delta.to_bytes()
    assert_states_close(found.state, memory.state, 1e-3)
    np.testing.assert_allclose(found.delta.moved, memory.delta.moved, rtol=0, atol=1e-3)


def as_bytes(conversation: Conversation, turn: Turn) -> tuple[bytes, ...]:
    """Everything that the model remembers after a turn."""
    context = conversation.context(turn)
    if isinstance(context, AdaptedContext):
        return conversation.model.to_bytes(context)
    return (context_to_bytes(context, conversation.engine),)


def check(engine: Engine, form: str, candidates: int, steps: list[Step], path: Path, learn: float = 0.0) -> None:
    dials = ChatConfig(candidates=candidates, length=12, temperature=1.0, learn=learn)
    dialogue = ALL_DIALOGUES[form]
    never_closed = Conversation(engine, ConversationData.start(dialogue, dials=dials, seed=1))
    store = ConversationStore(path)
    conversation = store.create("noise", engine, ConversationData.start(dialogue, dials=dials, seed=1))

    def keep_few() -> None:
        """Keep learned weights with three turns only."""
        conversation.contexts.max_delta_turns = 3

    def reopen() -> None:
        nonlocal store, conversation
        number = conversation.data.number
        store.close()
        store = ConversationStore(path)
        if number is not None:
            conversation = store.open(number, "noise", engine, dialogue)
        else:
            conversation = store.create(
                "noise", engine, ConversationData.start(dialogue, dials=conversation.dials, seed=1)
            )
            conversation.data.controls.rng.bit_generator.state = never_closed.data.controls.rng.bit_generator.state
        keep_few()

    keep_few()
    finished: dict[int, str] = {}
    for step in steps:
        before = conversation.text()
        if step.what == "reopen":
            reopen()
        else:
            for one in (conversation, never_closed):
                play(one, step)
        assert texts(conversation) == texts(never_closed)
        after = conversation.text()
        assert conversation.head.characters == len(after) - len(conversation.dialogue.beginning)
        for turn in turns_below(never_closed.data.root):
            assert finished.setdefault(turn.id, turn.text) == turn.text, "a finished turn never changes"
            assert not conversation.dialogue.closing or conversation.dialogue.closing not in turn.text
        if not learn:
            check_memory(conversation, conversation.head)
        if after != before and step.what not in ("undo", "redo") and not conversation.data.forgets:
            for one in (conversation, never_closed):
                assert one.undo()
                assert one.text() == before
                assert one.redo()
                assert one.text() == after
    assert store.error is None
    if conversation.data.number is not None:
        assert tree(store.load(conversation.data.number).root) == tree(never_closed.data.root)
    check_memory(conversation, conversation.head)
    assert replay(conversation).difference is None
    reopen()
    assert texts(conversation) == texts(never_closed)
    for mine, other in zip(conversation.path[::-1], never_closed.path[::-1], strict=True):
        assert as_bytes(conversation, mine) == as_bytes(never_closed, other)
    for turn in conversation.path:
        check_memory(conversation, turn)
    check_choices(conversation, never_closed)
    # And all of it goes on as if nothing had been.
    for step in (Step("continue", 0, 99, 5), Step("regenerate", 1, 7, 2), Step("redo", 0, 0, 0), Step("say", 0, 99, 1)):
        for one in (conversation, never_closed):
            play(one, step)
        assert texts(conversation) == texts(never_closed)
    for move in (Conversation.undo, Conversation.redo):
        while move(never_closed):
            assert move(conversation)
            assert texts(conversation) == texts(never_closed)
        assert not move(conversation)
    store.close()


def check_choices(conversation: Conversation, other: Conversation) -> None:
    """Assert that each choice leads to its last visible path."""
    for one, another in zip(turns_below(conversation.data.root), turns_below(other.data.root), strict=True):
        conversation.choose(one)
        other.choose(another)
        assert texts(conversation) == texts(other)


@pytest.mark.parametrize("form", ALL_DIALOGUES)
@pytest.mark.parametrize("candidates", [1, 4])
@settings(max_examples=examples(8))
@given(steps=STEPS, has_bytes=st.booleans())
def test_history_context_matches_visible_text(form: str, candidates: int, steps: list[Step], has_bytes: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(random_engine(has_bytes=has_bytes), form, candidates, steps, Path(folder) / "c.db")


@pytest.mark.parametrize("form", DIALOGUES)
@pytest.mark.parametrize("candidates", [1, 4])
@settings(max_examples=examples(8))
@given(steps=LEARNING_STEPS, has_bytes=st.booleans())
def test_history_learned_weights_match_the_text(form: str, candidates: int, steps: list[Step], has_bytes: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = learning_engine(has_bytes=has_bytes)
        check(engine, form, candidates, steps, Path(folder) / "c.db", learn=RATE)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "lstm"])
@settings(max_examples=examples(2))
@given(steps=STEPS)
def test_history_is_exact_with_every_cell(cell: str, steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(random_engine(cell=cell), "play", 2, steps, Path(folder) / "c.db")
