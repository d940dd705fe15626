"""The contexts after the turns of a conversation.

Every turn keeps its context, so that going back costs nothing and only new text is ever read. Contexts of a model that
has learned are as large as the model. Those of the last turns are kept; others are read again from the nearest one with
the same calls, which gives the same to the bit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from charlm.adapt.adaptive_model import AdaptiveModel, ReadResult
from charlm.adapt.learner import AdaptedContext
from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply import Journal
from charlm.chat.turns import Turn, upwards
from charlm.errors import LeftError
from charlm.inference.context import Context, encode_lossy, never
from charlm.inference.scoring import CharScore, score_chars
from charlm.inference.state import Ids


class ContextCache:
    """The contexts after the turns of a conversation. The journal may have saved those of finished turns."""

    max_delta_bytes = 64 << 20  # of the learned weights that contexts keep
    max_delta_turns = 64  # that keep them, however small they are

    def __init__(self, model: AdaptiveModel, data: ConversationData, journal: Journal) -> None:
        self.model = model
        self._data = data
        self._journal = journal
        self._adapted: OrderedDict[Turn, None] = OrderedDict()  # turns whose contexts have learned something
        self._lock = threading.Lock()
        self._is_left = False

    def context(self, turn: Turn) -> Context:
        """Return the context after a turn.

        It is read again only after a crash, with another model, or if it was too large to keep.
        """
        missing = []
        while (found := self.fetch(turn)) is None:
            missing.append(turn)
            assert turn.parent is not None
            turn = turn.parent
        for one in reversed(missing):
            found, one.nats = self.read_turn(found, one)
            self.keep(one, found)
        return found

    def fetch(self, turn: Turn) -> Context | None:
        """Return the context after a turn from memory or from the journal; None if its text must be read again."""
        found = turn.context
        if found is None:
            if turn.parent is None:
                found = self.model.read(self.model.start(), self._encode(self._data.dialogue.beginning))
            else:
                found = self._journal.fetch(turn)
            if found is not None:
                self.keep(turn, found)
        return found

    def begin_turn(self, before: Context, turn: Turn) -> Context:
        """Return the context before a turn's own text, from that after its parent."""
        if turn.policy.forget:
            before = self.model.forget(before)
        return self.model.read(before, self._encode(self._data.lead(turn)), will_learn=turn.policy.settings is not None)

    def read_typed(self, context: Context, text: str, turn: Turn, cancel: Callable[[], bool] = never) -> ReadResult:
        """Read text of a turn, and learn from it as its policy says; with it, that the turn ends there."""
        closing = self._encode(self._data.dialogue.closing)
        next_id = int(closing[0]) if len(closing) and turn.policy.settings is not None else None
        return self.model.learn(context, self._encode(text), turn.policy.settings, next_id, cancel)

    def read_turn(self, before: Context, turn: Turn, cancel: Callable[[], bool] = never) -> ReadResult:
        """Read a whole turn; once something was learned, with the calls that read it first."""
        context = self.begin_turn(before, turn)
        learns = isinstance(context, AdaptedContext) or turn.policy.settings is not None
        nats = []
        for text in [segment.text for segment in turn.segments] if learns else [turn.text]:
            context, surprisal = self.read_typed(context, text, turn, cancel)
            nats.append(surprisal)
        known = [one for one in nats if one is not None]
        return ReadResult(context, np.concatenate(known) if known and len(known) == len(nats) else None)

    def keep(self, turn: Turn, context: Context) -> None:
        """Keep a turn's context; of those that have learned something only the last few, but always two."""
        with self._lock:
            if self._is_left:
                raise LeftError("this conversation was left while it was read")
            turn.context = context
            if isinstance(context, AdaptedContext) and context.delta:
                self._adapted[turn] = None
                self._adapted.move_to_end(turn)
                while len(self._adapted) > 2 and self._is_full():
                    oldest, _ = self._adapted.popitem(last=False)
                    oldest.context = None

    def release(self) -> None:
        """Free all that was learned, since the conversation is left; threads that still read it end with LeftError.

        Turns refer to one another, and are collected late.
        """
        self.model.release()
        with self._lock:
            self._is_left = True
            for turn in self._adapted:
                turn.context = None
            self._adapted.clear()

    def _is_full(self) -> bool:
        deltas = [turn.context.delta for turn in self._adapted if isinstance(turn.context, AdaptedContext)]
        sizes = {id(delta): delta.size for delta in deltas}  # many turns share one
        return len(self._adapted) > self.max_delta_turns or sum(sizes.values()) > self.max_delta_bytes

    def score_chars(self, turn: Turn, alternatives: int = 5) -> list[CharScore]:
        """Return the probability of each character of a turn, by the model."""
        vocabulary = self.model.base.vocabulary
        text = turn.text
        if turn.parent is None or not text:
            return []
        ids = self._encode(text)
        if not alternatives and turn.nats is not None and len(turn.nats) == len(ids):
            bits = np.add.reduceat(turn.nats, np.flatnonzero(vocabulary.begins[ids])) / np.log(2)
            return [CharScore(character, float(one), ()) for character, one in zip(text, bits, strict=True)]
        before = self.begin_turn(self.context(turn.parent), turn)
        return score_chars(self.model.engine(before), before, text, alternatives)[1]

    def recent_ids(self, turn: Turn, window: int) -> list[int]:
        """Return the last ids up to the end of a turn, at most `window`, for the repetition penalty."""
        text = ""
        for one in upwards(turn):
            text = self._data.lead(one) + one.text + text
            if len(text) >= window:
                break
        ids: list[int] = self._encode(text[-window:]).tolist()
        return ids[-window:]

    def _encode(self, text: str) -> Ids:
        return encode_lossy(self.model.base.vocabulary, text)
