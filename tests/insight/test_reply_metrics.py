"""Metrics of replies."""

from __future__ import annotations

import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.config import ChatConfig
from charlm.inference.engine import Engine
from charlm.insight.reply_metrics import (
    ReplyPair,
    converse,
    first_messages,
    measure,
    repeats_itself,
    split_words,
)
from charlm.text.conversations import Utterance
from charlm.text.dialogue import Dialogue

from ..conftest import random_checkpoint


def test_split_words_ignores_case_and_marks() -> None:
    text = "Don\u2019t, don't -- D'Arcy's 2nd caf\u00e9!"
    assert split_words(text) == ["don't", "don't", "d'arcy's", "nd", "caf\u00e9"]


def test_repeats_itself_with_four_words_twice() -> None:
    assert repeats_itself("I like to go out and I like to go in")
    assert not repeats_itself("I like to go and I like to stay")
    assert not repeats_itself("yes yes yes")
    assert repeats_itself("yes yes yes yes yes")


def test_measure_counts_each_metric() -> None:
    exchanges = [
        ReplyPair("hello", "Hello!"),
        ReplyPair("and you", "I am well, zzz", ("Hello!",)),
        ReplyPair("oh", "hello", ("Hello!", "I am well, zzz")),
        ReplyPair("so", " "),
    ]
    found = measure(exchanges, frozenset({"hello", "i", "am", "well"}))
    assert (found.replies, found.empty, found.echoes, found.repeats) == (4, 0.25, 0.25, 0.25)
    assert found.length == pytest.approx((6 + 14 + 5 + 1) / 4)
    assert found.distinct_1 == pytest.approx(5 / 6)
    assert found.distinct_2 == 1
    assert found.unknown == pytest.approx(1 / 6)
    assert measure(exchanges).unknown is None


def test_converse_returns_replies_in_order() -> None:
    dials = ChatConfig(candidates=1, length=20)
    talk = Conversation(Engine(random_checkpoint()), ConversationData.start(Dialogue("lines"), dials=dials, seed=1))
    exchanges = converse(talk, ["hello", "and you"])
    assert [one.text.strip("\n") for one in talk.path] == [
        part for one in exchanges for part in (one.message, one.reply)
    ]
    assert exchanges[1].earlier == (exchanges[0].reply,)


def test_first_messages_are_of_the_first_speaker() -> None:
    unnamed = [Utterance("", text) for text in "abcdefgh"]
    assert first_messages(unnamed) == ["a", "c", "e"]
    named = [Utterance("A", "a"), Utterance("B", "b"), Utterance("C", "c"), Utterance("A", "d")]
    assert first_messages(named) == ["a", "d"]
