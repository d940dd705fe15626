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
from charlm.chat.conversation_data import ConversationData
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import Segment, Turn
from charlm.config import ChatConfig
from charlm.inference.context import StaticModel
from charlm.inference.engine import Engine
from charlm.text.dialogue import Dialogue
from tests.chat.models import random_checkpoint

LENGTH = 60
RUNS = 21
PLAIN = Dialogue()
SAID = "and what did the harbour master say to that, " + "I wonder ? !!"


def main(turns: int) -> None:
    """Measure and print."""
    characters = "".join(map(chr, range(0x41, 0x41 + 58))) + " \n,.!?'"
    engine = Engine(random_checkpoint(characters=characters, scale=1 / 16, hidden=256, embedding=256))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conversations.db"
        store = ConversationStore(path)
        short, long = (
            store.create(
                "random", engine, ConversationData.start(PLAIN, dials=ChatConfig(candidates=1, length=LENGTH), seed=1)
            )
            for _ in range(2)
        )
        for one in (short, long):
            one.say(SAID)
            one.say(SAID)
        size = _disk(path)
        _grow(long, turns)
        print(f"2x256, {len(engine.vocabulary)} characters, turns of {LENGTH}; medians of {RUNS}, in turn")
        _line("on disk, a turn", (_disk(path) - size) / (turns - 4), "bytes")
        _compare(short, long, turns)
        _line("undo", _median(long.undo) * 1e3, "ms")
        _line("redo", _median(long.redo) * 1e3, "ms")
        _line("list", _median(store.search) * 1e3, "ms")
        _line("search for 'harbour'", _median(lambda: store.search("harbour")) * 1e3, "ms")
        said = [turn.text for turn in long.path]
        store.close()
        _line("the file", path.stat().st_size / 1e6, "MB")
        start = time.perf_counter()
        store = ConversationStore(path)
        _line("opening the store", (time.perf_counter() - start) * 1e3, "ms")
        start = time.perf_counter()
        again = store.open(2, "random", engine, PLAIN)
        _line("opening the conversation", (time.perf_counter() - start) * 1e3, "ms")
        assert [turn.text for turn in again.path] == said
        store.close()


def _line(what: str, value: float, unit: str) -> None:
    print(f"  {what:44} {value:10,.2f} {unit}")


def _compare(short: Conversation, long: Conversation, turns: int) -> None:
    """A turn of each in turn, so that a slow spell of the machine falls on both; the short one is kept short."""
    seconds: dict[str, list[float]] = {"short": [], "long": []}
    for _ in range(RUNS):
        for name, conversation in (("short", short), ("long", long)):
            start = time.perf_counter()
            conversation.say(SAID)
            seconds[name].append(time.perf_counter() - start)
        short.undo()
    early, late = (statistics.median(seconds[name]) for name in ("short", "long"))
    _line("said and replied, at turn 5", early * 1e3, "ms")
    _line(f"said and replied, at turn {turns:,}", late * 1e3, f"ms, {late / early:.2f} times")
    early, late = _kept(short), _kept(long)
    _line("kept in memory, a turn, at turn 5", early, "bytes")
    _line(f"kept in memory, a turn, at turn {turns:,}", late, f"bytes, {late / early:.2f} times")


def _kept(conversation: Conversation) -> float:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10):
        conversation.say(SAID)
    gc.collect()
    kept = (tracemalloc.get_traced_memory()[0] - before) / 20
    tracemalloc.stop()
    return kept


def _grow(conversation: Conversation, turns: int) -> None:
    """Add turns with what each has, but drawn at random: the model would take minutes."""
    rng = np.random.default_rng(1)
    characters = conversation.engine.vocabulary.characters
    passage = conversation.head.segments[0]
    model = StaticModel(conversation.engine)
    while len(conversation.path) < turns:
        parent = conversation.head
        text = "".join(characters[k] for k in rng.integers(0, len(characters), LENGTH))
        author = "you" if parent.author == "bot" else "bot"
        drawn = Segment(text, passage.settings, LENGTH) if author == "bot" else Segment(text)
        turn = Turn(0, parent, author, author, (drawn,), "length" if author == "bot" else "typed")
        assert parent.context is not None
        turn.context = model.read(parent.context, conversation.engine.vocabulary.encode(text[:1]))
        conversation.data.attach(turn)
        conversation._move(turn)


def _median(do: Callable[[], object]) -> float:
    seconds = []
    for _ in range(RUNS):
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
