"""`charlm chat` in lines, as scripts, pipes and screen readers meet it."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from charlm.chat.conversation_data import ConversationData
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import Turn
from charlm.checkpoint import load, save
from charlm.files import home
from charlm.inference.engine import Engine
from tests.chat.models import DIALOGUES, parrot_checkpoint
from tests.chat.talkers import talking_checkpoint
from tests.conftest import PATIENCE

from .conftest import Charlm, Result, assert_refused
from .terminal import environment, run_charlm

OPTIONS = ("--seed", "1", "--length", "30", "--candidates", "1")
HOSTILE = "\x1b]0;he\x07\x9b31m\u202e\x00a"

Say = Callable[..., Result]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model of each format, and one that never comes to an end, in ./checkpoints."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for form, dialogue in DIALOGUES.items():
        save(replace(talking_checkpoint(), dialogue=dialogue), folder / f"{form}.safetensors")
    save(parrot_checkpoint("abcdefgh ", DIALOGUES["play"]), folder / "endless.safetensors")
    save(parrot_checkpoint(HOSTILE, DIALOGUES["lines"]), folder / "hostile.safetensors")
    return folder


@pytest.fixture
def say(charlm: Charlm, models: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Pipe lines into the chat: `say("play", "hello", "/undo")`, with options by `options=`."""

    def call(model: str, *lines: str, options: tuple[str, ...] = OPTIONS) -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return charlm("chat", *([model] if model else []), *options)

    return call


def kept(number: int | None = None) -> list[Turn]:
    """The turns of a conversation, or of the last one."""
    store = ConversationStore()
    try:
        latest = store.latest()
        assert latest is not None
        return store.load(number or latest.number).path
    finally:
        store.close()


def replies(turns: list[Turn]) -> list[str]:
    return [turn.text for turn in turns if turn.author == "bot"]


# -- pipes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["lines", "transcript", "play"])
def test_piped_replies_are_separated_by_line_ends(say: Say, form: str) -> None:
    done = say(form, "hello", "how are you?", "what now", options=(*OPTIONS, "--temperature", "1.2"))
    assert (done.code, done.err) == (0, "")
    turns = kept()
    assert [turn.text for turn in turns[::2]] == ["hello", "how are you?", "what now"]
    end = "\n\n" if form == "play" else "\n"
    assert done.out.removesuffix(end).split(end) == replies(turns)


@pytest.mark.parametrize("form", DIALOGUES)
def test_json_option_prints_a_line_for_each_reply(say: Say, form: str) -> None:
    done = say(form, "hello", "/temperature 1.5", "/branch 3 ab", "日本", options=(*OPTIONS, "--json"))
    assert done.code == 0
    found = [json.loads(line) for line in done.out.splitlines()]
    turns = kept()
    assert [one["text"] for one in found[1:]] == replies(turns)
    assert found[1]["text"].startswith(found[0]["text"][:3] + "ab")
    assert [one["turn"] for one in found] == [2, 2, 4]
    assert all(one["reason"] in ("stop", "length") and one["logprob"] < 0 < one["seconds"] for one in found)
    assert {one["conversation"] for one in found} == {1}


def test_messages_go_to_stderr_and_the_chat_goes_on(say: Say) -> None:
    done = say("play", "/temprature 1", "/temperature 1", "/undo", "/branch 999", "hello", "/open 7", "/dials")
    assert done.code == 0
    assert done.out == kept()[1].text + "\n\n"
    for said in ("did you mean /temperature?", "temperature 1", "nothing to undo", "no reply yet", "conversation 7"):
        assert said in done.err
    assert re.search(r"top-p +0\.95", done.err)


def test_echo_option_prints_the_messages_too(say: Say) -> None:
    done = say("play", "hello", "/temperature 1", "and then?", options=(*OPTIONS, "--echo"))
    turns = [turn.text for turn in kept()]
    assert done.out == f"you> hello\n{turns[1]}\n\nyou> and then?\n{turns[3]}\n\n"
    assert say("play", "hello", options=("--echo", "--json")).code == 2


