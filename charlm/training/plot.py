"""The loss curve as a picture. matplotlib is imported only here."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from charlm.files import write_bytes

COLOURS = ("#0072b2", "#d55e00")  # Okabe and Ito's blue and vermilion, which colour-blind people can distinguish


def draw_loss(rows: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Draw training and validation loss against time, as an SVG; `rows` are those of metrics.csv."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    minutes = [float(row["seconds"]) / 60 for row in rows]
    for name, colour, style in (("train", COLOURS[0], "--"), ("validation", COLOURS[1], "-")):
        values = [float(row[name]) / math.log(2) if row[name] not in ("", None) else math.nan for row in rows]
        axes.plot(minutes, values, style, color=colour, label=name, marker="o", markersize=3)
    axes.set(xlabel="minutes", ylabel="bits per character", title=title)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    write_bytes(path, buffer.getvalue())
