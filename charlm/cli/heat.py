"""Colours text by surprisal, in four levels.

On a terminal a level is an attribute and a colour: sixteen colours suffice, and none are needed. In a pipe it is a
combining mark under the character.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TextIO

import click

from charlm.cli.output import has_colour, is_live, shown


class Level(NamedTuple):
    """Level of the scale."""

    min_bits: float
    name: str
    colour: str | None
    attributes: dict[str, bool]
    mark: str  # combining character


LEVELS: Final = (
    Level(0, "expected", None, {"dim": True}, ""),
    Level(1.5, "likely", None, {}, ""),
    Level(4, "surprising", "yellow", {"underline": True}, "\u0332"),
    Level(7, "astonishing", "bright_magenta", {"bold": True, "reverse": True}, "\u0333"),
)


class Heat:
    """Formats characters for a stream, which decides between colours, attributes and marks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = is_live(stream)
        self._colour = has_colour(stream)

    def paint(self, text: str, bits: float) -> str:
        """Return a character, formatted by its surprisal in bits."""
        levels = reversed(LEVELS)
        return self._format(text, next(level for level in levels if bits >= level.min_bits or level is LEVELS[0]))

    def _format(self, text: str, level: Level) -> str:
        text = shown(text, self._stream)
        if not self._live:
            return text if text.isspace() else text + level.mark
        if text == "\n":
            return "\n"
        return click.style(text, fg=level.colour if self._colour else None, **level.attributes)

    def legend(self) -> str:
        """Return the names and ranges of the levels, formatted like text."""
        words = []
        for level, above in zip(LEVELS, [*LEVELS[1:], None], strict=True):
            span = f"{level.min_bits:g} to {above.min_bits:g}" if above else f"over {level.min_bits:g}"
            words.append("".join(self._format(character, level) for character in level.name) + f" ({span} bits)")
        return "surprise: " + "  ".join(words)
