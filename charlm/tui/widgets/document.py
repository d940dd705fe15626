"""The text of a transcript: blocks, their text and the rows into which it is wrapped.

An offset is an index into the text of all blocks together. Appending costs as much as the new text and one row,
however long the document is.
"""

# row 0   HEADER   ROMEO
# row 1   TEXT     Good morrow, cousin.
# row 2   GAP
# row 3   HEADER   JULIET  2/3
# row 4   TEXT     What is the
# row 5   TEXT     day?

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

TEXT, GAP, HEADER = range(3)  # kinds of rows; TEXT is 0, as new bytes are
DEFAULT_WIDTH_CELLS: Final = 76  # until the real width is known
AUTHORS: Final = ("you", "bot", "note")
_UNKNOWN: Final = array("f", [nan])


@dataclass(frozen=True, slots=True)
class Block:
    """A text by one author, to be loaded into a document."""

    key: int  # unique in the document
    author: str  # one of AUTHORS
    label: str  # shown above the text; two spaces separate a part in quiet colours; none if empty
    text: str
    inline: bool = False  # continues the line of the block before, without a label
    surprises: Sequence[float] = ()  # bits, one a character from the first on; may end early


@dataclass(slots=True)
class Span:
    """A block in the document."""

    key: int
    author: str
    label: str
    start: int  # offset of its text
    joined: bool  # continues the line of the block before


class WrappedRow(NamedTuple):
    """One line of the screen."""

    kind: int  # TEXT, GAP or HEADER
    start: int  # offset of its text; for other kinds, of the text below
    text: str  # without the newline that separates blocks


class DocumentObserver:
    """Receives the changes of a document; ignores them by default."""

    def text_appended(self, first_row: int, char_count: int) -> None:
        """Rows from `first_row` on are new or longer."""

    def text_removed(self, *, reloaded: bool) -> None:
        """The end of the document is gone, or if `reloaded`, all of it was replaced."""

    def rows_moved(self) -> None:
        """The same text was wrapped into other rows."""

    def colours_changed(self) -> None:
        """Surprises or unit values have changed."""


