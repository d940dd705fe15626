"""Line breaking: splits text into rows of a width in cells.

A row may end after spaces, and before and after wide characters, which are written without spaces. Punctuation that
Japanese keeps off the beginning or end of a line (JIS X 4051) stays with its neighbour. A word wider than the row is
cut between two clusters. One space may hang over the edge, so that no row begins with the space after a word that just
fits.
"""

from __future__ import annotations

from typing import Final

from rich.cells import get_character_cell_size

from charlm.tui.graphemes import FIRST_WIDE, find_same_width_runs, iter_clusters, kind_of, match_simple_run

MIN_WIDTH_CELLS: Final = 8  # the widest symbol, <E0041>, fits

# Closing punctuation, small kana and iteration marks do not begin a row; opening brackets do not end one.
_NOT_FIRST = frozenset(
    "!%),.:;?]}\u2019\u201d\u2026\u3001\u3002\u3005\u3009\u300b\u300d\u300f\u3011\u3015\u3017\u3019\u301c\u301f"
    "\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e\u3095\u3096\u309b\u309c\u309d\u309e"
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u30f5\u30f6\u30fb\u30fc\u30fd\u30fe"
    "\uff01\uff05\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\uff3d\uff5d\uff60"
)
_NOT_LAST = frozenset("([{\u2018\u201c\u3008\u300a\u300c\u300e\u3010\u3014\u3016\u3018\u301d\uff08\uff3b\uff5b\uff5f")


def wrap(text: str, width: int, start: int = 0, stop: int | None = None) -> list[int]:
    """Return the indices at which the rows of `text[start:stop]` begin; after a final newline, also an empty row's.

    Text added at the end changes the last row only, so a caller may wrap again from there. The width is in cells, at
    least `MIN_WIDTH_CELLS`.
    """
    assert width >= MIN_WIDTH_CELLS
    stop = len(text) if stop is None else stop
    rows = [start]
    while (start := _row_end(text, start, stop, width)) >= 0:
        rows.append(start)
    return rows


def _row_end(text: str, start: int, stop: int, width: int) -> int:
    """Return the end of the row that begins at `start`, or -1 if it is the last one."""
    # The limit is two characters more than fit: one may hang over the edge, and one shows that no mark follows it.
    limit = min(stop, start + width + 2)
    run = match_simple_run(text, start, limit)
    assert run is not None
    if run.end() == limit or text[run.end()] == "\n":
        return _row_end_of_simple(text, start, run.end(), stop, width)
    return _row_end_of_any(text, start, stop, width)


def _row_end_of_simple(text: str, start: int, run_end: int, stop: int, width: int) -> int:
    """Do the same for `text[start:run_end]` of simple characters, which a simple one, a newline or the end follows."""
    end, room = start, width
    for run in find_same_width_runs(text, start, run_end):
        cells = 2 if text[end] >= FIRST_WIDE else 1
        end = min(run.end(), end + room // cells)
        if end < run.end():
            break
        room -= (end - run.start()) * cells
    if end < run_end and text[end] == " ":
        end += 1
    if end == run_end:
        return end + 1 if end < stop and text[end] == "\n" else -1
    index = end
    while index > start:
        before, after = text[index - 1], text[index]
        if _may_break(before, after, before >= FIRST_WIDE or after >= FIRST_WIDE):
            return index
        index -= 1
    return end


def _row_end_of_any(text: str, start: int, stop: int, width: int) -> int:
    """Do the same for any characters, cluster by cluster."""
    column, last_break = 0, start
    before, before_is_wide = "\n", False
    for index, end, cells in iter_clusters(text, start, stop, width):
        after = text[index]
        if after == "\n":
            return end
        # Judged by the first code point: marks that have yet to arrive do not move the break.
        is_wide = kind_of(after) == "region" or get_character_cell_size(after) > 1
        if _may_break(before, after, is_wide or before_is_wide):
            last_break = index
        if column + cells > width + (after in " \t"):
            return last_break if last_break > start else index
        column += cells
        before, before_is_wide = after, is_wide
    return -1


def _may_break(before: str, after: str, either_is_wide: bool) -> bool:
    """Return whether a row may end between two clusters, given their first code points."""
    if before in " \t":
        return True
    return either_is_wide and after not in " \t" and after not in _NOT_FIRST and before not in _NOT_LAST
