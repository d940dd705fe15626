"""`make chat`, the README's first command, without a terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PATIENCE

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
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("messages", "are_yours"), [("hello\nwhat do you like to do?\n", [True, False] * 2), ("", [True, False] * 3)]
)
def test_make_chat_answers_messages_or_shows_its_own(messages: str, are_yours: list[bool]) -> None:
    lines = chat(messages)
    assert [line.startswith("you> ") for line in lines] == are_yours
    assert all(line.strip() for line in lines)
    assert [line for line in lines[::2] if messages] == [f"you> {message}" for message in messages.splitlines()]
