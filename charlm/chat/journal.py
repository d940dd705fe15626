"""The interface of what saves a conversation while it happens."""

from __future__ import annotations

from charlm.chat.turns import Turn
from charlm.inference.context import Context


class Journal:
    """Journal of a conversation that is only in memory; `charlm.chat.storage.autosave` saves one.

    No method raises. What cannot be written is written later.
    """

    def begin(self, turn: Turn) -> None:
        """Save a reply that begins, as a draft."""

    def draft(self, turn: Turn) -> None:
        """Save a draft that has grown."""

    def commit(self, turn: Turn | None) -> None:
        """Save a finished turn with its context, or only a move of the head. One transaction."""

    def withdraw(self, turn: Turn) -> None:
        """Delete a draft without shown text."""

    def fetch(self, turn: Turn) -> Context | None:
        """Return the saved context of a finished turn; None if there is none for the model."""
        return None
