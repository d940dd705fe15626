"""Several processes write conversations into one file at the same time, and nothing is lost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from charlm.chat.conversation_data import ConversationData
from charlm.chat.storage.learned_weights import LearnedWeights
from charlm.chat.storage.store import ConversationStore
from charlm.config import ChatConfig

from ..stopwatch import Stopwatch
from .models import DIALOGUES, learning_engine
from .test_kill import ENVIRONMENT, ROOT
from .test_store import check_index, execute

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]


def converse(path: Path, seed: int, seconds: float) -> None:
    """Begin conversations, go on with any, rename and delete, and print what was done as JSON."""
    rng, engine, dialogue = random.Random(seed), learning_engine(), DIALOGUES["lines"]
    texts: dict[int, list[str]] = {}  # of the conversations that this process began
    turns, slowest = 0, (0.0, 0.0, 0.0)  # seconds of a turn without waits for a processor, with them, computing
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        store = ConversationStore(path, weights=LearnedWeights(path.with_name("learned"), min_chars=100))
        mine = [*texts]
        if mine and rng.random() < 0.6:
            conversation = store.open(rng.choice(mine), "noise", engine, dialogue)
        else:
            dials = ChatConfig(candidates=1, length=20, learn=rng.choice([0.0, 3e-3]))
            data = ConversationData.start(dialogue, dials=dials, seed=rng.randrange(100))
            conversation = store.create("noise", engine, data)
        for _ in range(rng.randint(1, 6)):
            watch, began, computed = Stopwatch("self"), time.monotonic(), time.process_time()
            conversation.say(f"hello from {rng.choice('abc')}")
            times = watch.seconds(), time.monotonic() - began, time.process_time() - computed
            slowest = max(slowest, times)
            turns += 2
        if rng.random() < 0.2:
            conversation.undo()
        store.search(rng.choice(["", "hello"]))
        assert store.close(), "everything is saved"
        assert conversation.data.number is not None
        texts[conversation.data.number] = [turn.text for turn in conversation.path]
        if len(texts) > 20:
            number, _ = texts.popitem()
            with closing(ConversationStore(path)) as other:
                getattr(other, rng.choice(["delete", "remove"]))(number)
    print(json.dumps({"texts": texts, "turns": turns, "slowest": slowest}))


@pytest.mark.parametrize(("processes", "seconds"), [(2, 3), pytest.param(2, 600, marks=pytest.mark.campaign)])
def test_processes_share_a_file_and_lose_nothing(tmp_path: Path, processes: int, seconds: int) -> None:
    path = tmp_path / "c.db"
    command = [sys.executable, "-m", "tests.chat.test_processes", str(path)]
    commands = [[*command, str(number), str(seconds)] for number in range(processes)]
    children = [subprocess.Popen(one, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE) for one in commands]
    reports = [json.loads(child.communicate()[0]) for child in children]
    assert [child.returncode for child in children] == [0] * processes
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]
    check_index(path)
    store = ConversationStore(path)
    for report in reports:
        for number, texts in report["texts"].items():
            assert [turn.text for turn in store.load(int(number)).path] == texts
    files = list((tmp_path / "learned").iterdir())
    assert len(files) <= LearnedWeights(tmp_path).max_count
    turns, slowest = sum(one["turns"] for one in reports), max(tuple(one["slowest"]) for one in reports)
    print(f"\n{processes} processes, {seconds} s: {turns} turns, none lost")
    print("slowest turn {:.2f} s; {:.2f} s with waits for a processor; {:.2f} s of computing".format(*slowest))


if __name__ == "__main__":
    converse(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
