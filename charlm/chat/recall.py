"""Memories of a person's turns, for a model with a pointer.

A turn is remembered as the model reads it after the two turns before it, at the beginning of a chat. So its memory
depends on nothing but three texts: it costs the same anywhere in a conversation, and needs no place in a saved one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from charlm.chat.conversation_data import MAX_REMEMBERED_CHARS
from charlm.chat.turns import Turn, upwards
from charlm.inference.context import StaticModel, encode_lossy
from charlm.inference.engine import Engine
from charlm.inference.pointer import Memory, Pointer

MAX_BEFORE_CHARS: Final = 200  # of each turn before


class Recall:
    """Remembers the turns of a conversation. Memories take 768 bytes a character, so only those in use are kept."""

    def __init__(self, engine: Engine, pointer: Pointer) -> None:
        self._pointer = pointer
        self._engine = engine
        self._dialogue = engine.checkpoint.dialogue
        self._model = StaticModel(engine)
        beginning = encode_lossy(engine.vocabulary, self._dialogue.beginning)
        self._beginning = self._model.read(self._model.start(), beginning)
        self._memories: dict[tuple[str, str], Memory] = {}  # those that were asked for last, by `_read`'s arguments

    @staticmethod
    def of(engine: Engine) -> Recall | None:
        """Return what remembers turns with a model; None without a pointer."""
        tensors = engine.checkpoint.pointer
        return Recall(engine, Pointer(tensors)) if tensors else None

    def memory(self, turns: Sequence[Turn], weight: float) -> Memory | None:
        """Return a memory of turns; None without any.

        Args:
            turns: in any order.
            weight: factor of the odds of a copy.
        """
        if not turns:
            return None
        texts = [(self._before(turn), turn.text[-MAX_REMEMBERED_CHARS:]) for turn in turns]
        self._memories = {one: self._memories.get(one) or self._read(*one) for one in texts}
        return Memory.join([self._memories[one] for one in texts], weight)

    def _before(self, turn: Turn) -> str:
        """Return the exchange before a turn; after a reply alone the model would take the turn for its own."""
        exchange = list(islice(upwards(turn), 1, 3))[::-1]
        if len(exchange) < 2:
            exchange = []
        said = [self._dialogue.opening(one.name) + one.text[-MAX_BEFORE_CHARS:] for one in exchange]
        return "".join([text + self._dialogue.closing for text in said]) + self._dialogue.opening(turn.name)

    def _read(self, before: str, text: str) -> Memory:
        vocabulary = self._engine.vocabulary
        context = self._model.read(self._beginning, encode_lossy(vocabulary, before))
        ids = encode_lossy(vocabulary, text)
        return self._pointer.remember(self._engine.hidden_states(context.state, ids), ids)
