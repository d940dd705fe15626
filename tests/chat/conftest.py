"""Fixtures for the chat: a model, a file of conversations, and a store that is closed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from charlm.chat.storage.store import ConversationStore
from charlm.config import ChatConfig
from charlm.inference.engine import Engine

from .models import random_engine

QUICK = ChatConfig(candidates=1, length=20)
"""Replies that take no time."""

Reopen = Callable[[], ConversationStore]


@pytest.fixture
def engine() -> Engine:
    """A model with random weights."""
    return random_engine()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where conversations are kept; nothing is there yet."""
    return tmp_path / "kept" / "conversations.db"


@pytest.fixture
def reopen(path: Path) -> Iterator[Reopen]:
    """Opens the file as another process would, again and again."""
    stores = []

    def call() -> ConversationStore:
        stores.append(ConversationStore(path))
        return stores[-1]

    yield call
    for store in stores:
        store.close()


@pytest.fixture
def store(reopen: Reopen) -> ConversationStore:
    """A store that has nothing in it."""
    return reopen()
