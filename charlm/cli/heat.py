"""Text coloured by surprise.

Each character is one of four levels. On a terminal a level is a colour and an attribute, so that sixteen colours are
enough and none are needed; elsewhere it is a mark under the character.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TextIO

import click

from charlm.cli.command import has_colour, is_live, shown


class Level(NamedTuple):
    """One step of the scale."""

    least: float  # bits
    name: str
    colour: str | None
    attributes: dict[str, Any]
    mark: str  # a combining character


LEVELS: Final = (
    Level(0, "expected", None, {"dim": True}, ""),
    Level(1.5, "likely", None, {}, ""),
    Level(4, "surprising", "yellow", {"underline": True}, "\u0332"),
    Level(7, "astonishing", "bright_magenta", {"bold": True, "reverse": True}, "\u0333"),
)


class Heat:
    """Draws characters for a stream.

    Args:
        stream: where they will be written; decides between colours, attributes and marks.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = is_live(stream)
        self._colour = has_colour(stream)

    def paint(self, text: str, bits: float) -> str:
        """A character, by its surprise in bits."""
        return self._draw(text, next(level for level in reversed(LEVELS) if bits >= level.least or level is LEVELS[0]))

    def _draw(self, text: str, level: Level) -> str:
        text = shown(text, self._stream)
        if not self._live:
            return text if text.isspace() else text + level.mark
        if text == "\n":
            return "\n"
        return click.style(text, fg=level.colour if self._colour else None, **level.attributes)

    def legend(self) -> str:
        """The scale, drawn as it draws."""
        words = []
        for level, above in zip(LEVELS, [*LEVELS[1:], None], strict=True):
            span = f"{level.least:g} to {above.least:g}" if above else f"over {level.least:g}"
            words.append("".join(self._draw(character, level) for character in level.name) + f" ({span} bits)")
        return "surprise: " + "  ".join(words)
