"""Text as a screen draws it: what is one character to the eye, and how many cells it takes.

Owns clusters (a letter with its accents, a family of emoji: what a cursor steps over at once), measuring, cutting, and
names for what cannot be drawn. Knows nothing of widgets. Measures as rich does, which draws what Textual's own widgets
show.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import Final, NamedTuple

from rich.cells import cell_len, split_graphemes

from charlm.text.sanitize import visible

ELLIPSIS: Final = "\u2026"
NAMES: Final = {" ": "space", "\n": "newline", "\t": "tab", "\u00a0": "no-break space", "\u3000": "wide space"}

_LINE_END = re.compile(r"\s*[\n\t]\s*")
_APART = re.compile(r"([\n\t])")
_REGIONS = range(0x1F1E6, 0x1F200)  # two of these are a flag


class Cluster(NamedTuple):
    """What looks like one character.

    Attributes:
        start: its first code point's place in the text.
        end: the place after its last.
        cells: that it takes.
    """

    start: int
    end: int
    cells: int


def cells(text: str) -> int:
    """How many cells a text without newlines and tabs takes."""
    return cell_len(text)


@lru_cache(maxsize=32)
def clusters(text: str) -> tuple[Cluster, ...]:
    """What a text looks like it is made of, without gaps; a tab or a newline, though it takes no cells, by itself."""
    if text.isascii():
        return tuple([Cluster(place, place + 1, cell_len(one)) for place, one in enumerate(text)])
    found: list[Cluster] = []
    offset = 0
    for part in _APART.split(text):
        flag = False  # whether the last cluster is half a flag
        for start, end, width in split_graphemes(part)[0]:
            region = ord(part[start]) in _REGIONS
            if region and flag:
                found[-1] = Cluster(found[-1].start, offset + end, found[-1].cells + width)
            else:
                found.append(Cluster(offset + start, offset + end, width))
            flag = region and not flag
        offset += len(part)
    return tuple(found)


@lru_cache(maxsize=32)
def _starts(text: str) -> list[int]:
    return [cluster.start for cluster in clusters(text)]


def cluster_start(text: str, place: int) -> int:
    """The nearest place at or before `place` that is not inside a cluster."""
    if text.isascii() or place >= len(text):
        return min(place, len(text))
    starts = _starts(text)
    return starts[bisect_right(starts, place) - 1]


def cluster_end(text: str, place: int) -> int:
    """The nearest place at or after `place` that is not inside a cluster."""
    if text.isascii() or place >= len(text):
        return min(place, len(text))
    starts = _starts(text)
    index = bisect_left(starts, place)
    return starts[index] if index < len(starts) else len(text)


def shorten(text: str, width: int) -> str:
    """As much of a line as fits, with an ellipsis if that is not all."""
    if len(text) <= width and text.isascii() and text.isprintable():
        return text
    if len(text) <= 16 * max(width, 1) and cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    # Whatever the text's length, only its beginning is measured: clusters are seldom longer than a few code points.
    kept, room = 0, width - 1
    for cluster in clusters(text[: 16 * width]):
        if cluster.cells > room:
            break
        kept, room = cluster.end, room - cluster.cells
    return text[:kept].rstrip() + ELLIPSIS


def one_line(text: str) -> str:
    """A text as one line that is safe to draw: control characters as symbols, a space for each end of a line."""
    return _LINE_END.sub(" ", visible(whole(text.replace("\r\n", "\n"))).strip())


def whole(text: str) -> str:
    """A text without halves of surrogate pairs, which no terminal can be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def typeable(text: str) -> str:
    """A text as a field for typing may hold it: plain newlines, and no characters that drive a terminal."""
    text = whole(text.replace("\r\n", "\n").replace("\r", "\n"))
    if visible(text) == text:
        return text
    return text.translate({ord(one): None for one in set(text) if visible(one) != one})


def name(character: str) -> str:
    """What to call a character: itself, or a word or a symbol where it would not be seen."""
    if character in NAMES:
        return NAMES[character]
    shown = visible(whole(character))
    if shown and unicodedata.category(shown[0]) in ("Mn", "Me"):
        return "\u25cc" + shown  # an accent by itself would land on whatever stands before it
    if cell_len(shown) == 0 or shown.isspace():
        return " ".join(f"U+{ord(one):04X}" for one in character)
    return shown
