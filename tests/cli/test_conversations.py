"""`charlm conversations` as its users meet it."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from charlm import checkpoint
from charlm.chat.conversation_data import ConversationData
from charlm.chat.storage.store import ConversationStore
from charlm.config import ChatConfig
from charlm.files import home
from charlm.inference.engine import Engine
from charlm.text.sanitize import visible
from tests.conftest import PATIENCE

from ..chat.models import DIALOGUES, random_checkpoint
from .conftest import Charlm, Pipe, assert_refused
from .terminal import HOSTILE, SGR, environment, on_terminal

TRANSCRIPT = DIALOGUES["transcript"]


@pytest.fixture
def model(tmp_path: Path) -> Engine:
    """./checkpoints/noise.safetensors, running."""
    loaded = replace(random_checkpoint(has_bytes=True), dialogue=TRANSCRIPT)
    checkpoint.save(loaded, tmp_path / "checkpoints" / "noise.safetensors")
    return Engine(loaded)


@pytest.fixture
def kept(model: Engine) -> Engine:
    """Two conversations with it: the first has several versions of a reply, and a name."""
    store = ConversationStore()
    conversation = store.create(
        "noise", model, ConversationData.start(TRANSCRIPT, dials=ChatConfig(candidates=2, length=15), seed=1)
    )
    conversation.say("take the ferry")
    conversation.say("and then?")
    conversation.regenerate()
    conversation.say("why")
    store.rename(1, "The harbour")
    other = store.create(
        "noise", model, ConversationData.start(DIALOGUES["plain"], dials=ChatConfig(length=15), seed=2)
    )
    other.say("\u6e21\u3057\u8239\u306f\u3069\u3053")
    store.close()
    return model


@pytest.fixture
def hostile(model: Engine) -> str:
    """A conversation with control characters in every part. Returns the text of its first turn."""
    store = ConversationStore()
    said = f"evil{HOSTILE}\x1b]0;title\x07"
    conversation = store.create(
        said.replace("\n", ""), model, ConversationData.start(TRANSCRIPT, dials=ChatConfig(length=5), seed=1)
    )
    conversation.say(said)
    conversation.edit(conversation.head, said + "more")
    store.rename(1, said)
    store.close()
    return conversation.path[0].text


NOTHING = [("conversations",), ("conversations", "list"), ("conversations", "search", "ferry")]


@pytest.mark.parametrize("arguments", NOTHING)
def test_list_without_conversations_succeeds_with_a_message(charlm: Charlm, arguments: tuple[str, ...]) -> None:
    result = charlm(*arguments)
    assert (result.code, result.out) == (0, "")
    assert result.err.count("\n") == 1
    assert json.loads(charlm(*arguments[:1], *arguments[1:], "--json").out) == []


@pytest.mark.usefixtures("kept")
def test_list_prints_a_line_each_newest_first(charlm: Charlm) -> None:
    result = charlm("conversations")
    assert (result.code, result.err) == (0, "")
    first, second = result.out.splitlines()
    assert first.split()[0] == "2"
    assert first.endswith("2 turns  \u6e21\u3057\u8239\u306f\u3069\u3053")
    assert second.split()[0] == "1"
    assert second.endswith("6 turns  The harbour")
    assert charlm("conversations", "list").out == result.out
    rows = json.loads(charlm("conversations", "list", "--json").out)
    assert [row["number"] for row in rows] == [2, 1]
    assert rows[1]["title"] == "The harbour"
    assert (rows[1]["you"], rows[1]["bot"], rows[1]["format"]) == ("Bob", "Anna", "transcript")
    assert rows[1]["created"] <= rows[1]["updated"]
    assert json.loads(charlm("conversations", "--json").out) == rows
    assert json.loads(charlm("conversations", "list", "--json", "--model", "noise").out) == rows
    assert json.loads(charlm("conversations", "list", "--json", "--model", "other").out) == []
    assert "with other" in charlm("conversations", "list", "--model", "other").err


@pytest.mark.usefixtures("kept")
def test_search_prints_matches_with_snippets(charlm: Charlm) -> None:
    [line, snippet] = charlm("conversations", "search", "FERRY").out.splitlines()
    assert line.endswith("The harbour")
    assert snippet.strip() == "take the ferry"
    [found] = json.loads(charlm("conversations", "search", "\u8239", "--json").out)
    assert (found["number"], found["snippet"]) == (2, "\u6e21\u3057\u8239\u306f\u3069\u3053")
    assert json.loads(charlm("conversations", "search", '"(', "--json").out) == []
    result = charlm("conversations", "search", "nowhere")
    assert (result.code, result.out) == (0, "")
    assert "no conversation contains 'nowhere'" in result.err
    assert charlm("conversations", "search", " ").code == 2


@pytest.mark.usefixtures("kept")
def test_show_prints_visible_turns_or_the_tree(charlm: Charlm) -> None:
    out = charlm("conversations", "show", "1").out
    turns = ConversationStore().load(1)
    assert out.startswith("The harbour\nnoise, transcript, ")
    for turn in turns.path:
        assert f"\n{turn.name}:\n{turn.text}\n" in out
    hidden = next(turn for turn in turns.turns if turn not in turns.path)
    assert hidden.text not in out
    document = json.loads(charlm("conversations", "show", "1", "--json").out)
    assert [turn["text"] for turn in document["turns"]] == [turn.text for turn in turns.path]
    assert document["title"] == "The harbour"
    document = json.loads(charlm("conversations", "show", "1", "--json", "--tree").out)
    assert [turn["text"] for turn in document["turns"]] == [turn.text for turn in turns.turns]
    assert [turn["visible"] for turn in document["turns"]] == [turn in turns.path for turn in turns.turns]
    lines = charlm("conversations", "show", "1", "--tree").out.splitlines()[3:]
    assert [int(line.split()[0]) for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert [" * " in line for line in lines] == [True, True, True, False, True, True, True]
    assert "Anna 1/2: " in lines[3]
    assert "Anna 2/2: " in lines[4]


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("form", ["md", "json", "txt"])
def test_export_writes_to_a_file_or_stdout(charlm: Charlm, tmp_path: Path, form: str) -> None:
    result = charlm("conversations", "export", "1", "--format", form)
    assert (result.code, result.err) == (0, "")
    assert charlm("conversations", "export", "1", "--format", form, "-o", "-").out == result.out
    written = charlm("conversations", "export", "1", "--format", form, "-o", f"e.{form}")
    assert (written.code, written.out) == (0, "")
    assert f"e.{form}" in written.err
    assert (tmp_path / f"e.{form}").read_text(encoding="utf-8") == result.out
    failed = charlm("conversations", "export", "1", "--format", form, "-o", "checkpoints")
    assert_refused(failed, 1, "cannot write checkpoints")
    if form == "txt":
        assert result.out.startswith("Bob: take the ferry\nAnna: ")


@pytest.mark.usefixtures("kept")
def test_import_of_export_is_equal(charlm: Charlm, tmp_path: Path, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = charlm("conversations", "export", "1", "--format", "json", "-o", "1.json")
    assert exported.code == 0
    shown = charlm("conversations", "show", "1").out
    result = charlm("conversations", "import", "1.json")
    assert (result.code, result.out) == (0, "3\n")
    assert "charlm chat --id 3" in result.err
    assert charlm("conversations", "show", "3").out == shown
    monkeypatch.setenv("CHARLM_HOME", str(tmp_path / "elsewhere"))
    assert charlm("conversations", "import", "1.json").out == "1\n"
    assert charlm("conversations", "show", "1").out == shown
    assert charlm("conversations", "replay", "1").code == 0
    pipe((tmp_path / "1.json").read_bytes())
    assert charlm("conversations", "import", "-").out == "2\n"


OTHERS = [b"", b"\xff\xfe", b"{}", b"[1]", b"\x1b[31m", b'{"charlm": "conversation", "version": 9}']


@pytest.mark.parametrize("content", OTHERS)
def test_import_of_another_file_fails_with_a_message(charlm: Charlm, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert_refused(charlm("conversations", "import", "x.json"), 1, "error: x.json: ")
    assert json.loads(charlm("conversations", "--json").out) == []


@pytest.mark.usefixtures("kept")
def test_remove_asks_first_and_removes_all_or_none(charlm: Charlm, tmp_path: Path) -> None:
    assert_refused(charlm("conversations", "remove", "1"), 2, "--yes")
    assert charlm("conversations", "remove", "1", "9", "--yes").code == 1
    assert len(json.loads(charlm("conversations", "--json").out)) == 2, "all or nothing"
    result = charlm("conversations", "remove", "2", "2", "--yes")
    assert (result.code, result.out) == (0, "")
    assert [row["number"] for row in json.loads(charlm("conversations", "--json").out)] == [1]
    for answer, left in (("n", 1), ("\n", 1), ("y", 0)):
        assert _answered(tmp_path, answer) == 0
        assert len(json.loads(charlm("conversations", "--json").out)) == left


def _answered(folder: Path, answer: str) -> int:
    """Ask for the first conversation to be removed, and answer on a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "charlm", "conversations", "remove", "1"],
        cwd=folder,
        env=environment(),
        stdin=follower,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    os.close(follower)
    os.write(leader, answer.encode() + b"\n")
    _, said = process.communicate(timeout=PATIENCE)
    os.close(leader)
    assert b"The harbour" in said
    return process.returncode


