"""The chat in a pseudo-terminal, with a small trained model: keys, screen and database."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pexpect
import pytest

from charlm.chat.session import ChatOptions, Session
from charlm.chat.turns import Turn
from charlm.checkpoint import load, save
from charlm.text.sanitize import visible
from tests.chat.models import parrot_checkpoint
from tests.cli.conftest import TINY
from tests.cli.terminal import environment
from tests.conftest import HARBOUR, PATIENCE

from .screen import Screen, Strange
from .widgets import Size

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals"),
]

ESCAPE, ENTER, LEFT, RIGHT, F5, CTRL_L, CTRL_Q = "\x1b", "\r", "\x1b[D", "\x1b[C", "\x1b[15~", "\x0c", "\x11"
DOWN, END, F2, F4 = "\x1b[B", "\x1b[F", "\x1bOQ", "\x1bOS"
LEFT_ON = {7, 25}  # modes of a fresh terminal: line wrap, visible cursor
HEAT = "surprise  0 "  # beginning of the scale


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a play whose two speakers say the sentences of a book."""
    folder = tmp_path_factory.mktemp("trained")
    sentences = re.findall(r"[A-Z][^.?!]{9,150}[.?!]", HARBOUR.read_text(encoding="utf-8").replace("\n", " "))
    speeches = [f"{('ANNA', 'BOB')[n % 2]}:\n{one}\n\n" for n, one in enumerate(sentences)]
    # One character is too rare for an id, so the model spells unknown characters in bytes.
    (folder / "play.txt").write_text("".join(speeches) + "ANNA:\nMoin, Käpt'n.\n", encoding="utf-8")
    options = ["train", "play.txt", "-o", "play.safetensors", "--steps", "60", "--evaluations", "1"]
    command = [sys.executable, "-m", "charlm", *options, *TINY]
    home = {"CHARLM_HOME": str(folder / "home")}
    subprocess.run(command, cwd=folder, env=environment(**home), check=True, capture_output=True, timeout=PATIENCE)
    return folder / "play.safetensors"


@pytest.fixture(scope="session")
def endless(trained: Path) -> Path:
    """The same model with endless replies."""
    model = load(trained)
    bias = model.tensors["output.b"].copy()
    bias[model.vocabulary.encode("\n")] = -1000
    save(replace(model, tensors={**model.tensors, "output.b": bias}), trained.with_name("endless.safetensors"))
    return trained.with_name("endless.safetensors")


