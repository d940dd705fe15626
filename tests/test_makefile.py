"""`make chat`, the README's first command, without a terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READY = sorted(path.name for path in (ROOT / ".venv").glob(".ready*"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
    pytest.mark.skipif(not READY, reason="make would set up .venv first"),
]


def chat(messages: str) -> list[str]:
    """Return the lines of `make chat`, with the checkout's code and with .venv as it is."""
    done = subprocess.run(
        ["make", "--silent", f"READY=.venv/{READY[0]}", "chat"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=messages,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_make_chat_with_a_pipe_answers_each_line() -> None:
    lines = chat("hello\nwhat do you like to do?\n")
    assert lines[0] == "you> hello"
    assert lines[2] == "you> what do you like to do?"
    assert len(lines) == 4
    assert all(line.strip() for line in lines)


def test_make_chat_without_input_shows_a_conversation() -> None:
    lines = chat("")
    assert [line.startswith("you> ") for line in lines] == [True, False] * 3
    assert all(line.strip() for line in lines)
