"""The slash commands: what each does to a session, whatever the face."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from charlm.chat.commands import COMMANDS, Operation, find
from charlm.chat.session import ChatOptions, Session
from charlm.checkpoint import save
from charlm.errors import CharlmError, UsageError
from tests.chat.models import DIALOGUES
from tests.chat.talkers import assert_remembers_what_is_seen, talking_checkpoint, texts


class Told:
    """A face that remembers what it was told.

    Attributes:
        session: the chat.
        told: what is no part of the conversation.
        shown: how often the conversation was shown anew.
        left: whether the chat is to end.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.told: list[str] = []
        self.shown = self.dials_shown = 0
        self.left = False

    def tell(self, text: str) -> None:
        self.told.append(text)

    def draw(self, operation: Operation) -> None:
        operation(lambda piece: None, lambda turn: None)

    def show_conversation(self) -> None:
        self.shown += 1

    def show_dials(self) -> None:
        self.dials_shown += 1

    def leave(self) -> None:
        self.left = True

    def run(self, *lines: str) -> list[str]:
        """What was said in answer to the last of some lines."""
        for line in lines:
            self.told.clear()
            if line.startswith("/"):
                command, argument = find(COMMANDS, line)
                command.run(self, argument)
            else:
                self.session.conversation.say(line)
        return self.told

    @property
    def texts(self) -> list[str]:
        return list(texts(self.session.conversation))


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """A chat with a model of a play; there is one of a novel too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    save(replace(talking_checkpoint(), dialogue=DIALOGUES["play"]), tmp_path / "checkpoints" / "play.safetensors")
    save(talking_checkpoint(), tmp_path / "checkpoints" / "novel.safetensors")
    return Told(Session(ChatOptions(model="play", seed=1, dials=(("candidates", 1), ("length", 20), ("learn", 0.0)))))


# -- finding ----------------------------------------------------------------------------------------------------------


def test_names_are_unique_and_each_command_is_found() -> None:
    assert len({one.name for one in COMMANDS}) == len(COMMANDS)
    for one in COMMANDS:
        assert find(COMMANDS, f"/{one.name}") == (one, "")
        if one.argument:
            assert find(COMMANDS, f"/{one.name}   an argument ") == (one, "an argument")
        else:
            with pytest.raises(UsageError, match="nothing after it"):
                find(COMMANDS, f"/{one.name} x")


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
def test_what_is_no_command_gets_a_hint(line: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(COMMANDS, line)
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
def test_whatever_is_typed_after_it_is_done_or_refused(face: Told, command: object) -> None:
    """With nothing said and in the middle of a conversation: nothing but a sentence, and what is seen is known."""
    for said in ((), ("hello",)):
        face.run("/new", *said)
        for argument in ARGUMENTS:
            try:
                face.run(f"/{command.name} {argument}")  # type: ignore[attr-defined]
            except CharlmError as error:
                assert error.message  # noqa: PT017  # most are refused
            conversation = face.session.conversation
            if conversation.snapshot(conversation.head).memory is None:  # else it remembers more than that
                assert_remembers_what_is_seen(conversation)
    assert face.session.store is not None
    assert face.session.store.trouble is None


# -- turns ------------------------------------------------------------------------------------------------------------


def test_versions_undo_and_redo(face: Told) -> None:
    face.run("hello")
    first = face.texts
    face.run("/regenerate")
    second = face.texts
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
        shown = face.shown
        face.run(line)
        assert (line, face.texts) == (line, expected)
        assert face.shown == shown + 1
    face.run("/redo", "/redo")
    with pytest.raises(UsageError, match="nothing to redo"):
        face.run("/redo")


def test_edit_correct_continue_and_branch(face: Told) -> None:
    face.run("hello", "/edit good morning")
    assert face.texts[0] == "good morning"
    assert len(face.texts) == 2
    face.run("/correct what it should have said")
    assert face.texts == ["good morning", "what it should have said"]
    face.run("/continue")
    assert face.texts[1].startswith("what it should have said")
    face.run("/branch 4 ever")
    assert face.texts[1].startswith("whatever")
    face.run("/branch 2")
    assert face.texts[1].startswith("wh")
    assert len(face.session.conversation.head.siblings) == 5
    for line in ("/branch", "/branch x", "/branch 999", "/edit", "/correct"):
        with pytest.raises(UsageError):
            face.run(line)


def test_without_turns_what_needs_one_says_so(face: Told) -> None:
    for line in ("/edit x", "/correct x", "/next", "/previous", "/branch 1", "/undo", "/redo", "/delete"):
        with pytest.raises(UsageError):
            face.run(line)
    assert face.texts == []


# -- dials ------------------------------------------------------------------------------------------------------------


def test_dials(face: Told) -> None:
    assert face.run("/temperature") == ["temperature 0.65"]
    assert face.dials_shown == 0
    assert face.run("/temperature 1.5") == ["temperature 1.5"]
    assert face.run("/top-k 7") == ["top-k 7"]
    assert face.dials_shown == 2
    conversation = face.session.conversation
    assert (conversation.dials.temperature, conversation.dials.top_k) == (1.5, 7)
    listed = dict(line.split(None, 1) for line in face.run("/dials")[0].splitlines())
    assert (listed["temperature"], listed["top-k"], listed["seed"]) == ("1.5", "7", "1")
    for line in ("/temperature hot", "/temperature -1", "/candidates 0", "/seed -1", "/preset nobody"):
        with pytest.raises(UsageError):
            face.run(line)
    face.run("/preset precise")
    assert conversation.dials.temperature == 0.5
    assert {line.split()[0] for line in face.run("/preset")[0].splitlines()} >= {"precise", "balanced", "wild"}


def test_the_same_seed_says_the_same(face: Told) -> None:
    face.run("/seed 7", "hello")
    first = face.texts
    assert face.run("/seed") == ["seed 7"]
    face.run("/new", "/seed 7", "hello")
    assert face.texts == first


# -- conversations, roles, models -------------------------------------------------------------------------------------


def test_conversations_are_listed_opened_deleted_and_restored(face: Told) -> None:
    assert face.run("/list") == ["no conversation yet"]
    face.run("the first", "/title One", "/new", "the second")
    assert [line.split()[:2] for line in face.run("/list")[0].splitlines()] == [["2", "the"], ["1", "One"]]
    assert "1" in face.run("/list the first")[0].split()
    assert face.run("/list zzz") == ["no conversation holds 'zzz'"]
    face.run("/open 1")
    assert face.texts[0] == "the first"
    assert face.run("/delete") == ["conversation 1 is deleted; /restore 1 brings it back"]
    assert face.texts == []
    face.run("/restore 1")
    assert face.texts[0] == "the first"


def test_roles_and_models(face: Told) -> None:
    assert face.run("/you") == ["you are BOB, the model is ANNA; the text's speakers: ANNA, BOB, BABA"]
    face.run("hello", "/bot baba")
    assert face.texts == []
    assert (face.session.conversation.you, face.session.conversation.bot) == ("BOB", "BABA")
    assert face.run("/model")[0].splitlines() == ["novel", "play  (this one)"]
    face.run("/model novel", "once upon ")
    assert face.session.name == "novel"
    assert "once upon " + face.texts[1] == face.session.conversation.text().removeprefix("\n")
    with pytest.raises(UsageError, match="names no speakers"):
        face.run("/you ANNA")


def test_export_writes_a_file_and_never_over_one(face: Told) -> None:
    face.run("hello")
    assert face.run("/export json talk.json") == ["written: talk.json"]
    assert json.loads(Path("talk.json").read_text())["turns"][0]["passages"][0]["text"] == "hello"
    with pytest.raises(UsageError, match="there already"):
        face.run("/export md talk.json")
    assert face.run("/export") == ["written: play.md"]
    with pytest.raises(UsageError):
        face.run("/export pdf")


def test_quit(face: Told) -> None:
    face.run("/quit")
    assert face.left


def test_completion(face: Told) -> None:
    def complete(name: str, beginning: str) -> list[str]:
        return list(find(COMMANDS, f"/{name}")[0].complete(face.session, beginning))

    assert complete("you", "b") == ["BOB", "BABA"]
    assert complete("model", "n") == ["novel"]
    assert complete("preset", "pr") == ["precise"]
    assert complete("export", "") == ["md", "json", "txt"]
    assert complete("title", "x") == []
