"""Placeholders for long pastes: an input field shows one word, and the text is kept here.

An input field measures and wraps its whole text at every key; a pasted megabyte would stall it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MAX_FIELD_CHARS: Final = 2000  # a field holds this many characters; a paste beyond them gets a placeholder
MIN_PASTE_CHARS: Final = 200  # a shorter paste never gets one


class PastePlaceholders:
    """The placeholders in one text, and the text behind each."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}  # by placeholder
        self._distinct: dict[str, str] = {}  # the distinct characters of each text
        self._pattern: re.Pattern[str] | None = None

    def shorten(self, text: str, room: int = MAX_FIELD_CHARS) -> str:
        """Return a text, or a placeholder if it has more than `room` characters."""
        if len(text) <= room:
            return text
        placeholder = first = f"[{len(text):,} characters pasted]"
        number = 1
        while self._texts.get(placeholder, text) != text:
            number += 1
            placeholder = f"{first[:-1]}, {number}]"
        self._texts[placeholder] = text
        self._distinct[placeholder] = "".join(dict.fromkeys(text))
        self._pattern = re.compile("|".join(re.escape(one) for one in self._texts))
        return placeholder

    def expand(self, text: str) -> str:
        """Return a text with the pasted texts in place of their placeholders."""
        return self._replace(text, self._texts)

    def distinct_characters(self, text: str) -> str:
        """Return all characters of the expanded text, without most of their repetitions."""
        return self._replace(text, self._distinct)

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Return start and end of each placeholder in a line."""
        return [] if self._pattern is None else [match.span() for match in self._pattern.finditer(line)]

    def _replace(self, text: str, replacements: Mapping[str, str]) -> str:
        return text if self._pattern is None else self._pattern.sub(lambda match: replacements[match.group()], text)
