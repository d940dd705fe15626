"""From text to rows of cells: what belongs together, how wide it is, where a line may break.

Pure functions. They know nothing of widgets or colours; widths are rich's, because that is what Textual lays out with.

What the eye takes for one character may be several code points: an accent on its letter, a family of emoji, a flag.
Such a cluster is never cut and is drawn, measured and stepped over as one. It is that of Unicode Standard Annex 29, but
that letters with a cell each, as in the conjuncts of Devanagari, are clusters each: that is how terminals draw them.

Text breaks after spaces, and before and after wide characters, which are written without spaces; punctuation that may
not begin or end a line in Japanese does not. A word that is wider than the row is cut. One space may hang over the
edge, so that a word which just fits is not followed by a row that begins with a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from rich.cells import cell_len, get_character_cell_size

from charlm.text.sanitize import visible

MIN_WIDTH_CELLS: Final = 8  # cells: every symbol fits, the widest being <E0041>
TAB: Final = 4  # cells between tab stops
LONGEST: Final = 32  # code points of a cluster; UAX 15 calls thirty marks on a letter enough for any language

_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_PICTURE = re.compile("[\xa9\xae\u203c\u2049\u2122-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]")
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")
_REGION = re.compile("[\U0001f1e6-\U0001f1ff]")

# Most text is made of characters that are a cluster each, unless something joins them: narrow ones, and from U+2E80 on
# wide ones. They are found by the run, which makes wrapping a million of them quick.
_NARROW = "\x20-\x7e\xa0-\xac\xae-\u02ff\u0370-\u0377\u0384-\u03ff\u0400-\u0482\u048a-\u052f\u1e00-\u1eff"
_NARROW += "\u2010-\u2027\u2030-\u205e\u2070-\u20bf\u2500-\u25fc"
_FIRST_WIDE = "\u2e80"
_WIDE = "\u3000-\u3029\u3041-\u3096\u309b-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60"
_simple = re.compile(f"[{_NARROW}{_WIDE}]*").match
_alike = re.compile(f"[{_NARROW}]+|[{_WIDE}]+").finditer

# After JIS X 4051: closing punctuation, small kana and marks of repetition do not begin a row, brackets do not end one.
_NOT_FIRST = frozenset(
    "!%),.:;?]}\u2019\u201d\u2026\u3001\u3002\u3005\u3009\u300b\u300d\u300f\u3011\u3015\u3017\u3019\u301c\u301f"
    "\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e\u3095\u3096\u309b\u309c\u309d\u309e"
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u30f5\u30f6\u30fb\u30fc\u30fd\u30fe"
    "\uff01\uff05\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\uff3d\uff5d\uff60"
)
_NOT_LAST = frozenset("([{\u2018\u201c\u3008\u300a\u300c\u300e\u3010\u3014\u3016\u3018\u301d\uff08\uff3b\uff5b\uff5f")


class GraphemeCell(NamedTuple):
    """One cluster where it stands in its row.

    Attributes:
        start: its first code point's place in the row's text.
        end: the place after its last.
        column: where it begins, in cells.
        cells: how wide it is; 0 for a newline, which is not drawn.
        shown: what is drawn for it.
    """

    start: int
    end: int
    column: int
    cells: int
    shown: str


def cluster_end(text: str, start: int, stop: int) -> int:
    """Where the cluster that begins at `start` ends, at the latest at `stop`."""
    kind = _kind(text[start])
    end = start + 1
    if kind == "control":
        return end
    if kind == "region" and end < stop and _kind(text[end]) == "region":
        end += 1
    stop = min(stop, start + LONGEST)
    while end < stop:
        if kind == "picture" and text[end] == _JOINER and end + 1 < stop and _kind(text[end + 1]) == "picture":
            end += 2
        elif _kind(text[end]) == "mark" and (kind == "picture" or not _SKIN.match(text[end])):
            end += 1
        else:
            break
    return end


@lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    if character in "\n\t" or visible(character) != character:
        return "control"
    if get_character_cell_size(character) == 0:
        return "mark"
    return "region" if _REGION.match(character) else "picture" if _PICTURE.match(character) else "other"


@lru_cache(maxsize=4096)
def measure(cluster: str) -> int:
    """The cells that a cluster takes, if it is neither a newline nor a tab."""
    first = cluster[0]
    if visible(first) != first:
        return cell_len(visible(first))
    cells = get_character_cell_size(first)
    if cells == 0:
        return 1  # a mark that has nothing to stand on is shown on a circle
    if len(cluster) > 1 and _REGION.match(cluster, 1):
        return 2
    return cell_len(first + _EMOJI_STYLE) if _EMOJI_STYLE in cluster else cells


@lru_cache(maxsize=4096)
def draw(cluster: str) -> str:
    """What is shown for a cluster that is neither a newline nor a tab; it is as wide as `measure` says."""
    first = cluster[0]
    if visible(first) != first:
        return visible(first)
    if get_character_cell_size(first) == 0:
        return "\u25cc" + "".join(one for one in cluster if _kind(one) == "mark" and not _SKIN.match(one))
    shown = cluster.rstrip(_JOINER) if _kind(first) == "picture" else cluster  # or it might be joined to what follows
    bare = first + _EMOJI_STYLE if _EMOJI_STYLE in cluster else first
    return shown if cell_len(shown) == measure(cluster) else bare  # rich passes over what follows a joiner


def wrap(text: str, width: int, start: int = 0, stop: int | None = None) -> list[int]:
    """Where the rows of a text begin.

    What stands before the last row does not change when text is added at the end: it is enough to wrap again from
    there.

    Args:
        text: any text.
        width: of a row without the space that may hang over its edge, in cells; at least `MIN_WIDTH_CELLS`.
        start: where the text begins.
        stop: where it ends; None is its end.

    Returns:
        Places in `text`, the first being `start`; a text that ends in a newline has a last row without characters.
    """
    assert width >= MIN_WIDTH_CELLS
    stop = len(text) if stop is None else stop
    rows = [start]
    while (start := _row_end(text, start, stop, width)) >= 0:
        rows.append(start)
    return rows


def _row_end(text: str, start: int, stop: int, width: int) -> int:
    """Where the row that begins at `start` ends; -1 where the text ends first."""
    # Two more than fit: one that may hang over the edge, and one that shows that nothing joins it.
    limit = min(stop, start + width + 2)
    run = _simple(text, start, limit)
    assert run is not None
    if run.end() == limit or text[run.end()] == "\n":
        return _row_end_of_simple(text, start, run.end(), stop, width)
    return _row_end_of_any(text, start, stop, width)


def _row_end_of_simple(text: str, start: int, end: int, stop: int, width: int) -> int:
    """The same where up to `end` there are only simple characters, and then more of them, a newline or the end."""
    fits, room = start, width
    for run in _alike(text, start, end):
        cells = 2 if text[fits] >= _FIRST_WIDE else 1
        fits = min(run.end(), fits + room // cells)
        if fits < run.end():
            break
        room -= (fits - run.start()) * cells
    if fits < end and text[fits] == " ":
        fits += 1
    if fits == end:
        return end + 1 if end < stop and text[end] == "\n" else -1
    place = fits
    while place > start:
        before, after = text[place - 1], text[place]
        if _may_break(before, after, before >= _FIRST_WIDE or after >= _FIRST_WIDE):
            return place
        place -= 1
    return fits


def _row_end_of_any(text: str, start: int, stop: int, width: int) -> int:
    column, allowed = 0, start
    before, before_wide = "\n", False
    for place, end, cells in _measured(text, start, stop, width):
        after = text[place]
        if after == "\n":
            return end
        # As the first code point says, which text to come does not change.
        wide = _kind(after) == "region" or get_character_cell_size(after) > 1
        if _may_break(before, after, wide or before_wide):
            allowed = place
        if column + cells > width + (after in " \t"):
            return allowed if allowed > start else place
        column += cells
        before, before_wide = after, wide
    return -1


def _may_break(before: str, after: str, wide: bool) -> bool:
    """Whether a row may end between two clusters that begin so, when one of them is wide or neither is."""
    if before in " \t":
        return True
    return wide and after not in " \t" and after not in _NOT_FIRST and before not in _NOT_LAST


def lay_out(text: str, width: int) -> list[GraphemeCell]:
    """The clusters of one row, each where it stands.

    Args:
        text: of the row, as `wrap` cut it.
        width: with which it was wrapped; tabs end there.
    """
    column, cells = 0, []
    for start, end, size in _measured(text, 0, len(text), width):
        cluster = text[start:end]
        shown = "" if cluster == "\n" else " " * size if cluster == "\t" else draw(cluster)
        cells.append(GraphemeCell(start, end, column, size, shown))
        column += size
    return cells


def _measured(text: str, start: int, stop: int, width: int) -> Iterator[tuple[int, int, int]]:
    """The clusters of a row and what follows: start, end, cells."""
    column = 0
    run = _simple(text, start, min(stop, start + width + 2))
    assert run is not None
    simple = run.end() - (run.end() < stop)  # the last of a run may be joined to what follows
    while start < stop:
        if start < simple:
            end, cells = start + 1, 2 if text[start] >= _FIRST_WIDE else 1
        elif text[start] == "\n":
            end, cells = start + 1, 0
        elif text[start] == "\t":
            end, cells = start + 1, max(1, min(TAB - column % TAB, width - column))
        else:
            end = cluster_end(text, start, stop)
            cells = measure(text[start:end])
        yield start, end, cells
        column += cells
        start = end