class Terminal:
    """The command in a pseudo-terminal."""

    def __init__(
        self, arguments: Sequence[str | Path], size: Size, ignore_sighup: bool, variables: dict[str, str]
    ) -> None:
        self.screen = Screen(*size)
        self.sent = ""
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "charlm", *map(str, arguments)],
            env=environment(**variables),
            dimensions=size[::-1],
            encoding="utf-8",
            ignore_sighup=ignore_sighup,
        )
        self.child.delaybeforesend = None
        self.modes = termios.tcgetattr(self.child.child_fd)

    def read(self) -> bool:
        """Process output; return false after the end."""
        try:
            text = self.child.read_nonblocking(1 << 16, timeout=0.05)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.sent += text
        self.screen.feed(text)
        return True

    def until(self, condition: Callable[[], object]) -> None:
        """Process output until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if not self.read() or time.monotonic() > end:
                pytest.fail(f"the condition was never true:\n{self.screen}")

    def until_seen(self, text: str) -> None:
        """Wait for a text on the screen."""
        self.until(lambda: text in str(self.screen))

    def until_ready(self, turn: str = "") -> None:
        """Wait until the status line shows that a reply is finished, and its turn."""
        self.until(lambda: f"ready   {turn}" in self.status)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.child.send(key)

    def say(self, text: str) -> None:
        self.press(text, ENTER)

    def resize(self, width: int, height: int) -> None:
        self.screen.resize(width, height)
        self.child.setwinsize(height, width)

    def wait(self) -> int:
        """Process all output, and return the exit code: negative for a signal."""
        end = time.monotonic() + PATIENCE
        while self.read():
            if time.monotonic() > end:
                pytest.fail(f"the process still writes:\n{self.screen}")
        return self.exit_code()

    def exit_code(self) -> int:
        end = time.monotonic() + PATIENCE
        while self.child.isalive():
            if time.monotonic() > end:
                pytest.fail(f"the process does not end:\n{self.screen}")
            time.sleep(0.01)
        return int(self.child.exitstatus if self.child.exitstatus is not None else -self.child.signalstatus)

    def leave(self) -> int:
        self.press(CTRL_Q)
        return self.wait()

    def close(self) -> None:
        self.child.close(force=True)

    @property
    def status(self) -> str:
        return self.screen.lines[-2] + "   "

    @property
    def transcript(self) -> list[str]:
        """Lines above the prompt."""
        lines = self.screen.lines
        return lines[: next((n for n, line in enumerate(lines) if line.startswith("╭")), len(lines))]

    @property
    def reply(self) -> str:
        """The last visible reply, without white space."""
        lines = self.transcript
        label = re.compile(r"  (BOB|ANNA)(  \d+/\d+)?(  stopped)?")
        labels = [n for n, line in enumerate(lines) if label.fullmatch(line)]
        return solid("".join(lines[labels[-1] + 1 :])) if len(labels) > 1 else ""

    def ends_with(self, text: str) -> bool:
        """Return whether the visible transcript is the end of a text."""
        seen = drawn("".join(self.transcript))
        return bool(seen) and drawn(text).endswith(seen)


def solid(text: str) -> str:
    """Return a text with control characters as symbols, and without white space, which is lost where lines wrap."""
    return "".join(visible(text.replace("\r\n", "\n")).split())


def drawn(text: str) -> str:
    """Return solid text without joiners, symbols for line ends, and the scrollbar."""
    return re.sub("[\u200b-\u200d\u21b5\u25cc\u2581-\u2588]", "", solid(text))


Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start the command in a pseudo-terminal, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    terminals: list[Terminal] = []

    def call(*arguments: str | Path, size: Size = (120, 40), ignore_sighup: bool = False, **variables: str) -> Terminal:
        terminals.append(Terminal(arguments, size, ignore_sighup, variables))
        return terminals[-1]

    yield call
    for one in terminals:
        one.close()


@pytest.fixture
def chat(start: Start, trained: Path) -> Start:
    """Open the app with the trained model, and wait until it is ready."""

    def call(*options: str | Path, model: Path = trained, **others: object) -> Terminal:
        terminal = start("chat", model, "--candidates", "1", *options, **others)
        terminal.until_ready()
        return terminal

    return call


def saved_session(model: Path) -> Session:
    """Return the last session with a model."""
    session = Session(ChatOptions(model=str(model), resume=True))
    session.close()
    return session


def saved_turns(model: Path) -> list[Turn]:
    return saved_session(model).conversation.path


def page(model: Path) -> str:
    """Return the labels and texts of the last conversation."""
    session = saved_session(model)
    return "\n".join(f"{session.label(turn)}\n{turn.text}" for turn in session.conversation.path)


def test_reopened_chat_is_the_same(chat: Start, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replies = []
    for closes in (True, False):
        monkeypatch.setenv("CHARLM_HOME", str(tmp_path / f"home-{closes}"))
        terminal = chat("--seed", "1", "--length", "80", size=(80, 24))
        terminal.say("Is the ferry late?")
        terminal.until_ready("turn 2 ")
        terminal.press(F5)
        terminal.until_ready("turn 2  2/2")
        if closes:
            assert terminal.leave() == 0
            terminal = chat("-c", size=(80, 24))
        terminal.say("And the pilot?")
        terminal.until_ready("turn 4")
        terminal.press(F5)
        terminal.until_ready("turn 4  2/2")
        assert terminal.reply == solid(saved_turns(trained)[-1].text)
        turns = saved_turns(trained)
        replies.append([[one.text.encode() for one in turn.siblings] for turn in turns])
        assert terminal.leave() == 0
    assert replies[0] == replies[1]
    assert [len(versions) for versions in replies[0]] == [1, 2, 1, 2]


def test_visit_shows_what_is_saved(chat: Start, endless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Type, stream, stop, regenerate, branch, resize, quit and continue: the screen shows what is saved."""
    monkeypatch.setenv("CHARLM_HOME", str(tmp_path / "home"))
    terminal = chat("--seed", "2", "--length", "3000", "--pace", "150", "--temperature", "1.5", model=endless)

    def stop_after(characters: int, turn: str, old: str = "") -> str:
        """Stop another reply than the old one after some visible characters; return its saved text."""
        terminal.until(lambda: f"writing   {turn}" in terminal.status)
        terminal.until(lambda: len(terminal.reply) > characters and not drawn(old).startswith(drawn(terminal.reply)))
        before = terminal.reply
        terminal.press(ESCAPE)
        terminal.until_ready(turn)
        reply = saved_turns(endless)[-1]
        assert reply.reason == "cancelled"
        assert len(reply.text) < 3000
        assert drawn(reply.text).startswith(drawn(before))
        terminal.until(lambda: drawn(terminal.reply) == drawn(reply.text))
        return reply.text

    terminal.say("Is the ferry late?")
    first = stop_after(60, "turn 2 ")
    terminal.press(F5)
    second = stop_after(60, "turn 2  2/2", first)
    assert [one.text for one in saved_turns(endless)[-1].siblings] == [first, second]

    terminal.press(F4)
    terminal.until_seen(HEAT)
    terminal.press(CTRL_L)
    terminal.until_seen("a surprise of")
    # A character that does not occur before: the panel shows when the cursor has arrived.
    steps = next(n for n in range(3, 60) if second[n].isalpha() and second[n] not in second[:n])
    terminal.press(*[RIGHT] * steps)
    terminal.until_seen(f"{second[steps]}, a surprise of")
    conversation = saved_session(endless).conversation
    alternatives = conversation.contexts.score_chars(conversation.head)[steps].alternatives
    number, chosen = next(
        (n, one.text) for n, one in enumerate(alternatives, 1) if one.text.isalpha() and one.text != second[steps]
    )
    terminal.press(str(number))
    third = stop_after(60, "turn 2  3/3", second)
    assert third.startswith(second[:steps] + chosen)
    terminal.press(F4)
    terminal.until(lambda: HEAT not in terminal.status)

    terminal.say("And the pilot?")
    terminal.until(lambda: len(terminal.reply) > 60)
    for size in ((60, 20), (120, 40)):
        terminal.resize(*size)
        terminal.until(lambda: "writing" in terminal.status and len(solid("".join(terminal.transcript))) > 200)
        length = len(terminal.sent)
        terminal.until(lambda length=length: len(terminal.sent) > length + 500)
    fourth = stop_after(200, "turn 4 ")
    terminal.say("/length 60")
    terminal.until_seen("length 60")
    terminal.say("Thank you.")
    terminal.until_ready("turn 6 ")
    turns = saved_turns(endless)
    texts = [turn.text for turn in turns]
    assert texts[:5] == ["Is the ferry late?", third, "And the pilot?", fourth, "Thank you."]

    # A copy that is closed and reopened replies as this one.
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    other = chat("-c", model=endless, CHARLM_HOME=str(tmp_path / "copy"))
    assert other.leave() == 0
    other = chat("-c", model=endless, CHARLM_HOME=str(tmp_path / "copy"))
    other.until(lambda: other.ends_with(page(endless)))
    saved: dict[str, list[str]] = {}
    for one, home in ((terminal, "home"), (other, "copy")):
        one.say("Good night.")
        one.until_ready("turn 8 ")
        monkeypatch.setenv("CHARLM_HOME", str(tmp_path / home))
        saved[home] = [turn.text for turn in saved_turns(endless)]
        reply = solid(saved[home][-1])
        one.until(lambda one=one, reply=reply: one.reply == reply)
    assert saved["copy"] == saved["home"]
    assert saved["home"][:6] == texts
    for one in (terminal, other):
        assert one.leave() == 0
        assert one.screen.modes == LEFT_ON


