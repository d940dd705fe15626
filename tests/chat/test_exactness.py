"""What you see is what it knows: after whatever is done, and whatever is closed and opened again.

Random sequences of everything that can be done are played twice: in a conversation that is closed and opened again now
and then, and in one that never is. After each, both say the same; the state is the one that reading the visible text
from scratch gives, to float32's rounding; the database holds the same tree; and it can be played again.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.chat.conversation import BOT, Conversation, Turn
from charlm.chat.dials import Dials
from charlm.chat.drawing import Snapshot
from charlm.chat.replay import replay
from charlm.chat.store import Store
from charlm.inference.engine import Engine
from charlm.inference.generate import Piece
from charlm.inference.reading import spell

from .models import DIALOGUES, random_engine

TEXTS = ("hello", "a", "how are you?", " what\n\nnow ", "AB: no", "\u00e9\U0001f600 or", "!")


class Step(NamedTuple):
    """One operation.

    Attributes:
        what: its name.
        where: picks a turn, a text, or a value.
        stop: after how many characters a reply is stopped, if it comes so far; 0 is before the first.
        turn: before which character a dial is turned, if it comes so far.
    """

    what: str
    where: int
    stop: int
    turn: int


WHATS = (
    *("say", "say", "say", "continue", "continue", "regenerate", "regenerate", "undo", "undo", "redo"),
    *("edit", "branch", "choose", "dial", "reseed", "reopen", "reopen"),
)
STEPS = st.lists(
    st.builds(
        Step, st.sampled_from(WHATS), st.integers(0, 50), st.one_of(st.just(99), st.integers(0, 9)), st.integers(0, 30)
    ),
    min_size=1,
    max_size=14,
)


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
        conversation.say(text, on_piece, on_turn)
    elif step.what == "continue":
        conversation.continue_(on_piece, on_turn)
    elif step.what == "regenerate":
        conversation.regenerate(on_piece, on_turn)
    elif step.what == "undo":
        conversation.undo()
    elif step.what == "redo":
        conversation.redo()
    elif step.what == "dial":
        conversation.dials = replace(conversation.dials, repetition_penalty=1 + step.where % 2, top_p=0.8)
    elif step.what == "reseed":
        conversation.reseed(step.where)
    elif turn is None:
        pass
    elif step.what == "edit":
        conversation.edit(turn, text)
    elif step.what == "choose":
        conversation.choose(conversation.siblings(turn)[step.turn % len(conversation.siblings(turn))])
    elif step.what == "branch" and turn.author == BOT:
        conversation.branch_at(turn, step.where % (len(turn.text) + 1), text[: step.turn % 3], on_piece, on_turn)


def tree(turn: Turn) -> tuple[object, ...]:
    """Everything below a turn, whatever its number."""
    return (turn.author, turn.name, turn.reason, turn.passages, [tree(child) for child in turn.children])


def texts(conversation: Conversation) -> list[str]:
    return [turn.text for turn in conversation.path]


def check_memory(conversation: Conversation, turn: Turn) -> None:
    """What the model remembers after a turn is what reading everything up to it gives."""
    engine = conversation.engine
    afresh = Snapshot(*engine.feed(engine.start(), spell(engine.vocabulary, conversation.text(turn))[0]))
    found = conversation.snapshot(turn)
    for one, other in zip(found.state.arrays(), afresh.state.arrays(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.logits, afresh.logits, rtol=0, atol=1e-4)


def check(engine: Engine, form: str, candidates: int, steps: list[Step], path: Path) -> None:
    dials = Dials(candidates=candidates, length=12, temperature=1.0)
    never_closed = Conversation(engine, DIALOGUES[form], dials=dials, seed=1)
    store = Store(path)
    conversation = store.create("noise", engine, DIALOGUES[form], dials=dials, seed=1)

    def reopen() -> None:
        nonlocal store, conversation
        number = conversation.number
        store.close()
        store = Store(path)
        if number is not None:
            conversation = store.open(number, "noise", engine, DIALOGUES[form]).conversation
        else:
            conversation = store.create("noise", engine, DIALOGUES[form], dials=conversation.dials, seed=1)
            conversation.hand.rng.bit_generator.state = never_closed.hand.rng.bit_generator.state

    for step in steps:
        if step.what == "reopen":
            reopen()
        else:
            for one in (conversation, never_closed):
                play(one, step)
        assert texts(conversation) == texts(never_closed)
    assert store.trouble is None
    if conversation.number is not None:
        assert tree(store.turns(conversation.number).conversation(engine).root) == tree(never_closed.root)
        assert [turn.text for turn in store.turns(conversation.number).path] == texts(never_closed)
    check_memory(conversation, conversation.head)
    assert replay(conversation).difference is None
    reopen()
    assert texts(conversation) == texts(never_closed)
    mine, other = conversation.snapshot(conversation.head), never_closed.snapshot(never_closed.head)
    assert mine.to_bytes(engine) == other.to_bytes(engine)
    for turn in conversation.path:
        check_memory(conversation, turn)
    check_choices(conversation, never_closed)
    # And all of it goes on as if nothing had been.
    for step in (Step("continue", 0, 99, 5), Step("regenerate", 1, 7, 2), Step("redo", 0, 0, 0), Step("say", 0, 99, 1)):
        for one in (conversation, never_closed):
            play(one, step)
        assert texts(conversation) == texts(never_closed)
    while never_closed.undo():
        assert conversation.undo()
        assert texts(conversation) == texts(never_closed)
    assert not conversation.undo()
    store.close()


def check_choices(conversation: Conversation, other: Conversation) -> None:
    """Whatever is chosen leads to where it was last left."""
    for one, another in zip(_below(conversation.root), _below(other.root), strict=True):
        conversation.choose(one)
        other.choose(another)
        assert texts(conversation) == texts(other)


def _below(turn: Turn) -> list[Turn]:
    return [one for child in turn.children for one in (child, *_below(child))]


@pytest.mark.parametrize("form", DIALOGUES)
@pytest.mark.parametrize("candidates", [1, 4])
@settings(max_examples=5)
@given(steps=STEPS, has_bytes=st.booleans())
def test_what_you_see_is_what_it_knows(form: str, candidates: int, steps: list[Step], has_bytes: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(random_engine(has_bytes=has_bytes), form, candidates, steps, Path(folder) / "c.db")


@pytest.mark.slow
@pytest.mark.parametrize("form", DIALOGUES)
@pytest.mark.parametrize("candidates", [1, 4])
@settings(max_examples=int(os.environ.get("CHARLM_EXAMPLES", "25")))
@given(steps=STEPS, has_bytes=st.booleans())
def test_two_hundred_times(form: str, candidates: int, steps: list[Step], has_bytes: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(random_engine(has_bytes=has_bytes), form, candidates, steps, Path(folder) / "c.db")
