"""Finds texts that share word sequences with earlier ones."""

from __future__ import annotations

import zlib
from typing import Final

NGRAM_WORDS: Final = 5
MAX_SHARED: Final = 0.5  # share of a text's n-grams; above it the text is a copy


class NearDuplicateFilter:
    """Detects texts that share more than half of their n-grams with earlier ones."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def is_new(self, words: list[str]) -> bool:
        """Return whether a text is no near-duplicate, and remember it if so. Short texts are always new."""
        marks = {
            zlib.crc32(" ".join(words[at : at + NGRAM_WORDS]).encode()) for at in range(len(words) - NGRAM_WORDS + 1)
        }
        if len(marks & self._seen) > MAX_SHARED * len(marks):
            return False
        self._seen |= marks
        return True
