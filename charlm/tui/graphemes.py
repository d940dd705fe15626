"""Grapheme clusters: their boundaries, their width in cells and the text drawn for them.

A cluster is what a reader takes for one character: a letter with its accents, a family of emoji, a flag. Prompt and
transcript never cut one, and a cursor steps over it at once. Boundaries follow Unicode Standard Annex 29 but for
letters that take a cell each, as in the conjuncts of Devanagari: terminals draw them as separate characters. Widths are
rich's, because Textual lays out with them.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from rich.cells import cell_len, get_character_cell_size

from charlm.text.sanitize import replace_lone_surrogates, visible

ELLIPSIS: Final = "\u2026"
DOTTED_CIRCLE: Final = "\u25cc"  # drawn below a mark without a letter
CHARACTER_NAMES: Final = {
    " ": "space",
    "\n": "newline",
    "\t": "tab",
    "\u00a0": "no-break space",
    "\u3000": "wide space",
}
TAB_CELLS: Final = 4  # cells between tab stops
MAX_CLUSTER_CODE_POINTS: Final = 32  # UAX 15 calls thirty marks on a letter enough for any language
UNLIMITED: Final = sys.maxsize

_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_PICTURE = re.compile("[\xa9\xae\u203c\u2049\u2122-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]")
_SKIN_TONE = re.compile("[\U0001f3fb-\U0001f3ff]")
_REGION = re.compile("[\U0001f1e6-\U0001f1ff]")  # two of these are a flag

# Most text consists of simple characters: each is a cluster, unless a mark follows it. Narrow ones take one cell. Wide
# ones take two, and begin at FIRST_WIDE. Reading simple characters by the run makes wrapping fast.
_NARROW = "\x20-\x7e\xa0-\xac\xae-\u02ff\u0370-\u0377\u0384-\u03ff\u0400-\u0482\u048a-\u052f\u1e00-\u1eff"
_NARROW += "\u2010-\u2027\u2030-\u205e\u2070-\u20bf\u2500-\u25fc"
_WIDE = "\u3000-\u3029\u3041-\u3096\u309b-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60"
FIRST_WIDE: Final = "\u2e80"
match_simple_run = re.compile(f"[{_NARROW}{_WIDE}]*").match
find_same_width_runs = re.compile(f"[{_NARROW}]+|[{_WIDE}]+").finditer

_EIGHTHS = ("", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589")  # of a cell

_LINE_END = re.compile(r"\s*[\n\t]\s*")


class Cluster(NamedTuple):
    """A grapheme cluster in a row of text."""

    start: int  # index of the first code point
    end: int  # index after the last code point
    column: int  # cells before it in the row
    cells: int  # width; 0 for a newline
    drawn: str  # empty for a newline


# -- clusters ---------------------------------------------------------------------------------------------------------


def lay_out(row: str, width: int = UNLIMITED) -> list[Cluster]:
    """Return the clusters of a row of some width in cells, where tabs end."""
    column, clusters = 0, []
    for start, end, cells in iter_clusters(row, 0, len(row), width):
        text = row[start:end]
        drawn = "" if text == "\n" else " " * cells if text == "\t" else measure(text)[1]
        clusters.append(Cluster(start, end, column, cells, drawn))
        column += cells
    return clusters


def iter_clusters(text: str, start: int, stop: int, width: int = UNLIMITED) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and cells of each cluster in `text[start:stop]`; see `lay_out`. A row begins at `start`."""
    column = 0
    run = match_simple_run(text, start, min(stop, start + width + 2))
    assert run is not None
    simple = run.end() - (run.end() < stop)  # a mark may follow the last character of the run
    while start < stop:
        if start < simple:
            end, cells = start + 1, 2 if text[start] >= FIRST_WIDE else 1
        elif text[start] == "\n":
            end, cells = start + 1, 0
        elif text[start] == "\t":
            end, cells = start + 1, max(1, min(TAB_CELLS - column % TAB_CELLS, width - column))
        else:
            end = _cluster_end(text, start, stop)
            cells, _ = measure(text[start:end])
        yield start, end, cells
        column += cells
        start = end


