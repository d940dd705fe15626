"""What a transcript holds: blocks of text, one after the other, and the rows that they are folded into.

Knows nothing of widgets or colours. All text stands in one store, so that a place is one number, its position in it; a
block remembers where it begins. Adding text at the end costs what is added and a row, whatever stands before.

    row 0   HEADER   ROMEO
    row 1   TEXT     Good morrow, cousin.
    row 2   GAP
    row 3   HEADER   JULIET  2/3
    row 4   TEXT     What is the
    row 5   TEXT     day?
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from math import isnan, nan
from operator import attrgetter
from typing import Final, NamedTuple

from charlm.tui.widgets.wrapping import MIN_WIDTH_CELLS, wrap

TEXT, GAP, HEADER = range(3)  # kinds of rows; TEXT is what new bytes are
DEFAULT_WIDTH: Final = 76  # cells, until the real width is known
_UNKNOWN: Final = array("f", [nan])


@dataclass(frozen=True, slots=True)
class Block:
    """What one author wrote at one time.

    Attributes:
        key: its number; no two blocks share one.
        author: "you", "bot" or "note".
        label: stands over it; nothing does if it is empty.
        text: what was written.
        inline: it goes on where the block before it ended, on the same line and without a label.
        surprises: of each character, in bits; fewer than there are characters, or none, if they are not known.
    """

    key: int
    author: str
    label: str
    text: str
    inline: bool = False
    surprises: Sequence[float] = ()


@dataclass(slots=True)
class Span:
    """A block as it stands in the document.

    Attributes:
        key: its number.
        author: "you", "bot" or "note".
        label: stands over it, unless it is joined.
        start: where its text begins.
        joined: to the block before it, on the same line.
    """

    key: int
    author: str
    label: str
    start: int
    joined: bool


class WrappedRow(NamedTuple):
    """One line of the screen.

    Attributes:
        kind: TEXT, GAP or HEADER.
        start: where its text begins; for the other kinds, where the text that they stand over begins.
        text: without the newline that separates blocks.
    """

    kind: int
    start: int
    text: str


class Document:
    """Blocks, their text and its rows.

    Args:
        width: of a row, see `wrap`; in cells.

    Attributes:
        spans: the blocks, in order.
        width: of a row, in cells.
        surprises: in bits, one a character; not a number where it is not known.
        tints: what a unit of the model did, one a character; not a number where it is not known.
    """

    def __init__(self, width: int = DEFAULT_WIDTH) -> None:
        self.width = width
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.spans: list[Span] = []
        self.surprises = array("f")
        self.tints = array("f")
        self._index: dict[int, int] = {}  # of a key, in spans
        self._text = StringIO()
        self._starts = array("q")  # of the rows; never falls, since a header begins where its text does
        self._kinds = bytearray()

    # -- what there is ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.surprises)

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self._kinds)

    def slice(self, start: int, end: int) -> str:
        """The text between two places; blocks that are not joined are separated by a newline."""
        self._text.seek(max(0, start))
        return self._text.read(max(0, end - max(0, start)))

    def span(self, key: int) -> Span:
        """The block with that key."""
        return self.spans[self._index[key]]

    def __contains__(self, key: int) -> bool:
        return key in self._index

    def index_at(self, place: int) -> int:
        """Which block a place belongs to; a separator belongs to the block before it."""
        return max(0, bisect_right(self.spans, place, key=attrgetter("start")) - 1)

    def end(self, index: int) -> int:
        """Where the text of a block ends."""
        if index + 1 == len(self.spans):
            return len(self)
        after = self.spans[index + 1]
        return after.start if after.joined else after.start - 1

    def row(self, y: int) -> WrappedRow:
        """A row by its number."""
        kind, start = self._kinds[y], self._starts[y]
        if kind != TEXT:
            return WrappedRow(kind, start, "")
        last = y + 1 == self.rows
        end = len(self) if last else self._starts[y + 1]
        if not last and self._kinds[y + 1] != TEXT:
            end -= 1
        return WrappedRow(kind, start, self.slice(start, end))

    def row_at(self, place: int) -> int:
        """The number of the row of text that a place stands in."""
        return max(0, bisect_right(self._starts, place) - 1)

    def start_of_row(self, y: int) -> int:
        """Where a row's text begins, see `WrappedRow`."""
        return self._starts[y]

    def is_text(self, y: int) -> bool:
        """Whether a row holds text."""
        return self._kinds[y] == TEXT

    # -- what changes it ----------------------------------------------------------------------------------------------

    def load(self, blocks: Sequence[Block]) -> None:
        """These blocks instead of what there is."""
        self.clear()
        for block in blocks:
            self._enter(block.key, block.author, block.label, block.inline)
            self._write(block.text, block.surprises)
        self.wrap(self.width)

    def begin(self, key: int, author: str, label: str, inline: bool = False) -> None:
        """A new block at the end. Nothing is joined to a note."""
        span = self._enter(key, author, label, inline)
        if not span.joined:
            self._head(span)
            self._row(TEXT, span.start)

    def append(self, text: str, surprises: Sequence[float] = ()) -> int:
        """Add to the last block.

        Args:
            text: to be added.
            surprises: of its characters, in bits.

        Returns:
            The first row that has changed.
        """
        assert self.spans
        self._write(text, surprises)
        return self._wrap_from(self.rows - 1)

    def label(self, key: int, label: str) -> bool:
        """Another label; whether that moved the rows."""
        span = self.span(key)
        moved = not span.joined and bool(label) != bool(span.label)
        span.label = label
        if moved:
            self.wrap(self.width)
        return moved

    def rekey(self, old: int, new: int) -> None:
        """Another key for a block."""
        assert new not in self._index
        self._index[new] = self._index.pop(old)
        self.span(new).key = new

    def set_surprises(self, key: int, surprises: Sequence[float]) -> None:
        """The surprises of a block's characters, in bits, from its first one on."""
        index = self._index[key]
        start = self.spans[index].start
        known = array("f", surprises[: self.end(index) - start])
        self.surprises[start : start + len(known)] = known

    def set_tints(self, key: int, first: int, tints: Sequence[float]) -> None:
        """What a unit did at a block's characters, from a place in it on."""
        index = self._index[key]
        start = self.spans[index].start + first
        known = array("f", tints[: max(0, self.end(index) - start)])
        self.tints[start : start + len(known)] = known

    def is_tinted(self, key: int) -> bool:
        """Whether that is known for all characters of a block."""
        index = self._index[key]
        return not any(map(isnan, self.tints[self.spans[index].start : self.end(index)]))

    def forget_tints(self) -> None:
        """It is another unit now."""
        self.tints = _UNKNOWN * len(self)

    def truncate(self, key: int) -> int:
        """Take away a block and all that follows.

        Returns:
            The first row that has changed.
        """
        index = self._index[key]
        if index == 0:
            self.clear()
            return 0
        end = self.end(index - 1)
        start = self._start_of_flow(index - 1)
        for span in self.spans[index:]:
            del self._index[span.key]
        del self.spans[index:]
        self._text.seek(end)
        self._text.truncate()
        del self.surprises[end:], self.tints[end:]
        y = self.row_at(max(start, end - 1))
        if y > 0 and self.is_text(y - 1):
            y -= 1  # a word that was too long for that row may now be short enough
        return self._wrap_from(y)

    def wrap(self, width: int) -> None:
        """Fold everything anew."""
        self.width = max(MIN_WIDTH_CELLS, width)
        self._starts, self._kinds = array("q"), bytearray()
        text = self._text.getvalue()
        heads = [span for span in self.spans if not span.joined]
        ends = [*(span.start - 1 for span in heads[1:]), len(self)]
        for span, end in zip(heads, ends, strict=False):
            self._head(span)
            rows = wrap(text, self.width, span.start, end)
            self._starts.extend(rows)
            self._kinds.extend(bytes(len(rows)))

    def _enter(self, key: int, author: str, label: str, inline: bool) -> Span:
        assert key not in self._index
        assert author in ("you", "bot", "note")
        before = self.spans[-1] if self.spans else None
        joined = inline and before is not None and "note" not in (before.author, author)
        if before is not None and not joined:
            self._write("\n", ())
        self._index[key] = len(self.spans)
        self.spans.append(Span(key, author, "" if inline else label, len(self), joined))
        return self.spans[-1]

    def _head(self, span: Span) -> None:
        if self._kinds:
            self._row(GAP, span.start)
        if span.label:
            self._row(HEADER, span.start)

    def _row(self, kind: int, start: int) -> None:
        self._kinds.append(kind)
        self._starts.append(start)

    def _write(self, text: str, surprises: Sequence[float]) -> None:
        self._text.seek(len(self))
        self._text.write(text)
        known = array("f", surprises[: len(text)])
        self.surprises.extend(known)
        self.surprises.extend(_UNKNOWN * (len(text) - len(known)))
        self.tints.extend(_UNKNOWN * len(text))

    def _wrap_from(self, y: int) -> int:
        start = self._starts[y]
        rows = wrap(self.slice(start, len(self)), self.width)
        del self._starts[y:], self._kinds[y:]
        self._starts.extend([start + row for row in rows])
        self._kinds.extend(bytes(len(rows)))
        return y

    def _start_of_flow(self, index: int) -> int:
        while self.spans[index].joined:
            index -= 1
        return self.spans[index].start