def test_path_prints_the_file_without_creating_it(charlm: Charlm) -> None:
    result = charlm("conversations", "path")
    assert (result.code, result.err) == (0, "")
    assert Path(result.out.strip()) == home() / "conversations.db"
    assert not (home() / "conversations.db").exists(), "asking for it does not make it"


@pytest.mark.usefixtures("kept")
def test_replay_finds_the_first_difference(charlm: Charlm, tmp_path: Path) -> None:
    result = charlm("conversations", "replay", "1")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("the same: ")
    found = json.loads(charlm("conversations", "replay", "1", "--json").out)
    assert (found["difference"], found["turns"]) == (None, 6)
    assert found["characters"] > 10

    record = ConversationStore().load(1)
    reply = record.path[3]
    wrong = "b" if reply.text[2] != "b" else "c"
    with sqlite3.connect(home() / "conversations.db") as connection:
        text = reply.text[:2] + wrong + reply.text[3:]
        connection.execute("UPDATE turn SET text = ? WHERE id = ?", (text, reply.id))
    connection.close()
    result = charlm("conversations", "replay", "1")
    assert (result.code, result.err) == (1, "")
    assert f"turn 4 differs at character 3: expected {wrong!r}, got {reply.text[2]!r}" in result.out
    result = charlm("conversations", "replay", "1", "--json")
    assert result.code == 1
    assert json.loads(result.out)["difference"] == {
        "turn": reply.id,
        "number": 4,
        "position": 2,
        "expected": wrong,
        "got": reply.text[2],
    }


