"""The layout: transcript and prompt between panels, which open where there is room.

Opening a panel does not move the focus, unless the panel covers the prompt. Tab moves it there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import DescendantBlur, DescendantFocus
from textual.widget import Widget

MIN_TALK_COLUMNS: Final = 72  # below that, a panel takes the whole width
PANEL_COLUMNS: Final = 34


class PanelLayout(Horizontal):
    """A conversation between panels.

    Args:
        left: panels.
        talk: the conversation.
        right: panels.
        prompt: gets the focus when a panel closes.
    """

    DEFAULT_CSS = """
    PanelLayout {
        height: 1fr;
        & > .panel { width: 34; height: 1fr; display: none; }
        & > .panel.-open { display: block; }
        & > .panel:focus, & > .panel:focus-within { border: heavy $border; border-title-color: $text-primary; }
        & > #xray { width: 36%; min-width: 34; max-width: 56; }
        & > #talk { width: 1fr; height: 1fr; }
        &.-narrow > .panel { width: 1fr; min-width: 0; max-width: 100%; }
        &.-narrow.-covered > #talk { display: none; }
    }
    """

    def __init__(self, left: Iterable[Widget], talk: Widget, right: Iterable[Widget], prompt: Widget) -> None:
        super().__init__()
        self._left, self._talk, self._right, self._prompt = list(left), talk, list(right), prompt
        self._panels = {str(panel.id): panel for panel in (*self._left, *self._right)}
        self._titles = {name: str(panel.border_title) for name, panel in self._panels.items()}
        for panel in self._panels.values():
            panel.add_class("panel")

    def compose(self) -> ComposeResult:
        yield from (*self._left, self._talk, *self._right)

    def on_mount(self) -> None:
        self._show_focus()

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _show_focus(self) -> None:
        """Say in each panel's title how its keys are reached."""
        for name, panel in self._panels.items():
            panel.border_title = self._titles[name] + ("" if panel.has_focus_within else " \u00b7 Tab")

    def on_resize(self) -> None:
        for node in (self, self.screen):
            node.set_class(self.size.width < MIN_TALK_COLUMNS, "-narrow")
        self.call_after_refresh(self._keep_focus)

    def _keep_focus(self) -> None:
        """Move the focus from a widget that is hidden now."""
        if self.covered:
            panel = self._panels[self.open_panels[0]]
            if not panel.has_focus_within:
                panel.focus()
        elif self.screen.focused is None:
            self._prompt.focus()

    def is_open(self, name: str) -> bool:
        return self._panels[name].has_class("-open")

    @property
    def open_panels(self) -> list[str]:
        return [name for name in self._panels if self.is_open(name)]

    @property
    def covered(self) -> bool:
        """Whether a panel covers the conversation."""
        return bool(self.open_panels) and self.size.width < MIN_TALK_COLUMNS

    def toggle(self, name: str) -> None:
        """Open a panel, or close it. Others close where there is no room for all."""
        opens = not self.is_open(name)
        closed = [] if opens else [name]
        if opens and self.size.width < MIN_TALK_COLUMNS + PANEL_COLUMNS * len(self.open_panels):
            closed = self.open_panels
        self._panels[name].set_class(opens, "-open")
        had_focus = any(self._panels[one].has_focus_within for one in closed)
        for one in closed:
            self._panels[one].remove_class("-open")
        self.set_class(bool(self.open_panels), "-covered")
        if had_focus:
            self._prompt.focus()
        self._keep_focus()
