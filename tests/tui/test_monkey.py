"""A monkey at the terminal: random keys, pastes, bytes, clicks and sizes. The app answers, and ends when asked."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from charlm.chat.storage.store import FILE
from charlm.files import home
from tests.chat.test_store import check_index, execute
from tests.conftest import PATIENCE
from tests.stopwatch import Stopwatch

from .screen import Strange
from .test_terminal import CTRL_Q, Start, Terminal, chat, endless, start, trained
from .widgets import SIZES, Size

__all__ = ["chat", "endless", "start", "trained"]  # fixtures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals"),
    pytest.mark.timeout(0),
]

MAX_ANSWER_SECONDS: Final = 2.0
MAX_GROWTH_KIB: Final = 30_000  # of the largest memory, in the last third
BURSTS_PER_CHECK: Final = 25
PASTE_OFF: Final = "\x1b[?2004l"  # is written first when the app leaves its screen

LETTERS = "abc .,?!\n\té日\U0001f469\u200d\U0001f467\u202e"
CONTROLS = [chr(code) for code in range(32) if chr(code) not in f"\x1b{CTRL_Q}"] + ["\x7f"]
CURSOR = [f"\x1b[{modifier}{key}" for modifier in ("", "1;2", "1;5") for key in "ABCDHF"]
FUNCTION = ["\x1bOP", "\x1bOQ", "\x1bOR", "\x1bOS", *(f"\x1b[{n}~" for n in (2, 3, 5, 6, 15, 17, 18, 19, 20, 21))]
COMMANDS = [
    *("/new", "/undo", "/redo", "/regenerate", "/heat", "/xray", "/help", "/seed 3", "/length 40", "/temperature 3"),
    *("/learn 0.01", "/forget", "/candidates 3", "/look", "/copy", "/title x", "/theme nord", "/nothing", "/"),
]
NOISE = [
    "\xff\xfe",
    "\x1b[M\xff\xff\xff",
    "\x1b[99999999u",
    "\x1b[1:2;3u",
    "\x1b[<0;0;0M",
    "\x1b]0;x\x07",
    "\x1bP1$r\x1b\\",
]


def burst(rng: random.Random, size: Size) -> bytes:
    """Return what a person, a program or a broken line may send at once."""

    def click() -> str:
        column, row = rng.randint(1, size[0] + 2), rng.randint(1, size[1] + 2)
        button = rng.choice([0, 0, 0, 2, 32, 35, 64, 65])
        return f"\x1b[<{button};{column};{row}M" + rng.choice(["", f"\x1b[<{button};{column};{row}m"])

    def letters() -> str:
        return "".join(rng.choices(LETTERS, k=rng.randint(1, 12)))

    text = rng.choice(
        [
            letters(),
            letters() + "\r",
            "".join(rng.choices(CONTROLS, k=rng.randint(1, 3))),
            "".join(rng.choices(CURSOR, k=rng.randint(1, 8))),
            rng.choice(FUNCTION),
            rng.choice(FUNCTION),
            "\x1b",
            click(),
            click() + click(),
            rng.choice(COMMANDS) + "\r",
            f"\x1b[200~{letters() * rng.choice([1, 1, 60])}{rng.choice(['', *NOISE])}{letters()}\x1b[201~",
            rng.choice(NOISE),
        ]
    )
    return text.encode("latin-1" if text in NOISE else "utf-8", "surrogateescape")


def reach_largest_memory(terminal: Terminal, model: Path) -> None:
    """Let the largest bundled models learn until the limit of their weights in memory; return to a model."""
    terminal.say("/xray")
    for name in ("nihongo", "smalltalk", "nihongo", model):
        terminal.say(f"/model {name}")
        terminal.until_ready("turn 0 ")
        for turn in range(2, 14, 2) if name != model else ():
            terminal.say("My name is Anna. " * 10)
            terminal.until_ready(f"turn {turn} ")
    terminal.say("/xray")


class Monkey:
    """Uses a terminal for a time, and counts."""

    def __init__(self, terminal: Terminal, seed: int, size: Size) -> None:
        self.terminal = terminal
        self.bursts = self.answers = 0
        self.slowest = 0.0  # seconds until an answer, without waits for a processor
        self.memory: list[int] = []  # KiB
        self._received, self._has_left = 0, False
        self._rng = random.Random(seed)
        self._first = self._size = size

    @property
    def growth(self) -> int:
        """The growth of the largest memory in the last third of the time, KiB."""
        first = len(self.memory) * 2 // 3
        return max(self.memory[first:]) - max(self.memory[:first]) if first else 0

    def play(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.terminal.child.isalive() and not self._has_left:
            self._send(burst(self._rng, self._size))
            self.bursts += 1
            self.read()
            if self.bursts % BURSTS_PER_CHECK == 0:
                self.check_answer()

    def _send(self, data: bytes) -> None:
        assert os.write(self.terminal.child.child_fd, data) == len(data)

    def check_answer(self) -> None:
        """Change the size, and measure the time until the app draws in it."""
        while self.terminal.child.isalive() and any(self._drain()):
            pass
        watch = Stopwatch(self.terminal.child.pid, "self")
        sizes = [(self._first[0] + by, self._first[1] + by // 3) for by in (-9, 0, 9)]
        self._size = self._rng.choice([one for one in sizes if one != self._size])
        self.terminal.resize(*self._size)
        seen = self._received
        while self._received == seen and self.read():
            assert watch.seconds() < PATIENCE, "the app does not draw"
        self.answers += 1
        self.slowest = max(self.slowest, watch.seconds())
        status = Path(f"/proc/{self.terminal.child.pid}/status")
        if status.exists():
            self.memory += [
                int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")
            ]

    def read(self) -> bool:
        """Process output, and forget it; return false after the end."""
        kept = self.terminal.sent = self.terminal.sent[-len(PASTE_OFF) :]
        going = True
        try:
            going = self.terminal.read()
        except (Strange, UnicodeDecodeError):  # the terminal itself shows input once the app leaves it
            assert self._has_left or self._leaves()
        self._received += len(self.terminal.sent) - len(kept)
        self._has_left |= PASTE_OFF in self.terminal.sent
        return going

    def _leaves(self) -> bool:
        """Return whether the app leaves the terminal now. Its last output may come after the first echo."""
        end = time.monotonic() + PATIENCE
        going = True
        while going and PASTE_OFF not in self.terminal.sent and time.monotonic() < end:
            with suppress(Strange, UnicodeDecodeError):
                going = self.terminal.read()
        return PASTE_OFF in self.terminal.sent

    def _drain(self) -> Iterator[bool]:
        """Yield true for each piece of output that has come."""
        seen = self._received
        self.read()
        yield self._received - seen > 2000  # more than a cursor that blinks


@pytest.mark.parametrize(
    ("size", "seconds"),
    [(SIZES[0], 5), *(pytest.param(size, 400, marks=pytest.mark.campaign) for size in SIZES)],
    ids=str,
)
def test_app_survives_a_monkey(chat: Start, endless: Path, size: Size, seconds: int) -> None:
    seed, left, monkeys = size[0] + seconds, float(seconds), list[Monkey]()
    while left > 0:
        starts = len(monkeys)
        options = ["--length", "200", "--temperature", "1.5", "--seed", str(starts)]
        terminal = chat(*options, *(["-c"] if starts else []), model=endless, size=SIZES[-1])
        if seconds > 60:
            reach_largest_memory(terminal, endless)
        terminal.resize(*size)
        terminal.press("\x1bOQ", "\x1bOR", "\x1b[21~")  # lists, dials, X-ray
        monkey = Monkey(terminal, seed + starts, size)
        monkeys.append(monkey)
        began = time.monotonic()
        monkey.play(left)
        left -= time.monotonic() - began
        if terminal.child.isalive():
            terminal.press(CTRL_Q)
        while monkey.read():
            pass
        code = terminal.exit_code()
        assert code == 0, f"{monkey.bursts} bursts of seed {seed + starts}:\n{terminal.screen}"
        assert [one.name for one in home().glob("c*.txt")] == []
    assert execute(home() / FILE, "PRAGMA integrity_check") == [("ok",)]
    execute(home() / FILE, "DELETE FROM turn WHERE reason = 'draft'")  # as the next start of their conversations does
    check_index(home() / FILE)
    slowest = max(one.slowest for one in monkeys)
    growth = max(one.growth for one in monkeys)
    print(
        f"\nmonkey {size}: {sum(one.bursts for one in monkeys)} bursts, {len(monkeys)} starts,"
        f" slowest of {sum(one.answers for one in monkeys)} answers {slowest:.2f} s, memory {growth:+} KiB"
    )
    if seconds > 60:
        assert growth < MAX_GROWTH_KIB
        assert slowest < MAX_ANSWER_SECONDS