def hang_up(terminal: Terminal) -> None:
    """Remove the terminal, as closing its window does."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, terminal.child.child_fd)
    os.close(nothing)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda terminal: os.kill(terminal.child.pid, signal.SIGTERM), 128 + signal.SIGTERM),
        (lambda terminal: os.kill(terminal.child.pid, signal.SIGHUP), 128 + signal.SIGHUP),
        (hang_up, None),
    ],
    ids=["SIGTERM", "SIGHUP", "hang up"],
)
@pytest.mark.parametrize("plain", [False, True], ids=["app", "lines"])
def test_ended_from_outside_keeps_shown_reply(
    start: Start, trained: Path, end: Callable[[Terminal], None], code: int | None, plain: bool
) -> None:
    options = ["--seed", "2", "--candidates", "1", "--pace", "300", "--length", "2000", "--temperature", "3"]
    terminal = start("chat", trained, *options, *(["--plain"] if plain else []), TERM="dumb" if plain else "xterm")
    terminal.until_seen("you>") if plain else terminal.until_ready()
    terminal.say("Tell me everything.")

    def shown() -> str:
        return solid(terminal.sent.partition("everything.")[2]) if plain else terminal.reply

    terminal.until(lambda: len(shown()) > 150)
    before = shown()
    end(terminal)
    if code is None:
        terminal.exit_code()
    else:
        assert terminal.wait() == code
        before = shown() or before
    asked, reply = saved_turns(trained)
    assert asked.text == "Tell me everything."
    assert reply.reason == "cancelled"
    assert solid(reply.text).startswith(before)
    assert len(reply.text) < 2000
    if code is not None and not plain:
        assert terminal.screen.modes == LEFT_ON


def test_lost_terminal_without_signal_ends_app(start: Start, trained: Path) -> None:
    """SIGHUP is ignored, as under `nohup`."""
    terminal = start(
        "chat", trained, "--length", "5000", "--pace", "300", "--seed", "2", ignore_sighup=True, TERM="xterm"
    )
    terminal.until_ready()
    terminal.say("Tell me everything.")
    terminal.until(lambda: len(terminal.reply) > 20)
    hang_up(terminal)
    terminal.exit_code()
    assert saved_turns(trained)[0].text == "Tell me everything."


def test_paste_of_million_chars_sends_nothing(chat: Start) -> None:
    terminal = chat("--length", "20")
    pasted = "\x1b[200~" + "All ships that came in.\r" * 42_000 + "\x1b[201~"
    sender = threading.Thread(target=terminal.child.send, args=(pasted,))
    sender.start()
    terminal.until(lambda: not sender.is_alive())
    terminal.until_seen("1,008,000 characters")
    terminal.press("x")
    terminal.until_seen("characters pasted]x")
    assert "turn 0" in terminal.status
    # Its placeholder is deleted like one character.
    terminal.press("\x7f", "\x7f", "hello", ENTER)
    terminal.until_ready("turn 2")
    assert "  hello" in terminal.screen.lines
    assert terminal.leave() == 0


def test_bytes_that_are_not_utf8_become_symbols(chat: Start) -> None:
    terminal = chat()
    os.write(terminal.child.child_fd, b"caf\xe9 au lait \x1b[M\xe0\xff\x80")  # a report of the mouse at column 223
    terminal.until_seen("caf\ufffd au lait")
    os.write(terminal.child.child_fd, b"\x1b[200~\xff\x1b[31m!\x07?\x1b[201~")
    terminal.until_seen("\ufffd!?")
    assert "ready   turn 0" in terminal.status
    assert terminal.leave() == 0


def test_ctrl_z_suspends_the_app_and_fg_returns(trained: Path, tmp_path: Path) -> None:
    shell = pexpect.spawn("bash", ["--norc", "-i"], env=environment(PS1="shell> "), encoding="utf-8", timeout=PATIENCE)
    try:
        shell.expect_exact("shell> ")
        shell.sendline(f"{sys.executable} -m charlm chat {trained} --seed 1 --length 20")
        shell.expect_exact("ready")
        shell.send("a draft\x1a")
        shell.expect_exact("Stopped")
        shell.sendline("stty -a | grep -o ' echo '; echo is on; fg")
        shell.expect_exact("echo \r\nis on")
        shell.expect_exact("a draft")
        pgrep = subprocess.run(["pgrep", "-P", str(shell.pid)], capture_output=True, text=True, check=True)
        os.kill(int(pgrep.stdout), signal.SIGSTOP)  # from outside, without leaving the screen
        shell.expect_exact("Stopped")
        shell.sendline("fg")
        shell.expect_exact("a draft")
        shell.send(" of mine")
        shell.expect_exact("mine")
        shell.send(CTRL_Q)
        shell.expect_exact("shell> ")
        shell.sendline("echo code $?")
        shell.expect_exact("code 0")
    finally:
        shell.close(force=True)


HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x1b[6n\x1bc\x9b31m\x90q\x9d\x85\x0e[/red][@click=app.quit]x[/]\x00\x08\x7f"
    "\u202eabc\u2066\u200f\u2028\ufeff\u200b\u200de\u0301\u0302\r\t 日本\U0001f469\u200d\U0001f467"
)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A model that writes sequences for terminals and apps, in a single line."""
    save(parrot_checkpoint(HOSTILE), tmp_path / "hostile.safetensors")
    return tmp_path / "hostile.safetensors"


