"""Reading a long text that a person said."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.inference.context import READ_BLOCK
from charlm.inference.engine import Engine
from tests.conftest import assert_states_close, random_checkpoint


def test_reading_in_blocks_changes_no_bit() -> None:
    engine = Engine(random_checkpoint())
    conversation = Conversation(engine, ConversationData.start())
    ids = np.random.default_rng(1).integers(0, engine.config.vocabulary, 2 * READ_BLOCK + 777)
    text = engine.vocabulary.decode(ids)
    start = conversation.context(conversation.data.root)
    state, logits = engine.prefill(start.state, engine.vocabulary.encode(text))
    read = conversation.model.read(start, engine.vocabulary.encode(text))
    assert np.array_equal(read.logits, logits)
    assert_states_close(read.state, state, 0)


def test_reading_can_be_stopped_without_a_trace() -> None:
    engine = Engine(random_checkpoint())
    conversation = Conversation(engine, ConversationData.start(dials=ChatConfig(candidates=1, length=5), seed=1))
    conversation.say("hello")
    before = conversation.text()
    feed, fed = engine.prefill, []

    def stopping(state: object, ids: np.ndarray) -> object:
        fed.append(len(ids))
        conversation.stop()
        return feed(state, ids)  # type: ignore[arg-type]

    engine.prefill = stopping  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="was not sent"):
        conversation.say("a" * 5 * READ_BLOCK)
    assert sum(fed) <= READ_BLOCK + 100
    assert conversation.text() == before
    assert not conversation.busy
    conversation.say("and now?")
    assert conversation.text().startswith(before + "and now?")
