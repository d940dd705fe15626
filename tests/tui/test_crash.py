"""An unforeseen error: the app ends with exit code 1, and keeps the draft and the conversation."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.events import MouseDown
from textual.pilot import Pilot

from charlm.chat.session import ChatOptions, Session
from charlm.checkpoint import save
from charlm.tui.app import ChatApp, run
from tests.conftest import random_checkpoint
from tests.tui.chat import PLAY, Chat


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder; the working folder has a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARLM_HOME", str(tmp_path / "home"))
    save(
        replace(random_checkpoint(characters="\n !,.:?JRabcdefghijklmnopqrstuvwxyz"), dialogue=PLAY),
        Path("a.safetensors"),
    )
    return tmp_path / "home"


def run_and_fail(monkeypatch: pytest.MonkeyPatch, **options: Any) -> int:
    """Run the app without a terminal, say something, type a draft, and raise an error. Returns the exit code."""

    async def use(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ChatApp)
        while app.chat.loaded is None:
            await pilot.pause(0.01)
        await pilot.press(*"hello", "enter")
        while app.chat.busy or not app.session.conversation.path:
            await pilot.pause(0.01)
        app.chat.prompt.value = "a draft of mine"
        app.call_later(lambda: {}["nothing"])
        while app.crash is None:
            await pilot.pause(0.01)

    monkeypatch.setattr(ChatApp, "run", lambda app: super(ChatApp, app).run(headless=True, auto_pilot=use))
    return run({"model": "a.safetensors", "seed": 1, "dials": (("length", 20), ("candidates", 1)), **options})


def test_crash_keeps_draft_and_conversation(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_and_fail(monkeypatch) == 1
    [report] = home.glob("crash-*.txt")
    text = report.read_text(encoding="utf-8")
    assert "KeyError: 'nothing'" in text
    assert "Traceback" in text
    assert "a draft of mine" in text
    said = capsys.readouterr().err
    assert str(report) in said
    assert "Traceback" not in said
    resumed = Session(ChatOptions(model="a.safetensors", resume=True))
    assert resumed.conversation.path[0].text == "hello"
    resumed.close()


def test_crash_of_saving_keeps_the_conversation_in_the_report(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Session, "close", partial(sqlite3.connect, "no", "such", "call"))
    assert run_and_fail(monkeypatch) == 1
    [report] = home.glob("crash-*.txt")
    text = report.read_text(encoding="utf-8")
    document = json.loads(text[text.index('{\n "charlm"') :])
    assert document["turns"][0]["text"] == "hello"


async def test_screen_that_is_closed_twice_is_no_error(chat: Chat) -> None:
    chat.app.action_help()
    await chat.until(lambda: chat.app.screen is not chat.screen)
    await chat.pilot.pause(0.2)
    help_ = chat.app.screen
    for _ in range(2):  # as at two quick Enters
        help_.dismiss(None)
    await chat.until(lambda: chat.app.screen is chat.screen)


async def test_click_on_a_removed_widget_is_no_error(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(event: object) -> None:
        raise AttributeError("region")

    monkeypatch.setattr(chat.screen, "_forward_event", fail)
    await chat.app.on_event(MouseDown(None, 1, 1, 0, 0, 1, False, False, False))
    monkeypatch.undo()
    assert chat.app.crash is None
