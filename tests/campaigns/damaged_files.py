"""Damaged model files, states, databases and imports: each is read, or refused in one sentence.

python -m tests.campaigns.damaged_files 25000            # files of each kind
python -m tests.campaigns.damaged_files 25000 imports    # of one kind
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.export import from_json, to_json
from charlm.chat.storage.store import ConversationStore
from charlm.checkpoint import load
from charlm.config import ChatConfig
from charlm.errors import CharlmError
from charlm.inference.engine import Engine
from charlm.text.dialogue import Dialogue

from ..chat.models import random_checkpoint
from ..test_fuzz import OF_BYTES, OF_MODELS, Mutation, assert_sound, change_json, make_files, peak_memory

Read = Callable[[bytes], object]
Kind = tuple[list[bytes], list[Mutation], Read]
MAX_SECONDS = 2.0  # to read or refuse a file


def model_files(folder: Path) -> Kind:
    path = folder / "model.safetensors"
    sound = make_files(path)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        assert_sound(load(path))

    return sound, OF_MODELS, read


def states(folder: Path) -> Kind:
    engine = Engine(random_checkpoint())
    state, _ = engine.forward(engine.start(2), np.zeros((3, 2), np.int64))

    def read(data: bytes) -> None:
        assert all(np.isfinite(part).all() for part in engine.from_bytes(data).arrays())

    return [engine.to_bytes(state)], OF_BYTES, read


def talk(engine: Engine, conversation: Conversation) -> None:
    for line in ("hello", "and you?"):
        conversation.say(line)
    conversation.regenerate()
    conversation.undo()


def databases(folder: Path) -> Kind:
    engine, dialogue, path = Engine(random_checkpoint()), Dialogue("lines"), folder / "sound.db"
    store = ConversationStore(path)
    for seed in (1, 2):
        data = ConversationData.start(dialogue, dials=ChatConfig(length=20, candidates=1), seed=seed)
        talk(engine, store.create("m", engine, data))
    store.close()
    damaged = folder / "damaged" / "conversations.db"
    damaged.parent.mkdir()

    def read(data: bytes) -> None:
        for old in damaged.parent.iterdir():
            old.unlink()
        damaged.write_bytes(data)
        store = ConversationStore(damaged)
        try:
            for found in store.search():
                with suppress(CharlmError):  # of one conversation; the others are still read
                    store.open(found.number, "m", engine, dialogue).say("hello")
            store.search("hello")
            store.create("m", engine, ConversationData.start(dialogue, dials=ChatConfig(length=5), seed=1)).say("hi")
        finally:
            store.close()
        kept = [file for file in damaged.parent.iterdir() if file.name.startswith("conversations")]
        assert kept, "a damaged file is set aside, not deleted"

    return [path.read_bytes()], OF_BYTES, read


def imports(folder: Path) -> Kind:
    import json

    engine = Engine(random_checkpoint())
    data = ConversationData.start(Dialogue("lines"), dials=ChatConfig(length=20, candidates=1), seed=1)
    talk(engine, Conversation(engine, data))

    def change(text: bytes, rng: np.random.Generator) -> bytes:
        return json.dumps(change_json(json.loads(text), rng)).encode()

    def read(text: bytes) -> None:
        with suppress(UnicodeDecodeError):  # the command refuses it
            to_json(from_json(text.decode()))

    return [to_json(data).encode()], [change, change, *OF_BYTES], read


def results(kind: Kind, count: int, rng: np.random.Generator) -> Iterator[tuple[bool, float]]:
    """Yield whether each damaged file was refused, and the seconds that it took."""
    sound, mutations, read = kind
    for number in range(count):
        mutation = mutations[number % len(mutations)]
        damaged = mutation(sound[number % len(sound)], rng)
        begun = time.perf_counter()
        try:
            read(damaged)
            refused = False
        except CharlmError as error:
            if not error.message.isprintable():
                raise
            refused = True
        except BaseException as error:
            Path("damaged").write_bytes(damaged)
            error.add_note(f"file {number} of seed 1, by {mutation.__name__}; it is kept in ./damaged")
            raise
        yield refused, time.perf_counter() - begun


def main(count: int, *kinds: str) -> None:
    for make in (model_files, states, databases, imports):
        if kinds and make.__name__ not in kinds:
            continue
        with tempfile.TemporaryDirectory() as name:
            kind, before = make(Path(name)), peak_memory()
            found = list(results(kind, count, np.random.default_rng(1)))
        slowest = max(seconds for _, seconds in found)
        refused, grown = sum(refused for refused, _ in found), (peak_memory() - before) / 2**20
        print(f"| {make.__name__} | {count:,} | {refused:,} | {slowest:.2f} s | {grown:.0f} MiB |", flush=True)
        assert slowest < MAX_SECONDS


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
