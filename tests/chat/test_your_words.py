"""Exact words of the person, which replies may repeat: what they are after each operation, and what they change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import MAX_WORDS_CHARS
from charlm.chat.replay import replay
from charlm.config import ChatConfig
from charlm.errors import UsageError

from .talkers import converse, each_way, texts

TEXT = "the goat of the harbour master is called anna"


def words(conversation: Conversation) -> str:
    return conversation.data.your_words(conversation.head)


def test_words_are_those_of_the_person_alone() -> None:
    conversation = converse("lines")
    assert words(conversation) == ""
    conversation.say("hello")
    conversation.say("yes")
    assert words(conversation) == "hello\nyes\n"
    conversation.undo()
    assert words(conversation) == "hello\n"
    conversation.redo()
    conversation.edit(conversation.path[2], "no")
    assert words(conversation) == "hello\nno\n"
    conversation.choose(conversation.path[0])
    assert words(conversation).startswith("hello\n")


def test_forget_drops_the_words_until_it_is_undone() -> None:
    conversation = converse("lines")
    with pytest.raises(UsageError, match="nothing to forget"):
        conversation.forget()
    conversation.say("hello")
    assert "6 exact" in conversation.memory
    conversation.forget()
    assert conversation.memory == ""
    conversation.undo()
    assert words(conversation) == "hello\n"
    conversation.forget()
    conversation.say("yes")
    assert words(conversation) == "yes\n"


def test_words_of_a_long_conversation_are_the_last() -> None:
    conversation = converse("lines")
    for letter in "abcdef":
        conversation.say(letter * 999)
    assert len(words(conversation)) == MAX_WORDS_CHARS
    assert words(conversation).endswith("e\n" + "f" * 999 + "\n")


@each_way
def test_words_make_replies_repeat_them(dials: ChatConfig) -> None:
    def reply(odds: float) -> list[str]:
        conversation = converse("lines", dials=replace(dials, words=odds, length=60), seed=3)
        conversation.say(TEXT)
        conversation.branch_at(conversation.head, 0, "the goat of")
        assert replay(conversation).difference is None
        return texts(conversation)

    assert " the harbour master is called anna" in reply(1e3)[-1]
    assert " the harbour" not in reply(0)[-1]


@each_way
def test_words_that_match_nothing_change_nothing(dials: ChatConfig) -> None:
    replies = []
    for odds in (0.0, 1.0):
        conversation = converse("lines", dials=replace(dials, words=odds), seed=3)
        conversation.say("?")
        replies.append(texts(conversation))
    assert replies[0] == replies[1]
