"""`make chat`, the README's first command, where nobody sits at a terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None, reason="there is no make"),
    pytest.mark.skipif(not (ROOT / ".venv" / ".ready").exists(), reason="make chat would set up .venv first"),
]


def chat(said: str) -> list[str]:
    # The checkout that is tested, whatever is installed; and nothing newer than .venv, which would be set up again.
    done = subprocess.run(
        ["make", "--silent", "--old-file=.venv/.ready", "chat"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=said,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_comes_through_a_pipe_is_answered() -> None:
    lines = chat("hello\nwhat do you like to do?\n")
    assert lines[0] == "you> hello"
    assert lines[2] == "you> what do you like to do?"
    assert len(lines) == 4
    assert all(line.strip() for line in lines)


def test_where_nothing_is_said_a_short_conversation_is_held() -> None:
    lines = chat("")
    assert [line.startswith("you> ") for line in lines] == [True, False] * 3
    assert all(line.strip() for line in lines)
