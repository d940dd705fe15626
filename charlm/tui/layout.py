"""The layout: transcript and prompt between panels, which open where there is room.

Opening a panel does not move the focus, unless the panel covers the prompt. Tab moves it there.
"""

from __future__ import annotations

from typing import Final

from textual import on
from textual.containers import Horizontal
from textual.events import DescendantBlur, DescendantFocus
from textual.widget import Widget

MIN_TALK_COLUMNS: Final = 72  # below that, a panel takes the whole width
PANEL_COLUMNS: Final = 34


class PanelLayout(Horizontal):
    """The conversation, whose id is "talk", between panels. When a panel closes, the prompt gets the focus."""

    DEFAULT_CSS = """
    PanelLayout {
        height: 1fr;
        & > .panel {
            width: 34;
            height: 1fr;
            display: none;
            border: round $border-blurred;
            border-title-color: $text-muted;
            border-subtitle-color: $text-muted;
            background: $surface;
        }
        & > .panel.-open { display: block; }
        & > .panel:focus, & > .panel:focus-within { border: heavy $border; border-title-color: $text-primary; }
        & > #xray { width: 36%; min-width: 34; max-width: 56; }
        & > #talk { width: 1fr; min-width: 20; height: 1fr; }
        &.-narrow > .panel, &.-narrow > #xray { width: 1fr; min-width: 0; max-width: 100%; }
        &.-narrow.-covered > #talk { display: none; }
    }
    """

    def __init__(self, *children: Widget, prompt: Widget) -> None:
        super().__init__(*children)
        self._prompt = prompt
        self._panels = {str(child.id): child for child in children if child.id != "talk"}
        for panel in self._panels.values():
            panel.add_class("panel")

    def on_mount(self) -> None:
        self._show_focus()

    def is_open(self, name: str) -> bool:
        return self._panels[name].has_class("-open")

    @property
    def open_panels(self) -> list[str]:
        return [name for name in self._panels if self.is_open(name)]

    def toggle(self, name: str) -> None:
        """Open a panel, or close it."""
        if self.is_open(name):
            self._close(name)
        else:
            self._panels[name].add_class("-open")
            self._close(*[other for other in self.open_panels if other != name][: self._excess])

    @property
    def _excess(self) -> int:
        """Number of panels that do not fit."""
        room = max(0, self.size.width - MIN_TALK_COLUMNS) // PANEL_COLUMNS + 1
        return max(0, len(self.open_panels) - room)

    def _close(self, *names: str) -> None:
        had_focus = any(self._panels[name].has_focus_within for name in names)
        for name in names:
            self._panels[name].remove_class("-open")
        self.set_class(bool(self.open_panels), "-covered")
        if had_focus:
            self._prompt.focus()
        self._keep_focus()

    def on_resize(self) -> None:
        for node in (self, self.screen):
            node.set_class(self.size.width < MIN_TALK_COLUMNS, "-narrow")
        self.call_after_refresh(self._close, *self.open_panels[: self._excess])

    def _keep_focus(self) -> None:
        """Move the focus from a widget that is hidden now."""
        if self.open_panels and self.size.width < MIN_TALK_COLUMNS:
            panel = self._panels[self.open_panels[0]]
            if not panel.has_focus_within:
                panel.focus()
        elif self.screen.focused is None:
            self._prompt.focus()

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _show_focus(self) -> None:
        """Show in each panel's title how to reach its keys."""
        for panel in self._panels.values():
            panel.border_title = panel.BORDER_TITLE + ("" if panel.has_focus_within else " \u00b7 Tab")
