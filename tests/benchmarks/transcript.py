"""Measure the latency of keys while the transcript streams, and the cost of a long transcript.

    python -m tests.benchmarks.transcript [--seconds 20] [--rate 3000] [--size 100x40] [--heat]

A child process runs the app on a pseudo-terminal with Textual's real driver. There, a thread writes characters at the
given rate, and the transcript takes them 30 times a second, as in the chat. The parent process types keys into the
input field and waits until the terminal output shows them. Every tenth key scrolls up a page or returns to the end, so
old text is on the screen half of the time. Then it repeats the keys without streaming.

Run it on a quiet machine. Like the chat, the app paints up to 120 times a second instead of 60 (after a frame Textual
waits for one to two periods), and freezes the garbage collector, which otherwise stops everything for some 70 ms.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import json
import os
import pty
import random
import resource
import select
import struct
import tempfile
import termios
import threading
import time
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("TEXTUAL_FPS", "120")  # textual reads it when it is imported

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Label

from charlm.tui.widgets.document import Block
from charlm.tui.widgets.transcript import Transcript

TEXT = (Path(__file__).parents[2] / "corpora" / "harbour.txt").read_text(encoding="utf-8")
LONG_CHARS = 1_000_000
QUIET_KEYS = 60  # without streaming
LETTERS = [chr(point) for point in range(0x430, 0x450)]  # Cyrillic: not in the text
BEGIN, END, PAGE_UP, TO_END = b"\x07", b"\x14", b"\x1b[5~", b"\x1b[1;5F"


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=int, default=3000)
    parser.add_argument("--size", default="100x40")
    parser.add_argument("--heat", action="store_true")
    options = parser.parse_args()
    for before in (0, LONG_CHARS):
        print(f"{before:,} characters before, {options.rate} a second for {options.seconds:g} s, {options.size}")
        times, figures = measure(before, options)
        for name, taken in times.items():
            p50, p99 = (1000 * sorted(taken)[int(share * len(taken))] for share in (0.5, 0.99))
            print(f"  {name:28} p50 {p50:5.1f}  p99 {p99:5.1f} ms  ({len(taken)} keys)")
        print(f"  {'characters':28} {figures['offered']:,} offered, {figures['dropped']} dropped or wrong")
        print(f"  {'processor while it streams':28} {figures['processor']:.0%} of a core")
        print(f"  {'wrapping everything':28} {figures['fold'] * 1000:.0f} ms")
        print(f"  {'peak memory':28} {figures['memory'] / 1e6:.0f} MB, {figures['start'] / 1e6:.0f} at the start")


# -- parent: types keys ------------------------------------------------------------------------------------------------


def measure(before: int, options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return the latencies of keys in seconds by situation, and the app's own figures."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", TEXTUAL_ANIMATIONS="none")
            TranscriptApp(before, options, report).run()
            os._exit(0)
        width, height = map(int, options.size.split("x"))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        screen = Screen(terminal)
        screen.wait("READY", time.monotonic())
        time.sleep(1)
        times = type_keys(terminal, screen, options.seconds)
        os.write(terminal, END)
        os.waitpid(child, 0)
        return times, json.loads(report.read_text(encoding="utf-8"))


def type_keys(terminal: int, screen: Screen, seconds: float) -> dict[str, list[float]]:
    """Return the latencies of keys while text streams, and then without."""
    random.seed(1)
    following, scrolled, quiet, paging = (list[float]() for _ in range(4))
    letters = (LETTERS[number % len(LETTERS)] for number in count())

    def press(key: bytes, shown: str) -> float:
        screen.forget()
        start = time.monotonic()
        os.write(terminal, key)
        taken = screen.wait(shown, start)
        time.sleep(random.uniform(0.03, 0.1))
        return taken

    os.write(terminal, BEGIN)
    end = time.monotonic() + seconds
    for number in count(1):
        if time.monotonic() > end:
            break
        if number % 10 == 0:
            press(TO_END if number % 20 == 0 else PAGE_UP, "")
        else:
            letter = next(letters)
            (following if number // 10 % 2 == 0 else scrolled).append(press(letter.encode(), letter))
    time.sleep(1)
    for number in range(QUIET_KEYS):
        letter = next(letters)
        quiet.append(press(letter.encode(), letter))
        paging.append(press(TO_END if number % 5 == 4 else PAGE_UP, ""))
    names = ("key, at the end", "key, scrolled up", "key, nothing streams", "page up, nothing streams")
    return dict(zip(names, (following, scrolled, quiet, paging), strict=True))


class Screen:
    """Output of the terminal, read by a thread so that the app never has to wait."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._seen: deque[tuple[float, bytes]] = deque()
        self._news = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            select.select([self._terminal], [], [])
            try:
                data = os.read(self._terminal, 1 << 16)
            except OSError:
                return  # the app has exited
            self._seen.append((time.monotonic(), data))
            self._news.set()

    def forget(self) -> None:
        """Discard the output so far."""
        self._seen.clear()

    def wait(self, text: str, start: float) -> float:
        """Return the seconds from `start` until the output contains a text; any output if it is empty."""
        wanted, held = text.encode(), b""
        while time.monotonic() < start + 20:
            self._news.clear()
            while self._seen:
                when, data = self._seen.popleft()
                held = held[-len(wanted) :] + data
                if wanted in held:
                    return when - start
            self._news.wait(0.05)
        raise TimeoutError(f"{text!r} did not appear; the last output was {held[-300:]!r}")