def test_help_lists_every_command(say: Say) -> None:
    done = say("play", "/help", "/help temp")
    assert done.out == ""
    assert "/regenerate" in done.err
    assert "/export [md|json|txt] [FILE]" in done.err
    assert done.err.count("/temperature") == 2


def test_quit_ignores_the_rest_of_the_input(say: Say) -> None:
    done = say("play", "hello", "/quit", "never said")
    assert done.code == 0
    assert len(kept()) == 2


def test_empty_line_lets_the_model_reply(say: Say) -> None:
    say("lines", "", "hello")
    assert [turn.author for turn in kept()] == ["bot", "you", "bot"]


def test_slash_commands_change_the_conversation(say: Say) -> None:
    done = say("play", "hello", "/regenerate", "/edit goodbye", "/previous", "/undo", "/undo", "/title The end")
    assert done.code == 0
    assert "no other version" in done.err
    store = ConversationStore()
    record = store.load(1)
    store.close()
    assert record.title == "The end"
    hello, first, second, goodbye, third = record.turns
    assert (hello.text, goodbye.text) == ("hello", "goodbye")
    assert done.out == "".join(f"{turn.text}\n\n" for turn in (first, second, third))
    assert record.path == [hello, second]


def test_input_that_is_not_utf_8_is_replaced(models: Path) -> None:
    typed = "hel\udcfflo\ngood\0bye\n"  # with a byte that is not UTF-8
    done = run_charlm("chat", "lines", *OPTIONS, cwd=models.parent, input=typed, errors="surrogateescape")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2


# -- which conversation, who and how ----------------------------------------------------------------------------------


def test_resumed_chats_print_the_same_as_one(say: Say) -> None:
    whole = say("play", "hello", "and then?", "why?").out
    parts = [say("play", "hello")] + [say("", one, options=("-c",)) for one in ("and then?", "why?")]
    assert "".join(part.out for part in parts) == whole
    assert [turn.text for turn in kept(1)] == [turn.text for turn in kept(2)]
    assert say("", "/title x", options=("--id", "1")).code == 0
    assert say("", options=("--id", "9")).code == 1


def test_no_save_option_saves_nothing(say: Say) -> None:
    assert say("play", "hello", options=(*OPTIONS, "--no-save")).out == say("play", "hello").out
    assert len(kept()) == 2
    assert_refused(say("", options=("-c", "--no-save")), 2, "--no-save")


def test_speaker_options_choose_the_names(say: Say) -> None:
    done = say("play", "hello", "/you", options=(*OPTIONS, "--you", "bob", "--bot", "bab"))
    assert [turn.name for turn in kept()] == ["BOB", "BABA"]
    assert "you are BOB, the model is BABA" in done.err
    done = say("play", "hello", options=(*OPTIONS, "--you", "Zoë"))
    assert "knows no speaker named Zoë" in done.err
    assert [turn.name for turn in kept()] == ["Zoë", "ANNA"]
    for wrong in (("--you", "ANNA", "--bot", "anna"), ("--bot", "a: b")):
        done = say("play", "hello", options=wrong)
        assert (done.code, done.out) == (2, "")


