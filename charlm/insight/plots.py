"""Heat maps and curves, drawn by matplotlib, as SVG or PNG files and in notebooks.

Every picture has a white background, so it reads the same on a light page and on a dark one.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from charlm.cells import CELLS
from charlm.errors import UsageError
from charlm.files import write_bytes
from charlm.insight.activations import Recording
from charlm.insight.colour import colours
from charlm.text.sanitize import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_HEAT_MAP_CHARS: Final = 400  # a wider map cannot be read
_SYMBOLS: Final = {"\n": "\u21b5", "\t": "\u21e5"}

# Colours of Okabe and Ito, which colour-blind readers can tell apart; the line styles serve readers without any colour.
_LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_LINE_STYLES = ("-", "--", "-.", ":", "-", "--", "-.")


@dataclass(frozen=True)
class HeatMap:
    """Values of all units (columns) at each character (rows)."""

    title: str
    values: NDArray[np.floating]  # (N, H)
    low: float  # value of the first colour
    high: float  # value of the last colour


def signal_maps(recording: Recording, layer: int | None = None) -> list[HeatMap]:
    """Return a heat map of each recorded signal, of one layer if given; raise UsageError if there is no such layer."""
    maps = []
    for (number, name), values in recording.signals.items():
        if layer is None or number == layer:
            signal = CELLS[recording.cell].SIGNALS[name]
            # A few units that count reach far beyond all others: at their scale the others would look alike.
            reach = float(np.quantile(abs(values), 0.99)) or 1.0
            low = signal.low if math.isfinite(signal.low) else -reach
            high = signal.high if math.isfinite(signal.high) else reach
            maps.append(HeatMap(f"layer {number}, {name}: {signal.meaning}", values, low, high))
    if not maps:
        raise UsageError(f"there is no layer {layer}", f"layers are 0 to {recording.layers - 1}")
    return maps


def draw_heat_maps(maps: Sequence[HeatMap], text: str) -> Picture:
    """Draw maps one below the other, with the text under the last."""
    figures = matplotlib_figures()
    from matplotlib.colors import ListedColormap

    if len(text) > MAX_HEAT_MAP_CHARS:
        problem = f"a heat map of {len(text):,} characters is too wide to read"
        raise UsageError(problem, f"use at most {MAX_HEAT_MAP_CHARS}")
    palette = ListedColormap(colours(np.linspace(0, 1, 256), 0, 1) / 255, "charlm")
    size = max(6.0, 1.6 + 0.12 * len(text)), 0.5 + 1.25 * len(maps)
    figure = figures.Figure(figsize=size, layout="constrained")
    all_axes = figure.subplots(len(maps), 1, squeeze=False, sharex=True)[:, 0]
    for heat_map, axes in zip(maps, all_axes, strict=True):
        scale = {"cmap": palette, "vmin": heat_map.low, "vmax": heat_map.high}
        image = axes.imshow(heat_map.values.T, aspect="auto", interpolation="nearest", **scale)
        axes.set_title(heat_map.title, fontsize=8, loc="left")
        axes.set_yticks([])
        figure.colorbar(image, ax=axes, pad=0.01)
    all_axes[-1].set_xticks(range(len(text)), list(map(symbol, text)), family="monospace", fontsize=8)
    all_axes[-1].tick_params(length=0)
    return Picture(figure)


def symbol(character: str) -> str:
    """Return what shows a character in a picture, one cell wide."""
    return _SYMBOLS.get(character) or visible(character)[:1]


@dataclass(frozen=True)
class Curve:
    """A line of a plot."""

    name: str  # in the legend
    x: Sequence[float]
    y: Sequence[float]


def draw_curves(
    curves: Sequence[Curve], labels: Mapping[str, str], *, log2_x: bool = False, log_y: bool = False
) -> Picture:
    """Draw curves; the labels are `title`, `xlabel` and `ylabel`."""
    figure = matplotlib_figures().Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, curve in enumerate(curves):
        colour, style = _LINE_COLOURS[number % len(_LINE_COLOURS)], _LINE_STYLES[number % len(_LINE_STYLES)]
        axes.plot(curve.x, curve.y, style, color=colour, label=curve.name)
    if log2_x:
        axes.set_xscale("log", base=2)
    if log_y:
        axes.set_yscale("log")
    axes.set(**labels)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return Picture(figure)


def matplotlib_figures() -> ModuleType:
    """Return the module `matplotlib.figure`; raise UsageError if it is not installed."""
    try:
        import matplotlib.figure
    except ImportError as error:
        raise UsageError("this plot needs matplotlib, which is not installed", "pip install 'charlm[plot]'") from error
    return matplotlib.figure


@dataclass(frozen=True)
class Picture:
    """A figure of matplotlib, which a notebook shows."""

    figure: Figure

    def save(self, path: Path) -> None:
        """Write an SVG or PNG file, by its suffix; raise UsageError for another suffix."""
        kind = path.suffix.lstrip(".").lower()
        if kind not in ("svg", "png"):
            raise UsageError(f"{path.name} has no known suffix", "end it in .svg or .png")
        write_bytes(path, self._encoded(kind))

    def _repr_svg_(self) -> str:
        return self._encoded("svg").decode()

    def _encoded(self, kind: str) -> bytes:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # matplotlib's font lacks Japanese, among others, and draws a box for such a character.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            # Without a date, the same figure gives the same bytes.
            metadata = {"Date": None} if kind == "svg" else None
            self.figure.savefig(buffer, format=kind, dpi=150, facecolor="white", metadata=metadata)
        return buffer.getvalue()
