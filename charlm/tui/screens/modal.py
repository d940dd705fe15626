"""A box in the middle of the screen, over the chat."""

from __future__ import annotations

from asyncio import InvalidStateError
from typing import ClassVar

from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, ScreenResultType

from charlm.tui.textual_internals import SteadyScreen


class Modal(SteadyScreen[ScreenResultType], ModalScreen[ScreenResultType]):
    """A screen with one vertical container, as high as its content. Escape returns None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Never mind", show=False)]

    DEFAULT_CSS = """
    Modal {
        align: center middle;
        & > Vertical, & > VerticalScroll {
            width: 90%;
            max-width: 76;
            height: auto;
            max-height: 95%;
            border: round $border;
            border-title-color: $text-primary;
            border-subtitle-color: $text-muted;
            background: $surface;
            padding: 0 1;
            scrollbar-size-vertical: 1;
        }
        & Static { height: auto; }
        & Input, & Input:focus { border: none; height: 1; padding: 0; background: $panel; }
    }
    """

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Close the screen once, also if nothing waits for its result any more."""
        try:
            return super().dismiss(result) if self.is_active else AwaitComplete()
        except InvalidStateError:
            return self.app.pop_screen()
