"""One question, in the middle of the screen."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Label

from charlm.tui.graphemes import clean_input, one_line
from charlm.tui.screens.modal import Modal


class PromptDialog(Modal[str | None]):
    """A question that is answered in words; None if it is not answered.

    Args:
        question: one sentence.
        value: the answer as it stands, to be changed.
    """

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
        """Question, field."""
        with Vertical() as box:
            box.border_subtitle = "Enter, or Esc"
            yield Label(self._question, markup=False)
            yield Input(self._value, select_on_focus=False)

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)


class Confirm(Modal[bool]):
    """A question that is answered by yes or no; what is not confirmed is not done.

    Args:
        question: one sentence.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes", show=False),
        Binding("n,escape", "dismiss(False)", "No", show=False),
        Binding("left", "app.focus_previous", "The other", show=False),
        Binding("right", "app.focus_next", "The other", show=False),
    ]

    DEFAULT_CSS = """
    Confirm {
        & > Vertical { max-width: 64; }
        & Label { width: 1fr; }
        & Horizontal { height: auto; align-horizontal: right; margin-top: 1; }
        & Button { min-width: 9; margin-left: 2; }
    }
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = one_line(question)

    def compose(self) -> ComposeResult:
        """Question, and two buttons; the harmless one is in focus."""
        with Vertical():
            yield Label(self._question, markup=False)
            with Horizontal():
                yield Button("no (n)", id="no", compact=True)
                yield Button("yes (y)", id="yes", compact=True)

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")
