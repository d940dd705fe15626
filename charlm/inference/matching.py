"""Matcher: scores replies by the words of the reply and of the turns before it.

A dual encoder over hashed words and word pairs (Henderson et al. 2017, arXiv:1705.00652). The vector of a text is the
sum of its words' vectors, and the score is the cosine between the vectors of context and reply. The model itself scores
a reply character by character; the matcher scores it as a whole. `charlm.training.matching` trains it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charlm.checkpoint import Checkpoint
from charlm.inference.state import Array
from charlm.tensor_shapes import MATCHING_BUCKETS

CONTEXT_TURNS: Final = 2
PREVIOUS_WEIGHT: Final = 0.5  # of the words of the turn before the last
PART_CHARS: Final = 3  # parts of words tell something of unknown words (Bojanowski et al. 2017)

# Words ("don't" is one), single characters of scripts without spaces, and signs.
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff]|[^\\W\u3040-\u30ff\u3400-\u9fff]+(?:'[a-z]+)?|[^\\w\\s]")


@dataclass(frozen=True)
class Matcher:
    """The vectors of words in contexts and in replies."""

    context: Array  # (MATCHING_BUCKETS, MATCHING_WIDTH)
    reply: Array  # of the same shape

    @classmethod
    def of(cls, model: Checkpoint) -> Matcher | None:
        """Return the matcher of a model, or None."""
        tensors = model.matching
        return None if tensors is None else cls(tensors["matching.context"], tensors["matching.reply"])

    def similarity(self, turns: Sequence[str], replies: Sequence[str]) -> NDArray[np.float64]:
        """Return the cosine between the context and each reply, (N,).

        Args:
            turns: texts of the turns before the reply; the last `CONTEXT_TURNS` are used.
            replies: texts.
        """
        ids, weights = context_features(turns)
        context = _unit((self.context[ids] * np.array(weights)[:, None]).sum(axis=0))
        return np.array([float(context @ _unit(self.reply[features(reply)].sum(axis=0))) for reply in replies])


def context_features(turns: Sequence[str]) -> tuple[list[int], list[float]]:
    """Return the buckets of the words of a context, and their weights."""
    ids: list[int] = []
    weights: list[float] = []
    for age, turn in enumerate(reversed(turns[-CONTEXT_TURNS:])):
        found = features(turn, age)
        ids += found
        weights += [PREVIOUS_WEIGHT**age] * len(found)
    return ids, weights


def features(text: str, age: int = 0) -> list[int]:
    """Return the buckets of the words and word pairs of a text, `age` turns before the last one."""
    words = _WORD.findall(text.lower())
    pairs = [f"{age}{one} {other}" for one, other in zip(["", *words], [*words, ""], strict=True)]
    return [*chain.from_iterable(_word_buckets(age, word) for word in words), *map(_bucket, pairs)]


@lru_cache(1 << 16)
def _word_buckets(age: int, word: str) -> tuple[int, ...]:
    """Return two buckets of a word, since others share one but hardly both, and those of parts of a long word."""
    marked = f"<{word}>"
    parts = [marked[at : at + PART_CHARS] for at in range(len(word) + 3 - PART_CHARS)] if len(word) > PART_CHARS else []
    return tuple(_bucket(f"{age}{kind}") for kind in (word, f"#{word}", *(f"~{part}" for part in parts)))


def _bucket(feature: str) -> int:
    return zlib.crc32(feature.encode("utf-8", "replace")) % MATCHING_BUCKETS


def _unit(vector: Array) -> Array:
    norm = float(np.sqrt(vector @ vector))
    return vector / np.float32(norm) if norm else vector
