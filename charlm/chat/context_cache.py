"""What the model remembers after each turn of a conversation.

Every turn keeps a snapshot, so that going back costs nothing and only new text is ever read. A model that learns has
snapshots as large as itself. Those of the last turns are kept; for others it reads again from the nearest one, in the
same calls (`charlm.chat.adaptive_reader`), so that it gets the same to the bit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from charlm.chat.adaptive_reader import Reader
from charlm.chat.reply_sampler import Snapshot
from charlm.chat.turns import Turn, upwards
from charlm.inference.context import encode_lossy
from charlm.inference.generate import Alternative
from charlm.inference.sampling import log_softmax
from charlm.inference.state import Array, State
from charlm.text.dialogue import Dialogue

LEARNED_BYTES = 64 << 20  # of what was learned, that snapshots may keep
LEARNED_TURNS = 64  # that may keep it, however small it is


class ContextSource(Protocol):
    """Where a snapshot may be kept that is not in memory."""

    def fetch(self, turn: Turn, reader: Reader) -> Snapshot | None:
        """The snapshot of a finished turn, if there is one that this model can use."""


class CharScore(NamedTuple):
    """One character of a turn, as the model saw it coming.

    Attributes:
        text: the character.
        surprise: -log2 p, in bits.
        alternatives: what else it thought likely, the likeliest first.
    """

    text: str
    surprise: float
    alternatives: tuple[Alternative, ...]


class ContextCache:
    """The snapshots of a conversation's turns.

    Args:
        reader: the model as it reads, and learns; another may take its place.
        dialogue: how its text writes turns.
        source: may have snapshots of finished turns.
    """

    def __init__(self, reader: Reader, dialogue: Dialogue, source: ContextSource | None) -> None:
        self.reader = reader
        self._dialogue = dialogue
        self._source = source
        self._learned: OrderedDict[Turn, None] = OrderedDict()  # turns whose snapshots have learned something
        self._keeping = threading.Lock()

    def text(self, turn: Turn) -> str:
        """Everything that the model has read up to the end of a turn."""
        turns = list(upwards(turn))
        return self._dialogue.beginning + "".join(self.lead(one) + one.text for one in reversed(turns))

    def lead(self, turn: Turn) -> str:
        """What is read before a turn's own text: the end of the turn before it, and the speaker."""
        return self.lead_of(turn.parent, turn.name)

    def lead_of(self, parent: Turn | None, name: str) -> str:
        """What is read before a turn that a speaker is about to begin."""
        first = parent is None or parent.parent is None
        return ("" if first else self._dialogue.closing) + self._dialogue.opening(name)

    def snapshot(self, turn: Turn) -> Snapshot:
        """What the model remembers after a turn.

        Fetched, or read again from the nearest turn that has a snapshot; that is only needed after a crash or with
        another model.
        """
        missing = []
        one, found = turn, turn.snapshot
        while found is None:
            if one.parent is None:
                found = Snapshot(*self._feed(self._dialogue.beginning))
            elif self._source is not None:
                found = self._source.fetch(one, self.reader)
            if found is None:
                missing.append(one)
                assert one.parent is not None
                one = one.parent
                found = one.snapshot
            else:
                self.keep(one, found)
        for one in reversed(missing):
            found = self.take_in(found, one)
            self.keep(one, found)
        return found

    def have_at_hand(self, turn: Turn) -> None:
        """Fetch a turn's snapshot, if it can be fetched; nothing is read again."""
        if turn.snapshot is None and turn.parent is not None and self._source is not None:
            found = self._source.fetch(turn, self.reader)
            if found is not None:
                self.keep(turn, found)

    def _feed(self, text: str) -> tuple[State, Array]:
        engine = self.reader.base
        return engine.prefill(engine.start(), encode_lossy(engine.vocabulary, text))

    def take_in(self, before: Snapshot, turn: Turn, cancel: Callable[[], bool] = lambda: False) -> Snapshot:
        """The snapshot after a turn, by the very calls in which it was read first, if something was learned."""
        snapshot = self.reader.begin(before, self.lead(turn), turn.lesson)
        learns = snapshot.memory is not None or turn.lesson.settings is not None
        nats = []
        for text in [passage.text for passage in turn.passages] if learns else [turn.text]:
            snapshot, surprises = self.reader.read(snapshot, text, turn.lesson, self._dialogue.closing, cancel)
            nats.append(surprises)
        known = [one for one in nats if one is not None]
        turn.nats = np.concatenate(known) if known and len(known) == len(nats) else None
        return snapshot

    def keep(self, turn: Turn, snapshot: Snapshot) -> None:
        """Keep a turn's snapshot; of those with something learned only the last few, but always two."""
        with self._keeping:
            turn.snapshot = snapshot
            if snapshot.memory is not None and snapshot.memory.overlay:
                self._learned[turn] = None
                self._learned.move_to_end(turn)
                while len(self._learned) > 2 and self._learned_is_too_much():
                    oldest, _ = self._learned.popitem(last=False)
                    oldest.snapshot = None

    def _learned_is_too_much(self) -> bool:
        memories = [turn.snapshot.memory for turn in self._learned if turn.snapshot is not None]
        sizes = {id(memory.overlay): memory.overlay.size for memory in memories if memory is not None}  # many share one
        return len(self._learned) > LEARNED_TURNS or sum(sizes.values()) > LEARNED_BYTES

    def consider(self, turn: Turn, alternatives: int = 5) -> list[CharScore]:
        """How the model saw each character of a turn coming."""
        vocabulary = self.reader.base.vocabulary
        text = turn.text
        if turn.parent is None or not text:
            return []
        ids = encode_lossy(vocabulary, text)
        firsts = np.flatnonzero(vocabulary.begins[ids])
        if not alternatives and turn.nats is not None and len(turn.nats) == len(ids):
            bits = np.add.reduceat(turn.nats, firsts) / np.log(2)
            return [CharScore(character, float(one), ()) for character, one in zip(text, bits, strict=True)]
        before = self.reader.begin(self.snapshot(turn.parent), self.lead(turn), turn.lesson)
        _, logits = self.reader.engine(before).forward(before.state, ids)
        predictions = log_softmax(np.concatenate((before.logits[None], logits[:-1])))
        surprises = -predictions[np.arange(len(ids)), ids] / np.log(2)
        # A character spelled in bytes is as surprising as its bytes together; its alternatives are its first byte's.
        order = np.argsort(-predictions[firsts], axis=-1, kind="stable")[:, :alternatives]
        return [
            CharScore(
                character,
                float(surprise),
                tuple(Alternative(vocabulary.label(i), i, float(np.exp(predictions[row, i]))) for i in likeliest),
            )
            for character, surprise, row, likeliest in zip(
                text, np.add.reduceat(surprises, firsts), firsts.tolist(), order.tolist(), strict=True
            )
        ]

    def recent(self, turn: Turn, window: int) -> list[int]:
        """The last ids up to the end of a turn, at most so many: what the repetition penalty looks at."""
        text = ""
        for one in upwards(turn):
            text = self.lead(one) + one.text + text
            if len(text) >= window:
                break
        ids: list[int] = encode_lossy(self.reader.base.vocabulary, text[-window:]).tolist()
        return ids[-window:]
