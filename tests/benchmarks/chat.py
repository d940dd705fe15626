"""Latency of keys in the chat, and time to its first frame.

    python -m tests.benchmarks.chat
    python -m tests.benchmarks.chat --xray
    python -m tests.benchmarks.chat --learn

A key is timed from writing it into a pseudo-terminal of 100 by 40 until its character comes back. A model writes in the
meantime. The first frame is timed from the start of the process.

With `--xray` the terminal has 120 columns, and the model writes 500 characters a second. Keys are timed without the
X-ray, with it, and with a pinned unit that colours the text. With `--learn` the model learns from one very long turn.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from charlm.checkpoint import save
from charlm.text.dialogue import Dialogue
from tests.chat.models import random_checkpoint

SECONDS = 20.0
BETWEEN = 0.11  # seconds between two keys; no multiple of a frame
FIRST_KEY = 0x4E00  # a character that neither the model nor the X-ray writes
RUNS = 10

# The child: the app with an endless reply at a given number of characters a second, and a transcript of a given size.
# At its end it prints how many characters were drawn, how many the transcript holds, and its largest memory use.
_CHILD = """
import os, resource, sys, time
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["TEXTUAL_FPS"] = "120"  # as charlm chat does
from charlm.tui.app import ChatApp

path, rate, already, look = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def start():
    from charlm.config import ChatConfig
    from charlm.chat.session import Session, ChatOptions
    session = Session(ChatOptions(model=path, seed=1, keep=False))
    learn = 1e-4 * (look == "learning")
    session.conversation.dials = ChatConfig(candidates=1, length=1_000_000, pace=rate, learn=learn)
    return session

class Timed(ChatApp):
    def _start(self, session):
        super()._start(session)
        screen = self.chat
        if already:
            line = "the quick brown fox jumps over the lazy dog, and the dog does not mind it at all.\\n"
            screen.transcript.document.begin_block(-99, "note", "")
            screen.transcript.document.append(line * (already // len(line)))
        if look in ("xray", "pinned"):
            screen.action_toggle_panel("xray")
        if look == "pinned":
            from charlm.tui.activation_probe import Pin
            screen.xray.set_pin(Pin(1, 7, "c"))
        if look == "learning":
            self._submit("the ferry goes over to the far side, and back again. " * 10_000)
        elif rate:
            self._submit("go on")

app = Timed({"model": path}, start)
app.run()
if app.chat.loaded is not None and rate:
    head = app.session.conversation.head
    document = app.chat.transcript.document
    shown = document.span_end(len(document.spans) - 1) - document.spans[-1].start
    print(f"RESULT {len(head.text)} {shown} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True)
"""


@contextlib.contextmanager
def chat(
    model: Path, rate: float, already: int, look: str = "plain", columns: int = 100
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The app in a pseudo-terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "CHARLM_HOME": str(model.parent)}
    command = [sys.executable, "-c", _CHILD, str(model), str(rate), str(already), look]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    try:
        yield process, leader
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def read(leader: int, seconds: float) -> bytes:
    """Return the first block within a time."""
    if not select.select([leader], [], [], max(0.0, seconds))[0]:
        return b""
    with contextlib.suppress(OSError):
        return os.read(leader, 1 << 16)
    return b""


def drain(leader: int, until: bytes, seconds: float) -> bytes:
    """Return the output up to a mark."""
    seen, end = b"", time.monotonic() + seconds
    while until not in seen:
        if time.monotonic() > end:
            raise TimeoutError(f"no {until!r} within {seconds} s; the last was {seen[-300:]!r}")
        seen += read(leader, 0.1)
    return seen


def first_frame(model: Path) -> float:
    """Return the seconds until the first frame, which shows the prompt's border."""
    began = time.monotonic()
    with chat(model, 0, 0) as (_, leader):
        drain(leader, "\u256d".encode(), 20)
        return time.monotonic() - began


def keys(
    model: Path, rate: float, already: int, look: str = "plain", columns: int = 100
) -> tuple[list[float], list[int]]:
    """Return the latency of each key in milliseconds, and the child's result, unless it was learning."""
    with chat(model, rate, already, look, columns) as (_, leader):
        drain(leader, b"thinking" if look == "learning" else b"writing", 60)
        end, lags = time.monotonic() + SECONDS, []
        while time.monotonic() < end:
            key = chr(FIRST_KEY + len(lags)).encode()  # a new one each: the prompt may repaint those before
            pressed = time.monotonic()
            os.write(leader, key)
            drain(leader, key, 10)
            lags.append(1000 * (time.monotonic() - pressed))
            until = pressed + BETWEEN
            while (left := until - time.monotonic()) > 0:
                read(leader, left)
        os.write(leader, b"\x1b")
        if look == "learning":
            drain(leader, b"stopped after", 20)  # so it was learning until now
            return lags, []
        drain(leader, b"ready", 20)
        os.write(leader, b"\x11")
        result = drain(leader, b"RESULT ", 20)
        result += drain(leader, b"\n", 5) if b"\n" not in result.rpartition(b"RESULT ")[2] else b""
        return lags, [int(one) for one in result.rpartition(b"RESULT ")[2].split()[:3]]


def measure(model: Path, rate: float, already: int, look: str = "plain", columns: int = 100) -> None:
    """Time keys and print."""
    lags, result = keys(model, rate, already, look, columns)
    lags.sort()
    p99 = lags[min(len(lags) - 1, int(len(lags) * 0.99))]
    print(f"{rate} chars/s offered, {already:,} characters before, {look}, {columns} columns, {len(lags)} keys")
    print(f"  key to screen: median {statistics.median(lags):.1f} ms, p99 {p99:.1f} ms, worst {lags[-1]:.1f} ms")
    if result:
        drawn, shown, kibibytes = result
        print(f"  {drawn:,} drawn, {drawn / SECONDS:,.0f} a second, {drawn - shown:,} of them not shown")
        print(f"  {kibibytes / 1024:.0f} MiB at most")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "noise.safetensors"
        made = random_checkpoint(scale=0.08, characters="\n abcdefghijklmnopqrstuvwxyz,.", hidden=256, embedding=256)
        # A model of a format with turns learns; one of a plain text writes for ever.
        save(replace(made, dialogue=Dialogue("lines" if "--learn" in sys.argv[1:] else "plain")), model)
        if "--xray" in sys.argv[1:]:
            for look in ("plain", "xray", "pinned"):
                measure(model, 500, 0, look, columns=120)
            return
        if "--learn" in sys.argv[1:]:
            measure(model, 0, 0, "learning")
            return
        frames = [first_frame(model) for _ in range(RUNS)]
        least, most = min(frames), max(frames)
        print(f"first frame: median {statistics.median(frames):.3f} s of {RUNS}, from {least:.3f} to {most:.3f}")
        for already in (0, 1_000_000):
            measure(model, 3000, already)


if __name__ == "__main__":
    main()