def test_hostile_model_does_not_drive_terminal(start: Start, hostile: Path) -> None:
    options = ["--candidates", "1", "--length", "3000", "--temperature", "1", "--top-p", "1", "--seed", "1"]
    terminal = start("chat", hostile, *options, size=(80, 24))  # the emulator rejects unknown sequences
    terminal.until_ready()
    terminal.press(ENTER)
    terminal.until_ready("turn 1")
    terminal.press("\x1b[200~[/red]\u202e\u200b[@click=app.quit]x\x1b[201~")
    terminal.until_seen("[/red]")
    terminal.until_seen("[@click=app.quit]x")
    terminal.press(ENTER)
    terminal.until_ready("turn 3")
    terminal.press(F4)
    terminal.until_seen(HEAT)
    terminal.press(CTRL_L)
    terminal.until_seen("a surprise of")
    for key in (RIGHT, RIGHT, DOWN, DOWN, END):
        before = str(terminal.screen)
        terminal.press(key)
        terminal.until(lambda before=before: str(terminal.screen) != before)
    terminal.press(ESCAPE)
    terminal.until(lambda: "a surprise of" not in str(terminal.screen))
    for size in ((40, 12), (120, 40)):
        terminal.resize(*size)
        terminal.until_ready()
    terminal.press(F2)
    terminal.until_seen("conversations")
    assert terminal.leave() == 0
    assert terminal.screen.modes == LEFT_ON
    turns = saved_turns(hostile)
    written = turns[0].text
    assert len(written) == 3000
    assert set(HOSTILE) == set(written)
    for sequence in ("\x1b[", "\x1b]0;", "\x1bc", "\x9b31m", "[/red]", "\u202eabc\u2066", "\x00\x08\x7f"):
        assert sequence in written
    again = start("chat", "-c", size=(80, 24))
    again.until_ready("turn 3")
    assert again.ends_with(turns[-1].text)
    assert again.leave() == 0