def test_chat_that_cannot_be_saved_says_so_at_the_end(say: Say) -> None:
    ConversationStore().close()
    other = sqlite3.connect(home() / "conversations.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done = say("play", "hello")
    other.close()
    assert done.out
    assert re.search(r"^not saved: .* another program holds it$", done.err, re.MULTILINE)


@pytest.mark.parametrize(
    ("model", "options", "code", "said"),
    [
        ("text.safetensors", (), 1, "text.safetensors"),
        ("plai", (), 1, "did you mean plain or play?"),
        ("play", ("--temperature", "9999"), 2, "temperature"),
        ("play", ("--preset", "nobody"), 2, "precise"),
        ("play", ("--seed", "-1"), 2, "seed"),
    ],
)
def test_invalid_options_fail_with_a_message(
    say: Say, tmp_path: Path, model: str, options: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "text.safetensors").write_text("no model")
    assert_refused(say(model, "hello", options=options), code, said)


# -- a terminal -------------------------------------------------------------------------------------------------------

Open = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def terminal(models: Path) -> Iterator[Open]:
    """The chat in lines, in a pseudo-terminal."""
    children = []

    def call(*arguments: str, term: str = "dumb") -> pexpect.spawn[str]:
        command, variables = ["-m", "charlm", "chat", *arguments, "--plain"], environment(TERM=term)
        child = pexpect.spawn(
            sys.executable,
            command,
            cwd=str(models.parent),
            env=variables,
            encoding="utf-8",
            timeout=PATIENCE,
            echo=False,
        )
        children.append(child)
        child.expect_exact("you> ")
        return child

    yield call
    for child in children:
        child.close(force=True)


def code(child: pexpect.spawn[str]) -> int | None:
    child.expect(pexpect.EOF)
    child.wait()
    return child.exitstatus


def test_ctrl_c_stops_the_reply_then_the_chat(terminal: Open, models: Path) -> None:
    child = terminal("endless", "--candidates", "1", "--length", "100000", "--pace", "200")
    child.sendline("abc")
    child.expect_exact("abcdefgh abc")
    child.sendintr()
    child.expect_exact("you> ")
    asked, reply = kept()
    assert (asked.text, reply.reason) == ("abc", "cancelled")
    assert reply.text.startswith("abcdefgh abc")
    assert len(reply.text) < 100_000
    child.sendintr()
    assert code(child) == 130


def test_ctrl_d_ends_the_chat(terminal: Open) -> None:
    child = terminal("play", *OPTIONS)
    child.sendline("hello")
    child.expect_exact("you> ")
    assert isinstance(child.before, str)
    assert child.before.replace("\r\n", "\n").strip("\n") == kept()[1].text.strip("\n")
    child.sendeof()
    assert code(child) == 0
    child = terminal("-c")  # it shows where it stood
    child.sendeof()
    assert code(child) == 0


@pytest.mark.parametrize("paste", ["one\n two\nthree\n", "\x1b[200~one\n two\nthree\x1b[201~\n"])
def test_paste_of_several_lines_is_one_turn(terminal: Open, paste: str) -> None:
    import readline

    if "\x1b" in paste and "GNU" not in (readline.__doc__ or ""):
        pytest.skip("this readline has no bracketed paste")
    child = terminal("play", *OPTIONS, term="xterm-256color")
    child.send(paste)
    child.expect_exact("you> ")
    assert kept()[0].text == "one\n two\nthree"
    child.send("four\n\x04")
    assert code(child) == 0
    assert [turn.text for turn in kept()][2] == "four"


def test_resumed_chat_shows_the_last_turns(terminal: Open, models: Path) -> None:
    store = ConversationStore()
    loaded = load(models / "play.safetensors")
    store.create("play", Engine(loaded), ConversationData.start(loaded.dialogue, seed=1)).say("good morning")
    store.close()
    child = terminal("-c")
    assert isinstance(child.before, str)
    assert "ANNA: " in child.before
    assert "BOB: good morning" in child.before
    child.sendeof()
    assert code(child) == 0


def test_controls_are_escaped_on_a_terminal_only(terminal: Open, say: Say) -> None:
    options = ("--candidates", "1", "--length", "60", "--temperature", "1", "--top-p", "1")
    child = terminal("hostile", *options)
    child.sendline("hello")
    child.expect_exact("you> ")
    assert isinstance(child.before, str)
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", child.before)
    assert "\u241b]0;he\u2407<9B>31m<202E>" in child.before
    child.sendeof()
    assert code(child) == 0
    assert HOSTILE[1:] in say("hostile", "hello", options=options).out
