"""Where a cursor goes in a document: by character, word, row, page and block.

Functions from a place to a place. A character is what the eye takes for one, see `wrapping`.
"""

from __future__ import annotations

import re

from charlm.tui.graphemes import lay_out
from charlm.tui.widgets.document import Document

_WORD = re.compile(r"(?<!\w)\w")  # the beginning of one
_WINDOW = 1000  # characters in which a word is looked for at a time


def cluster(document: Document, place: int) -> tuple[int, int]:
    """Where the character at a place begins and ends."""
    row = document.row(document.row_at(place))
    for cell in lay_out(row.text, document.width):
        if row.start + cell.end > place:
            return row.start + cell.start, row.start + cell.end
    return place, place + 1  # what separates two blocks


def settle(document: Document, place: int, step: int = -1) -> int | None:
    """The character at a place, or the nearest one in the direction of `step`, or else in the other direction.

    A cursor can stand on every character of a block, its newlines too, but not on what separates two blocks. None if
    there is no character at all.
    """
    for direction in (step, -step):
        index = document.index_at(min(max(place, 0), len(document)))
        while 0 <= index < len(document.spans):
            start, end = document.spans[index].start, document.end(index)
            if start < end and (place < end if direction > 0 else place >= start):
                return cluster(document, min(max(place, start), end - 1))[0]
            index += direction
    return None


def by_character(document: Document, place: int, step: int) -> int:
    """The next character, or with a step of -1 the one before."""
    start, end = cluster(document, place)
    found = settle(document, end if step > 0 else start - 1, step)
    return place if found is None else found


def by_word(document: Document, place: int, step: int) -> int:
    """The beginning of the next word, or with a step of -1 of this one or the one before.

    Where there is none, the first or the last character of all.
    """
    if step > 0:
        for start in range(place, len(document), _WINDOW):
            match = _WORD.search(document.slice(start, start + _WINDOW + 1), 1)
            if match:
                return cluster(document, start + match.start())[0]
        edge = settle(document, len(document))
    else:
        for end in range(place, 0, -_WINDOW):
            start = max(0, end - _WINDOW - 1)
            words = list(_WORD.finditer(document.slice(start, end), min(start, 1)))
            if words:
                return cluster(document, start + words[-1].start())[0]
        edge = settle(document, 0, 1)
    return place if edge is None else edge


def column(document: Document, place: int) -> int:
    """How far right a place stands in its row, in cells."""
    row = document.row(document.row_at(place))
    return next((cell.column for cell in lay_out(row.text, document.width) if row.start + cell.end > place), 0)


def by_row(document: Document, place: int, step: int, column: int) -> int:
    """The character in a column of a row below, or with a negative step above; rows without text are passed over."""
    y = here = document.row_at(place)
    direction = 1 if step > 0 else -1
    target = min(max(y + step, 0), document.rows - 1)
    while (target - y) * direction > 0 or not _stands(document, y):
        y += direction
        if not 0 <= y < document.rows:
            break
    while not (0 <= y < document.rows and _stands(document, y)):
        y -= direction
    if y == here:
        return place
    row = document.row(y)
    cells = lay_out(row.text, document.width)
    return row.start + next((cell.start for cell in cells if cell.column + cell.cells > column), cells[-1].start)


def _stands(document: Document, y: int) -> bool:
    return document.is_text(y) and bool(document.row(y).text)


def to_edge(document: Document, place: int, step: int) -> int:
    """The last character of a row, or with a step of -1 the first."""
    row = document.row(document.row_at(place))
    return row.start + (lay_out(row.text, document.width)[-1].start if step > 0 else 0)


def by_block(document: Document, place: int, step: int) -> int:
    """The first character of the next block, or with a step of -1 of this one or the one before."""
    index = document.index_at(place)
    if step < 0 and place == document.spans[index].start:
        index -= 1
    index += step > 0
    while 0 <= index < len(document.spans):
        if document.spans[index].start < document.end(index):
            return cluster(document, document.spans[index].start)[0]
        index += step
    return place


def around(document: Document, place: int, *, whole: bool) -> tuple[int, int]:
    """Where the word at a place begins and ends, or the `whole` block."""
    if whole:
        index = document.index_at(place)
        return document.spans[index].start, document.end(index)
    begin = max(0, place - _WINDOW)
    for match in re.finditer(r"\w+", document.slice(begin, place + _WINDOW)):
        if begin + match.start() <= place < begin + match.end():
            return begin + match.start(), begin + match.end()
    return cluster(document, place)
