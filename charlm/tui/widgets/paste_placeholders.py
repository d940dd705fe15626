"""Long pastes, each shown as one word.

A field for typing measures and folds its whole text at every key. A megabyte would stall it, and nobody would edit it
there. So the field holds a stand-in, and what it stands for is kept here.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 2000  # characters that a field holds itself
SHORTEST: Final = 200  # characters that are never replaced


class PastePlaceholders:
    """What the stand-ins of one text stand for."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._characters: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def stand_in(self, text: str, room: int = LONGEST) -> str:
        """The text itself, or if there is no room for it, what stands for it."""
        if len(text) <= room:
            return text
        label = first = f"[{len(text):,} characters pasted]"
        number = 1
        while self._texts.get(label, text) != text:
            number += 1
            label = f"{first[:-1]}, {number}]"
        self._texts[label] = text
        self._characters[label] = "".join(dict.fromkeys(text))
        self._pattern = re.compile("|".join(re.escape(one) for one in self._texts))
        return label

    def expand(self, text: str) -> str:
        """A text with what its stand-ins stand for."""
        return text if self._pattern is None else self._pattern.sub(lambda match: self._texts[match.group()], text)

    def characters(self, text: str) -> str:
        """What occurs in a text as `expand` gives it, without most of the repetitions."""
        return text if self._pattern is None else self._pattern.sub(lambda found: self._characters[found.group()], text)

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Where there are stand-ins in a line."""
        return [] if self._pattern is None else [match.span() for match in self._pattern.finditer(line)]
