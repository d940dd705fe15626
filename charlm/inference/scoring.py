"""Reading text that is given: prompts, and texts to be measured.

Owns what becomes of characters that a model does not know. Knows nothing of files or screens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError
from charlm.inference.engine import Engine
from charlm.inference.state import Array, Ids, State
from charlm.text.batching import read_once
from charlm.text.decoding import normalise
from charlm.text.vocabulary import CODE_POINTS, Vocabulary, code_points

UNKNOWN_NATS = math.log(CODE_POINTS)
"""The cost of a character that a model can't spell: that of guessing among all code points."""

HAS_PARAGRAPHS = 0.03  # after a line's end: the probability of a blank line, from which on a text has paragraphs


class Primed(NamedTuple):
    """A model that has read a prompt.

    Attributes:
        state: after it, of one stream.
        logits: what may come next, (V,).
        ids: what was read.
        unknown: characters that the model cannot spell and that something else was read for.
    """

    state: State
    logits: Array
    ids: Ids
    unknown: tuple[str, ...]


def prime(engine: Engine, prompt: str, state: State | None = None) -> Primed:
    """Read a prompt.

    Args:
        engine: the model.
        prompt: composed (NFC) and with plain newlines, as corpora are; if it is empty, a paragraph is begun, or a line
            where the model knows no paragraphs.
        state: goes on from here; None starts afresh.
    """
    vocabulary = engine.vocabulary
    prompt = normalise(prompt)
    spelled, unknown = spell(vocabulary, prompt or "\n")
    strange = () if not prompt else tuple(dict.fromkeys(compress(prompt, unknown)))
    state, logits = engine.prefill(engine.start() if state is None else state, spelled)
    if not prompt and "\n" in vocabulary and math.exp(log_softmax(logits)[spelled[0]]) > HAS_PARAGRAPHS:
        # Most lines stand in the middle of something: of a block of code, whose indentation would never be taken back.
        state, logits = engine.prefill(state, spelled)
        spelled = np.concatenate((spelled, spelled))
    return Primed(state, logits, spelled, strange)


def spell(vocabulary: Vocabulary, text: str) -> tuple[Ids, NDArray[np.bool_]]:
    """The ids of a text, with a substitute for every character that cannot be spelled.

    Returns:
        The ids, and for each character of the text whether it was replaced.
    """
    if vocabulary.has_bytes:
        return vocabulary.encode(text), np.zeros(len(text), dtype=np.bool_)
    strange = np.array([ord(character) for character in vocabulary.unknown(text)], dtype=np.uint32)
    return vocabulary.encode(vocabulary.replace_unknown(text)), np.isin(code_points(text), strange)


@dataclass(frozen=True)
class TextScore:
    """How well a model predicts a text.

    Attributes:
        nats: the summed surprise.
        characters: how many were predicted.
        unknown: how many of them the model cannot spell; each costs `UNKNOWN_NATS`.
    """

    nats: float = 0.0
    characters: int = 0
    unknown: int = 0

    def __add__(self, other: TextScore) -> TextScore:
        return TextScore(self.nats + other.nats, self.characters + other.characters, self.unknown + other.unknown)

    @property
    def nats_per_character(self) -> float:
        """The mean surprise, the training's loss."""
        return self.nats / max(1, self.characters)

    @property
    def bits_per_character(self) -> float:
        """The mean surprise in bits."""
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """Among how many equally likely characters the model chooses, on average."""
        return math.exp(min(700.0, self.nats_per_character))


def measuring(engine: Engine, text: str, lanes: int = 1) -> Iterator[TextScore]:
    """Measure a model on a text, the state carried through it; yields what was measured so far.

    Args:
        engine: the model.
        text: at least two characters; the first is read but not predicted.
        lanes: so many stretches are read at once, each warmed up on the text before it; quicker, and hardly different.

    Raises:
        CorpusError: the text is too short.
    """
    if len(text) < 2:
        raise CorpusError("the text is too short to be measured", "at least two characters are needed")
    ids, unknown = spell(engine.vocabulary, text)
    begins = engine.vocabulary.begins
    so_far = TextScore()
    state: State | None = None
    for segment in read_once(ids, lanes, 256):
        if state is None:
            state = engine.start(segment.x.shape[1])
        state = _restart(engine, state, segment.starts)
        state, logits = engine.forward(state, segment.x)
        surprise = -log_softmax(logits)[(*np.indices(segment.y.shape), segment.y)]
        scored = segment.scored
        so_far += TextScore(float(surprise[scored].sum(dtype=np.float64)), int(begins[segment.y[scored]].sum()))
        yield so_far
    if unknown[1:].any():
        yield with_unknown(so_far, int(unknown[1:].sum()))


def with_unknown(measured: TextScore, unknown: int) -> TextScore:
    """What was measured, with the cost of characters that something else was read for.

    What their substitutes cost stays in the sum; it is little beside this.
    """
    return TextScore(measured.nats + unknown * UNKNOWN_NATS, measured.characters, unknown)


def _restart(engine: Engine, state: State, starts: NDArray[np.bool_]) -> State:
    if not starts.any():
        return state
    keep = ~starts[:, None]
    return State(tuple(type(layer)(*[part * keep for part in layer]) for layer in state.layers))


def log_softmax(logits: Array) -> Array:
    """Log p of every id, over the last axis."""
    shifted: Array = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


@dataclass(frozen=True)
class LineScore:
    """How surprising a line is, given the lines before it.

    Attributes:
        number: from 1.
        text: without its newline.
        surprises: of each character and of the newline, in bits.
    """

    number: int
    text: str
    surprises: tuple[float, ...]

    @property
    def bits_per_character(self) -> float:
        """The mean surprise."""
        return sum(self.surprises) / len(self.surprises)


class LineScorer:
    """Scores lines one after the other, the state carried from each to the next.

    Args:
        engine: the model.
        read: another way of reading on: takes ids, the first time those that follow a new line, and gives the surprise
            of each in nats, (N,). None is the model as it is.
    """

    def __init__(self, engine: Engine, read: Callable[[Ids], NDArray[np.float64]] | None = None) -> None:
        self._vocabulary = engine.vocabulary
        self._read = read or _reader(engine)
        self._number = 0

    def push(self, line: str) -> LineScore:
        """Read one line, given without its newline; it is composed (NFC) first, as corpora are."""
        self._number += 1
        line = normalise(line)
        vocabulary = self._vocabulary
        ids, unknown = spell(vocabulary, line + "\n")
        nats = self._read(ids)
        # A character spelled in bytes costs what its bytes cost.
        nats = np.add.reduceat(nats, np.flatnonzero(vocabulary.begins[ids])) if vocabulary.has_bytes else nats
        nats[unknown] = UNKNOWN_NATS
        return LineScore(self._number, line, tuple((nats / math.log(2)).tolist()))


def _reader(engine: Engine) -> Callable[[Ids], NDArray[np.float64]]:
    state, logits, _, _ = prime(engine, "\n")

    def read(ids: Ids) -> NDArray[np.float64]:
        nonlocal state, logits
        state, following = engine.forward(state, ids)
        predictions = log_softmax(np.concatenate((logits[None], following[:-1])))
        logits = following[-1]
        return -predictions[np.arange(len(ids)), ids].astype(np.float64)

    return read
