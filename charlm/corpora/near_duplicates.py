"""Texts that are nearly the same as earlier ones, found by the word sequences that they share."""

from __future__ import annotations

import zlib
from typing import Final

WIDTH: Final = 5  # words of a sequence
SHARE: Final = 0.5  # of a text's sequences; from there on it is a copy


class NearDuplicateFilter:
    """Remembers texts by their sequences of five words; knows one that shares half of them with what came before."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def is_new(self, words: list[str]) -> bool:
        """Whether a text is not nearly the same as earlier ones; a new one is remembered. Short ones are always new."""
        marks = {zlib.crc32(" ".join(words[at : at + WIDTH]).encode()) for at in range(len(words) - WIDTH + 1)}
        if len(marks & self._seen) > SHARE * len(marks):
            return False
        self._seen |= marks
        return True