class TranscriptText:
    """Blocks of text, wrapped into rows of some width in cells. The observer is notified of each change."""

    def __init__(self, width: int = DEFAULT_WIDTH_CELLS, observer: DocumentObserver | None = None) -> None:
        self.width = width
        self._observer = observer or DocumentObserver()
        self._clear()

    def _clear(self) -> None:
        self.spans: list[Span] = []
        self.surprises = array("f")  # bits, one a character; NaN where unknown
        self.unit_values = array("f")  # activation of the pinned unit, one a character; NaN where unknown
        self._span_index: dict[int, int] = {}  # by key
        self._text = StringIO()
        self._row_starts = array("q")  # never decreases, since a header begins where its text does
        self._row_kinds = bytearray()

    # -- reading ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.surprises)

    def __contains__(self, key: int) -> bool:
        return key in self._span_index

    @property
    def row_count(self) -> int:
        return len(self._row_kinds)

    def slice(self, start: int, end: int) -> str:
        """Return the text between two offsets; blocks that are not joined are separated by a newline."""
        start = max(0, start)
        self._text.seek(start)
        return self._text.read(max(0, end - start))

    def span(self, key: int) -> Span:
        return self.spans[self._span_index[key]]

    def span_index_at(self, offset: int) -> int:
        """Return the index of the block at an offset; a separator belongs to the block before it."""
        return max(0, bisect_right(self.spans, offset, key=attrgetter("start")) - 1)

    def span_end(self, index: int) -> int:
        if index + 1 == len(self.spans):
            return len(self)
        following = self.spans[index + 1]
        return following.start if following.joined else following.start - 1

    def row(self, y: int) -> WrappedRow:
        kind, start = self._row_kinds[y], self._row_starts[y]
        if kind != TEXT:
            return WrappedRow(kind, start, "")
        is_last = y + 1 == self.row_count
        end = len(self) if is_last else self._row_starts[y + 1]
        if not is_last and self._row_kinds[y + 1] != TEXT:
            end -= 1
        return WrappedRow(kind, start, self.slice(start, end))

    def row_at(self, offset: int) -> int:
        return max(0, bisect_right(self._row_starts, offset) - 1)

    def row_start(self, y: int) -> int:
        return self._row_starts[y]

    def is_text_row(self, y: int) -> bool:
        return self._row_kinds[y] == TEXT

    def has_unit_values(self, key: int) -> bool:
        """Return whether the unit values of all characters of a block are known."""
        index = self._span_index[key]
        return not any(map(isnan, self.unit_values[self.spans[index].start : self.span_end(index)]))

    # -- changing -----------------------------------------------------------------------------------------------------

    def load(self, blocks: Sequence[Block]) -> None:
        """Replace everything."""
        self._clear()
        for block in blocks:
            self._add_span(block.key, block.author, block.label, block.inline)
            self._write(block.text, block.surprises)
        self._wrap_all()
        self._observer.text_removed(reloaded=True)

    def begin_block(self, key: int, author: str, label: str, inline: bool = False) -> None:
        """Add an empty block at the end; see `Block`. Nothing is joined to a note."""
        first_row = self.row_count
        span = self._add_span(key, author, label, inline)
        if not span.joined:
            self._add_header(span)
            self._add_row(TEXT, span.start)
        self._observer.text_appended(first_row, 0)

    def append(self, text: str, surprises: Sequence[float] = ()) -> None:
        """Add text to the last block, with surprises as in `Block`."""
        assert self.spans
        if text:
            first_row = self.row_count - 1
            self._write(text, surprises)
            self._wrap_from(first_row)
            self._observer.text_appended(first_row, len(text))

    def remove_from(self, key: int) -> None:
        """Remove a block and all blocks after it."""
        index = self._span_index[key]
        if index == 0:
            self._clear()
        else:
            end = self.span_end(index - 1)
            flow_start = next(span.start for span in self.spans[index - 1 :: -1] if not span.joined)
            for span in self.spans[index:]:
                del self._span_index[span.key]
            del self.spans[index:]
            self._text.seek(end)
            self._text.truncate()
            del self.surprises[end:], self.unit_values[end:]
            self._wrap_from(self.row_at(flow_start))
        self._observer.text_removed(reloaded=False)

    def set_label(self, key: int, label: str) -> None:
        span = self.span(key)
        if span.label == label:
            return
        moves_rows = not span.joined and bool(label) != bool(span.label)
        span.label = label
        if moves_rows:
            self._wrap_all()
        self._observer.rows_moved()

    def rewrap(self, width: int) -> None:
        """Wrap everything to another width in cells."""
        self.width = max(MIN_WIDTH_CELLS, width)
        self._wrap_all()
        self._observer.rows_moved()

    def set_surprises(self, key: int, surprises: Sequence[float]) -> None:
        """Set the surprises of a block in bits, from its first character on."""
        self._set_values(self.surprises, key, 0, surprises)

    def set_unit_values(self, key: int, first: int, values: Sequence[float]) -> None:
        """Set the unit values of a block from its character number `first` on. Ignored if the block is gone."""
        if key in self:
            self._set_values(self.unit_values, key, first, values)

    def clear_unit_values(self) -> None:
        self.unit_values = _UNKNOWN * len(self)
        self._observer.colours_changed()

    # -- storage ------------------------------------------------------------------------------------------------------

    def _set_values(self, column: array[float], key: int, first: int, values: Sequence[float]) -> None:
        index = self._span_index[key]
        start = self.spans[index].start + first
        known = array("f", values[: max(0, self.span_end(index) - start)])
        column[start : start + len(known)] = known
        self._observer.colours_changed()

    def _add_span(self, key: int, author: str, label: str, inline: bool) -> Span:
        assert key not in self
        assert author in AUTHORS
        before = self.spans[-1] if self.spans else None
        joined = inline and before is not None and "note" not in (before.author, author)
        if before is not None and not joined:
            self._write("\n", ())
        self._span_index[key] = len(self.spans)
        self.spans.append(Span(key, author, "" if inline else label, len(self), joined))
        return self.spans[-1]

    def _write(self, text: str, surprises: Sequence[float]) -> None:
        self._text.seek(len(self))
        self._text.write(text)
        known = array("f", surprises[: len(text)])
        self.surprises.extend(known)
        self.surprises.extend(_UNKNOWN * (len(text) - len(known)))
        self.unit_values.extend(_UNKNOWN * len(text))

    def _add_header(self, span: Span) -> None:
        if self._row_kinds:
            self._add_row(GAP, span.start)
        if span.label:
            self._add_row(HEADER, span.start)

    def _add_row(self, kind: int, start: int) -> None:
        self._row_kinds.append(kind)
        self._row_starts.append(start)

    def _wrap_all(self) -> None:
        self._row_starts, self._row_kinds = array("q"), bytearray()
        text = self._text.getvalue()
        heads = [span for span in self.spans if not span.joined]
        ends = [*(span.start - 1 for span in heads[1:]), len(self)]
        for span, end in zip(heads, ends, strict=False):
            self._add_header(span)
            self._add_text_rows(wrap(text, self.width, span.start, end))

    def _wrap_from(self, y: int) -> None:
        """Wrap the text again from a row of the last flow of joined blocks on."""
        start = self._row_starts[y]
        text = self.slice(start, len(self))
        del self._row_starts[y:], self._row_kinds[y:]
        self._add_text_rows([start + row for row in wrap(text, self.width)])

    def _add_text_rows(self, starts: Sequence[int]) -> None:
        self._row_starts.extend(starts)
        self._row_kinds.extend(bytes(len(starts)))
