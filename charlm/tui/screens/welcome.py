"""The first start: how to make a model."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from charlm.tui.screens.modal import Modal

COMMANDS: Final = (
    ("charlm train your-text.txt", "reads it, and makes a model in minutes"),
    ("charlm chat", "comes back here, to talk to it"),
)


class Welcome(Modal[None]):
    """Explains which commands make a model."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,escape,ctrl+q", "leave", "Leave", show=False)]

    DEFAULT_CSS = """
    Welcome {
        background: $background;
        & > VerticalScroll { max-height: 100%; background: $background; padding: 1 2; }
        & .command { margin: 1 0 0 2; color: $text-success; text-style: bold; }
        & .text { margin-left: 2; }
    }
    Welcome.-small > VerticalScroll { padding: 0 1; }
    """

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "charlm"
            scroll.border_subtitle = "q leaves"
            yield Static("Hello! There is no model to talk to yet. To make one from a text of your own:", markup=False)
            for command, text in COMMANDS:
                yield Static(command, classes="command", markup=False)
                yield Static(text, classes="text", markup=False)

    def on_resize(self) -> None:
        self.set_class(self.size.height < 16, "-small")

    def action_leave(self) -> None:
        self.app.exit()
