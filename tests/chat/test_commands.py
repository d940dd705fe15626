"""The slash commands: what each does to a session."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charlm.chat.commands import COMMANDS, find_command
from charlm.chat.session import ChatOptions, Session
from charlm.errors import CharlmError, UsageError

from .conftest import FakeUI
from .talkers import assert_remembers_what_is_seen


@pytest.fixture
def ui(models: Path) -> FakeUI:
    """A chat with a model of a play; there is one of a novel too."""
    return FakeUI(Session(ChatOptions(model="play", seed=1, dials=(("candidates", 1), ("length", 20), ("learn", 0.0)))))


# -- finding ----------------------------------------------------------------------------------------------------------


def test_find_command_knows_every_name_once() -> None:
    assert len({one.name for one in COMMANDS}) == len(COMMANDS)
    for one in COMMANDS:
        assert find_command(COMMANDS, f"/{one.name}") == (one, "")
        if one.argument:
            assert find_command(COMMANDS, f"/{one.name}   an argument ") == (one, "an argument")
        else:
            with pytest.raises(UsageError, match="takes no argument"):
                find_command(COMMANDS, f"/{one.name} x")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("/regenrate", "/regenerate"),
        ("/", "/help"),
        ("/xyzzy", "/help"),
        ("/usr/bin", "a space before"),
        ("//", "/help"),
    ],
)
def test_find_command_unknown_name_gets_a_hint(line: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_command(COMMANDS, line)
    assert hint in str(caught.value.hint)


ARGUMENTS = (
    "",
    "1",
    "-1",
    "1e999",
    "nan",
    "²",
    "9" * 40,
    "x",
    "日本\x1b[31m[/red]",
    "a b c",
    "md ..",
    "\x00",
    "md ~nosuchuser/x",
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)
def test_command_with_any_argument_works_or_is_refused(ui: FakeUI, command: object) -> None:
    """With nothing said and in the middle of a conversation: nothing but a sentence, and what is seen is known."""
    for message in ((), ("hello",)):
        ui.run("/new", *message)
        for argument in ARGUMENTS:
            try:
                ui.run(f"/{command.name} {argument}")  # type: ignore[attr-defined]
            except CharlmError as error:
                assert error.message  # noqa: PT017  # most are refused
            conversation = ui.session.conversation
            if conversation.learned is None:  # else it remembers more than that
                assert_remembers_what_is_seen(conversation)
    assert ui.session.store is not None
    assert ui.session.store.error is None


# -- turns ------------------------------------------------------------------------------------------------------------


def test_versions_undo_and_redo_show_the_right_turns(ui: FakeUI) -> None:
    ui.run("hello")
    first = ui.texts
    ui.run("/regenerate")
    second = ui.texts
    assert first[0] == second[0]
    assert first != second
    for line, expected in (
        ("/next", first),
        ("/previous", second),
        ("/undo", first),
        ("/undo", second),
        ("/undo", first),
        ("/undo", []),
        ("/redo", first),
        ("/redo", second),
    ):
        shown = ui.shown
        ui.run(line)
        assert (line, ui.texts) == (line, expected)
        assert ui.shown == shown + 1
    ui.run("/redo", "/redo")
    with pytest.raises(UsageError, match="nothing to redo"):
        ui.run("/redo")


def test_edit_correct_continue_and_branch_change_turns(ui: FakeUI) -> None:
    ui.run("hello", "/edit good morning")
    assert ui.texts[0] == "good morning"
    assert len(ui.texts) == 2
    ui.run("/correct what it should have said")
    assert ui.texts == ["good morning", "what it should have said"]
    ui.run("/continue")
    assert ui.texts[1].startswith("what it should have said")
    ui.run("/branch 4 ever")
    assert ui.texts[1].startswith("whatever")
    ui.run("/branch 2")
    assert ui.texts[1].startswith("wh")
    assert len(ui.session.conversation.head.siblings) == 5
    for line in ("/branch", "/branch x", "/branch 999", "/edit", "/correct"):
        with pytest.raises(UsageError):
            ui.run(line)


def test_command_that_needs_a_turn_is_refused_without(ui: FakeUI) -> None:
    for line in ("/edit x", "/correct x", "/next", "/previous", "/branch 1", "/undo", "/redo", "/delete"):
        with pytest.raises(UsageError):
            ui.run(line)
    assert ui.texts == []


# -- dials ------------------------------------------------------------------------------------------------------------


def test_setting_commands_show_and_change_settings(ui: FakeUI) -> None:
    assert ui.run("/temperature") == ["temperature 0.65"]
    assert ui.dials_shown == 0
    assert ui.run("/temperature 1.5") == ["temperature 1.5"]
    assert ui.run("/top-k 7") == ["top-k 7"]
    assert ui.dials_shown == 2
    conversation = ui.session.conversation
    assert (conversation.dials.temperature, conversation.dials.top_k) == (1.5, 7)
    listed = dict(line.split(None, 1) for line in ui.run("/dials")[0].splitlines())
    assert (listed["temperature"], listed["top-k"], listed["seed"]) == ("1.5", "7", "1")
    for line in ("/temperature hot", "/temperature -1", "/candidates 0", "/seed -1", "/preset nobody"):
        with pytest.raises(UsageError):
            ui.run(line)
    ui.run("/preset precise")
    assert conversation.dials.temperature == 0.5
    assert {line.split()[0] for line in ui.run("/preset")[0].splitlines()} >= {"precise", "balanced", "wild"}


def test_seed_repeats_the_reply(ui: FakeUI) -> None:
    ui.run("/seed 7", "hello")
    first = ui.texts
    assert ui.run("/seed") == ["seed 7"]
    ui.run("/new", "/seed 7", "hello")
    assert ui.texts == first


# -- conversations, roles, models -------------------------------------------------------------------------------------


def test_conversations_are_listed_deleted_and_restored(ui: FakeUI) -> None:
    assert ui.run("/list") == ["no conversation yet"]
    ui.run("the first", "/title One", "/new", "the second")
    assert [line.split()[:2] for line in ui.run("/list")[0].splitlines()] == [["2", "the"], ["1", "One"]]
    assert "1" in ui.run("/list the first")[0].split()
    assert ui.run("/list zzz") == ["no conversation contains 'zzz'"]
    ui.run("/open 1")
    assert ui.texts[0] == "the first"
    assert ui.run("/delete") == ["conversation 1 is deleted; /restore 1 restores it"]
    assert ui.texts == []
    ui.run("/restore 1")
    assert ui.texts[0] == "the first"


def test_speakers_and_models_begin_a_new_conversation(ui: FakeUI) -> None:
    assert ui.run("/you") == ["you are BOB, the model is ANNA; the text's speakers: ANNA, BOB, BABA"]
    ui.run("hello", "/bot baba")
    assert ui.texts == []
    assert (ui.session.conversation.data.you, ui.session.conversation.data.bot) == ("BOB", "BABA")
    assert ui.run("/model")[0].splitlines() == ["novel", "play  (this one)"]
    ui.run("/model novel", "once upon ")
    assert ui.session.name == "novel"
    assert "once upon " + ui.texts[1] == ui.session.conversation.text().removeprefix("\n")
    with pytest.raises(UsageError, match="names no speakers"):
        ui.run("/you ANNA")


def test_export_writes_a_file_and_overwrites_none(ui: FakeUI) -> None:
    ui.run("hello")
    assert ui.run("/export json talk.json") == ["written: talk.json"]
    assert json.loads(Path("talk.json").read_text())["turns"][0]["text"] == "hello"
    with pytest.raises(UsageError, match="already exists"):
        ui.run("/export md talk.json")
    assert ui.run("/export") == ["written: play.md"]
    assert ui.run("/title What she said!", "/export") == ["written: what-she-said.md"]
    with pytest.raises(UsageError):
        ui.run("/export pdf")


def test_arguments_are_completed(ui: FakeUI) -> None:
    def complete(name: str, beginning: str) -> list[str]:
        return list(find_command(COMMANDS, f"/{name}")[0].complete(ui.session, beginning))

    assert complete("you", "b") == ["BOB", "BABA"]
    assert complete("model", "n") == ["novel"]
    assert complete("preset", "pr") == ["precise"]
    assert complete("export", "") == ["md", "json", "txt"]
    assert complete("title", "x") == []
