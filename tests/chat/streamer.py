"""A chat that streams until it is killed: `python -m tests.chat.streamer FILE SEED RATE`. It learns at that rate.

Writes what it does to standard output, a JSON array a line: ["said", text], ["shown", text, seconds] for each piece of
a reply as it is shown, ["done"] when the reply is finished.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

from charlm.chat.dials import ChatConfig
from charlm.chat.storage.store import ConversationStore
from charlm.inference.generate import Piece

from .models import DIALOGUES, learning_engine


def tell(*what: object) -> None:
    """In one write, so that a kill leaves whole lines."""
    os.write(1, (json.dumps(what) + "\n").encode())


def main(path: Path, seed: int, rate: float) -> None:
    """Go on with the conversation, or begin it, for ever."""
    chance = random.Random(seed)
    engine, dialogue = learning_engine(), DIALOGUES["lines"]
    store = ConversationStore(path)
    if (latest := store.latest()) is None:
        conversation = store.create("noise", engine, dialogue, dials=ChatConfig(candidates=1, learn=rate), seed=seed)
    else:
        conversation = store.open(latest.number, "noise", engine, dialogue).conversation

    def show(piece: Piece) -> None:
        tell("shown", piece.text, time.monotonic())
        time.sleep(1 / pace)

    while True:
        pace = chance.choice([20, 100, 400])
        length, candidates = chance.choice([5, 30, 300]), chance.choice([1, 3])
        conversation.dials = replace(conversation.dials, length=length, candidates=candidates)
        said = conversation.fit(f"what is {'x' * chance.randrange(50)}")
        tell("said", said)
        conversation.say(said, show)
        assert store.trouble is None
        tell("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
