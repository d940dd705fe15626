"""Fixtures for the app on a tiny model, and for single widgets.

A module that tests a widget has a fixture `shown`, which shows the widget.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual._context import active_app
from textual.pilot import Pilot
from textual.widget import Widget

from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.chat.session import ChatOptions, Session
from charlm.checkpoint import save
from charlm.config import ChatConfig
from charlm.tui.app import ChatApp
from tests.conftest import random_checkpoint
from tests.tui.chat import PLAY, QUICK, Chat, OpenChat, ScriptedEngine
from tests.tui.widgets import ShownWidget, Size, WidgetApp


async def settle(*_: float) -> None:
    """Wait until each message is processed, and the screen is laid out and drawn."""
    app, loop = active_app.get(), asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0)
        if loop._ready:  # type: ignore[attr-defined]  # callbacks, among them each queued message's
            continue
        if not app.screen_stack or app._batch_count:
            return
        if app._resize_event is not None:
            app._check_resize()
            continue
        screen = app.screen
        updates = (screen._layout_required, screen._scroll_required, screen._repaint_required)
        if not any((*updates, screen._recompose_required, screen._dirty_widgets, screen._callbacks)):
            return
        screen._on_timer_update()


@pytest.fixture(autouse=True)
def _settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace Textual's wait after a key or a pause. It sleeps, and it takes a process without a processor for idle."""
    for module in ("app", "pilot"):
        monkeypatch.setattr(f"textual.{module}.wait_for_idle", settle)


@pytest.fixture
def size() -> Size:
    """Size of a widget's terminal; a parameter of this name replaces it."""
    return 80, 24


@pytest.fixture
def pilot(shown: ShownWidget[Widget]) -> Pilot[None]:
    """Types keys into the app of the fixture `shown`."""
    return shown[1]


@pytest.fixture
def app(shown: ShownWidget[Widget]) -> WidgetApp:
    """The app of the fixture `shown`."""
    return shown[2]


@pytest.fixture
async def chat(open_chat: OpenChat) -> AsyncIterator[Chat]:
    """The app with default options."""
    async with open_chat() as chat:
        yield chat


@pytest.fixture
def open_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenChat:
    """Open the app: `async with open_chat() as chat`. At the end, screen, state and database agree."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    letters = "\n !,.:?JRabcdefghijklmnopqrstuvwxyz"
    made = random_checkpoint(characters=letters, scale=0.8)
    save(replace(made, dialogue=PLAY), tmp_path / "checkpoints" / "play.safetensors")
    save(random_checkpoint(characters=letters, seed=2), tmp_path / "checkpoints" / "novel.safetensors")

    @asynccontextmanager
    async def chat(
        size: tuple[int, int] = (100, 30), model: str = "play", dials: ChatConfig = QUICK, **options: Any
    ) -> AsyncIterator[Chat]:
        def start() -> Session:
            session = Session(ChatOptions(model=model, **{"seed": 1, **options}))
            session.engine = ScriptedEngine(session.engine.checkpoint)
            session.conversation.contexts.model = AdaptiveModel(session.engine)
            session.conversation.dials = dials
            return session

        app = ChatApp({"model": model}, start)
        async with app.run_test(size=size) as pilot:
            one = Chat(app, pilot)
            await one.until(lambda: app.chat.loaded is not None)
            await pilot.pause()
            yield one
            if app.return_code is None and not app.chat.busy:
                one.assert_consistent()
            if app.chat.loaded is not None:
                one.conversation.stop()
                if isinstance(one.engine, ScriptedEngine):
                    one.engine.gate.set()

    return chat