@pytest.mark.usefixtures("kept")
def test_replay_with_a_changed_model_differs(charlm: Charlm, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "noise.safetensors"
    checkpoint.save(random_checkpoint(seed=1, has_bytes=True), path)
    result = charlm("conversations", "replay", "1")
    assert result.code == 1
    assert "noise has changed since its last reply here" in result.err
    path.rename(path.with_name("other.safetensors"))
    assert_refused(charlm("conversations", "replay", "1"), 1, "no model named 'noise'")
    result = charlm("conversations", "replay", "1", "--model", "other")
    assert result.code == 1
    assert "differs" in result.out


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show",), 2, "Missing argument"),
        (("show", "x"), 2, "not a valid int"),
        (("show", "7"), 1, "did you mean 1 or 2?"),
        (("show", "-1"), 2, ""),
        (("show", "9" * 30), 1, "no conversation 999"),
        (("replay", "7"), 1, "did you mean 1 or 2?"),
        (("export", "7"), 1, "did you mean 1 or 2?"),
        (("export", "1", "--format", "pdf"), 2, "'md', 'json', 'txt'"),
        (("import",), 2, "Missing argument"),
        (("import", "nothing.json"), 1, "no such file: nothing.json"),
        (("remove",), 2, "Missing argument"),
        (("remove", "7", "--yes"), 1, "did you mean 1 or 2?"),
        (("search",), 2, "Missing argument"),
        (("shwo", "1"), 2, "shwo"),
    ],
)
def test_wrong_arguments_fail_with_a_message(charlm: Charlm, arguments: tuple[str, ...], code: int, says: str) -> None:
    assert_refused(charlm("conversations", *arguments), code, says)


def test_damaged_file_is_reported_with_its_new_path(charlm: Charlm) -> None:
    home().mkdir(exist_ok=True)
    (home() / "conversations.db").write_bytes(b"nonsense" * 1000)
    result = charlm("conversations")
    assert (result.code, result.out) == (0, "")
    assert "conversations.damaged-" in result.err
    assert charlm("conversations").err.startswith("no conversations")


SLOW = ("--json", "search evil", "show 1 --tree", "show 1 --json", "replay 1", "export 1 --format json")
PRINTING = [
    *("", "show 1", "export 1 --format md"),
    *(pytest.param(arguments, marks=pytest.mark.slow) for arguments in (*SLOW, "export 1 --format txt")),
]


@pytest.mark.parametrize("arguments", PRINTING)
def test_controls_are_escaped_on_a_terminal_only(charlm: Charlm, hostile: str, tmp_path: Path, arguments: str) -> None:
    shown = on_terminal("conversations", *arguments.split(), cwd=tmp_path)
    assert not set(HOSTILE) & set(SGR.sub("", shown.text))
    if arguments in ("show 1", "export 1 --format txt"):
        assert visible(hostile) in shown.text
        assert hostile in charlm("conversations", *arguments.split()).out
