"""Editing: the prompt holds the text of a turn, to replace it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charlm.tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from charlm.chat.turns import Turn


class EditMode:
    """The edited turn, if there is one."""

    def __init__(self, prompt: Prompt) -> None:
        self.turn: Turn | None = None
        self._prompt = prompt

    def begin(self, turn: Turn) -> None:
        """Move a turn's text into the prompt. A slash at its beginning is no command."""
        whose = "yours" if turn.author == "you" else "the reply"
        self._set(turn, turn.text, f"other words for {whose}; Esc leaves them")
        self._prompt.focus()

    def end(self) -> Turn | None:
        """Empty the prompt, and return the turn that was edited."""
        turn = self.turn
        if turn is not None:
            self._set(None, "", "")
        return turn

    def _set(self, turn: Turn | None, text: str, title: str) -> None:
        self.turn = turn
        self._prompt.takes_commands = turn is None
        self._prompt.value = text
        self._prompt.border_title = title
