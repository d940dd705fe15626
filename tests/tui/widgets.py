"""Widgets under test, alone in an app that keeps their messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from typing import TypeVar

from textual import events, on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot
from textual.widget import Widget

Size = tuple[int, int]
SIZES = ((40, 12), (80, 24), (120, 40))

WidgetT = TypeVar("WidgetT", bound=Widget)
ShownWidget = tuple[WidgetT, Pilot[None], "WidgetApp"]
Shown = AsyncIterator[ShownWidget[WidgetT]]


class WidgetApp(App[None]):
    """Shows widgets from top to bottom, and keeps what reaches it: messages of charlm's widgets, and unused keys."""

    CSS = """
    Transcript, .filler { height: 1fr; }
    DialsPanel, ConversationsPanel { width: 34; }
    Input { height: 1; border: none; }
    """

    def __init__(self, widgets: Sequence[Widget], keys: Sequence[str]) -> None:
        super().__init__()
        self.messages: list[Message] = []
        self.keys: list[str] = []
        self._widgets = widgets
        for key in keys:
            self.bind(key, f"keep_key('{key}')")

    def compose(self) -> ComposeResult:
        yield from self._widgets

    @on(Message)
    def _keep_message(self, message: Message) -> None:
        if type(message).__module__.startswith("charlm."):
            self.messages.append(message)

    def action_keep_key(self, key: str) -> None:
        self.keys.append(key)

    @property
    def posted(self) -> list[tuple[object, ...]]:
        """Name and values of each message."""
        return [
            (type(one).__name__, *(getattr(one, field.name) for field in (fields(one) if is_dataclass(one) else ())))
            for one in self.messages
        ]

    def type_at_once(self, *keys: str) -> None:
        """Send keys faster than they are handled."""
        for key in keys:
            self.post_message(events.Key(key, key if len(key) == 1 else None))


def commands(*lines: str) -> list[tuple[str, str]]:
    """Return what `posted` is after slash commands were chosen."""
    return [("CommandChosen", line) for line in lines]


@asynccontextmanager
async def show(
    widget: WidgetT,
    size: Size = (80, 24),
    *,
    above: Sequence[Widget] = (),
    below: Sequence[Widget] = (),
    keys: Sequence[str] = (),
) -> Shown[WidgetT]:
    """Show a widget between others, in an app that binds some keys."""
    app = WidgetApp([*above, widget, *below], keys)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield widget, pilot, app


def rows(widget: Widget) -> list[str]:
    """Return the visible text of a widget."""
    return [widget.render_line(y).text for y in range(widget.size.height)]