def test_screen_emulator_rejects_unknown_sequences() -> None:
    for text in ("\x1b[5n", "\x1b]0;title\x07", "\x9b2J", "\x07", "\u202e", "\x1bc"):
        with pytest.raises(Strange):
            Screen(80, 24).feed(text + " " * 30)
    screen = Screen(10, 2)
    screen.feed("\x1b[?25h\x1b[2;3H日\x1b[3")
    screen.feed("1mx\u0301")
    assert screen.lines == ["", "  日x\u0301"]
    assert screen.modes == {25}


def test_dumb_terminal_gets_line_mode(start: Start, trained: Path) -> None:
    terminal = start("chat", trained, "--seed", "1", "--length", "30", TERM="dumb")
    terminal.until_seen("you>")
    terminal.say("Good morning.")
    terminal.until(lambda: terminal.sent.count("you> ") == 2)
    reply = terminal.sent.partition("Good morning.")[2].rpartition("you> ")[0]
    assert solid(reply) == solid(saved_turns(trained)[1].text)
    terminal.press("\x04")
    assert terminal.wait() == 0
    assert terminal.screen.modes == set()


def test_ascii_terminal_gets_ascii_borders(start: Start, trained: Path) -> None:
    terminal = start("chat", trained, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    terminal.until_ready()
    assert terminal.screen.lines[-5].startswith("+----")
    assert terminal.sent.isascii()
    assert terminal.leave() == 0


def test_redirected_stderr_gets_line_mode(trained: Path, tmp_path: Path) -> None:
    shell = f"exec {sys.executable} -m charlm chat {trained} --seed 1 --length 30 2>{tmp_path / 'err'}"
    child = pexpect.spawn("/bin/sh", ["-c", shell], env=environment(TERM="dumb"), encoding="utf-8", timeout=PATIENCE)
    try:
        child.expect_exact("you> ")
        child.send("\x04")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
    finally:
        child.close(force=True)
    assert "\x1b" not in (tmp_path / "err").read_text()


def test_same_seed_gives_same_reply_everywhere(chat: Start, trained: Path) -> None:
    """The app, a pipe and the Python API reply the same with the same seed."""
    options = ["--seed", "7", "--length", "60", "--candidates", "4"]
    terminal = chat(*options)
    terminal.say("Who goes there?")
    terminal.until_ready("turn 2")
    shown = saved_turns(trained)[1].text
    assert terminal.leave() == 0
    command = [sys.executable, "-m", "charlm", "chat", trained, *options, "--no-save"]
    done = subprocess.run(
        command, input="Who goes there?\n", env=environment(), capture_output=True, encoding="utf-8", timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, shown + "\n\n", "")
    session = Session(ChatOptions(model=str(trained), seed=7, keep=False, dials=(("length", 60), ("candidates", 4))))
    assert session.conversation.say("Who goes there?").turn.text == shown
    assert np.isfinite(session.conversation.context(session.conversation.head).logits).all()
