"""Rendering of a document's rows as strips: colours, the surprise scale, and the offset below each cell.

Nothing here reads markup, and all text is drawn as `graphemes.lay_out` says, so a model cannot drive the terminal.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isnan
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.strip import Strip

from charlm.tui.graphemes import Cluster, lay_out, one_line, shorten
from charlm.tui.widgets.document import HEADER, TEXT, TranscriptText, WrappedRow

HEAT_BITS: Final = (0.0, 0.5, 1.5, 2.5, 4.0, 5.5, 7.0, 10.0)  # surprise at which each heat level begins
MARGIN_LEFT: Final = 2  # cells
MARGIN_RIGHT: Final = 1  # cells; one space may hang over into it
NEWLINE_SYMBOL: Final = "\u21b5"  # drawn for a newline that has a colour
MAX_CACHED_STRIPS: Final = 400  # each is some forty objects


def heat_level(bits: float) -> int:
    """Return the heat level of a surprise, or -1 if it is unknown."""
    return -1 if isnan(bits) else max(0, bisect_right(HEAT_BITS, bits) - 1)


class ColourScale(NamedTuple):
    """Colours for the activation of a unit."""

    title: str  # name of the unit
    low: float  # value of the first colour
    high: float  # value of the last colour
    colours: tuple[str, ...]
    inks: tuple[str, ...]  # a readable text colour for each colour

    def style(self, value: float) -> Style:
        step = self._step(value)
        return style_of(self.inks[step], self.colours[step])

    @property
    def legend(self) -> Content:
        parts = []
        for value in (self.low, (self.low + self.high) / 2, self.high):
            step = self._step(value)
            parts.append((f" {value:.3g} ", f"{self.inks[step]} on {self.colours[step]}"))
        return Content.assemble(f"{self.title} ", *parts)

    def _step(self, value: float) -> int:
        fraction = (value - self.low) / (self.high - self.low)
        return min(max(0, int(fraction * len(self.colours))), len(self.colours) - 1)


@lru_cache(maxsize=1024)
def style_of(ink: str, ground: str) -> Style:
    """Return the style of text in one colour on another."""
    return Style(color=ink, bgcolor=ground)


@dataclass(frozen=True, slots=True)
class Palette:
    """Styles of a transcript."""

    base: Style  # blank space
    text: dict[str, Style]  # by author
    label: dict[str, Style]  # by author
    aside: Style  # part of a label after two spaces
    heat: Sequence[Style]  # by level
    selection: Style  # added to selected text
    cursor: Style  # added to the character under the cursor


@dataclass(slots=True)
class RowRenderer:
    """Renders rows of a document and keeps their strips."""

    document: TranscriptText
    palette: Palette
    width: int  # width of a strip in cells
    heat: bool = False  # colour characters by surprise
    cursor: int | None = None  # offset
    selection: tuple[int, int] = (0, 0)  # offsets
    unit_scale: ColourScale | None = None  # colour characters by unit value instead of by surprise
    _strips: dict[int, Strip] = field(default_factory=dict)  # by row

    def strip(self, y: int) -> Strip:
        """Return the strip of a row; beyond the end of the document it is blank."""
        if y not in self._strips:
            if len(self._strips) >= MAX_CACHED_STRIPS:
                near = MAX_CACHED_STRIPS // 4
                self._strips = {row: strip for row, strip in self._strips.items() if abs(row - y) < near}
            self._strips[y] = self._render(y)
        return self._strips[y]

    def discard(self, y: int) -> None:
        """Render a row again when it is needed next."""
        self._strips.pop(y, None)

    def discard_from(self, y: int) -> None:
        """Render a row, and all below it, again when they are needed next."""
        for row in [row for row in self._strips if row >= y]:
            del self._strips[row]

    def offsets(self, y: int) -> list[int]:
        """Return the document offset below each cell of a row, for the mouse."""
        document = self.document
        if y >= document.row_count:
            return [len(document)] * self.width
        row = document.row(y)
        if row.kind != TEXT:
            return [max(0, row.start - 1)] * self.width  # the separator of two blocks
        clusters = lay_out(row.text, document.width)
        offsets = [row.start] * MARGIN_LEFT
        for cluster in clusters:
            offsets += [row.start + cluster.start] * cluster.cells
        # Right of the text is the newline or the end; if the row was only wrapped there, its last character.
        wrapped = y + 1 < document.row_count and document.is_text_row(y + 1)
        after = clusters[-1].start if clusters and (wrapped or not clusters[-1].drawn) else len(row.text)
        return (offsets + [row.start + after] * self.width)[: self.width]

    def _render(self, y: int) -> Strip:
        segments: list[Segment] = []
        if y < self.document.row_count:
            row = self.document.row(y)
            if row.kind == HEADER:
                segments = self._label_segments(row.start)
            elif row.kind == TEXT:
                segments = [Segment(" " * MARGIN_LEFT, self.palette.base), *self._text_segments(row)]
        used = sum([segment.cell_length for segment in segments])
        segments.append(Segment(" " * (self.width - used), self.palette.base))
        # A row is never narrower than a symbol, so it may be wider than the strip.
        return Strip(segments, max(used, self.width)).crop(0, self.width)

    def _label_segments(self, start: int) -> list[Segment]:
        document = self.document
        span = document.spans[document.span_index_at(start)]
        if span.joined or span.start != start or not span.label:  # an empty block has the next one at its start
            span = next(one for one in document.spans if one.start == start and one.label and not one.joined)
        name, _, aside = span.label.partition("  ")
        room = self.width - MARGIN_LEFT - MARGIN_RIGHT
        name = shorten(one_line(name), room)
        aside = shorten(one_line(aside), room - cell_len(name) - 2)
        segments = [Segment(" " * MARGIN_LEFT, self.palette.base), Segment(name, self.palette.label[span.author])]
        return [*segments, Segment("  " + aside, self.palette.aside)] if aside else segments

    def _text_segments(self, row: WrappedRow) -> Iterator[Segment]:
        """Yield a segment for each run of the same style."""
        clusters = lay_out(row.text, self.document.width)
        run, run_style = "", self.palette.base
        for cluster, style in zip(clusters, self._cluster_styles(row, clusters), strict=True):
            drawn = cluster.drawn or self._drawn_newline(row.start + cluster.start, cluster)
            # A cluster of several code points gets a segment of its own: a joiner at its end would change the width
            # that rich measures for the text after it.
            is_compound = cluster.end - cluster.start > 1
            if run and (is_compound or style != run_style):
                yield Segment(run, run_style)
                run = ""
            if is_compound:
                yield Segment(drawn, style)
            else:
                run, run_style = run + drawn, style
        if run:
            yield Segment(run, run_style)

    def _drawn_newline(self, offset: int, cluster: Cluster) -> str:
        if cluster.column >= self.document.width + MARGIN_RIGHT:
            return ""
        values = self.document.unit_values if self.unit_scale is not None else self.document.surprises
        if (self.heat or self.unit_scale is not None) and not isnan(values[offset]):
            return NEWLINE_SYMBOL
        return " " if offset == self.cursor else ""

    def _cluster_styles(self, row: WrappedRow, clusters: list[Cluster]) -> Iterator[Style]:
        spans = self.document.spans
        index = self.document.span_index_at(row.start)
        cursor = self.cursor if self.cursor is not None else -1
        if clusters and not clusters[-1].drawn and clusters[-1].column > self.document.width:
            # There is no room to draw the newline: its cursor is drawn on the space before it.
            cursor -= cursor == row.start + clusters[-1].start
        start, end = self.selection
        for cluster in clusters:
            offset = row.start + cluster.start
            while index + 1 < len(spans) and spans[index + 1].start <= offset:
                index += 1
            style = self.palette.text[spans[index].author]
            if self.unit_scale is not None:
                value = self.document.unit_values[offset]
                style = style if isnan(value) else self.unit_scale.style(value)
            elif self.heat:
                level = heat_level(sum(self.document.surprises[offset : row.start + cluster.end]))
                style = self.palette.heat[level] if level >= 0 else style
            if start <= offset < end:
                style += self.palette.selection
            if offset == cursor:
                style += self.palette.cursor
            yield style
