"""The app as a whole: what a person does, and what is then on the screen, in the conversation and in the database."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from charlm.chat.commands import COMMANDS
from charlm.chat.session import ChatOptions, Session
from charlm.checkpoint import save
from charlm.config import ChatConfig
from charlm.errors import CheckpointError
from charlm.inference.engine import Engine
from charlm.inference.scoring import spell
from charlm.text.dialogue import Dialogue
from charlm.tui.app import ChatApp
from charlm.tui.screens.help import HelpScreen
from charlm.tui.screens.models import ModelPicker
from charlm.tui.screens.prompt_dialog import PromptDialog
from charlm.tui.screens.welcome import Welcome
from charlm.tui.widgets.conversations import ConversationsPanel
from charlm.tui.widgets.dials import DialsPanel
from tests.conftest import MakeCheckpoint

PLAY = Dialogue("play", ("Romeo", "Juliet"))
QUICK = ChatConfig(temperature=0.8, candidates=1, length=40)  # hot: many times the same letter magnifies rounding


class Fake(Engine):
    """An engine that can be made slow, and made to fail.

    Attributes:
        seconds: a step takes.
        steps_left: until it fails.
        gate: a step waits until it is set.
        waits: whether one does.
    """

    seconds = 0.0
    steps_left: float = float("inf")
    waits = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.gate = threading.Event()
        self.gate.set()

    def step(self, state: Any, ids: Any) -> Any:
        self.waits = True
        assert self.gate.wait(20)
        self.waits = False
        if self.seconds:
            time.sleep(self.seconds)
        self.steps_left -= 1
        if self.steps_left < 0:
            raise CheckpointError("the model fell over", "pick it up")
        return super().step(state, ids)


class Chat:
    """An app under test.

    Attributes:
        app: it.
        pilot: presses keys.
        engine: the model, which can be made slow.
    """

    def __init__(self, app: ChatApp, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def conversation(self) -> Any:
        return self.app.session.conversation

    @property
    def engine(self) -> Any:
        return self.conversation.engine

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(1000):
            if condition():
                return
            await self.pilot.pause(0.01)
        pytest.fail("it never happened")

    async def idle(self) -> None:
        await self.until(lambda: not self.app._busy and not self.app._inbox._events)
        await self.pilot.pause()  # notes are messages, too

    async def stop(self) -> None:
        """Esc, and wait until the worker has been told."""
        await self.pilot.press("escape")
        await self.until(lambda: self.app._inbox._stopped is not None)

    async def type(self, text: str) -> None:
        self.app.prompt.focus()
        self.app.prompt.value = text
        await self.pilot.press("enter")

    async def say(self, text: str) -> None:
        await self.type(text)
        await self.idle()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.idle()

    @property
    def turns(self) -> list[str]:
        return [turn.text for turn in self.conversation.path]

    @property
    def shown(self) -> list[str]:
        """The texts on the screen, as the transcript holds them."""
        document = self.app.transcript.document
        spans = enumerate(document.spans)
        return [document.slice(one.start, document.span_end(n)) for n, one in spans if one.author != "note"]

    @property
    def labels(self) -> list[str]:
        return [span.label for span in self.app.transcript.document.spans]

    def surprises(self, number: int) -> list[float]:
        """Those of a block, as the transcript holds them."""
        document = self.app.transcript.document
        return list(document.surprises[document.spans[number].start : document.span_end(number)])

    def assert_true(self) -> None:
        """What is seen is what is known and what is kept."""
        conversation = self.conversation
        assert self.shown == self.turns
        ids, _ = spell(conversation.engine.vocabulary, conversation.text())
        state, _ = conversation.engine.prefill(conversation.engine.start(), ids)
        known = conversation.snapshot(conversation.head).state
        for one, other in zip(state.arrays(), known.arrays(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
        session = self.app.session
        if session.store is not None and session.number is not None:
            opened = session.store.open(session.number, session.name, session.engine, session.dialogue)
            assert [turn.text for turn in opened.conversation.path] == self.turns

    @property
    def notes(self) -> str:
        return "\n".join(str(one.message) for one in self.app._notifications)


Open = Callable[..., Any]


@pytest.fixture
def open_chat(make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the app on a tiny model: `async with open_chat() as chat`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    letters = "\n !,.:?JRabcdefghijklmnopqrstuvwxyz"
    made = make_checkpoint(characters=letters, scale=0.8)
    save(replace(made, dialogue=PLAY), tmp_path / "checkpoints" / "play.safetensors")
    save(make_checkpoint(characters=letters, seed=2), tmp_path / "checkpoints" / "novel.safetensors")

    @asynccontextmanager
    async def chat(
        size: tuple[int, int] = (100, 30), model: str = "play", dials: ChatConfig = QUICK, **wish: Any
    ) -> AsyncIterator[Chat]:
        def start() -> Session:
            session = Session(ChatOptions(model=model, **{"seed": 1, **wish}))
            session.engine = Fake(session.engine._checkpoint)
            session.conversation.engine = session.engine
            session.conversation.dials = dials
            return session

        app = ChatApp({"model": model}, start)
        async with app.run_test(size=size) as pilot:
            one = Chat(app, pilot)
            await one.until(lambda: app._session is not None)
            await pilot.pause()
            yield one
            if app._session is not None:
                one.conversation.stop()
                if isinstance(one.engine, Fake):
                    one.engine.gate.set()

    return chat


async def test_a_reply_streams_and_is_kept(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("hello juliet")
        assert len(chat.turns) == 2
        assert chat.turns[0] == "hello juliet"
        assert 0 < len(chat.turns[1]) <= 40
        chat.assert_true()
        assert chat.app.status.turn == "turn 2"
        assert chat.app.status.characters == len(chat.conversation.text()) - len(PLAY.beginning)
        assert chat.app.prompt.value == ""


async def test_it_is_seen_while_it_is_written(open_chat: Open) -> None:
    async with open_chat(dials=replace(QUICK, length=100_000, pace=200.0)) as chat:
        await chat.type("go on")
        await chat.until(lambda: len(chat.shown) == 2 and len(chat.shown[1]) > 5)
        assert chat.app._busy
        assert chat.app.status.state == "writing"
        before = len(chat.shown[1])
        await chat.until(lambda: len(chat.shown[1]) > before)
        await chat.press("escape")


async def test_escape_stops_and_what_was_shown_stays(open_chat: Open) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=1_000_000)) as chat:
        await chat.type("talk for ever")
        await chat.until(lambda: len(chat.shown) == 2 and len(chat.shown[1]) > 10)
        chat.conversation.dials = QUICK
        await chat.press("escape")
        assert chat.conversation.head.reason == "cancelled"
        chat.assert_true()
        await chat.say("thanks")
        chat.assert_true()


async def test_escape_stops_within_one_character(open_chat: Open) -> None:
    async with open_chat(dials=replace(QUICK, length=1000, temperature=3.0)) as chat:
        chat.engine.seconds = 0.01
        await chat.type("talk")
        await chat.until(lambda: len(chat.shown) == 2 and len(chat.shown[1]) > 3)
        chat.engine.gate.clear()  # it stands in the middle of a step
        await chat.pilot.pause(0.05)
        steps = chat.engine.steps_left = 1000.0
        await chat.pilot.press("escape")
        chat.engine.gate.set()
        await chat.idle()
        # The step under way, and one to know what follows the last character shown.
        assert steps - chat.engine.steps_left <= 2
        chat.assert_true()


async def test_escape_before_the_first_character_leaves_what_you_said(open_chat: Open) -> None:
    async with open_chat(dials=replace(QUICK, candidates=4)) as chat:
        await chat.say("hello")
        both = chat.turns
        for key in ("f5", "f9"):
            chat.engine.gate.clear()
            await chat.pilot.press(key)
            await chat.until(lambda: chat.engine.waits)
            await chat.stop()
            chat.engine.gate.set()
            await chat.idle()
            assert chat.turns == both
            await chat.until(lambda: "stopped before it said anything" in chat.notes)
            assert chat.app.status.turn == "turn 2"
            chat.assert_true()
        chat.engine.gate.clear()
        await chat.type("and now?")
        await chat.until(lambda: chat.engine.waits)
        await chat.stop()
        chat.engine.gate.set()
        await chat.idle()
        assert chat.turns == [*both, "and now?"]
        chat.assert_true()
        await chat.press("enter")  # it is asked again
        assert len(chat.turns) == 4
        chat.assert_true()


@pytest.mark.parametrize("before_it_has_begun", [True, False])
async def test_escape_right_after_enter_stops_the_reply(open_chat: Open, before_it_has_begun: bool) -> None:
    """In one breath, as from a terminal that lags: nothing has begun yet that could be stopped."""
    async with open_chat(dials=replace(QUICK, length=1_000_000, temperature=3.0, pace=0.1), model="novel") as chat:
        write, gate = chat.app._inbox.write, threading.Event()

        def late(*arguments: Any) -> None:
            assert gate.wait(20)
            write(*arguments)

        chat.app._inbox.write = late
        chat.app.prompt.value = "talk"
        for key in ("enter", "escape"):
            chat.app.post_message(events.Key(key, None))
        if before_it_has_begun:
            await chat.until(lambda: chat.app._inbox._stopped is not None)
        gate.set()
        await chat.until(lambda: chat.turns[:1] == ["talk"])
        await chat.idle()
        assert chat.turns[1:] == [] if before_it_has_begun else len("".join(chat.turns[1:])) <= 1
        chat.assert_true()


async def test_a_pause_between_characters_does_not_keep_escape_waiting(open_chat: Open) -> None:
    async with open_chat(dials=replace(QUICK, length=1000, pace=0.01)) as chat:  # a hundred seconds a character
        await chat.type("slowly")
        await chat.until(lambda: len(chat.shown) == 2 and len(chat.shown[1]) > 0)
        await chat.press("escape")
        assert len(chat.turns[1]) == 1
        chat.assert_true()


async def test_regenerate_and_the_versions(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("hello")
        first = chat.turns[1]
        await chat.press("f5")
        second = chat.turns[1]
        assert first != second
        assert "2/2" in chat.labels[-1]
        assert "2/2" in chat.app.status.turn
        await chat.press("left")
        assert chat.turns[1] == first
        assert "1/2" in chat.labels[-1]
        await chat.press("right")
        assert chat.turns[1] == second
        chat.assert_true()


async def test_undo_and_redo(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("one")
        await chat.say("two")
        both = chat.turns
        await chat.press("f6")
        assert chat.turns == both[:2]
        chat.assert_true()
        await chat.press("f6")
        assert chat.turns == []
        assert chat.shown == []
        await chat.press("f6")
        assert "nothing to undo" in chat.notes
        await chat.press("f7", "f7")
        assert chat.turns == both
        chat.assert_true()


async def test_editing_what_was_said_brings_another_reply(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("one")
        await chat.press("f8")
        assert chat.app.prompt.value == "one"
        await chat.say("another thing")
        assert chat.turns[0] == "another thing"
        assert len(chat.turns) == 2
        chat.assert_true()
        await chat.press("f8")
        await chat.press("escape")
        assert chat.app.prompt.value == ""
        assert chat.turns[0] == "another thing"


async def test_an_edit_that_begins_with_a_slash_is_no_command(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("one")
        await chat.press("f8")
        chat.app.prompt.value = "/undo"
        await chat.pilot.pause()
        assert not chat.app.prompt.completing
        assert chat.app.prompt.model_text_start == 0
        await chat.press("enter")
        assert chat.turns[0] == chat.conversation.fit("/undo")
        assert len(chat.turns) == 2
        chat.app.prompt.value = "/undo"
        assert chat.app.prompt.model_text_start == len("/undo")


async def test_a_key_that_is_a_command_is_no_edit(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("one")
        await chat.press("f8", "f6")
        assert chat.turns == []
        assert chat.app.prompt.value == ""
        await chat.say("two")
        assert chat.turns[0] == "two"


async def test_any_turn_can_be_edited_from_the_cursor(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("one")
        await chat.press("ctrl+l")
        assert chat.app.transcript.cursor is not None
        await chat.press("e")
        assert chat.app.prompt.value == chat.turns[1]
        await chat.say("what it should have said")
        assert chat.turns == ["one", "what it should have said"]
        chat.assert_true()


async def test_the_cursor_shows_alternatives_and_one_becomes_a_branch(open_chat: Open) -> None:
    async with open_chat(dials=replace(QUICK, temperature=2.0)) as chat:
        await chat.say("one")
        old = chat.turns[1]
        await chat.press("ctrl+l", "right", "right")
        key, character = chat.app.transcript.cursor
        assert (key, character) == (chat.conversation.head.id, 2)
        await chat.until(lambda: chat.app.alternatives.display)
        considered = chat.conversation.consider(chat.conversation.head)[2]
        number, chosen = next(
            (n, one) for n, one in enumerate(considered.alternatives) if one.text != old[2] and one.text != "\n"
        )
        await chat.press(str(number + 1))
        assert chat.turns[1].startswith(old[:2] + chosen.text)
        assert len(chat.conversation.head.siblings) == 2
        assert not chat.app.alternatives.display
        chat.assert_true()


async def test_your_own_turn_offers_no_branch(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("one")
        turns = chat.turns
        await chat.press("ctrl+l", "shift+tab")
        await chat.until(lambda: chat.app.transcript.cursor == (chat.conversation.path[0].id, 0))
        await chat.until(lambda: "expected of you" in str(chat.app.alternatives.border_subtitle))
        await chat.press("1", "enter", "enter", "b")
        assert "only a reply of the model's can branch" in chat.notes
        assert chat.app.transcript.cursor is not None
        assert chat.turns == turns
        assert len(chat.conversation.path[0].siblings) == 1
        await chat.press("e")
        assert chat.app.prompt.value == "one"


async def test_branch_here_draws_on_from_the_cursor(open_chat: Open) -> None:
    async with open_chat(dials=replace(QUICK, temperature=2.0)) as chat:
        await chat.say("one")
        old = chat.turns[1]
        await chat.press("ctrl+l", "right", "right", "right", "b")
        assert chat.turns[1][:3] == old[:3]
        assert len(chat.conversation.head.siblings) == 2
        chat.assert_true()


async def test_dials_act_on_the_very_next_character(open_chat: Open) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=400, temperature=5.0, top_p=1.0)) as chat:
        chat.engine.seconds = 0.005
        await chat.type("talk")
        await chat.until(lambda: len(chat.shown) == 2 and len(chat.shown[1]) > 5)
        await chat.type("/temperature 0")
        await chat.idle()
        settings = [setting for passage in chat.conversation.head.passages for setting in passage.settings]
        assert [setting.dials.temperature for setting in settings] == [5.0, 0.0]
        assert settings[1].draw > 5
        # From there on each character is the likeliest.
        turn = chat.conversation.head
        rest = chat.conversation.consider(turn)[settings[1].draw :]
        assert all(one.text == one.alternatives[0].text for one in rest)


async def test_the_dials_panel_turns_the_dials(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.press("f3")
        panel = chat.app.query_one(DialsPanel)
        assert panel.has_class("shown")
        panel.post_message(DialsPanel.Changed(replace(QUICK, temperature=1.5)))
        await chat.pilot.pause()
        assert chat.conversation.dials.temperature == 1.5
        panel.post_message(DialsPanel.PresetChosen("precise"))
        panel.post_message(DialsPanel.Reseeded(99))
        await chat.pilot.pause()
        assert chat.conversation.dials.temperature == 0.5
        assert chat.conversation.seed == 99
        assert chat.app.status.seed == 99
        await chat.press("f3")
        assert not panel.has_class("shown")


async def test_the_heat_view_colours_what_was_there_and_what_comes(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("hello")
        await chat.press("f4")
        await chat.until(lambda: not np.isnan([*chat.surprises(0), *chat.surprises(1)]).any())
        expected = [one.surprise for one in chat.conversation.consider(chat.conversation.head)]
        np.testing.assert_allclose(chat.surprises(1), expected, atol=1e-3)
        assert "bits" in str(chat.app.status.note)
        await chat.say("more")
        await chat.until(lambda: not np.isnan([*chat.surprises(2), *chat.surprises(3)]).any())
        await chat.press("f4")
        assert not chat.app.transcript.heat


async def test_conversations_are_listed_searched_opened_deleted_and_restored(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("the first conversation")
        first = chat.app.session.number
        await chat.type("/new")
        await chat.pilot.pause()
        assert chat.shown == []
        await chat.say("the second one")
        await chat.press("f2")
        panel = chat.app.query_one(ConversationsPanel)
        panel.post_message(ConversationsPanel.Searched("first conv"))
        await chat.pilot.pause()
        assert [one.number for one in panel._summaries] == [first] if hasattr(panel, "_summaries") else True
        panel.post_message(ConversationsPanel.Opened(first))
        await chat.pilot.pause()
        assert chat.turns[0] == "the first conversation"
        chat.assert_true()
        panel.post_message(ConversationsPanel.Deleted(first))
        await chat.pilot.pause()
        assert chat.turns == []
        assert first not in [one.number for one in chat.app.session.search()]
        await chat.type(f"/restore {first}")
        await chat.pilot.pause()
        assert chat.turns[0] == "the first conversation"


async def test_a_conversation_can_be_renamed(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("hello")
        await chat.press("f2")
        panel = chat.app.query_one(ConversationsPanel)
        panel.post_message(ConversationsPanel.Renamed(chat.app.session.number))
        await chat.until(lambda: isinstance(chat.app.screen, PromptDialog))
        await chat.pilot.pause()
        assert chat.app.screen.query_one(Input).value == chat.app.session.search()[0].title == "hello"
        await chat.pilot.press("ctrl+u", *"verona", "enter")
        await chat.until(lambda: chat.app.session.search()[0].title == "verona")
        await chat.type("/title padua")
        await chat.until(lambda: chat.app.session.search()[0].title == "padua")


async def test_export_writes_a_file(open_chat: Open, tmp_path: Path) -> None:
    async with open_chat() as chat:
        await chat.say("hello")
        await chat.type("/export md talk.md")
        await chat.pilot.pause()
        assert "hello" in (tmp_path / "talk.md").read_text()
        await chat.type("/export md talk.md")
        await chat.pilot.pause()
        assert "there already" in chat.notes


async def test_another_model_can_be_picked(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.press("ctrl+o")
        await chat.until(lambda: isinstance(chat.app.screen, ModelPicker))
        await chat.pilot.press(*"novel", "enter")
        await chat.until(lambda: chat.app.session.name == "novel")
        assert chat.app.status.model == "novel"
        chat.conversation.dials = QUICK
        await chat.say("once upon a time ")
        assert chat.app.transcript.document.spans[-1].joined
        assert chat.conversation.text() == "\nonce upon a time " + chat.turns[1]


async def test_without_turns_the_two_write_together(open_chat: Open) -> None:
    async with open_chat(model="novel") as chat:
        await chat.say("it was a ")
        await chat.say(" and then ")
        assert chat.conversation.text() == "\n" + "".join(chat.shown)
        chat.assert_true()
        before = len(chat.turns)
        await chat.press("f9")
        assert len(chat.turns) == before + 1


async def test_a_failure_is_told_and_what_was_shown_stays(open_chat: Open) -> None:
    async with open_chat(dials=replace(QUICK, length=500, temperature=3.0)) as chat:
        chat.engine.steps_left = 10
        await chat.say("hello")
        assert "fell over" in chat.notes
        chat.engine.steps_left = float("inf")
        assert 0 < len(chat.turns[1]) <= 10
        chat.assert_true()
        await chat.say("still there?")
        assert len(chat.turns) == 4
        chat.assert_true()


@pytest.mark.parametrize("line", ["/nothing", "/temperature 9999", "/open 77", "/seed x", "/model nobody", "/undo"])
async def test_a_wrong_command_is_a_notification(open_chat: Open, line: str) -> None:
    async with open_chat() as chat:
        await chat.say(line)
        assert chat.notes
        await chat.say("hello")
        assert len(chat.turns) == 2


async def test_commands_that_change_the_conversation_wait_for_the_reply(open_chat: Open) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=10_000)) as chat:
        chat.engine.seconds = 0.005
        await chat.type("talk")
        await chat.until(lambda: len(chat.shown) == 2)
        for line in ("/new", "/model play", "/regenerate", "again"):
            await chat.type(line)
            await chat.until(lambda: "a reply is under way" in chat.notes)
            chat.app.clear_notifications()
        await chat.press("escape")
        chat.assert_true()


async def test_what_is_written_while_the_model_loads_is_sent_then(open_chat: Open, tmp_path: Path) -> None:
    gate = threading.Event()

    def start() -> Session:
        assert gate.wait(20)
        session = Session(ChatOptions(model="play", seed=1))
        session.conversation.dials = QUICK
        return session

    app = ChatApp({"model": "play"}, start)
    async with app.run_test(size=(80, 24)) as pilot:
        chat = Chat(app, pilot)
        assert app.status.state == "loading ..."
        await chat.type("are you there?")
        assert app._session is None
        gate.set()
        await chat.until(lambda: app._session is not None)
        await chat.until(lambda: len(chat.turns) == 2 and not app._busy)
        assert chat.turns[0] == "are you there?"


async def test_without_a_model_there_is_a_welcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = ChatApp({"model": None})
    async with app.run_test(size=(60, 20)) as pilot:
        for _ in range(300):
            if isinstance(app.screen, Welcome):
                break
            await pilot.pause(0.02)
        assert isinstance(app.screen, Welcome)
        await pilot.press("q")
    assert not app.is_running


async def test_help_lists_every_command(open_chat: Open) -> None:
    async with open_chat(size=(100, 60)) as chat:
        await chat.press("f1")
        assert isinstance(chat.app.screen, HelpScreen)
        rows = [row for _, rows in chat.app.screen._groups for row in rows]
        assert {f"/{one.name}" for one in COMMANDS} <= {left.split()[0] for left, _ in rows}
        assert any(left.endswith("p") and "palette" in text for left, text in rows)
        await chat.press("escape")
        assert not isinstance(chat.app.screen, HelpScreen)


async def test_characters_that_cannot_be_spelled_are_replaced_as_announced(open_chat: Open) -> None:
    async with open_chat() as chat:
        chat.app.prompt.value = "日本é"
        await chat.pilot.pause()
        assert chat.app.prompt.substitute is not None
        assert chat.app.prompt.substitute("é") == "?"
        await chat.press("enter")
        assert chat.turns[0] == "???"
        chat.assert_true()


async def test_the_theme_is_remembered(open_chat: Open) -> None:
    async with open_chat() as chat:
        chat.app.theme = "textual-light"
        await chat.pilot.pause()
    async with open_chat() as chat:
        assert chat.app.theme == "textual-light"


async def test_it_goes_on_where_it_stood(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("one")
        turns = chat.turns
        await chat.press("f5")
        kept = chat.turns
        await chat.press("ctrl+q")
    assert turns != kept
    async with open_chat(resume=True, seed=None) as chat:
        assert chat.turns == kept
        assert chat.shown == kept
        await chat.press("left")
        assert chat.turns == turns


async def test_quitting_in_the_middle_of_a_reply_keeps_it(open_chat: Open) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=10_000)) as chat:
        chat.engine.seconds = 0.005
        await chat.type("talk")
        await chat.until(lambda: len(chat.shown) == 2 and len(chat.shown[1]) > 10)
        await chat.pilot.press("ctrl+q")
        await chat.until(lambda: not chat.conversation.busy)
        kept = chat.turns
    async with open_chat(model="novel", resume=True, seed=None) as chat:
        assert chat.turns == kept
        chat.assert_true()


async def test_leaving_by_the_command_palette_keeps_a_reply_under_way(open_chat: Open) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=10_000)) as chat:
        chat.engine.seconds = 0.005
        await chat.type("talk")
        await chat.until(lambda: len(chat.shown) == 2 and len(chat.shown[1]) > 10)
        await chat.app.run_action("quit")
        await chat.until(lambda: not chat.conversation.busy)
        kept = chat.turns
    async with open_chat(model="novel", resume=True, seed=None) as chat:
        assert chat.turns == kept


@pytest.mark.parametrize("size", [(40, 12), (60, 20), (80, 24), (120, 40)])
async def test_panels_fold_where_there_is_no_room(open_chat: Open, size: tuple[int, int]) -> None:
    async with open_chat(size=size) as chat:
        await chat.say("hello")
        talk = chat.app.query_one("#talk")
        for key, name in (("f2", "conversations"), ("f3", "dials")):
            await chat.press(key)
            panel = chat.app.query_one(f"#{name}")
            await chat.pilot.pause()
            assert panel.region.width > 0
            assert panel.region.right <= size[0]
            assert (talk.region.width > 0) == (size[0] >= 72)
            await chat.press("escape")
            await chat.pilot.pause()
            assert talk.region.width == size[0]
        await chat.say("and on")
        chat.assert_true()


async def test_a_resize_in_mid_stream(open_chat: Open) -> None:
    async with open_chat(size=(120, 40), model="novel", dials=replace(QUICK, length=100_000)) as chat:
        chat.engine.seconds = 0.001
        await chat.type("talk")
        await chat.until(lambda: len(chat.shown) == 2 and len(chat.shown[1]) > 100)
        for size in ((60, 20), (120, 40), (40, 12)):
            await chat.pilot.resize_terminal(*size)
            before = len(chat.shown[1])
            await chat.until(lambda before=before: len(chat.shown[1]) > before)
            assert chat.app.transcript.following
        await chat.press("escape")
        chat.assert_true()


async def test_hostile_text_reaches_the_screen_only_as_symbols(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = "\x00\x07\x1b\x9b\u202e\u200b[/red]m;\n\r\x7f"
    made = make_checkpoint(characters=sorted(set(hostile)), scale=0.5)
    save(made, tmp_path / "doctored.safetensors")

    def start() -> Session:
        session = Session(ChatOptions(model="doctored.safetensors", seed=3))
        session.conversation.dials = replace(QUICK, length=2000, temperature=2.0)
        return session

    app = ChatApp({"model": "doctored.safetensors"}, start)
    async with app.run_test(size=(80, 24)) as pilot:
        chat = Chat(app, pilot)
        await chat.until(lambda: app._session is not None)
        await chat.say("[/red]\x1b[31m[@click=app.quit]x[/]")
        assert {"\x1b", "\u202e", "\x9b", "\x00"} <= set(chat.turns[-1])
        chat.assert_true()
        await chat.press("f4", "f2", "f3")
        await chat.pilot.pause(0.2)
        text = "".join(segment.text for y in range(24) for segment in app.transcript.render_line(y))
        assert not {one for one in text if one < " " or "\x7f" <= one <= "\x9f" or one in "\u202e\u2066"}


async def test_it_learns_from_what_is_said_and_says_how_much(open_chat: Open) -> None:
    async with open_chat(size=(140, 30), dials=replace(QUICK, learn=3e-3)) as chat:
        assert chat.app.status.learned == ""
        await chat.say("so it goes")
        learned = chat.conversation.learned
        assert learned is not None
        assert chat.app.status.learned == learned.meter != ""
        assert chat.shown == chat.turns
        await chat.type("/learn")
        assert "moved by" in chat.notes
        number = chat.app.session.number
        await chat.type("/new")
        await chat.until(lambda: chat.app.status.learned == "")
        await chat.type(f"/open {number}")
        await chat.until(lambda: chat.app.status.learned == learned.meter)
        await chat.type("/forget")
        await chat.until(lambda: chat.app.status.learned == "")
        await chat.press("f6")
        assert chat.app.status.learned == learned.meter
        await chat.press("f6")
        assert chat.turns == []
        await chat.until(lambda: chat.app.status.learned == "")
