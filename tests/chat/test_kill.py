"""A chat that is killed loses nothing but the last moment of the reply under way."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import BOT

from .models import DIALOGUES, learning_engine
from .test_exactness import RATE, check_memory
from .test_store import check_index, texts

KILLS = 50
MISSING = 0.6  # seconds of the last reply, at most


def stream_and_kill(path: Path, seed: int, rate: float, after: float) -> tuple[list[list[object]], float]:
    """Let a chat stream, and kill it so many seconds after it has shown something; what it told, and when it died."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chat.streamer", str(path), str(seed), str(rate)],
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        told = process.stdout.readline() + process.stdout.readline()
        time.sleep(after)
        assert process.poll() is None, "it streams until it is killed"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        died = time.monotonic()
        told += process.stdout.read()
        process.stdout.close()
        process.wait()
    return [json.loads(line) for line in told.splitlines()], died


def check_last_reply(saved: str, shown: list[tuple[str, float]], died: float) -> None:
    """What was shown long enough before is saved, and nothing that never was."""
    whole = "".join(text for text, _ in shown)
    # The last piece may have been saved, but not told of.
    assert saved[: len(whole)] == whole[: len(saved)]
    assert len(saved) <= len(whole) + 1
    due = "".join(text for text, when in shown if when < died - MISSING)
    assert len(saved) >= len(due), f"{len(due) - len(saved)} characters are missing"


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "kills"), [(0.0, KILLS), (RATE, KILLS // 2)])
def test_killed_at_random_moments(tmp_path: Path, rate: float, kills: int) -> None:
    path, chance = tmp_path / "c.db", random.Random(1)
    engine, dialogue = learning_engine(), DIALOGUES["lines"]
    before: list[str] = []
    in_mid_reply = 0
    for seed in range(kills):
        told, died = stream_and_kill(path, seed, rate, after=chance.uniform(0, 0.9))
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
        store = ConversationStore(path)
        assert store.notice == ""
        [summary] = store.list()
        conversation = store.open(summary.number, "noise", engine, dialogue).conversation
        found, expected = texts(conversation), list(before)
        shown: list[tuple[str, float]] = []
        for kind, *what in told:
            if kind == "said":
                expected.append(str(what[0]))
                shown = []
            elif kind == "shown":
                shown.append((str(what[0]), float(str(what[1]))))
            else:
                expected.append("".join(text for text, _ in shown))
        if told[-1][0] == "done":
            assert found[: len(expected)] == expected, "every finished turn is there"
            assert len(found) - len(expected) in (0, 1), "but one may have been said and not told of"
        elif told[-1][0] == "said":  # the file may be a moment behind, or before
            assert found[: len(expected) - 1] == expected[:-1]
            assert len(found) <= len(expected) + 1
        else:
            assert found[: len(expected)] == expected, "every finished turn is there"
            check_last_reply(found[len(expected)] if len(found) > len(expected) else "", shown, died)
            in_mid_reply += 1
        check_memory(conversation, conversation.head)
        step = 2 if conversation.head.author == BOT else 1  # what was said and its reply
        assert _undone(conversation) == len(found) - step, "what was cut off is one step, with what was said"
        before = found
        store.close()
    assert in_mid_reply > kills / 2
    assert (conversation.snapshot(conversation.head).memory is not None) == (rate > 0)
    check_index(path)


def _undone(conversation: Conversation) -> int:
    """How many turns are left when the last step is undone; the head is put back."""
    conversation.undo()
    left = len(conversation.path)
    conversation.redo()
    return left