# -- child: the measured app -------------------------------------------------------------------------------------------


class TranscriptApp(App[None]):
    """A transcript above an input field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "up", priority=True),
        Binding("ctrl+end", "follow", priority=True),
        Binding("ctrl+g", "begin", priority=True),
        Binding("ctrl+t", "end", priority=True),
    ]
    CSS = "Transcript { height: 1fr; }"

    def __init__(self, before: int, options: argparse.Namespace, report: Path) -> None:
        super().__init__()
        self._before, self._options, self._report = before, options, report
        self._offered: deque[tuple[str, float]] = deque()
        self._figures: dict[str, float] = {"start": _memory()}

    def compose(self) -> ComposeResult:
        yield Transcript()
        yield Input()
        yield Label("READY")

    def on_mount(self) -> None:
        self.transcript = self.query_one(Transcript)
        self.transcript.heat = self._options.heat
        rng = random.Random(3)
        blocks, place = [], 0
        while place < self._before:
            text = (TEXT[place % len(TEXT) :] + TEXT)[: min(rng.randrange(50, 2000), self._before - place)]
            blocks.append(Block(len(blocks) + 1, "bot", "LONG", text, surprises=[rng.random() * 9] * len(text)))
            place += len(text)
        self.transcript.document.load(blocks)
        self.query_one(Input).focus()
        self.set_interval(1 / 30, self._drain)
        gc.collect()
        gc.freeze()

    def _drain(self) -> None:
        if self._offered:
            taken = [self._offered.popleft() for _ in range(len(self._offered))]
            self.transcript.document.append("".join([one for one, _ in taken]), [bits for _, bits in taken])

    def _write(self) -> None:
        rng, rate = random.Random(2), self._options.rate
        begun, place = time.monotonic(), 0
        while (now := time.monotonic() - begun) < self._options.seconds:
            while place < now * rate:
                self._offered.append((TEXT[place % len(TEXT)], rng.expovariate(0.5)))
                place += 1
            time.sleep(1 / rate)
        self._figures["offered"] = place

    def on_input_changed(self, event: Input.Changed) -> None:
        if len(event.value) > 20:
            event.input.value = event.value[-1]

    def action_begin(self) -> None:
        self.transcript.document.begin_block(0, "bot", "NEW")
        used, begun = time.process_time(), time.monotonic()
        threading.Thread(target=self._write).start()

        def after() -> None:
            self._figures["processor"] = (time.process_time() - used) / (time.monotonic() - begun)

        self.set_timer(self._options.seconds, after)

    def action_up(self) -> None:
        self.transcript.action_move("page", -1)

    def action_follow(self) -> None:
        self.transcript.follow()

    def action_end(self) -> None:
        document, offered = self.transcript.document, int(self._figures["offered"])
        shown = document.slice(document.span(0).start, len(document))
        wanted = (TEXT * (offered // len(TEXT) + 1))[:offered]
        wrong = sum([one != other for one, other in zip(wanted, shown, strict=False)])
        start = time.perf_counter()
        document.rewrap(document.width - 10)
        fold = time.perf_counter() - start
        self._figures.update(dropped=wrong + abs(len(wanted) - len(shown)), fold=fold, memory=_memory())
        self._report.write_text(json.dumps(self._figures), encoding="utf-8")
        self.exit()


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
