"""Messages that several widgets post."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


@dataclass
class CommandChosen(Message):
    """The user did in a panel what a slash command does."""

    line: str
