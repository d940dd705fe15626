"""Runs the command as a process: on a pseudo-terminal, or in a pipeline of a shell."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import PATIENCE

SGR = re.compile(r"\x1b\[[0-9;]*m")
"""Colours and attributes, the only sequences that charlm writes into text."""

HOSTILE = "\x07\x08\r\x1b\x7f\x90\x9b\x9d\u200f\u2028\u202e\u2066"
"""BEL, backspace, CR, ESC, DEL, three of C1 (DCS, CSI, OSC), and characters that reorder or break lines."""


class Shown(NamedTuple):
    """Exit code and output on a terminal."""

    code: int
    text: str


def environment(**changes: str) -> dict[str, str]:
    """Return the environment for a child: UTF-8, one thread, a common terminal, no variables about colour."""
    unusual = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONUNBUFFERED")
    usual = {name: value for name, value in os.environ.items() if name not in unusual}
    fixed = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1", "TERM": "xterm-256color"}
    return {**usual, **fixed, **changes}


def run_charlm(*arguments: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, with pipes unless the options name other streams."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(
        [sys.executable, "-m", "charlm", *map(str, arguments)],
        cwd=cwd, timeout=PATIENCE, check=False, encoding="utf-8", **{"env": environment(), **streams, **options},
    )  # fmt: skip


def on_terminal(*arguments: str | Path, cwd: Path, timeout: float = PATIENCE, **changes: str) -> Shown:
    """Run the command with a pseudo-terminal of 80 by 24 as its three streams."""
    leader, follower = pty.openpty()
    try:
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        attributes = termios.tcgetattr(follower)
        attributes[1] &= ~termios.OPOST  # a newline arrives as it was sent
        termios.tcsetattr(follower, termios.TCSANOW, attributes)
        command = [sys.executable, "-m", "charlm", *map(str, arguments)]
        streams = {"stdin": follower, "stdout": follower, "stderr": follower}
        process = subprocess.Popen(command, cwd=cwd, env=environment(**changes), **streams)  # type: ignore[call-overload]
    finally:
        os.close(follower)
    try:
        seen = _read_all(leader, time.monotonic() + timeout)
        return Shown(process.wait(timeout), seen.decode())
    finally:
        os.close(leader)
        if process.poll() is None:
            process.kill()
            process.wait()


def _read_all(leader: int, until: float) -> bytes:
    seen = b""
    while True:
        if not select.select([leader], [], [], max(0.0, until - time.monotonic()))[0]:
            pytest.fail(f"no output and no end after {seen[-200:]!r}")
        try:
            block = os.read(leader, 1 << 16)
        except OSError:  # Linux raises it when the last follower is closed
            return seen
        if not block:
            return seen
        seen += block


class Piped(NamedTuple):
    """Exit codes and output of a pipeline."""

    codes: list[int]
    out: str
    err: str


def into_head(*arguments: str | Path, cwd: Path, bytes_read: int = 10) -> Piped:
    """Run `charlm ARGUMENTS | head -c 10` in a shell."""
    command = shlex.join([sys.executable, "-m", "charlm", *map(str, arguments)])
    script = f'{command} | head -c {bytes_read}; codes=("${{PIPESTATUS[@]}}"); echo; echo "${{codes[@]}}"'
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE,
        check=True,
        encoding="utf-8",
    )
    out, _, codes = done.stdout.removesuffix("\n").rpartition("\n")
    return Piped(list(map(int, codes.split())), out, done.stderr)
