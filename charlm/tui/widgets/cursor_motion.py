"""Motions of a cursor in a document: functions from an offset to an offset.

A cursor is on a whole grapheme cluster, which may be a newline, but never on the separator of two blocks.
"""

from __future__ import annotations

import re
from itertools import chain

from charlm.tui.graphemes import lay_out
from charlm.tui.widgets.document import TranscriptText

_WORD_START = re.compile(r"(?<!\w)\w")
_WINDOW_CHARS = 1000  # text searched for a word at a time


def cluster_at(document: TranscriptText, offset: int) -> tuple[int, int]:
    """Return start and end of the cluster at an offset."""
    row = document.row(document.row_at(offset))
    for cluster in lay_out(row.text, document.width):
        if row.start + cluster.end > offset:
            return row.start + cluster.start, row.start + cluster.end
    return offset, offset + 1  # a separator


def word_at(document: TranscriptText, offset: int) -> tuple[int, int]:
    """Return start and end of the word at an offset, or of the cluster if there is no word."""
    start = max(0, offset - _WINDOW_CHARS)
    for match in re.finditer(r"\w+", document.slice(start, offset + _WINDOW_CHARS)):
        if start + match.start() <= offset < start + match.end():
            return start + match.start(), start + match.end()
    return cluster_at(document, offset)


def block_at(document: TranscriptText, offset: int) -> tuple[int, int]:
    """Return start and end of the block at an offset."""
    index = document.span_index_at(offset)
    return document.spans[index].start, document.span_end(index)


def column_at(document: TranscriptText, offset: int) -> int:
    """Return the cell of its row at which the cluster at an offset begins."""
    row = document.row(document.row_at(offset))
    return next((one.column for one in lay_out(row.text, document.width) if row.start + one.end > offset), 0)


def nearest(document: TranscriptText, offset: int, step: int = -1) -> int | None:
    """Return the cluster at an offset, or else the nearest one in the direction of `step`, or in the other.

    None if the document has no text.
    """
    for direction in (step, -step):
        index = document.span_index_at(min(max(offset, 0), len(document)))
        while 0 <= index < len(document.spans):
            start, end = document.spans[index].start, document.span_end(index)
            if start < end and (offset < end if direction > 0 else offset >= start):
                return cluster_at(document, min(max(offset, start), end - 1))[0]
            index += direction
    return None


def by_character(document: TranscriptText, offset: int, step: int) -> int:
    """Return the next cluster, or with a step of -1 the one before."""
    start, end = cluster_at(document, offset)
    found = nearest(document, end if step > 0 else start - 1, step)
    return offset if found is None else found


def by_word(document: TranscriptText, offset: int, step: int) -> int:
    """Return the start of the next word, or with a step of -1 of this one or the one before.

    Without such a word, return the last or first cluster of the document.
    """
    if step > 0:
        for start in range(offset, len(document), _WINDOW_CHARS):
            match = _WORD_START.search(document.slice(start, start + _WINDOW_CHARS + 1), 1)
            if match:
                return cluster_at(document, start + match.start())[0]
    else:
        for end in range(offset, 0, -_WINDOW_CHARS):
            start = max(0, end - _WINDOW_CHARS - 1)
            words = list(_WORD_START.finditer(document.slice(start, end), min(start, 1)))
            if words:
                return cluster_at(document, start + words[-1].start())[0]
    return to_document_edge(document, offset, step)


def by_row(document: TranscriptText, offset: int, step: int, column: int) -> int:
    """Return the cluster in a column `step` rows below, or above if negative. Rows without text are skipped."""
    here = document.row_at(offset)
    direction = 1 if step > 0 else -1
    target = min(max(here + step, 0), document.row_count - 1)
    beyond = range(target, document.row_count if direction > 0 else -1, direction)
    y = next((y for y in chain(beyond, range(target, here, -direction)) if _has_text(document, y)), here)
    if y == here:
        return offset
    row = document.row(y)
    clusters = lay_out(row.text, document.width)
    return row.start + next((one.start for one in clusters if one.column + one.cells > column), clusters[-1].start)


def _has_text(document: TranscriptText, y: int) -> bool:
    return document.is_text_row(y) and bool(document.row(y).text)


def to_row_edge(document: TranscriptText, offset: int, step: int) -> int:
    """Return the last cluster of the row, or with a step of -1 the first."""
    row = document.row(document.row_at(offset))
    return row.start + (lay_out(row.text, document.width)[-1].start if step > 0 else 0)


def to_document_edge(document: TranscriptText, offset: int, step: int) -> int:
    """Return the last cluster of the document, or with a step of -1 the first."""
    edge = nearest(document, len(document) if step > 0 else 0)
    return offset if edge is None else edge


def by_block(document: TranscriptText, offset: int, step: int) -> int:
    """Return the first cluster of the next block, or with a step of -1 of this one or the one before."""
    index = document.span_index_at(offset)
    if step < 0 and offset == document.spans[index].start:
        index -= 1
    index += step > 0
    while 0 <= index < len(document.spans):
        if document.spans[index].start < document.span_end(index):
            return cluster_at(document, document.spans[index].start)[0]
        index += step
    return offset


MOTIONS = {
    "character": by_character,
    "word": by_word,
    "row_edge": to_row_edge,
    "block": by_block,
    "document_edge": to_document_edge,
}
