"""From rows to strips: colours, the scale of surprise, and which place each cell stands for.

Knows nothing of widgets: it is given a document and a palette. Nothing here reads markup, and what is drawn has gone
through `wrapping.draw`, so nothing that a model writes can drive the terminal.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isnan
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.strip import Strip
from textual.style import Style as ContentStyle

from charlm.tui.graphemes import Cluster, lay_out, one_line, shorten
from charlm.tui.widgets.document import HEADER, TEXT, Document, WrappedRow

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


class ColourScale(NamedTuple):
    """The scale that shows what a unit does.

    Attributes:
        title: of the unit.
        low: gets the first colour.
        high: gets the last.
        colours: from low to high.
        inks: that can be read on them.
    """

    title: str
    low: float
    high: float
    colours: tuple[str, ...]
    inks: tuple[str, ...]

    def step(self, value: float) -> int:
        """The colour's number for a value; those outside get an end's."""
        share = (value - self.low) / (self.high - self.low)
        return min(max(0, int(share * len(self.colours))), len(self.colours) - 1)

    def style(self, value: float) -> Style:
        """Text on the value's colour."""
        step = self.step(value)
        return _on(self.inks[step], self.colours[step])

    @property
    def legend(self) -> Content:
        """The scale for people to read."""
        middle = (self.low + self.high) / 2
        parts = []
        for value in (self.low, middle, self.high):
            step = self.step(value)
            parts.append((f" {value:.3g} ", f"{self.inks[step]} on {self.colours[step]}"))
        return Content.assemble(f"{self.title} ", *parts)


@lru_cache(maxsize=256)
def _on(ink: str, ground: str) -> Style:
    return Style(color=ink, bgcolor=ground)


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
        tint: how characters are coloured by what a unit did; None if they are not. It comes before heat.
    """

    document: Document
    palette: Palette
    width: int
    heat: bool = False
    cursor: int | None = None
    selection: tuple[int, int] = (0, 0)
    tint: ColourScale | None = None

    def paint(self, y: int) -> Strip:
        """A row, by its number; beyond the end they are blank."""
        segments: list[Segment] = []
        if y < self.document.rows:
            row = self.document.row(y)
            if row.kind == HEADER:
                segments = self._label(row.start)
            elif row.kind == TEXT:
                segments = [Segment(" " * LEFT, self.palette.base), *self._text(row)]
        used = sum([segment.cell_length for segment in segments])
        segments.append(Segment(" " * (self.width - used), self.palette.base))
        return Strip(segments, max(used, self.width)).crop(0, self.width)  # rows are never narrower than a symbol

    def places(self, y: int) -> list[int]:
        """Which place in the document each cell of a row stands for, under the mouse."""
        document = self.document
        if y >= document.rows:
            return [len(document)] * self.width
        row = document.row(y)
        if row.kind != TEXT:
            return [max(0, row.start - 1)] * self.width  # what separates two blocks
        cells = lay_out(row.text, document.width)
        found = [row.start] * LEFT
        for cell in cells:
            found += [row.start + cell.start] * cell.cells
        # Right of the text is the newline; or the end; or if the row was only folded there, its last character.
        folded = y + 1 < document.rows and document.is_text(y + 1)
        after = cells[-1].start if cells and (folded or not cells[-1].drawn) else len(row.text)
        return (found + [row.start + after] * self.width)[: self.width]

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

    def _text(self, row: WrappedRow) -> Iterator[Segment]:
        """The segments of a row, each as long as the style is the same."""
        cells = lay_out(row.text, self.document.width)
        run, run_style = "", self.palette.base
        for cell, style in zip(cells, self._styles(row, cells), strict=True):
            shown = cell.drawn or self._newline(row.start + cell.start, cell)
            # Joined to what follows, a joiner at the end of a cluster would be measured otherwise.
            alone = cell.end - cell.start > 1
            if run and (alone or style != run_style):
                yield Segment(run, run_style)
                run = ""
            if alone:
                yield Segment(shown, style)
            else:
                run, run_style = run + shown, style
        if run:
            yield Segment(run, run_style)

    def _newline(self, place: int, cell: Cluster) -> str:
        if cell.column >= self.document.width + RIGHT:
            return ""
        known = self.document.tints if self.tint is not None else self.document.surprises
        if (self.heat or self.tint is not None) and not isnan(known[place]):
            return NEWLINE
        return " " if place == self.cursor else ""

    def _styles(self, row: WrappedRow, cells: list[Cluster]) -> Iterator[Style]:
        spans = self.document.spans
        index = self.document.index_at(row.start)
        cursor = self.cursor if self.cursor is not None else -1
        if cells and not cells[-1].drawn and cells[-1].column > self.document.width:
            cursor -= cursor == row.start + cells[-1].start  # no room for a newline: its cursor is on the space before
        start, end = self.selection
        for cell in cells:
            place = row.start + cell.start
            while index + 1 < len(spans) and spans[index + 1].start <= place:
                index += 1
            style = self.palette.text[spans[index].author]
            if self.tint is not None:
                value = self.document.tints[place]
                style = style if isnan(value) else self.tint.style(value)
            elif self.heat:
                level = heat_level(sum(self.document.surprises[place : row.start + cell.end]))
                style = self.palette.heat[level] if level >= 0 else style
            if start <= place < end:
                style += self.palette.selection
            if place == cursor:
                style += self.palette.cursor
            yield style
