"""Plot the learning curves of runs on the same text: from a base, and from scratch.

    head -c 60000 tinyshakespeare.txt > small.txt
    charlm train small.txt -o scratch --minutes 1 --from none --patience 0
    charlm train small.txt -o based --minutes 1
    python docs/images/base.py checkpoints/scratch.run checkpoints/based.run

A RUN is the folder NAME.run of `charlm train`. The loss is that of the text's last tenth, nats per character.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

from charlm.files import write_bytes
from charlm.training.plot import COLOURS

PICTURE = Path(__file__).with_name("base.svg")


def draw(folders: list[Path]) -> None:
    """Plot the validation loss of each run by the seconds of training."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for folder, colour in zip(folders, COLOURS, strict=False):
        base = json.loads((folder / "config.json").read_text())["start"]["base"]
        with (folder / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))[:-1]  # the last one is of the best weights
        seconds, losses = ([float(row[name]) for row in rows] for name in ("seconds", "validation"))
        label = f"from {base}" if base else "from scratch"
        axes.plot(seconds, losses, "o-", markersize=3, color=colour, label=label)
        best = losses.index(min(losses))
        place = (seconds[best], losses[best])
        axes.annotate(f"{losses[best]:.3f}", place, xytext=(0, -14), textcoords="offset points", ha="center")
    axes.set(xlabel="seconds of training", ylabel="nats per character", title="60,000 characters of Shakespeare")
    axes.margins(y=0.15)
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    data = io.BytesIO()
    figure.savefig(data, format="svg")
    write_bytes(PICTURE, data.getvalue())


if __name__ == "__main__":
    draw([Path(name) for name in sys.argv[1:]])
