"""What a turn costs in a short conversation and in a long one, in seconds, in memory and on disk.

    python -m tests.benchmarks.conversation [TURNS]

A model with random weights (2x256, 65 characters), a real file of conversations in a temporary folder, replies of 60
characters drawn one by one. Run it on a quiet machine; seconds are medians. TURNS is 5,000 by default.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from charlm.chat.conversation import Conversation
from charlm.chat.dials import Dials
from charlm.chat.drawing import Passage
from charlm.chat.store import Store
from charlm.checkpoint import Checkpoint
from charlm.config import ModelConfig
from charlm.inference.engine import Engine
from charlm.text.dialogue import Dialogue
from charlm.text.vocabulary import Vocabulary

LENGTH = 60
RUNS = 41
PLAIN = Dialogue()
SAID = "and what did the harbour master say to that, " + "I wonder ? !!"


def main(turns: int) -> None:
    """Measure and print."""
    engine = _engine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conversations.db"
        store = Store(path)
        conversation = store.create("random", engine, PLAIN, dials=Dials(candidates=1, length=LENGTH), seed=1)
        conversation.say(SAID)
        conversation.say(SAID)
        print(f"2x256, {len(engine.vocabulary)} characters, turns of {LENGTH}; what you say and the reply count as two")
        _measure(conversation, "at turn 5")
        size = _disk(path)
        began = len(conversation.path)
        _grow(conversation, turns)
        grown = len(conversation.path) - began
        print(f"  on disk                            {(_disk(path) - size) / grown:10,.0f} bytes a turn")
        _measure(conversation, f"at turn {turns:,}")
        print(f"  undo                               {_median(conversation.undo, 20) * 1e3:10.2f} ms")
        print(f"  redo                               {_median(conversation.redo, 20) * 1e3:10.2f} ms")
        print(f"  list                               {_median(store.list, 5) * 1e3:10.2f} ms")
        print(f"  search for 'harbour'               {_median(lambda: store.list('harbour'), 5) * 1e3:10.2f} ms")
        store.close()
        print(f"  file                               {path.stat().st_size / 1e6:10.1f} MB")
        start = time.perf_counter()
        store = Store(path)
        print(f"  the store opened                   {(time.perf_counter() - start) * 1e3:10.1f} ms")
        start = time.perf_counter()
        again = store.open(1, "random", engine, PLAIN).conversation
        print(f"  the conversation opened            {(time.perf_counter() - start) * 1e3:10.1f} ms")
        assert [turn.text for turn in again.path] == [turn.text for turn in conversation.path]
        store.close()


def _engine() -> Engine:
    vocabulary = Vocabulary([chr(0x41 + k) for k in range(58)] + list(" \n,.!?'"), has_bytes=False)
    config = ModelConfig(vocabulary=len(vocabulary), hidden=256, embedding=256)
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(0, 1 / 16, shape).astype(np.float32) for name, shape in config.tensors().items()}
    return Engine(Checkpoint(config, vocabulary, tensors))


def _measure(conversation: Conversation, where: str) -> None:
    seconds = _median(lambda: conversation.say(SAID), RUNS)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10):
        conversation.say(SAID)
    gc.collect()
    kept = (tracemalloc.get_traced_memory()[0] - before) / 20
    tracemalloc.stop()
    print(f"  {where + ', said and replied':34} {seconds * 1e3:10.2f} ms")
    print(f"  {where + ', kept in memory':34} {kept:10,.0f} bytes a turn")


def _grow(conversation: Conversation, turns: int) -> None:
    """Add turns with what each has, but drawn at random: the model would take minutes."""
    rng = np.random.default_rng(1)
    characters = conversation.engine.vocabulary.characters
    passage = conversation.head.passages[0]
    while len(conversation.path) < turns:
        parent = conversation.head
        text = "".join(characters[k] for k in rng.integers(0, len(characters), LENGTH))
        author = "you" if parent.author == "bot" else "bot"
        turn = conversation._begin(parent, author, author)
        turn.passages = (Passage(text, passage.settings, LENGTH) if author == "bot" else Passage(text),)
        turn.reason = "length" if author == "bot" else "typed"
        assert parent.snapshot is not None
        conversation._finish(turn, parent.snapshot.read(conversation.engine, text[:1]))
        conversation._move(turn)


def _median(do: Callable[[], object], runs: int) -> float:
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        do()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _disk(path: Path) -> int:
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    connection.close()
    return path.stat().st_size


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
