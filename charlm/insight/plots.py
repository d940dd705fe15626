"""Text coloured by a unit, heat maps and curves, as files: HTML and SVG written here, the rest by matplotlib.

Every picture has a background of its own, so that it reads the same on a light page and on a dark one.
"""

from __future__ import annotations

import html
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.errors import UsageError
from charlm.files import write_bytes
from charlm.insight.colour import Colour, colours, hexadecimal, ink
from charlm.text.sanitize import visible

WIDTH = 96  # characters a line of a picture
MAX_DRAWN = 20_000  # characters of text in one picture

# Okabe and Ito's colours, told apart by every eye; with the line's style, also without any.
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STYLES = ("-", "--", "-.", ":", "-", "--", "-.")


@dataclass(frozen=True)
class Painted:
    """A text with a number a character.

    Attributes:
        text: of N characters.
        values: (N,).
        low: the number that gets the lowest colour.
        high: and the highest.
        title: what the numbers are.
    """

    text: str
    values: NDArray[np.floating[Any]]
    low: float
    high: float
    title: str

    def rows(self, width: int = WIDTH) -> list[list[tuple[str, Colour]]]:
        """Lines of at most `width` characters, each with its colour; a newline is shown as a mark."""
        rows: list[list[tuple[str, Colour]]] = [[]]
        table = colours(self.values, self.low, self.high).tolist()
        for character, (red, green, blue) in zip(self.text, table, strict=True):
            if len(rows[-1]) >= width:
                rows.append([])
            shown = {"\n": "\u21b5", "\t": "\u21e5"}.get(character, visible(character)[:1])
            rows[-1].append((shown, (red, green, blue)))
            if character == "\n":
                rows.append([])
        return rows if rows[-1] else rows[:-1]

    def scale(self, steps: int = 24) -> list[Colour]:
        """The colours from low to high."""
        return [tuple(each) for each in colours(np.linspace(0, 1, steps), 0, 1).tolist()]


def to_html(parts: Sequence[Painted]) -> str:
    """A page that needs nothing else."""
    body = []
    for part in parts:
        _refuse_long(part)
        body.append(f"<h2>{html.escape(part.title)}</h2>\n<p>{part.low:.3g} ")
        body += [f'<span style="background:{hexadecimal(colour)}">&nbsp;</span>' for colour in part.scale()]
        body.append(f" {part.high:.3g}</p>\n<pre>")
        for row in part.rows():
            for shown, colour in row:
                style = f"background:{hexadecimal(colour)};color:{hexadecimal(ink(colour))}"
                body.append(f'<span style="{style}">{html.escape(shown)}</span>')
            body.append("\n")
        body.append("</pre>\n")
    style = "body{background:#fff;color:#000;font-family:sans-serif}pre{font-family:monospace;line-height:1.35}"
    head = f'<meta charset="utf-8"><title>{html.escape(parts[0].title)}</title><style>{style}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{"".join(body)}</body></html>\n'


def to_svg(parts: Sequence[Painted], width: int = WIDTH) -> str:
    """A picture of text, one square a character."""
    step, line, margin = 8.4, 19, 12
    drawn, y = [], 0.0
    for part in parts:
        _refuse_long(part)
        y += margin + 14
        drawn.append(f'<text x="{margin}" y="{y:g}" font-size="13" fill="#000">{html.escape(part.title)}</text>')
        y += 10
        drawn.append(f'<text x="{margin}" y="{y + 11:g}" font-size="11" fill="#000">{part.low:.3g}</text>')
        for place, colour in enumerate(part.scale()):
            x: float = margin + 48 + place * 7
            drawn.append(f'<rect x="{x:g}" y="{y:g}" width="7.3" height="13" fill="{hexadecimal(colour)}"/>')
        drawn.append(f'<text x="{x + 14:g}" y="{y + 11:g}" font-size="11" fill="#000">{part.high:.3g}</text>')
        y += 22
        for row in part.rows(width):
            for place, (shown, colour) in enumerate(row):
                x = margin + place * step
                drawn.append(
                    f'<rect x="{x:.1f}" y="{y:g}" width="{step + 0.3:g}" height="{line}" fill="{hexadecimal(colour)}"/>'
                )
                if not shown.isspace():
                    drawn.append(
                        f'<text x="{x + step / 2:.1f}" y="{y + 14:g}" text-anchor="middle" '
                        f'fill="{hexadecimal(ink(colour))}">{html.escape(shown)}</text>'
                    )
            y += line
    size = f'width="{2 * margin + width * step:g}" height="{y + margin:g}"'
    font = 'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13"'
    back = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>\n{back}\n' + "\n".join(drawn) + "\n</svg>\n"


def _refuse_long(part: Painted) -> None:
    if len(part.text) > MAX_DRAWN:
        raise UsageError(
            f"a picture of {len(part.text):,} characters would be too large", f"give at most {MAX_DRAWN:,}"
        )


