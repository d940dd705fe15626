"""A question in the middle of the screen."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Label

from charlm.tui.graphemes import clean_input, one_line
from charlm.tui.screens.modal import Modal


class PromptDialog(Modal[str | None]):
    """Returns the typed answer, or None. It begins with `value`."""

    DEFAULT_CSS = """
    PromptDialog {
        & > Vertical { max-width: 64; }
        & Label { width: 1fr; }
        & Input, & Input:focus { margin: 1 0; }
    }
    """

    def __init__(self, question: str, value: str = "") -> None:
        super().__init__()
        self._question = one_line(question)
        self._value = clean_input(value).replace("\n", " ")

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_subtitle = "Enter, or Esc"
            yield Label(self._question, markup=False)
            yield Input(self._value, select_on_focus=False)

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)
