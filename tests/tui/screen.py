"""A terminal emulator for what the app sends: the visible text and the modes."""

from __future__ import annotations

import re
import unicodedata

_KNOWN = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[\?(?P<mode>\d+)(?P<on>[hl])"
    r"|\x1b\[[\d;]*m"  # colours
    r"|\x1b\]52;c;[A-Za-z0-9+/=]*\x07"  # the clipboard
    r"|\x1b\[\?\d+\$p|\x1b\[>\d+u|\x1b\[<u|\x1b\]22;[a-z-]*\x07"  # questions; keyboard protocol, pointer
)
_REORDERING = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_UNFINISHED = re.compile(r"\x1b(?:[\[\]][^\x1b]{0,20}|\]52;[^\x07\x1b]*)?\Z")


class Strange(AssertionError):  # noqa: N818  # it is one
    """The app sent something that it has no reason to send."""


class Screen:
    """The emulator. Sequences that the app does not need raise `Strange`."""

    def __init__(self, width: int, height: int) -> None:
        self.modes: set[int] = set()  # private modes that are on
        self._unfinished = ""
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Clear the screen, with another size."""
        self.width, self.height = width, height
        self._cells = [[" "] * width for _ in range(height)]
        self._row = self._column = 0

    @property
    def lines(self) -> list[str]:
        """Visible text, from the top."""
        return ["".join(row).rstrip() for row in self._cells]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def feed(self, text: str) -> None:
        """Process output, which may end within a sequence."""
        text = self._unfinished + text
        place = 0
        self._unfinished = ""
        while place < len(text):
            found = _KNOWN.match(text, place)
            if found is not None:
                self._obey(found)
                place = found.end()
            elif text[place] == "\x1b" and _UNFINISHED.match(text, place):
                self._unfinished = text[place:]
                return
            else:
                self._put(text[place])
                place += 1

    def _obey(self, found: re.Match[str]) -> None:
        if found["row"]:
            self._row, self._column = int(found["row"]) - 1, int(found["column"]) - 1
        elif found["mode"]:
            (self.modes.add if found["on"] == "h" else self.modes.discard)(int(found["mode"]))

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
            return
        if character == "\n":
            self._row += 1
            return
        category = unicodedata.category(character)
        if category in ("Cc", "Cs", "Zl", "Zp") or character in _REORDERING:
            raise Strange(f"{character!r} after {self.lines[min(self._row, self.height - 1)]!r}")
        width = 0 if category in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if not 0 <= self._row < self.height:
            return  # drawn for another size
        row = self._cells[self._row]
        if width == 0:
            if 0 < self._column <= self.width:
                row[self._column - 1] += character
        elif self._column + width <= self.width:
            row[self._column] = character
            row[self._column + 1 : self._column + width] = [""] * (width - 1)
            self._column += width
