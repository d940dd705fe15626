"""Fixtures for the chat: a model, a database, and a store that is closed afterwards."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from charlm.chat.commands import COMMANDS, Operation, find_command
from charlm.chat.reply import NO_OBSERVER
from charlm.chat.session import Session
from charlm.chat.storage.store import ConversationStore
from charlm.checkpoint import save
from charlm.config import ChatConfig
from charlm.inference.engine import Engine

from .models import DIALOGUES, random_engine
from .talkers import talking_checkpoint, texts

QUICK = ChatConfig(candidates=1, length=20)
"""Short replies."""

Reopen = Callable[..., ConversationStore]


class Connector:
    """Opens connections to databases, and remembers the last one."""

    last: sqlite3.Connection

    def __call__(self, *args: Any, **options: Any) -> sqlite3.Connection:
        self.last = sqlite3.connect(*args, **options)
        return self.last


class FakeUI:
    """An interface that records what it is asked to show."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.notes: list[str] = []
        self.shown = self.dials_shown = 0

    def show_note(self, text: str) -> None:
        self.notes.append(text)

    def generate(self, operation: Operation) -> None:
        operation(NO_OBSERVER)

    def show_conversation(self) -> None:
        self.shown += 1

    def show_dials(self) -> None:
        self.dials_shown += 1

    def leave(self) -> None:
        """Do nothing."""

    def run(self, *lines: str) -> list[str]:
        """Return the notes of the last of some lines."""
        for line in lines:
            self.notes.clear()
            if line.startswith("/"):
                command, argument = find_command(COMMANDS, line)
                command.run(self, argument)
            else:
                self.session.conversation.say(line)
        return self.notes

    def note(self, line: str) -> str:
        """Return the notes of a line as one text."""
        return "\n".join(self.run(line))

    @property
    def texts(self) -> list[str]:
        return texts(self.session.conversation)


def ticks() -> Callable[[], float]:
    """A clock that is a second later at every look, so that a draft is saved at every piece."""
    return iter(range(1_000_000)).__next__


@pytest.fixture
def engine() -> Engine:
    """A model with random weights."""
    return random_engine()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """./checkpoints with a play, and a novel that is newer."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    save(replace(talking_checkpoint(), dialogue=DIALOGUES["play"]), folder / "play.safetensors")
    save(talking_checkpoint(), folder / "novel.safetensors")
    os.utime(folder / "play.safetensors", (1, 1))
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of a database that does not exist yet."""
    return tmp_path / "kept" / "conversations.db"


@pytest.fixture
def reopen(path: Path) -> Iterator[Reopen]:
    """Opens stores on the database, as other processes would, and closes them afterwards."""
    stores = []

    def call(**options: Any) -> ConversationStore:
        stores.append(ConversationStore(path, **options))
        return stores[-1]

    yield call
    for store in stores:
        store.close()


@pytest.fixture
def connector() -> Connector:
    """Connects the store to its database."""
    return Connector()


@pytest.fixture
def store(reopen: Reopen, connector: Connector) -> ConversationStore:
    """An empty store."""
    return reopen(connect=connector)
