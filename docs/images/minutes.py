"""Plot the loss against the minutes of training, with published figures of nanoGPT.

    python docs/images/minutes.py RUN ...

A RUN is the folder NAME.run of `charlm train`. Its metrics.csv ends with the loss over the whole validation text. Runs
of the same budget and different seeds become one point, their median.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

from charlm.files import write_bytes
from charlm.training.plot import COLOURS

PICTURE = Path(__file__).with_name("minutes.svg")

# Nats per character on the last tenth of tinyshakespeare: minutes, loss, label, offset of the label.
OTHERS = (
    (129 / 60, 1.886, "nanoGPT, its CPU recipe,\nsame kind of machine", (8, -4)),
    (3.0, 1.470, "nanoGPT, published,\nthree minutes of an A100", (8, 4)),
)


def median_losses(folders: list[Path]) -> dict[float, float]:
    """Return the median loss of each budget, minutes to nats per character."""
    losses = defaultdict(list)
    for folder in folders:
        minutes = json.loads((folder / "config.json").read_text())["train"]["minutes"]
        with (folder / "metrics.csv").open(newline="") as file:
            losses[minutes].append(float(list(csv.DictReader(file))[-1]["validation"]))
    return {minutes: statistics.median(found) for minutes, found in sorted(losses.items())}


def draw(points: dict[float, float]) -> None:
    """Plot the loss by the minutes of training."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(list(points), list(points.values()), "o-", color=COLOURS[0], label="charlm, two CPU cores")
    for minutes, loss in points.items():
        axes.annotate(f"{loss:.3f}", (minutes, loss), xytext=(0, -14), textcoords="offset points", ha="center")
    for minutes, loss, label, offset in OTHERS:
        axes.plot(minutes, loss, "s", color=COLOURS[1])
        axes.annotate(f"{loss:.3f} {label}", (minutes, loss), xytext=offset, textcoords="offset points", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(0.8 * min(points), 1.5 * max(points))
    ticks = [tick for tick in (1, 2, 3, 4, 6, 10, 20, 60) if tick <= 1.5 * max(points)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.margins(y=0.15)
    axes.set(xlabel="minutes of training", ylabel="nats per character", title="Shakespeare, the last tenth held out")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, loc="center left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    write_bytes(PICTURE, buffer.getvalue())


if __name__ == "__main__":
    draw(median_losses([Path(name) for name in sys.argv[1:]]))
