"""A reply copies from the person's turns, as far as they count."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import MAX_REMEMBERED_CHARS, ConversationData
from charlm.config import ChatConfig
from charlm.inference.engine import Engine
from charlm.inference.pointer import Memory, Pointer

from .models import DIALOGUES, random_checkpoint, random_pointer
from .talkers import KNOWN, texts

DIALS = ChatConfig(candidates=1, length=30, temperature=1.0, names=0)


@cache
def copying_engine() -> Engine:
    """A model that only copies, each character of the person's as likely as the others."""
    made = random_checkpoint(scale=0.5, characters=KNOWN)
    pointer = {name: np.zeros_like(part) for name, part in random_pointer(made.config).items()}
    pointer["pointer.bias"] = np.full(66, -100, np.float32)
    return Engine(replace(made, pointer=pointer))


def begin(dials: ChatConfig = DIALS, engine: Engine | None = None, form: str = "lines") -> Conversation:
    return Conversation(engine or copying_engine(), ConversationData.start(DIALOGUES[form], dials=dials, seed=1))


@pytest.mark.parametrize("form", ["lines", "transcript", "play"])
@pytest.mark.parametrize("candidates", [1, 4])
def test_reply_copies_what_the_person_said(form: str, candidates: int) -> None:
    conversation = begin(replace(DIALS, candidates=candidates), form=form)
    assert set(conversation.say("abc").text) == set("abc")
    assert set(conversation.say("d").text) == set("abcd")
    conversation.undo()
    assert set(conversation.say("e").text) == set("abce")
    conversation.edit(conversation.path[0], "xyz")
    assert set(conversation.regenerate().text) == set("xyz")


def test_turns_keep_no_memories() -> None:
    """A memory is megabytes, and each turn makes its own."""
    conversation = begin(replace(DIALS, learn=0.0, candidates=4))
    conversation.say("abc")
    assert conversation.context(conversation.head).memory is None


def test_forget_ends_what_can_be_copied() -> None:
    conversation = begin()
    conversation.say("abc")
    conversation.forget()
    assert set(conversation.say("d").text) == set("d")
    assert set(conversation.say("e").text) == set("de")


def test_oldest_turns_cannot_be_copied_any_more() -> None:
    conversation = begin()
    for letter in "zab":
        said = conversation.say(letter * (MAX_REMEMBERED_CHARS // 2)).text
    assert set(said) == set("ab")


def test_recall_of_zero_is_the_model_without_a_pointer() -> None:
    plain = Engine(replace(copying_engine().checkpoint, pointer=None))
    said = []
    for engine, recall in ((copying_engine(), 0.0), (plain, 1.0)):
        conversation = begin(replace(DIALS, recall=recall), engine)
        conversation.say("abc")
        conversation.say("and you?")
        said.append(texts(conversation))
    assert said[0] == said[1]
    assert not set(said[0][1]) <= set("abc")


def test_higher_recall_makes_copies_likelier() -> None:
    model = copying_engine().checkpoint
    assert model.pointer is not None
    engine = Engine(replace(model, pointer=model.pointer | {"pointer.bias": np.zeros(66, np.float32)}))
    shares = []
    for recall in (0.1, 1.0, 10.0):
        reply = begin(replace(DIALS, recall=recall, length=400), engine).say("a").text
        shares.append(reply.count("a") / max(1, len(reply)))
    assert shares == sorted(shares)
    assert shares[2] > 2 * shares[0]


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_probability_is_that_of_copies_and_of_the_model(weight: float) -> None:
    made = random_checkpoint(scale=0.5)
    engine, pointer = Engine(made), Pointer({name: part / 20 for name, part in random_pointer(made.config).items()})
    ids = made.vocabulary.encode("anna and bob")
    memory = Memory.join([pointer.remember(engine.hidden_states(engine.start(), ids), ids)], weight)
    state, logits = engine.prefill(engine.start(), ids[:5])
    log_p, copied = memory.mix(state.hidden, logits[None])
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-5)
    (shares,) = memory.copies(state.hidden)
    copies = np.bincount(ids, shares[1:], len(made.vocabulary))
    np.testing.assert_allclose(copied[0] * np.exp(log_p[0]), copies, atol=1e-6)
    assert 0.1 < copies.sum() < 0.99
