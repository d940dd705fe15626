"""The app as a whole: keys and commands, then screen, conversation and database."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual import events
from textual.widgets import Input, OptionList

from charlm.chat.commands import COMMANDS
from charlm.chat.session import ChatOptions, Session
from charlm.chat.storage.store import FILE, ConversationStore
from charlm.chat.turns import Turn
from charlm.files import home
from charlm.tui.app import ChatApp
from charlm.tui.messages import CommandChosen
from charlm.tui.screens.help import HelpScreen
from charlm.tui.screens.models import ModelPicker
from charlm.tui.screens.prompt_dialog import PromptDialog
from charlm.tui.screens.welcome import Welcome
from charlm.tui.widgets.conversations import ConversationsPanel
from charlm.tui.widgets.dials import DialsPanel
from tests.conftest import PATIENCE
from tests.tui.chat import PLAY, QUICK, Chat, OpenChat
from tests.tui.widgets import Size


async def test_reply_finished_is_shown_and_saved(chat: Chat) -> None:
    await chat.say("hello juliet")
    assert len(chat.turns) == 2
    assert chat.turns[0] == "hello juliet"
    assert 0 < len(chat.turns[1]) <= 40
    chat.assert_consistent()
    assert chat.status("turn") == "turn 2"
    assert chat.status("characters") == f"{len(chat.conversation.text()) - len(PLAY.beginning)} characters"
    assert chat.screen.prompt.value == ""


async def test_escape_during_reply_keeps_what_was_shown(open_chat: OpenChat) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=1_000_000)) as chat:
        await chat.begin_reply("talk for ever", 10)
        assert chat.screen.busy
        assert chat.status("state") == "writing"
        chat.conversation.dials = QUICK
        await chat.press("escape")
        assert chat.conversation.head.reason == "cancelled"
        chat.assert_consistent()
        await chat.say("thanks")


async def test_escape_during_step_stops_within_one_character(open_chat: OpenChat) -> None:
    async with open_chat(dials=replace(QUICK, length=1000, temperature=3.0)) as chat:
        chat.engine.seconds = 0.01
        await chat.begin_reply("talk", 3)
        chat.engine.gate.clear()  # in the middle of a step
        await chat.until(lambda: chat.engine.waits)
        steps = chat.engine.steps_left = 1000.0
        await chat.pilot.press("escape")
        chat.engine.gate.set()
        await chat.idle()
        # The current step, and one after the last character shown.
        assert steps - chat.engine.steps_left <= 2


async def test_escape_before_first_character_leaves_no_reply(open_chat: OpenChat) -> None:
    async with open_chat(dials=replace(QUICK, candidates=4)) as chat:
        await chat.say("hello")
        both = chat.turns
        for key in ("f5", "f9"):
            chat.engine.gate.clear()
            await chat.pilot.press(key)
            await chat.stop_at_gate()
            assert chat.turns == both
            await chat.until(lambda: "stopped before it said anything" in chat.notes)
            assert chat.status("turn") == "turn 2"
            chat.assert_consistent()
        chat.engine.gate.clear()
        await chat.type("and now?")
        await chat.stop_at_gate()
        assert chat.turns == [*both, "and now?"]
        chat.assert_consistent()
        await chat.press("enter")  # the model replies to it again
        assert len(chat.turns) == 4


@pytest.mark.parametrize("before_it_has_begun", [True, False])
async def test_escape_right_after_enter_stops_reply(open_chat: OpenChat, before_it_has_begun: bool) -> None:
    """Both keys arrive at once, as from a terminal that lags: the reply has not begun."""
    async with open_chat(dials=replace(QUICK, length=1_000_000, temperature=3.0, pace=0.1), model="novel") as chat:
        write, gate = chat.app.events.generate, threading.Event()

        def late(*arguments: Any) -> None:
            assert gate.wait(PATIENCE)
            write(*arguments)

        chat.app.events.generate = late
        chat.screen.prompt.value = "talk"
        for key in ("enter", "escape"):
            chat.app.post_message(events.Key(key, None))
        if before_it_has_begun:
            await chat.until(lambda: chat.app.events.stopping is not None)
        gate.set()
        await chat.until(lambda: chat.turns[:1] == ["talk"])
        await chat.idle()
        assert chat.turns[1:] == [] if before_it_has_begun else len("".join(chat.turns[1:])) <= 1


async def test_escape_during_pause_stops_at_once(open_chat: OpenChat) -> None:
    async with open_chat(dials=replace(QUICK, length=1000, pace=0.01)) as chat:  # 100 seconds per character
        await chat.begin_reply("slowly", 0)
        await chat.press("escape")
        assert len(chat.turns[1]) == 1


async def test_regenerate_makes_version_and_arrows_switch(chat: Chat) -> None:
    await chat.say("hello")
    first = chat.turns[1]
    await chat.press("f5")
    second = chat.turns[1]
    assert first != second
    assert "2/2" in chat.labels[-1]
    assert "2/2" in chat.status("turn")
    await chat.press("left")
    assert chat.turns[1] == first
    assert "1/2" in chat.labels[-1]
    await chat.press("right")
    assert chat.turns[1] == second


async def test_undo_and_redo_restore_turns(chat: Chat) -> None:
    await chat.say("one")
    await chat.say("two")
    both = chat.turns
    await chat.press("f6")
    assert chat.turns == both[:2]
    chat.assert_consistent()
    await chat.press("f6")
    assert chat.turns == []
    assert chat.shown == []
    await chat.press("f6")
    assert "nothing to undo" in chat.notes
    await chat.press("f7", "f7")
    assert chat.turns == both


async def test_edit_of_own_turn_brings_new_reply(chat: Chat) -> None:
    await chat.say("one")
    await chat.press("f8")
    assert chat.screen.prompt.value == "one"
    await chat.say("another thing")
    assert chat.turns[0] == "another thing"
    assert len(chat.turns) == 2
    chat.assert_consistent()
    await chat.press("f8")
    await chat.press("escape")
    assert chat.screen.prompt.value == ""
    assert chat.turns[0] == "another thing"


async def test_app_answers_while_an_edited_turn_is_read(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    await chat.say("one")
    gate, edit = threading.Event(), chat.conversation.edit

    def edit_slowly(*arguments: Any) -> Turn:
        assert gate.wait(5)
        return edit(*arguments)

    monkeypatch.setattr(chat.conversation, "edit", edit_slowly)
    await chat.press("f8")
    await chat.type("another thing")
    assert chat.app.chat.busy
    gate.set()
    await chat.idle()
    assert chat.turns[0] == "another thing"


async def test_edit_with_slash_is_not_a_command(chat: Chat) -> None:
    await chat.say("one")
    await chat.press("f8")
    chat.screen.prompt.value = "/undo"
    await chat.pilot.pause()
    assert not chat.screen.prompt.completing
    assert chat.screen.prompt.model_text_start == 0
    await chat.press("enter")
    assert chat.turns[0] == chat.conversation.fit("/undo")
    assert len(chat.turns) == 2
    chat.screen.prompt.value = "/undo"
    assert chat.screen.prompt.model_text_start == len("/undo")


async def test_undo_key_while_editing_ends_edit(chat: Chat) -> None:
    await chat.say("one")
    await chat.press("f8", "f6")
    assert chat.turns == []
    assert chat.screen.prompt.value == ""
    await chat.say("two")
    assert chat.turns[0] == "two"


async def test_edit_at_cursor_replaces_reply(chat: Chat) -> None:
    await chat.say("one")
    await chat.press("ctrl+l")
    assert chat.screen.transcript.cursor is not None
    await chat.press("e")
    assert chat.screen.prompt.value == chat.turns[1]
    await chat.say("what it should have said")
    assert chat.turns == ["one", "what it should have said"]


async def test_alternative_chosen_by_number_branches(open_chat: OpenChat) -> None:
    async with open_chat(dials=replace(QUICK, temperature=2.0)) as chat:
        await chat.say("one")
        old = chat.turns[1]
        await chat.press("ctrl+l", "right", "right")
        key, character = chat.screen.transcript.cursor
        assert (key, character) == (chat.conversation.head.id, 2)
        await chat.until(lambda: chat.screen.look.alternatives.display)
        considered = chat.conversation.contexts.score_chars(chat.conversation.head)[2]
        number, chosen = next(
            (n, one) for n, one in enumerate(considered.alternatives) if one.text != old[2] and one.text != "\n"
        )
        await chat.press(str(number + 1))
        assert chat.turns[1].startswith(old[:2] + chosen.text)
        assert len(chat.conversation.head.siblings) == 2
        assert not chat.screen.look.alternatives.display


async def test_branch_from_own_turn_is_refused(chat: Chat) -> None:
    await chat.say("one")
    turns = chat.turns
    await chat.press("ctrl+l", "shift+tab")
    await chat.until(lambda: chat.screen.transcript.cursor == (chat.conversation.path[0].id, 0))
    await chat.until(lambda: "expected of you" in str(chat.screen.look.alternatives.border_subtitle))
    await chat.press("1", "enter", "enter", "b")
    assert "only a reply of the model's can branch" in chat.notes
    assert chat.screen.transcript.cursor is not None
    assert chat.turns == turns
    assert len(chat.conversation.path[0].siblings) == 1
    await chat.press("e")
    assert chat.screen.prompt.value == "one"


async def test_branch_at_cursor_keeps_text_before_it(open_chat: OpenChat) -> None:
    async with open_chat(dials=replace(QUICK, temperature=2.0)) as chat:
        await chat.say("one")
        old = chat.turns[1]
        await chat.press("ctrl+l", "right", "right", "right", "b")
        assert chat.turns[1][:3] == old[:3]
        assert len(chat.conversation.head.siblings) == 2


async def test_dial_changed_during_reply_acts_on_next_character(open_chat: OpenChat) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=400, temperature=5.0, top_p=1.0)) as chat:
        chat.engine.seconds = 0.005
        await chat.begin_reply("talk", 5)
        await chat.type("/temperature 0")
        await chat.idle()
        settings = [setting for passage in chat.conversation.head.segments for setting in passage.settings]
        assert [setting.dials.temperature for setting in settings] == [5.0, 0.0]
        assert settings[1].draw > 5
        # From there on each character is the likeliest.
        turn = chat.conversation.head
        rest = chat.conversation.contexts.score_chars(turn)[settings[1].draw :]
        assert all(one.text == one.alternatives[0].text for one in rest)


async def test_dials_panel_messages_change_conversation(chat: Chat) -> None:
    await chat.press("f3")
    panel = chat.screen.dials
    assert panel.display
    panel.post_message(DialsPanel.Changed(replace(QUICK, temperature=1.5)))
    await chat.pilot.pause()
    assert chat.conversation.dials.temperature == 1.5
    panel.post_message(CommandChosen("/preset precise"))
    panel.post_message(CommandChosen("/seed 99"))
    await chat.pilot.pause()
    assert chat.conversation.dials.temperature == 0.5
    assert chat.conversation.data.seed == 99
    assert chat.status("seed") == "seed 99"
    await chat.press("f3")
    assert not panel.display


async def test_heat_colours_old_and_new_turns(chat: Chat) -> None:
    await chat.say("hello")
    await chat.press("f4")
    await chat.until(lambda: not np.isnan([*chat.surprises(0), *chat.surprises(1)]).any())
    expected = [one.surprisal for one in chat.conversation.contexts.score_chars(chat.conversation.head)]
    np.testing.assert_allclose(chat.surprises(1), expected, atol=1e-3)
    assert "bits" in str(chat.status("note"))
    await chat.say("more")
    await chat.until(lambda: not np.isnan([*chat.surprises(2), *chat.surprises(3)]).any())
    await chat.press("f4")
    assert not chat.screen.transcript.heat


async def test_conversation_opened_deleted_restored_from_panel(chat: Chat) -> None:
    await chat.say("the first conversation")
    first = chat.app.session.number
    await chat.type("/new")
    await chat.pilot.pause()
    assert chat.shown == []
    await chat.say("the second one")
    await chat.press("f2")
    panel = chat.screen.conversations
    panel.post_message(ConversationsPanel.Searched("first conv"))
    await chat.pilot.pause()
    assert "first" in str(panel.query_one(OptionList).options[0].prompt)
    assert panel.query_one(OptionList).option_count == 1
    panel.post_message(CommandChosen(f"/open {first}"))
    await chat.pilot.pause()
    assert chat.turns[0] == "the first conversation"
    chat.assert_consistent()
    panel.post_message(CommandChosen(f"/delete {first}"))
    await chat.pilot.pause()
    assert chat.turns == []
    assert first not in [one.number for one in chat.app.session.search()]
    await chat.type(f"/restore {first}")
    await chat.pilot.pause()
    assert chat.turns[0] == "the first conversation"


async def test_conversation_renamed_by_dialog_and_command(chat: Chat) -> None:
    await chat.say("hello")
    await chat.press("f2")
    panel = chat.screen.conversations
    panel.post_message(ConversationsPanel.Renamed(chat.app.session.number))
    await chat.until(lambda: isinstance(chat.app.screen, PromptDialog))
    await chat.pilot.pause()
    assert chat.app.screen.query_one(Input).value == chat.app.session.search()[0].title == "hello"
    await chat.pilot.press("ctrl+u", *"verona", "enter")
    await chat.until(lambda: chat.app.session.search()[0].title == "verona")
    await chat.type("/title padua")
    await chat.until(lambda: chat.app.session.search()[0].title == "padua")


async def test_model_picked_starts_conversation_with_it(chat: Chat) -> None:
    await chat.press("ctrl+o")
    await chat.until(lambda: isinstance(chat.app.screen, ModelPicker))
    await chat.pilot.press(*"novel", "enter")
    await chat.until(lambda: chat.app.session.name == "novel")
    assert chat.status("model") == "novel"
    chat.conversation.dials = QUICK
    await chat.say("once upon a time ")
    assert chat.screen.transcript.document.spans[-1].joined
    assert chat.conversation.text() == "\nonce upon a time " + chat.turns[1]


async def test_plain_format_joins_both_texts(open_chat: OpenChat) -> None:
    async with open_chat(model="novel") as chat:
        await chat.say("it was a ")
        await chat.say(" and then ")
        assert chat.conversation.text() == "\n" + "".join(chat.shown)
        chat.assert_consistent()
        before = len(chat.turns)
        await chat.press("f9")
        assert len(chat.turns) == before + 1


async def test_engine_failure_is_shown_and_text_kept(open_chat: OpenChat) -> None:
    async with open_chat(dials=replace(QUICK, length=500, temperature=3.0)) as chat:
        chat.engine.steps_left = 10
        await chat.say("hello")
        assert "fell over" in chat.notes
        chat.engine.steps_left = float("inf")
        assert 0 < len(chat.turns[1]) <= 10
        chat.assert_consistent()
        await chat.say("still there?")
        assert len(chat.turns) == 4


async def test_wrong_command_notifies_and_chat_goes_on(chat: Chat) -> None:
    for line in ("/nothing", "/temperature 9999", "/open 77", "/seed x", "/model nobody", "/undo"):
        await chat.say(line)
        assert chat.notes, line
        chat.app.clear_notifications()
    await chat.say("hello")
    assert len(chat.turns) == 2


async def test_command_during_reply_is_refused(open_chat: OpenChat) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=10_000)) as chat:
        chat.engine.seconds = 0.005
        await chat.type("talk")
        await chat.until(lambda: len(chat.shown) == 2)
        for line in ("/new", "/model play", "/regenerate", "again"):
            await chat.type(line)
            await chat.until(lambda: "in progress" in chat.notes)
            chat.app.clear_notifications()
        await chat.press("escape")


async def test_text_sent_while_loading_is_answered_later(open_chat: OpenChat, tmp_path: Path) -> None:
    gate = threading.Event()

    def start() -> Session:
        assert gate.wait(PATIENCE)
        session = Session(ChatOptions(model="play", seed=1))
        session.conversation.dials = QUICK
        return session

    app = ChatApp({"model": "play"}, start)
    async with app.run_test(size=(80, 24)) as pilot:
        chat = Chat(app, pilot)
        assert chat.status("state") == "loading ..."
        await chat.type("are you there?")
        assert app.chat.loaded is None
        gate.set()
        await chat.until(lambda: app.chat.loaded is not None)
        await chat.until(lambda: len(chat.turns) == 2 and not app.chat.busy)
        assert chat.turns[0] == "are you there?"


async def test_start_without_model_shows_welcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = ChatApp({"model": None})
    async with app.run_test(size=(60, 20)) as pilot:
        await Chat(app, pilot).until(lambda: isinstance(app.screen, Welcome))
        await pilot.press("q")
    assert not app.is_running


async def test_help_lists_every_command(open_chat: OpenChat) -> None:
    async with open_chat(size=(100, 60)) as chat:
        await chat.press("f1")
        assert isinstance(chat.app.screen, HelpScreen)
        groups = chat.app.screen.groups
        assert {"X-ray", "Panels", "Dials"} <= groups.keys()
        rows = [row for rows in groups.values() for row in rows]
        assert {f"/{one.name}" for one in COMMANDS} <= {left.split()[0] for left, _ in rows}
        await chat.press("escape")
        assert not isinstance(chat.app.screen, HelpScreen)


async def test_unknown_characters_are_replaced_as_announced(chat: Chat) -> None:
    chat.screen.prompt.value = "日本é"
    await chat.pilot.pause()
    assert chat.screen.prompt.substitute is not None
    assert chat.screen.prompt.substitute("é") == "?"
    await chat.press("enter")
    assert chat.turns[0] == "???"


async def test_theme_is_kept_for_next_start(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        await chat.type("/theme textual-l")
        await chat.press("enter")
        assert chat.app.theme == "textual-light"
        chat.app.run_command("/theme mauve")
        await chat.until(lambda: "no theme 'mauve'" in chat.notes)
    async with open_chat() as chat:
        assert chat.app.theme == "textual-light"


async def test_resume_restores_versions_and_head(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        await chat.say("one")
        turns = chat.turns
        await chat.press("f5")
        kept = chat.turns
        await chat.pilot.press("ctrl+q")
        await chat.until(lambda: chat.app.return_code is not None)
    assert turns != kept
    async with open_chat(resume=True, seed=None) as chat:
        assert chat.turns == kept
        assert chat.shown == kept
        await chat.press("left")
        assert chat.turns == turns


async def test_quit_waits_for_a_program_that_holds_the_database(open_chat: OpenChat) -> None:
    async with open_chat() as chat:
        await chat.say("one")
        with closing(sqlite3.connect(home() / FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await chat.say("two")
            kept = chat.turns
            await chat.pilot.press("ctrl+q")
            await chat.until(lambda: "not saved yet" in chat.notes)
            await chat.type("three")
            await chat.until(lambda: "the chat is being saved" in chat.notes)
            other.execute("ROLLBACK")
        await chat.until(lambda: chat.app.return_code is not None)
        assert chat.app.return_code == 0
    async with open_chat(resume=True, seed=None) as chat:
        assert chat.turns == kept


async def test_quit_during_reply_saves_it(open_chat: OpenChat) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=10_000)) as chat:
        chat.engine.seconds = 0.005
        await chat.begin_reply("talk", 10)
        await chat.pilot.press("ctrl+q")
        await chat.until(lambda: chat.app.return_code is not None)
        kept = chat.turns
    async with open_chat(model="novel", resume=True, seed=None) as chat:
        assert chat.turns == kept


async def test_turn_saved_late_keeps_its_block(chat: Chat) -> None:
    """Another process holds the database for longer than the store waits."""
    await chat.say("one")
    other = sqlite3.connect(home() / FILE, isolation_level=None)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        await chat.say("two")
        other.execute("COMMIT")
    await chat.say("three")
    assert len(chat.turns) == 6


async def test_conversation_removed_elsewhere_goes_on(chat: Chat) -> None:
    await chat.say("one")
    with closing(ConversationStore()) as store:
        store.delete(chat.app.session.number)
    await chat.say("two")
    await chat.say("three")
    assert len(chat.turns) == 6
    assert chat.shown == chat.turns


@pytest.mark.parametrize("size", [(40, 12), (60, 20), (80, 24), (120, 40)])
async def test_panel_on_narrow_terminal_covers_conversation(open_chat: OpenChat, size: Size) -> None:
    async with open_chat(size=size) as chat:
        await chat.say("hello")
        talk = chat.app.query_one("#talk")
        for key, name in (("f2", "conversations"), ("f3", "dials"), ("f10", "xray")):
            await chat.press(key)
            panel = chat.app.query_one(f"#{name}")
            await chat.pilot.pause()
            assert panel.region.width > 0
            assert panel.region.right <= size[0]
            assert (talk.region.width > 0) == (size[0] >= 72) == (panel.region.width < size[0])
            await chat.press("escape")
            await chat.pilot.pause()
            assert talk.region.width == size[0]
        await chat.say("and on")


@pytest.mark.parametrize("key", ["f2", "f3", "f10"])
async def test_panel_opened_leaves_focus_in_prompt(open_chat: OpenChat, key: str) -> None:
    """Letters of a sentence are keys in a panel: `n` begins a conversation, `a` ablates a unit."""
    async with open_chat(size=(80, 24)) as chat:
        await chat.say("hello")
        dials = chat.conversation.dials
        await chat.press(key, *"tell a nice day: 1", "enter")
        assert chat.turns[0] == "hello"
        assert chat.turns[2] == chat.conversation.fit("tell a nice day: 1")
        assert chat.conversation.dials == dials
        assert chat.screen.xray.probe.pin is None


@pytest.mark.parametrize(("key", "name"), [("f2", "conversations"), ("f3", "dials"), ("f10", "xray")])
async def test_tab_moves_focus_to_panel_which_shows_it(open_chat: OpenChat, key: str, name: str) -> None:
    async with open_chat(size=(80, 24)) as chat:
        await chat.say("hello")
        await chat.press(key)
        panel = chat.app.query_one(f"#{name}")
        assert not panel.has_focus_within
        assert "Tab" in str(panel.border_title)
        border = panel.styles.border
        await chat.press("tab")
        assert panel.has_focus_within
        assert "Tab" not in str(panel.border_title)
        assert panel.styles.border != border
        await chat.press(key)  # a closed panel gives the focus back
        assert not panel.display
        assert chat.screen.prompt.has_focus
        await chat.press(key, "escape")
        assert not panel.display
        assert chat.screen.prompt.has_focus


async def test_second_panel_without_room_closes_first(open_chat: OpenChat) -> None:
    async with open_chat(size=(120, 40)) as chat:
        await chat.press("f2", "f10")
        assert chat.screen.panels.open_panels == ["conversations", "xray"]
        await chat.pilot.resize_terminal(60, 20)
        await chat.until(lambda: chat.screen.panels.open_panels == ["xray"])
        await chat.press("f3")
        assert chat.screen.panels.open_panels == ["dials"]
        await chat.press("escape")
        await chat.say("hello")


async def test_panel_covering_prompt_has_focus(open_chat: OpenChat) -> None:
    async with open_chat(size=(80, 24)) as chat:
        await chat.press("f10")
        assert chat.screen.prompt.has_focus
        await chat.pilot.resize_terminal(60, 20)
        await chat.until(lambda: chat.screen.xray.panel.has_focus)
        await chat.press("f2")
        assert chat.screen.conversations.has_focus_within
        await chat.press("f2")
        assert chat.screen.prompt.has_focus


async def test_reopened_short_conversation_learns_again(open_chat: OpenChat) -> None:
    async with open_chat(size=(140, 30), dials=replace(QUICK, learn=3e-3)) as chat:
        await chat.say("so it goes")
        number = chat.app.session.number
        await chat.type("/new")
        await chat.until(lambda: chat.status("learned") == "")
        await chat.type(f"/open {number}")
        await chat.say("and on")
        assert "moved" in chat.status("learned")
        await chat.type("/new")
        await chat.until(lambda: chat.turns == [])


async def test_learning_shows_meter_until_forgotten(open_chat: OpenChat) -> None:
    async with open_chat(size=(140, 30), dials=replace(QUICK, learn=3e-3)) as chat:
        assert chat.status("learned") == ""
        await chat.say("so it goes")
        memory = chat.conversation.memory
        assert chat.status("learned") == memory
        assert "moved" in memory
        assert chat.shown == chat.turns
        await chat.type("/learn")
        assert "moved by" in chat.notes
        await chat.type("/forget")
        await chat.until(lambda: chat.status("learned") == "")
        await chat.press("f6")
        assert chat.status("learned") == memory
        await chat.press("f6")
        assert chat.turns == []


FREED_BLOCKS = """
from pathlib import Path
import numpy as np
from charlm.tui.app import ChatApp, run

def resident() -> int:
    return next(int(row.split()[1]) for row in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in row)

def use_models(app: ChatApp) -> int:
    before, small = resident(), []
    for _ in range(2):
        weights = []
        for size in (8, 4, 16, 6, 10, 8, 12):
            weights.append(np.ones(size << 17))  # MiB
            small.append([bytes(600) for _ in range(50)])  # between the weights, and stays
        del weights
    print(resident() - before)
    return 0

ChatApp.run = use_models
run({})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_freed_weights_return_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", FREED_BLOCKS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8_000  # KiB of 64 MiB
