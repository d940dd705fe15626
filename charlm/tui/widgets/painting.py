"""From rows to strips: colours, the scale of surprise, and which place each cell stands for.

Knows nothing of widgets: it is given a document and a palette. Nothing here reads markup, and what is drawn has gone
through `wrapping.draw`, so nothing that a model writes can drive the terminal.

Textual finds the text under the mouse through an offset in each segment's style. Here its y is 0 and its x is the place
in the document, as if all text stood on one endless line: so a selection stays on its text when rows are folded anew or
text arrives, and cutting it out is a slice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isnan
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.strip import Strip
from textual.style import Style as ContentStyle

from charlm.tui.glyphs import one_line, shorten
from charlm.tui.widgets.document import HEADER, TEXT, Document, Row
from charlm.tui.widgets.wrapping import Cell, lay_out

HEAT: Final = (0.0, 0.5, 1.5, 2.5, 4.0, 5.5, 7.0, 10.0)  # bits at which levels begin; two make one of `sample --heat`
LEFT: Final = 2  # cells before the text
RIGHT: Final = 1  # after it: one space may hang there
NEWLINE: Final = "\u21b5"  # shown for a newline where its surprise is


def heat_level(bits: float) -> int:
    """The step of the scale that a surprise belongs to; -1 if it is not known."""
    return -1 if isnan(bits) else max(0, bisect_right(HEAT, bits) - 1)


def heat_scale(style: Callable[[int], ContentStyle]) -> Content:
    """The scale for people to read, each step in its colours.

    Args:
        style: of a level.
    """
    steps = [(f" {bits:g} ", style(level)) for level, bits in enumerate(HEAT)]
    return Content.assemble("surprise ", *steps, " bits")


@dataclass(frozen=True, slots=True)
class Palette:
    """The styles of a transcript.

    Attributes:
        base: of blank space.
        text: by author.
        label: by author.
        aside: of the rest of a label, after two spaces.
        heat: by level.
        selection: of what the mouse has selected; laid over the others.
        cursor: of the character under the cursor; laid over the others.
    """

    base: Style
    text: dict[str, Style]
    label: dict[str, Style]
    aside: Style
    heat: Sequence[Style]
    selection: Style
    cursor: Style


@lru_cache(maxsize=2048)
def _at(style: Style, place: int) -> Style:
    return style + Style.from_meta({"offset": (place, 0)})


@dataclass(slots=True)
class Painter:
    """Paints rows of a document.

    Attributes:
        document: what is painted.
        palette: the styles.
        width: of a strip, in cells.
        heat: whether characters are coloured by their surprise.
        cursor: where it stands, if anywhere.
        selection: where selected text begins and ends.
    """

    document: Document
    palette: Palette
    width: int
    heat: bool = False
    cursor: int | None = None
    selection: tuple[int, int] = (0, 0)

    def paint(self, y: int) -> Strip:
        """A row, by its number; beyond the end they are blank."""
        if y >= self.document.rows:
            return self._strip([], len(self.document))
        row = self.document.row(y)
        if row.kind != TEXT:
            # Under the mouse it stands for what separates the blocks.
            label = self._label(row.start) if row.kind == HEADER else []
            return self._strip(label, max(0, row.start - 1))
        cells = lay_out(row.text, self.document.width)
        segments = [Segment(" ", _at(self.palette.base, row.start))] * LEFT
        for text, style, place in self._runs(row, cells):
            segments.append(Segment(text, _at(style, place)))
        return self._strip(segments, self._place_after(y, row, cells))

    def _strip(self, segments: list[Segment], place: int) -> Strip:
        """Segments made as wide as the transcript; what is right of them stands for `place`."""
        rest = self.width - sum([segment.cell_length for segment in segments])
        mark = Segment("", Style.from_meta({"offset": (place, 0)}))
        return Strip([*segments, mark, Segment(" " * rest, self.palette.base)], self.width)

    def _place_after(self, y: int, row: Row, cells: list[Cell]) -> int:
        """The newline; or the end of the text; or if the row was only folded there, its last character."""
        folded = y + 1 < self.document.rows and self.document.is_text(y + 1)
        return row.start + (cells[-1].start if folded and cells else len(row.text))

    def _label(self, start: int) -> list[Segment]:
        document = self.document
        span = document.spans[document.index_at(start)]
        if span.joined or span.start != start or not span.label:  # an empty block has the next one at its start
            span = next(one for one in document.spans if one.start == start and one.label and not one.joined)
        name, _, aside = span.label.partition("  ")
        room = self.width - LEFT - RIGHT
        name = shorten(one_line(name), room)
        aside = shorten(one_line(aside), room - cell_len(name) - 2)
        segments = [Segment(" " * LEFT, self.palette.base), Segment(name, self.palette.label[span.author])]
        return [*segments, Segment("  " + aside, self.palette.aside)] if aside else segments

    def _runs(self, row: Row, cells: list[Cell]) -> Iterator[tuple[str, Style, int]]:
        """What is drawn in one style: text, style, and the place of its first character.

        Within a run a character is a place. Where it is not, as in a symbol that stands for one, each character is a
        run by itself, all of the same place.
        """
        run, run_style, run_place = "", self.palette.base, 0
        for cell, style in zip(cells, self._styles(row, cells), strict=True):
            place = row.start + cell.start
            shown = cell.shown or self._newline(place, cell)
            plain = len(shown) == 1 == cell.end - cell.start
            if run and not (plain and style == run_style):
                yield run, run_style, run_place
                run = ""
            if plain:
                run, run_style, run_place = (run + shown, style, run_place) if run else (shown, style, place)
            elif cell.end - cell.start > 1 or len(shown) != cell.cells:
                yield from [(shown, style, place)] if shown else []
            else:
                yield from ((one, style, place) for one in shown)
        if run:
            yield run, run_style, run_place

    def _newline(self, place: int, cell: Cell) -> str:
        if cell.column >= self.document.width + RIGHT:
            return ""
        if self.heat and heat_level(self.document.surprises[place]) >= 0:
            return NEWLINE
        return " " if place == self.cursor else ""

    def _styles(self, row: Row, cells: list[Cell]) -> Iterator[Style]:
        spans = self.document.spans
        index = self.document.index_at(row.start)
        cursor = self.cursor if self.cursor is not None else -1
        if cells and not cells[-1].shown and cells[-1].column > self.document.width:
            cursor -= cursor == row.start + cells[-1].start  # no room for a newline: its cursor is on the space before
        start, end = self.selection
        for cell in cells:
            place = row.start + cell.start
            while index + 1 < len(spans) and spans[index + 1].start <= place:
                index += 1
            style = self.palette.text[spans[index].author]
            if self.heat:
                level = heat_level(sum(self.document.surprises[place : row.start + cell.end]))
                style = self.palette.heat[level] if level >= 0 else style
            if start <= place < end:
                style += self.palette.selection
            if place == cursor:
                style += self.palette.cursor
            yield style
