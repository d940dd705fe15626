"""The context of a model, and the one method that reads.

Owns `Context`, the state after a text. `LanguageModel` is the interface of everything that reads. A context is never
changed in place: keeping a reference is a snapshot, and going back costs nothing.

    Text --encode_lossy--> ids --LanguageModel.read(context, ids)--> Context(state, logits) --sample--> Piece
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CheckpointError, UsageError
from charlm.inference.engine import SEGMENT, Engine
from charlm.inference.name_bias import Names
from charlm.inference.pointer import Memory
from charlm.inference.sampling import log_softmax
from charlm.inference.state import Array, Ids, State
from charlm.text.decoding import normalise
from charlm.text.vocabulary import Vocabulary, code_points

READ_BLOCK = 16 * SEGMENT  # ids between two calls of `cancel`; whole segments, so that blocks change no bit
MIN_PARAGRAPH_PROBABILITY = 0.03  # of a blank line after a newline, if a model's text has paragraphs


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Everything that a model remembers of the text that it has read.

    A model that learns returns a subclass, which also holds what was learned (`charlm.adapt`).
    """

    state: State  # of one stream
    logits: Array  # (V,) of the next id
    names: Names | None = field(default=None, kw_only=True)  # that a text which is drawn from here may repeat
    memory: Memory | None = field(default=None, kw_only=True)  # that such a text may copy


def never() -> bool:
    """Never cancel."""
    return False


class LanguageModel(Protocol):
    """Reads text: one stream at a time, from one context to the next."""

    @property
    def base(self) -> Engine:
        """The trained weights."""

    def start(self) -> Context:
        """Return the context before anything was read, with equal logits."""

    def read(self, context: Context, ids: Ids, cancel: Callable[[], bool] = never) -> Context:
        """Return the context after ids; raise UsageError once `cancel`, called every few thousand ids, is true."""

    def engine(self, context: Context) -> Engine:
        """Return the weights to sample with at a context."""


class StaticModel:
    """A `LanguageModel` that does not learn."""

    def __init__(self, base: Engine) -> None:
        self.base = base

    def start(self) -> Context:
        return Context(self.base.start(), np.zeros(len(self.base.vocabulary), dtype=np.float32))

    def read(self, context: Context, ids: Ids, cancel: Callable[[], bool] = never) -> Context:
        for first in range(0, len(ids), READ_BLOCK):
            if first and cancel():
                raise cancelled_error(first, len(ids))
            context = Context(*self.base.prefill(context.state, ids[first : first + READ_BLOCK]))
        return context

    def engine(self, context: Context) -> Engine:
        return self.base


def cancelled_error(done: int, total: int) -> UsageError:
    """Return the error for reading that was cancelled."""
    return UsageError(f"stopped after reading {done:,} of {total:,} characters; the text was not sent")


def encode_lossy(vocabulary: Vocabulary, text: str) -> Ids:
    """Encode a text with unknown characters replaced; raise CorpusError if it has half a surrogate pair."""
    if vocabulary.has_bytes:
        return vocabulary.encode(text)
    code_points(text)  # raises on half a surrogate pair, which would be replaced without a word
    return vocabulary.encode(vocabulary.replace_unknown(text))


def unknown_mask(vocabulary: Vocabulary, text: str) -> NDArray[np.bool_]:
    """Return for each character of a text whether `encode_lossy` replaces it."""
    if vocabulary.has_bytes:
        return np.zeros(len(text), dtype=np.bool_)
    unknown = np.array([ord(character) for character in vocabulary.unknown(text)], dtype=np.uint32)
    return np.isin(code_points(text), unknown)


def read_prompt(model: LanguageModel, prompt: str, context: Context | None = None) -> tuple[Context, Ids]:
    """Read a prompt after a context, None for a new text; return the context after it, and the ids that were read.

    The prompt is normalised as corpora are, and unknown characters are replaced. An empty prompt reads the start of a
    paragraph, or of a line if the model's text has no paragraphs: most lines are in the middle of something.
    """
    vocabulary = model.base.vocabulary
    ids = encode_lossy(vocabulary, normalise(prompt) or "\n")
    context = model.read(context or model.start(), ids)
    newline = ids[0]
    if not prompt and "\n" in vocabulary and math.exp(log_softmax(context.logits)[newline]) > MIN_PARAGRAPH_PROBABILITY:
        return model.read(context, ids), np.concatenate((ids, ids))
    return context, ids


def context_to_bytes(context: Context, engine: Engine) -> bytes:
    """Return a context as bytes for `context_from_bytes`, without anything that was learned."""
    return context.logits.astype("<f4").tobytes() + engine.to_bytes(context.state)


def context_from_bytes(data: bytes, engine: Engine) -> Context:
    """Read the output of `context_to_bytes`; raise CheckpointError if it is damaged or another model's."""
    size = 4 * engine.config.vocabulary
    state = engine.from_bytes(data[size:])
    logits = np.frombuffer(data[:size], "<f4").astype(np.float32)
    if state.batch != 1 or not np.isfinite(logits).all():
        raise CheckpointError("the context of a model is damaged")
    return Context(state, logits)
