"""Scores of given text, as a whole or line by line.

Owns the cost of characters that a model cannot encode. Knows nothing of files or screens.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError
from charlm.inference.context import Context, StaticModel, encode_lossy, read_prompt, unknown_mask
from charlm.inference.engine import SEGMENT, Engine
from charlm.inference.generate import Alternative
from charlm.inference.sampling import log_softmax
from charlm.inference.state import Array, Ids, State
from charlm.inference.text_cache import TextCache
from charlm.text.batching import read_once
from charlm.text.decoding import normalise
from charlm.text.surprise import surprise_html
from charlm.text.vocabulary import CODE_POINTS, Vocabulary

UNKNOWN_NATS = math.log(CODE_POINTS)
"""The cost of a character that a model cannot encode: that of guessing among all code points."""

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]+")  # or a group of signs
_MAX_WORDS = 1_000_000  # counted in an endless stream before those that came once are dropped

Nats = NDArray[np.float64]
ScoreIds = Callable[[Context, Ids], tuple[Context, Nats]]
"""Reads ids after a context; returns the context after them and the surprisal of each, (N,), in nats."""


@dataclass(frozen=True)
class TextScore:
    """Total surprisal of a text."""

    nats: float = 0.0  # the summed surprisal
    characters: int = 0  # that were predicted
    unknown: int = 0  # characters that the model cannot encode; each costs `UNKNOWN_NATS`

    def __add__(self, other: TextScore) -> TextScore:
        return TextScore(self.nats + other.nats, self.characters + other.characters, self.unknown + other.unknown)

    @property
    def nats_per_character(self) -> float:
        """The mean surprisal, the loss of training."""
        return self.nats / max(1, self.characters)

    @property
    def bits_per_character(self) -> float:
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """The number of equally likely characters with the same surprisal."""
        return math.exp(min(700.0, self.nats_per_character))

    def with_unknown(self, unknown: int) -> TextScore:
        """Add the cost of characters that were replaced; the small cost of the replacements stays in the sum."""
        return TextScore(self.nats + unknown * UNKNOWN_NATS, self.characters, unknown)


def surprisals(logits: Array, ids: Ids) -> Nats:
    """Return -log p of each id, (N,), in nats, from the logits before each, (N, V)."""
    return -log_softmax(logits)[np.arange(len(ids)), ids].astype(np.float64)


class CharScore(NamedTuple):
    """Probability of one character, by the model."""

    text: str
    surprisal: float  # -log2 p
    alternatives: tuple[Alternative, ...]  # the likeliest first


def score_chars(engine: Engine, before: Context, text: str, alternatives: int) -> tuple[Context, list[CharScore]]:
    """Score each character of a text, not empty, that follows a context; return the context after it too.

    A character in bytes is as surprising as its bytes together; its alternatives are those of its first byte. The
    distributions of a segment at a time are in memory.
    """
    vocabulary = engine.vocabulary
    ids = encode_lossy(vocabulary, text)
    nats, likeliest = [], list[tuple[Alternative, ...]]()
    for first in range(0, len(ids), SEGMENT):
        part = ids[first : first + SEGMENT]
        state, logits = engine.forward(before.state, part)
        log_p = log_softmax(np.concatenate((before.logits[None], logits[:-1])))
        nats.append(-log_p[np.arange(len(part)), part])
        for row in log_p[vocabulary.begins[part]]:
            order = np.argsort(-row, kind="stable")[:alternatives].tolist() if alternatives else ()
            likeliest.append(tuple(Alternative(vocabulary.label(i), i, float(np.exp(row[i]))) for i in order))
        before = Context(state, logits[-1])
    bits = np.add.reduceat(np.concatenate(nats) / np.log(2), np.flatnonzero(vocabulary.begins[ids]))
    return before, [CharScore(*one) for one in zip(text, bits.tolist(), likeliest, strict=True)]


def score_text(engine: Engine, text: str, lanes: int = 1, cache: TextCache | None = None) -> Iterator[TextScore]:
    """Score a text with the state carried through it; yields the score so far.

    The first character is read but not predicted. Several lanes are read at once, each warmed up on the text before it:
    faster, and hardly different. Raises CorpusError for a text of fewer than two characters.
    """
    if len(text) < 2:
        raise CorpusError("the text is too short to be scored", "at least two characters are needed")
    ids = encode_lossy(engine.vocabulary, text)
    unknown = int(unknown_mask(engine.vocabulary, text)[1:].sum())
    begins = engine.vocabulary.begins
    total = TextScore()
    if cache is not None:
        cache.store(int(ids[0]))
    state: State | None = None
    for segment in read_once(ids, lanes, 256):
        if state is None:
            state = engine.start(segment.x.shape[1])
        if segment.starts.any():
            state = state.zero_where(segment.starts)
        state, logits = engine.forward(state, segment.x)
        nats = -log_softmax(logits)[(*np.indices(segment.y.shape), segment.y)]
        targets, nats = segment.y[segment.scored], nats[segment.scored]
        if cache is not None:
            nats = cache.score(targets, nats)
        total += TextScore(float(nats.sum(dtype=np.float64)), int(begins[targets].sum()))
        yield total
    if unknown:
        yield total.with_unknown(unknown)


@dataclass(frozen=True)
class LineScore:
    """Surprisal of a line, given the lines before it."""

    number: int  # from 1
    text: str  # without its newline
    surprisals: tuple[float, ...]  # of each character and of the newline, in bits

    @property
    def bits_per_character(self) -> float:
        return sum(self.surprisals) / len(self.surprisals)

    def _repr_html_(self) -> str:
        return surprise_html(
            (character, bits, ()) for character, bits in zip(self.text + "\n", self.surprisals, strict=True)
        )


class LineScorer:
    """Scores one line after the other; the context, at first that after a newline, is carried from each to the next."""

    def __init__(
        self, vocabulary: Vocabulary, context: Context, score: ScoreIds, cache: TextCache | None = None
    ) -> None:
        self._vocabulary = vocabulary
        self._cache = cache
        self._context = context
        self._score = score
        self._number = 0
        self._word_counts: Counter[str] = Counter()

    @classmethod
    def static(cls, engine: Engine, cache: TextCache | None = None) -> LineScorer:
        """Return a scorer that does not learn."""

        def score(context: Context, ids: Ids) -> tuple[Context, Nats]:
            state, logits = engine.forward(context.state, ids)
            before = np.concatenate((context.logits[None], logits[:-1]))
            return Context(state, logits[-1]), surprisals(before, ids)

        context, _ = read_prompt(StaticModel(engine), "\n")
        return cls(engine.vocabulary, context, score, cache)

    def push(self, line: str) -> LineScore:
        """Read one line without its newline; it is normalised first, as corpora are."""
        self._number += 1
        line = normalise(line)
        vocabulary, text = self._vocabulary, line + "\n"
        ids = encode_lossy(vocabulary, text)
        self._context, nats = self._score(self._context, ids)
        if self._cache is not None:
            nats = self._cache.score(ids, nats)
        # A character in bytes costs what its bytes cost.
        nats = np.add.reduceat(nats, np.flatnonzero(vocabulary.begins[ids])) if vocabulary.has_bytes else nats
        nats[unknown_mask(vocabulary, text)] = UNKNOWN_NATS
        self._word_counts.update(word for word, _ in _words(line))
        if len(self._word_counts) > _MAX_WORDS:
            self._word_counts = Counter({word: count for word, count in self._word_counts.items() if count > 1})
        return LineScore(self._number, line, tuple((nats / math.log(2)).tolist()))

    def evidence(self, score: LineScore, order: str) -> float:
        """Return in bits how unusual a line is.

        `mean`, `max` and `total` are over its characters. `words` is the maximum over its words: the most surprising
        character after the first, divided by the number of times that the word has occurred so far. A mistake is rare,
        a name returns.
        """
        bits = score.surprisals
        match order:
            case "mean":
                return score.bits_per_character
            case "max":
                return max(bits)
            case "total":
                return sum(bits)
        return max((max(bits[place]) / (self._word_counts[word] or 1) for word, place in _words(score.text)), default=0)


def _words(line: str) -> Iterator[tuple[str, slice]]:
    """Yield each word of a line, and the place of its characters after the first, with the one that ends it."""
    for match in _WORD.finditer(line):
        yield match.group().casefold(), slice(match.start() + 1, match.end() + 1)
