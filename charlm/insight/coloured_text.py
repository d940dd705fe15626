"""Text coloured by one number a character: on a terminal, or as an HTML, SVG or PNG file.

Files have a white background of their own, so they read the same on a light page and on a dark one.
"""

from __future__ import annotations

import html
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from charlm.cells import CELLS
from charlm.errors import UsageError
from charlm.files import write_bytes
from charlm.insight import plots
from charlm.insight.activations import Recording
from charlm.insight.colour import Colour, colours, digits, hexadecimal, ink
from charlm.insight.features import Column
from charlm.insight.probing import ProbeResult, UnitIndex

if TYPE_CHECKING:
    from rich.text import Text

WIDTH_CELLS: Final = 96  # of a picture
MAX_CHARS: Final = 20_000  # of a picture
EXAMPLE_CHARS: Final = 320
_SVG_TEMPLATE: Final = Path(__file__).with_suffix(".svg")  # rich's own loads fonts from the network


@dataclass(frozen=True)
class ColouredText:
    """A text with one number a character."""

    text: str  # N characters
    values: NDArray[np.floating]  # (N,)
    low: float  # value of the first colour
    high: float  # value of the last colour
    title: str

    def _colours(self) -> list[Colour]:
        table: list[Colour] = colours(self.values, self.low, self.high).tolist()
        return table

    def legend(self) -> Text:
        """Return the title and the colours from low to high."""
        from rich.text import Text

        legend = Text(f"{self.title}  {self.low:.3g} ")
        for colour in colours(np.linspace(0, 1, 16), 0, 1).tolist():
            legend.append(" ", _style(colour))
        return legend.append(f" {self.high:.3g}")

    def body(self) -> Text:
        """Return the characters on their colours; newlines, tabs and controls are symbols."""
        from rich.text import Text

        body = Text()
        for character, colour in zip(self.text, self._colours(), strict=True):
            body.append(plots.symbol(character), _style(colour))
            if character == "\n":
                body.append("\n")
        return body

    def _repr_html_(self) -> str:
        legend = html.escape(f"{self.title}   {self.low:.3g} (dark) to {self.high:.3g} (light)")
        spans = []
        for character, value, colour in zip(self.text, self.values, self._colours(), strict=True):
            style = f"color:{hexadecimal(ink(colour))};background:{hexadecimal(colour)}"
            shown = html.escape(plots.symbol(character)) + "\n" * (character == "\n")
            spans.append(f'<span style="{style}" title="{value:.3f}">{shown}</span>')
        return f'<pre style="white-space:pre-wrap">{legend}\n{"".join(spans)}</pre>'

    def plain_lines(self) -> Iterator[tuple[str, str]]:
        """Yield each line with a row of digits from 0 (low) to 9 (high), for output without colours."""
        first = 0
        for line in self.text.splitlines(keepends=True):
            yield line.removesuffix("\n"), digits(self.values[first : first + len(line)], self.low, self.high)
            first += len(line)


def unit_text(recording: Recording, unit: UnitIndex, start: int = 0, stop: int | None = None) -> ColouredText:
    """Return a recorded text, or a part of it, coloured by a unit."""
    values = recording.signals[unit.layer, unit.signal][:, unit.number]
    signal = CELLS[recording.cell].SIGNALS[unit.signal]
    low = signal.low if math.isfinite(signal.low) else float(values.min())
    high = signal.high if math.isfinite(signal.high) else float(values.max())
    title = f"layer {unit.layer}, unit {unit.number}, {unit.signal}: {signal.meaning}"
    return ColouredText(recording.text[start:stop], values[start:stop], low, high, title)


def example_text(recording: Recording, found: ProbeResult, column: Column) -> ColouredText:
    """Return a part of the held-out half with the most changes of a feature, coloured by its best unit."""
    match = found.matches[0]
    half = len(recording.text) // 2
    changes = np.cumsum(np.append(0, np.abs(np.diff(column)) > 0))
    starts = np.arange(half, max(half + 1, len(column) - EXAMPLE_CHARS))
    ends = np.minimum(starts + EXAMPLE_CHARS, len(column) - 1)
    start = int(starts[np.argmax(changes[ends] - changes[starts])])
    example = unit_text(recording, match.unit, start, start + EXAMPLE_CHARS)
    low, high = (float(np.quantile(example.values, share)) for share in (0.02, 0.98))
    title = f"{found.feature}: {match.unit}, held-out correlation {match.held_out:.2f}"
    return replace(example, title=title, low=low, high=high)


def write_coloured(parts: Sequence[ColouredText], path: Path) -> None:
    """Write coloured texts, one below the other, as HTML, SVG or PNG, by the file's suffix.

    Raises UsageError if a text is too long, the suffix unknown, or matplotlib missing for a PNG.
    """
    for part in parts:
        if len(part.text) > MAX_CHARS:
            raise UsageError(f"a picture of {len(part.text):,} characters is too large", f"use at most {MAX_CHARS:,}")
    suffix = path.suffix.lower()
    if suffix == ".png":
        _write_png(parts, path)
        return
    if suffix not in (".html", ".svg"):
        raise UsageError(f"{path.name} has no known suffix", "end it in .html, .svg or .png")
    from rich.console import Console
    from rich.terminal_theme import DEFAULT_TERMINAL_THEME

    console = Console(
        record=True, file=io.StringIO(), width=WIDTH_CELLS, force_terminal=True, color_system="truecolor", emoji=False
    )
    for part in parts:
        console.print(part.legend(), part.body(), "", sep="\n")
    if suffix == ".html":
        document = console.export_html(theme=DEFAULT_TERMINAL_THEME, inline_styles=True)
    else:
        template = _SVG_TEMPLATE.read_text(encoding="utf-8")
        document = console.export_svg(theme=DEFAULT_TERMINAL_THEME, code_format=template, unique_id="charlm")
    write_bytes(path, document.encode())


def _write_png(parts: Sequence[ColouredText], path: Path) -> None:
    figures = plots.matplotlib_figures()
    all_rows = [_rows(part) for part in parts]
    heights = [len(rows) + 1 for rows in all_rows]
    size = WIDTH_CELLS * 0.088, 0.21 * sum(heights) + 0.5 * len(parts)
    figure = figures.Figure(figsize=size, layout="constrained")
    all_axes = figure.subplots(len(parts), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for part, rows, axes in zip(parts, all_rows, all_axes, strict=True):
        image = np.full((len(rows), WIDTH_CELLS, 3), 255, dtype=np.uint8)
        for y, row in enumerate(rows):
            for x, (symbol, colour) in enumerate(row):
                image[y, x] = colour
                style = {"family": "monospace", "fontsize": 7, "color": hexadecimal(ink(colour))}
                axes.text(x, y, symbol, ha="center", va="center", **style)
        axes.imshow(image, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(f"{part.title}   {part.low:.3g} (dark) to {part.high:.3g} (light)", fontsize=8, loc="left")
    plots.Picture(figure).save(path)


def _rows(part: ColouredText) -> list[list[tuple[str, Colour]]]:
    """Return rows of at most `WIDTH_CELLS` symbols, each with its colour."""
    rows: list[list[tuple[str, Colour]]] = [[]]
    for character, colour in zip(part.text, part._colours(), strict=True):
        if len(rows[-1]) == WIDTH_CELLS:
            rows.append([])
        rows[-1].append((plots.symbol(character), colour))
        if character == "\n":
            rows.append([])
    return rows


def _style(colour: Colour) -> str:
    return f"{hexadecimal(ink(colour))} on {hexadecimal(colour)}"