def _cluster_end(text: str, start: int, stop: int) -> int:
    """Return the end of the cluster that begins at `start`, at most `stop`."""
    kind = kind_of(text[start])
    end = start + 1
    if kind == "control":
        return end
    if kind == "region" and end < stop and kind_of(text[end]) == "region":
        end += 1
    stop = min(stop, start + MAX_CLUSTER_CODE_POINTS)
    while end < stop:
        following = kind_of(text[end])
        if kind == "picture" and text[end] == _JOINER and end + 1 < stop and kind_of(text[end + 1]) == "picture":
            end += 2
        elif following == "mark" or (following == "skin tone" and kind == "picture"):
            end += 1
        else:
            break
    return end


@lru_cache(maxsize=4096)
def kind_of(character: str) -> Literal["control", "skin tone", "mark", "region", "picture", "other"]:
    """Return the part that a code point plays in a cluster."""
    if character in "\n\t" or visible(character) != character:
        return "control"
    if get_character_cell_size(character) == 0:
        return "skin tone" if _SKIN_TONE.match(character) else "mark"
    return "region" if _REGION.match(character) else "picture" if _PICTURE.match(character) else "other"


@lru_cache(maxsize=4096)
def measure(cluster: str) -> tuple[int, str]:
    """Return the width of a cluster in cells, and the text drawn for it. Newlines and tabs depend on their row."""
    first = cluster[0]
    if visible(first) != first:
        return cell_len(visible(first)), visible(first)
    cells = get_character_cell_size(first)
    if cells == 0:
        return 1, DOTTED_CIRCLE + "".join(one for one in cluster if kind_of(one) == "mark")
    if len(cluster) > 1 and _REGION.match(cluster, 1):
        cells = 2
    elif _EMOJI_STYLE in cluster:
        cells = cell_len(first + _EMOJI_STYLE)
    # A picture's last joiner would join the cluster that follows.
    drawn = cluster.rstrip(_JOINER) if kind_of(first) == "picture" else cluster
    if cell_len(drawn) != cells:  # rich skips the code point after any joiner
        drawn = first + _EMOJI_STYLE if _EMOJI_STYLE in cluster else first
    return cells, drawn


def boundary_before(text: str, index: int) -> int:
    """Return the last cluster boundary at or before an index."""
    boundaries = _boundaries(text)
    return boundaries[bisect_right(boundaries, index) - 1]


def boundary_after(text: str, index: int) -> int:
    """Return the first cluster boundary at or after an index."""
    boundaries = _boundaries(text)
    return boundaries[min(bisect_left(boundaries, index), len(boundaries) - 1)]


@lru_cache(maxsize=32)
def _boundaries(text: str) -> Sequence[int]:
    if text.isascii():
        return range(len(text) + 1)
    return [*(start for start, _, _ in iter_clusters(text, 0, len(text))), len(text)]


# -- text for the screen ----------------------------------------------------------------------------------------------


def shorten(text: str, width: int) -> str:
    """Return as much of a line as fits into a width in cells, with an ellipsis in place of the rest."""
    if len(text) <= width and text.isascii() and text.isprintable():
        return text
    if len(text) <= 16 * max(width, 1) and cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    beginning = text[: 16 * width]  # clusters seldom have more than a few code points
    end = max((one.end for one in lay_out(beginning) if one.column + one.cells < width), default=0)
    return text[:end].rstrip() + ELLIPSIS


def bar(fraction: float, width: int) -> str:
    """Return a bar that fills a fraction of a width in cells, in steps of an eighth."""
    eighths = round(min(1.0, fraction) * width * 8)
    return "\u2588" * (eighths // 8) + _EIGHTHS[eighths % 8]


def one_line(text: str) -> str:
    """Return a text as one line that is safe to draw: controls become symbols, line ends become spaces."""
    return _LINE_END.sub(" ", visible(replace_lone_surrogates(text.replace("\r\n", "\n"))).strip())


def clean_input(text: str) -> str:
    """Return a text as an input field may hold it: plain newlines, and no terminal control characters."""
    text = replace_lone_surrogates(text.replace("\r\n", "\n").replace("\r", "\n"))
    if visible(text) == text:
        return text
    return text.translate({ord(one): None for one in set(text) if visible(one) != one})


def character_name(character: str) -> str:
    """Return a character, or a word or symbol for one that cannot be seen."""
    if character in CHARACTER_NAMES:
        return CHARACTER_NAMES[character]
    shown = visible(replace_lone_surrogates(character))
    if shown and unicodedata.category(shown[0]) in ("Mn", "Me"):
        return DOTTED_CIRCLE + shown
    if cell_len(shown) == 0 or shown.isspace():
        return " ".join(f"U+{ord(one):04X}" for one in character)
    return shown