def text_to_png(parts: Sequence[Painted], path: Path, width: int = WIDTH) -> None:
    """The same as `to_svg`, in pixels.

    Raises:
        UsageError: matplotlib is not installed.
    """
    figures = _matplotlib()
    for part in parts:
        _refuse_long(part)
    all_rows = [part.rows(width) for part in parts]
    heights = [len(rows) + 1 for rows in all_rows]
    figure = figures.Figure(figsize=(width * 0.088, 0.21 * sum(heights) + 0.5 * len(parts)), layout="constrained")
    axes = figure.subplots(len(parts), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for part, rows, one in zip(parts, all_rows, axes, strict=True):
        picture = np.full((len(rows), width, 3), 255, dtype=np.uint8)
        for y, row in enumerate(rows):
            for x, (shown, colour) in enumerate(row):
                picture[y, x] = colour
                if not shown.isspace():
                    fill = hexadecimal(ink(colour))
                    one.text(x, y, shown, ha="center", va="center", family="monospace", fontsize=7, color=fill)
        one.imshow(picture, aspect="auto", interpolation="nearest")
        one.set_axis_off()
        one.set_title(f"{part.title}   {part.low:.3g} (dark) to {part.high:.3g} (light)", fontsize=8, loc="left")
    _save(figure, path)


@dataclass(frozen=True)
class Map:
    """A heat map: a row a unit, a column a character.

    Attributes:
        title: what it shows.
        values: (N, H).
        low: the number that gets the lowest colour.
        high: and the highest.
    """

    title: str
    values: NDArray[np.floating[Any]]
    low: float
    high: float


def heat_maps(maps: Sequence[Map], text: str, path: Path) -> None:
    """Draw maps one below the other, with the text under the last.

    Raises:
        UsageError: matplotlib is not installed, or the text is too long.
    """
    figures = _matplotlib()
    from matplotlib.colors import ListedColormap

    if len(text) > 400:
        raise UsageError(f"a heat map of {len(text):,} characters would be too wide to read", "give at most 400")
    palette = ListedColormap(colours(np.linspace(0, 1, 256), 0, 1) / 255, "charlm")
    width = max(6.0, 1.6 + 0.12 * len(text))
    figure = figures.Figure(figsize=(width, 0.5 + 1.25 * len(maps)), layout="constrained")
    axes = figure.subplots(len(maps), 1, squeeze=False, sharex=True)[:, 0]
    for drawn, one in zip(maps, axes, strict=True):
        image = one.imshow(
            drawn.values.T, aspect="auto", interpolation="nearest", cmap=palette, vmin=drawn.low, vmax=drawn.high
        )
        one.set_title(drawn.title, fontsize=8, loc="left")
        one.set_yticks([])
        figure.colorbar(image, ax=one, pad=0.01)
    shown = ["\u21b5" if character == "\n" else visible(character)[:1] for character in text]
    axes[-1].set_xticks(range(len(text)), shown, family="monospace", fontsize=8)
    axes[-1].tick_params(length=0)
    _save(figure, path)


@dataclass(frozen=True)
class Curve:
    """A line of a plot.

    Attributes:
        name: in the legend.
        x: (N,).
        y: (N,).
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]


def curves(lines: Sequence[Curve], path: Path, labels: Mapping[str, str], *, log_x: bool, log_y: bool) -> None:
    """Draw lines.

    Args:
        lines: at least one.
        path: an SVG or PNG.
        labels: `title`, `xlabel` and `ylabel`.
        log_x: whether the horizontal axis is logarithmic, by twos.
        log_y: whether the vertical one is, by tens.

    Raises:
        UsageError: matplotlib is not installed.
    """
    figure = _matplotlib().Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, line in enumerate(lines):
        colour, style = LINES[number % len(LINES)], STYLES[number % len(STYLES)]
        axes.plot(line.x, line.y, style, color=colour, label=line.name)
    if log_x:
        axes.set_xscale("log", base=2)
    if log_y:
        axes.set_yscale("log")
    axes.set(**labels)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def _matplotlib() -> Any:
    try:
        import matplotlib.figure
    except ImportError as error:
        raise UsageError(
            "this picture needs matplotlib, which is not installed", "pip install 'charlm[plot]'"
        ) from error
    return matplotlib.figure


def _save(figure: Any, path: Path) -> None:
    kind = path.suffix.lstrip(".").lower()
    if kind not in ("svg", "png"):
        raise UsageError(f"{path.name} should end in .svg or .png")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # matplotlib's own font has no Japanese, among others; a box stands for such a character. `to_svg` has them all.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        # Without a date the same figures give the same bytes.
        stamp = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=150, facecolor="white", metadata=stamp)
    write_bytes(path, buffer.getvalue())
