"""Names that the person mentioned: which ones there are after each operation, and what they change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import MAX_REMEMBERED_CHARS, ConversationData
from charlm.chat.replay import replay
from charlm.chat.turns import Segment, Turn
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.inference.name_bias import NameBias, Names
from charlm.text.vocabulary import Vocabulary

from .talkers import converse, each_way, texts

LETTERS = Vocabulary("abcdeABCDE .", has_bytes=False)


def names(conversation: Conversation) -> list[str]:
    return conversation.data.your_names(conversation.head)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat is Anna", ["Anna"]),
        ("Anna is the cat", []),  # as every sentence begins
        ("yes. Anna is the cat, not Bob", ["Bob"]),
        ("I am in", []),
        ("ask Bob and Anna and Bob", ["Bob", "Anna"]),
    ],
)
def test_names_are_words_with_a_capital_inside_a_sentence(text: str, expected: list[str]) -> None:
    conversation = converse("lines")
    conversation.say(text)
    assert names(conversation) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ゆうたです。", ["ゆうた"]),
        ("はじめまして、田中といいます。", ["田中"]),
        ("猫の名前はミケで、さくらちゃんが飼っている", ["ミケ", "さくら"]),
        ("金沢に住んでいます", ["金沢"]),
        ("今日は暑い", []),
    ],
)
def test_names_in_japanese_are_katakana_or_before_a_copula(text: str, expected: list[str]) -> None:
    data = ConversationData.start()
    data.attach(turn := Turn(0, data.root, "you", "", (Segment(text),)))
    assert data.your_names(turn) == expected


def test_names_follow_the_conversation() -> None:
    conversation = converse("lines")
    conversation.say("the cat is Anna")
    assert "1 name" in conversation.memory
    conversation.say("the dog is Bob")
    assert names(conversation) == ["Bob", "Anna"]
    conversation.undo()
    assert names(conversation) == ["Anna"]
    conversation.forget()
    assert conversation.memory == ""
    conversation.undo()
    assert names(conversation) == ["Anna"]


def test_forget_without_anything_learned_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to forget"):
        converse("lines").forget()


def test_names_of_a_long_conversation_are_the_last() -> None:
    conversation = converse("lines")
    conversation.say("the cat is Anna")
    for _ in range(5):
        conversation.say("a" * (MAX_REMEMBERED_CHARS // 4))
    assert names(conversation) == []


@each_way
def test_names_appear_in_replies(dials: ChatConfig) -> None:
    def replies(gain: float) -> str:
        text = ""
        for seed in range(8):
            conversation = converse("lines", dials=replace(dials, names=gain, length=60), seed=seed)
            conversation.say("the goat of the master is Anna")
            assert replay(conversation).difference is None
            text += texts(conversation)[-1]
        return text

    assert "Anna" in replies(20)
    assert "Anna" not in replies(0)


@each_way
def test_turns_without_names_change_nothing(dials: ChatConfig) -> None:
    replies = []
    for gain in (0.0, 5.0):
        conversation = converse("lines", dials=replace(dials, names=gain), seed=3)
        conversation.say("nothing of note")
        replies.append(texts(conversation))
    assert replies[0] == replies[1]


def gains(bias: NameBias, text: str) -> dict[str, float]:
    """Gains of the characters after a text."""
    for index in LETTERS.encode(text).tolist():
        bias.advance(index)
    zeros = np.zeros(len(LETTERS), np.float32)
    mixed = bias.mix(zeros)
    return {} if mixed is None else {LETTERS.label(k): float(mixed[k]) for k in np.flatnonzero(mixed)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"A": 2.0}),
        ("d ", {"A": 2.0}),
        ("A", {"b": 4.0}),
        ("dA", {}),  # no name begins inside a word
        ("Abb", {"a": 4.0, " ": 4.0, ".": 4.0}),
        ("Abba", {" ": 4.0, ".": 4.0}),
        ("Ad", {}),
        ("Abb. ", {}),  # one name is enough
    ],
)
def test_next_letters_of_names_gain(text: str, expected: dict[str, float]) -> None:
    assert gains(NameBias(Names(["Abba", "Abb"], 4.0, LETTERS)), text) == expected


def test_name_in_a_script_without_spaces_ends_before_a_letter() -> None:
    vocabulary = Vocabulary("あいうさん。", has_bytes=False)
    bias = NameBias(Names(["あい"], 4.0, vocabulary))
    zeros = np.zeros(len(vocabulary), np.float32)
    gained = []
    for index in vocabulary.encode("あいさん。").tolist():
        mixed = bias.mix(zeros)
        gained.append("" if mixed is None else "".join(vocabulary.label(k) for k in np.flatnonzero(mixed)))
        bias.advance(index)
    assert gained == ["あ", "い", "", "", ""]
