"""Matcher: scores replies by the words of the reply and of the turns before it.

A dual encoder over hashed words and word pairs (Henderson et al. 2017, arXiv:1705.00652). The vector of a text is the
sum of its words' vectors, and the score is the cosine between the vectors of context and reply. The model itself scores
a reply character by character; the matcher scores it as a whole. `charlm.training.matching` trains it.

The same vectors show whether an earlier turn states what a reply copies from it: "My brother is called Ryan" does not
state "Your sister is called Ryan". The words of a turn and of such a claim have features of their own.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charlm.checkpoint import Checkpoint
from charlm.inference.state import Array
from charlm.tensor_shapes import MATCHING_BUCKETS

CONTEXT_TURNS: Final = 2
PREVIOUS_WEIGHT: Final = 0.5  # of the words of the turn before the last
STATEMENT: Final = 2  # role of a turn that a reply copies from, and of that reply, which is the claim
QUESTION: Final = 3  # role of the turn before a claim
MIN_COPIED: Final = 0.5  # share of copies in a word that a reply has from an earlier turn
PART_CHARS: Final = 3  # parts of words tell something of unknown words (Bojanowski et al. 2017)

# Words ("don't" is one), single characters of scripts without spaces, and signs.
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff]|[^\\W\u3040-\u30ff\u3400-\u9fff]+(?:'[a-z]+)?|[^\\w\\s]")
# Words that may be a name or a value: of katakana, of Chinese characters, of letters.
_VALUE = re.compile("[\u30a1-\u30ff]{2,}|[\u3400-\u9fff]{2,}|[^\\W\\d_\u3040-\u30ff\u3400-\u9fff]{3,}")

Features = tuple[list[int], list[float]]  # buckets and their weights


@dataclass(frozen=True)
class Matcher:
    """The vectors of words in contexts and in replies."""

    context: Array  # (MATCHING_BUCKETS, MATCHING_WIDTH)
    reply: Array  # of the same shape
    has_statements: bool = False  # whether it was trained on statements and claims

    @classmethod
    def of(cls, model: Checkpoint) -> Matcher | None:
        """Return the matcher of a model, or None."""
        if model.matching is None:
            return None
        has_statements = model.record.matching_statements > 0
        return cls(model.matching["matching.context"], model.matching["matching.reply"], has_statements)

    def similarity(self, turns: Sequence[str], replies: Sequence[str]) -> NDArray[np.float64]:
        """Return the cosine between the context and each reply, (N,).

        Args:
            turns: texts of the turns before the reply; the last `CONTEXT_TURNS` are used.
            replies: texts.
        """
        context = _vector(self.context, context_features(turns))
        return np.array([float(context @ _vector(self.reply, reply_features(reply))) for reply in replies])

    def support(self, reply: str, copied: Sequence[float], turns: Sequence[str], question: str) -> float | None:
        """Return the cosine between a reply and the turn that it copies a word from, without that word.

        Args:
            reply: a text.
            copied: share of copies in each of its characters.
            turns: texts that it may copy from.
            question: text of the turn before the reply. What the reply repeats of it is no copy.

        Returns:
            The largest cosine, for the longest copied word; None without one, or if the matcher knows no statements.
        """
        if not self.has_statements:
            return None
        shares = {match.group().lower(): fmean(copied[slice(*match.span())]) for match in _VALUE.finditer(reply)}
        said = [values(turn) for turn in turns]
        for word in sorted(shares.keys() - values(question), key=lambda word: (-len(word), word)):
            sources = [turn for turn, words in zip(turns, said, strict=True) if word in words]
            if shares[word] >= MIN_COPIED and sources:
                claim = _vector(self.reply, claim_features(reply, question, word))
                return max(float(claim @ _vector(self.context, statement_features(one, word))) for one in sources)
        return None


def values(text: str) -> set[str]:
    """Return the words of a text that may be a name or a value, in lower case."""
    return set(map(str.lower, _VALUE.findall(text)))


def context_features(turns: Sequence[str]) -> Features:
    """Return the features of a context, the last turns."""
    buckets: list[int] = []
    weights: list[float] = []
    for age, turn in enumerate(reversed(turns[-CONTEXT_TURNS:])):
        found = features(turn, age)
        buckets += found
        weights += [PREVIOUS_WEIGHT**age] * len(found)
    return buckets, weights


def reply_features(reply: str) -> Features:
    """Return the features of a reply to a context."""
    return _weighted(features(reply))


def statement_features(turn: str, word: str) -> Features:
    """Return the features of a turn that a reply copies a word from."""
    return _weighted(features(_without(turn, word), STATEMENT))


def claim_features(reply: str, question: str, word: str) -> Features:
    """Return the features of a reply that copies a word from an earlier turn, and of the turn before it."""
    return _weighted(features(_without(reply, word), STATEMENT) + features(question, QUESTION))


def features(text: str, role: int = 0) -> list[int]:
    """Return the buckets of the words and word pairs of a text.

    Its role is `STATEMENT`, `QUESTION` or how many turns before the last one it is; that of a reply is 0.
    """
    words = _WORD.findall(text.lower())
    pairs = [f"{role}{one} {other}" for one, other in zip(["", *words], [*words, ""], strict=True)]
    return [*chain.from_iterable(_word_buckets(role, word) for word in words), *map(_bucket, pairs)]


def _weighted(buckets: list[int]) -> Features:
    return buckets, [1.0] * len(buckets)


def _without(text: str, word: str) -> str:
    return _VALUE.sub(lambda match: "_" if match.group().lower() == word else match.group(), text)


@lru_cache(1 << 16)
def _word_buckets(role: int, word: str) -> tuple[int, ...]:
    """Return two buckets of a word, since others share one but hardly both, and those of parts of a long word."""
    marked = f"<{word}>"
    parts = [marked[at : at + PART_CHARS] for at in range(len(word) + 3 - PART_CHARS)] if len(word) > PART_CHARS else []
    return tuple(_bucket(f"{role}{kind}") for kind in (word, f"#{word}", *(f"~{part}" for part in parts)))


def _bucket(feature: str) -> int:
    return zlib.crc32(feature.encode("utf-8", "replace")) % MATCHING_BUCKETS


def _vector(table: Array, text: Features) -> Array:
    """Return the unit vector of a text."""
    buckets, weights = text
    vector = np.array(weights, dtype=np.float32) @ table[buckets]
    norm = float(np.sqrt(vector @ vector))
    return vector / np.float32(norm) if norm else vector
