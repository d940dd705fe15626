"""A chat that is killed loses at most the last moment of the reply in progress."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charlm.adapt.learner import AdaptedContext
from charlm.chat.conversation import Conversation
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import BOT
from tests.conftest import PATIENCE

from .models import DIALOGUES, learning_engine
from .streamer import FAULT
from .talkers import texts
from .test_exactness import RATE, check_memory
from .test_store import check_index, execute

MISSING = 0.6  # seconds of the last reply, at most

STREAMER = (sys.executable, "-m", "tests.chat.streamer")
ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}

pytestmark = [pytest.mark.slow]


def stream_and_kill(path: Path, seed: int, rate: float, after: float) -> list[list[object]]:
    """Kill a chat a number of seconds after its first piece; return what it reported."""
    command = [*STREAMER, str(path), str(seed), str(rate)]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        told = process.stdout.readline() + process.stdout.readline()
        time.sleep(after)
        assert process.poll() is None, "it streams until it is killed"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        told += process.stdout.read()
        process.stdout.close()
        process.wait()
    return parse(told)


def parse(log: bytes) -> list[list[object]]:
    return [json.loads(line) for line in log.splitlines()]


def check_last_reply(saved: str, shown: list[tuple[str, float]], missing: float) -> None:
    """Text that was shown in time is saved, and nothing else is.

    The time ends when the last piece but one is shown, for the last one may have saved nothing.
    """
    whole = "".join(text for text, _ in shown)
    # The last piece may have been saved, but not told of.
    assert saved[: len(whole)] == whole[: len(saved)]
    assert len(saved) <= len(whole) + 1
    due = "".join(text for text, when in shown if when < shown[-2:][0][1] - missing)
    assert len(saved) >= len(due), f"{len(due) - len(saved)} characters are missing"


def check_saved(path: Path, before: list[str], told: list[list[object]], missing: float = MISSING) -> Conversation:
    """Check a database after its process has died: it is sound, and holds what the process reported.

    Args:
        path: of the database.
        before: texts of the turns that it held when the process began.
        told: the process's report.
        missing: seconds of the last reply that need not be saved.
    """
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]
    assert execute(path, "PRAGMA foreign_key_check") == []
    store = ConversationStore(path)
    assert store.news() == []
    [summary] = store.search()
    conversation = store.open(summary.number, "noise", learning_engine(), DIALOGUES["lines"])
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
        assert len(found) - len(expected) in (0, 1), "but one may have been said and not reported"
    elif told[-1][0] == "said":  # the file may be a moment behind, or ahead
        assert found[: len(expected) - 1] == expected[:-1]
        assert len(found) <= len(expected) + 1
    else:
        assert found[: len(expected)] == expected, "every finished turn is there"
        check_last_reply(found[len(expected)] if len(found) > len(expected) else "", shown, missing)
    check_memory(conversation, conversation.head)
    step = 2 if conversation.head.author == BOT else 1  # a message and its reply
    assert _undone(conversation) == len(found) - step, "a reply that was cut off is one step, with its message"
    store.close()
    return conversation


@pytest.mark.parametrize(
    ("rate", "kills"),
    [
        (0.0, 5),
        (RATE, 5),
        pytest.param(0.0, 200, marks=[pytest.mark.campaign, pytest.mark.timeout(0)]),
        pytest.param(RATE, 100, marks=[pytest.mark.campaign, pytest.mark.timeout(0)]),
    ],
)
def test_random_kills_lose_no_finished_turn(tmp_path: Path, rate: float, kills: int) -> None:
    path, chance = tmp_path / "c.db", random.Random(1)
    before: list[str] = []
    in_mid_reply = 0
    for seed in range(kills):
        told = stream_and_kill(path, seed, rate, after=chance.uniform(0, 0.9))
        conversation = check_saved(path, before, told)
        before = texts(conversation)
        in_mid_reply += told[-1][0] == "shown"
    assert in_mid_reply >= kills / 3
    assert isinstance(conversation.context(conversation.head), AdaptedContext) == (rate > 0)
    check_index(path)


@pytest.mark.parametrize("rate", [0.0, RATE])
def test_exit_before_each_write_loses_no_finished_turn(tmp_path: Path, rate: float) -> None:
    command = [*STREAMER, "--faults", str(tmp_path), str(rate)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, check=True, timeout=PATIENCE)
    codes = json.loads(done.stdout)
    faults = codes.index(0)
    assert codes == [FAULT] * faults + [0] * (len(codes) - faults)
    assert faults > 10
    for number in range(1, faults + 1):
        told = parse((tmp_path / f"{number}.log").read_bytes())
        path = tmp_path / f"{number}.db"
        if told[1:] or ConversationStore(path).search():  # else it ended before anything was shown
            check_saved(path, [], told, missing=math.inf)
            check_index(path)


def _undone(conversation: Conversation) -> int:
    """Return the number of turns left when the last step is undone, and redo it."""
    conversation.undo()
    left = len(conversation.path)
    conversation.redo()
    return left
