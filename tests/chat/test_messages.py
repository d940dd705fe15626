"""Replies to lists of messages agree with a conversation, and cost a turn at any length."""

from __future__ import annotations

from dataclasses import replace

import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.messages import Message, MessageThread
from charlm.chat.turns import BOT, YOU
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.inference.context import StaticModel
from charlm.inference.prefix_cache import PrefixCache

from .models import DIALOGUES, CountingEngine, random_checkpoint

DIALS = ChatConfig(length=20, candidates=2)


def engine_of(kind: str) -> CountingEngine:
    return CountingEngine(replace(random_checkpoint(), dialogue=DIALOGUES[kind]))


def draw(cache: PrefixCache, messages: list[Message], seed: int) -> str:
    thread = MessageThread(cache, messages, DIALS)
    return "".join([piece.text for piece in thread.pieces(thread.sampler(seed))])


@pytest.mark.parametrize("kind", ["lines", "transcript", "play"])
def test_reply_equals_that_of_a_conversation(kind: str) -> None:
    engine = engine_of(kind)
    conversation = Conversation(engine, ConversationData.start(DIALOGUES[kind], dials=DIALS, seed=1))
    cache, messages = PrefixCache(StaticModel(engine)), []
    for seed, text in enumerate(["hello there", "is it\n\nlate?", "no"], 1):
        conversation.reseed(seed)
        messages.append(Message(YOU, text))
        reply = draw(cache, messages, seed)
        assert reply == conversation.say(text).text
        messages.append(Message(BOT, reply))


def test_turn_of_a_long_chat_costs_what_is_new() -> None:
    engine = engine_of("lines")
    cache, messages, costs = PrefixCache(StaticModel(engine)), [], []
    for turn in range(100):
        messages.append(Message(YOU, "hello there"))
        before = engine.read_ids
        messages.append(Message(BOT, draw(cache, messages, turn)))
        costs.append(engine.read_ids - before)
    assert sum(costs[-10:]) < 2 * sum(costs[:10])


def test_messages_without_text_are_refused() -> None:
    with pytest.raises(UsageError, match="no message has text"):
        MessageThread(PrefixCache(StaticModel(engine_of("lines"))), [Message(YOU, " \n")], DIALS)
