"""A chat that streams until it is killed. LEARN is the rate of learning.

    python -m tests.chat.streamer FILE SEED LEARN          runs until SIGKILL.
    python -m tests.chat.streamer --faults FOLDER LEARN    runs one process for each write. It exits just before it.

It reports on standard output. Each line is a JSON array: ["said", text], ["shown", text, seconds] for each piece of a
reply as it is shown, ["done"] when the reply is finished.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply import Observer
from charlm.chat.storage.store import ConversationStore
from charlm.config import ChatConfig
from charlm.inference.generate import Piece

from .models import DIALOGUES, learning_engine

FAULT = 77  # exit code of a process that stopped before a write
BATCH = 12  # processes at the same time


def tell(*what: object) -> None:
    """Write one line at once, so that a kill leaves whole lines."""
    os.write(1, (json.dumps(what) + "\n").encode())


def stream(path: Path, seed: int, learn: float, paces: Iterable[tuple[int, int, int]], **options: Any) -> None:
    """Continue the conversation, or begin it: one turn for each pace (characters/s, length, candidates)."""
    engine, dialogue = learning_engine(), DIALOGUES["lines"]
    store = ConversationStore(path, **options)
    if (latest := store.latest()) is None:
        conversation = store.create(
            "noise", engine, ConversationData.start(dialogue, dials=ChatConfig(candidates=1, learn=learn), seed=seed)
        )
    else:
        conversation = store.open(latest.number, "noise", engine, dialogue)

    def show(piece: Piece) -> None:
        tell("shown", piece.text, time.monotonic())
        time.sleep(1 / speed)

    for pace in paces:
        speed, length, candidates = pace
        conversation.dials = replace(conversation.dials, length=length, candidates=candidates)
        said = conversation.fit(f"what is {'x' * (length % 50)}")
        tell("said", said)
        conversation.say(said, Observer(show))
        assert store.error is None
        tell("done")
    store.close()


def endless(seed: int) -> Iterable[tuple[int, int, int]]:
    chance = random.Random(seed)
    while True:
        yield chance.choice([20, 100, 400]), chance.choice([5, 30, 300]), chance.choice([1, 3])


class FaultyConnection(sqlite3.Connection):
    """A database connection that ends the process before the n-th statement that changes the file."""

    def __init__(self, *args: object, until_fault: int, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.until_fault = until_fault
        self.set_trace_callback(self.count)

    def count(self, statement: str) -> None:
        if statement.startswith(("SELECT", "PRAGMA", "BEGIN", "--")):
            return
        self.until_fault -= 1
        if self.until_fault == 0:
            os._exit(FAULT)


def stream_until_fault(folder: Path, number: int, learn: float) -> None:
    log = os.open(folder / f"{number}.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    connect = partial(sqlite3.connect, factory=partial(FaultyConnection, until_fault=number))
    clock = itertools.count(step=0.1).__next__  # saves the same drafts in every process
    stream(folder / f"{number}.db", 0, learn, [(10_000, 60, 1), (10_000, 10, 3)], connect=connect, clock=clock)


def inject_faults(folder: Path, learn: float) -> None:
    """Run the same two turns again and again, each time to the next write, until no write is left."""
    learning_engine()
    codes = [FAULT]
    while codes[-1] == FAULT:
        children = []
        for number in range(len(codes), len(codes) + BATCH):
            if (child := os.fork()) == 0:
                stream_until_fault(folder, number, learn)
                os._exit(0)
            children.append(child)
        codes += [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps(codes[1:]))


if __name__ == "__main__":
    if sys.argv[1] == "--faults":
        inject_faults(Path(sys.argv[2]), float(sys.argv[3]))
    else:
        stream(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), endless(int(sys.argv[2])))
