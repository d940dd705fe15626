"""`charlm gradients`: parse, measure, print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import CharlmCommand, complete_model, model_path, shown
from charlm.cli.common import read_whole
from charlm.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from charlm.checkpoint import Checkpoint
    from charlm.insight.gradients import Reach

LEAD = 100  # characters that are read before a window, so that its state is a real one
PRINTED = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm gradients novel --text novel.txt", "how far back do this model's gradients reach?"),
        ("charlm gradients --cell rnn --cell lstm --text novel.txt", "cells as training begins them"),
        ("charlm gradients --cell rnn --gain 2 --text novel.txt", "with recurrent weights that make them explode"),
        ("charlm gradients a b c --text novel.txt --svg reach.svg", "several models, as a plot"),
    ),
)
@click.argument("models", nargs=-1, metavar="MODEL...", shell_complete=complete_model)
@click.option("--text", "path", required=True, metavar="FILE", help="The text that is read; - is standard input.")
@click.option("--cell", "cells", multiple=True, help="A fresh model of this cell, as training begins it; repeatable.")
@click.option("--hidden", default=128, help="Width of the fresh models.")
@click.option("--layers", default=1, help="Layers of the fresh models.")
@click.option("--norm/--no-norm", default=True, help="Layer norm in the fresh models.")
@click.option("--gain", default=1.0, help="Multiplies the fresh models' recurrent matrices, which are orthogonal.")
@click.option("--steps", default=200, help="How far back to go.")
@click.option("--windows", default=32, help="Over so many places of the text.")
@click.option("--seed", default=1, help="Of the fresh models.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Plot them as SVG.")
@click.option("--png", "png_file", type=click.Path(path_type=Path), help="Plot them as PNG.")
@click.option("--encoding", default="utf-8", help="How the text is encoded.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on stdout.")
def command(models: tuple[str, ...], path: str, cells: tuple[str, ...], encoding: str, **options: Any) -> None:
    """Measure how far gradients reach.

    For characters all over the text: the norm of the gradient of a character's surprise with respect to the state k
    steps before it, of h and of c. Where it vanishes, nothing that far back can be learned from; where it explodes,
    training is unstable. Figures are means over the places, and over all layers.
    """
    if not models and not cells:
        raise UsageError("there is no model to measure", "name one, or say --cell rnn --cell lstm")
    for name, least, most in (
        ("steps", 2, 5000),
        ("windows", 1, 1024),
        ("layers", 1, 8),
        ("hidden", 1, 4096),
        ("gain", 0, 100),
    ):
        if not least <= options[name] <= most:
            raise UsageError(f"{name} is {options[name]}, but must lie between {least} and {most}")
    text = read_whole(path, encoding)
    reaches = list(_measure(models, cells, text, options))
    for file in (options["svg_file"], options["png_file"]):
        if file:
            _plot(reaches, file)
    if options["as_json"]:
        click.echo(json.dumps({"steps": options["steps"], "models": [document(reach) for reach in reaches]}))
    else:
        _print(reaches, options["steps"])


def _measure(models: tuple[str, ...], cells: tuple[str, ...], text: str, options: dict[str, Any]) -> Iterator[Reach]:
    from charlm import checkpoint
    from charlm.config import ModelConfig
    from charlm.inference.context import encode_lossy
    from charlm.insight.gradients import cut_windows, fresh, measure
    from charlm.text.vocabulary import Vocabulary

    def reach(model: Checkpoint, name: str) -> Reach:
        ids = encode_lossy(model.vocabulary, text)
        length = LEAD + options["steps"] + 2
        if len(ids) < length:
            raise CorpusError(
                f"the text has {len(ids)} characters, but {options['steps']} steps back need {length}",
                "give a longer text, or fewer --steps",
            )
        return measure(model, cut_windows(ids, length, options["windows"]), options["steps"], name)

    for model in models:
        file = model_path(model)
        yield reach(checkpoint.load(file), file.stem)
    vocabulary = Vocabulary("".join(sorted(set(text))), has_bytes=False)
    for cell in cells:
        config = ModelConfig(
            len(vocabulary),
            cell,
            options["hidden"],
            options["hidden"],
            options["layers"],
            norm=options["norm"],
        )
        yield reach(fresh(config, vocabulary, options["seed"], options["gain"]), f"fresh {cell}")


def document(reach: Reach) -> dict[str, Any]:
    """Everything that was measured, as plain data."""
    return {
        "name": reach.name,
        "cell": reach.cell,
        "memory": reach.main,
        "reach": reach.distance,
        "norms": {part: norms.tolist() for part, norms in reach.norms.items()},
        "medians": {part: medians.tolist() for part, medians in reach.medians.items()},
    }


def _print(reaches: list[Reach], steps: int) -> None:
    columns = [(reach, part) for reach in reaches for part in ("h", "c") if part in reach.norms]
    heads = [shown(reach.name, sys.stdout)[:16] for reach, _ in columns]
    click.echo(f"{'steps back':>10}  " + "  ".join(f"{head:>16}" for head in heads))
    click.echo(f"{'':>10}  " + "  ".join(f"{'d loss / d ' + part:>16}" for _, part in columns))
    for k in sorted({*(k for k in PRINTED if k < steps), steps}):
        row = "  ".join(f"{reach.over_layers(part)[k - 1]:16.3e}" for reach, part in columns)
        click.echo(f"{k:>10}  {row}")
    for reach in reaches:
        left = f"{reach.ratio(steps):.2e} of the gradient one step back is left at {steps}"
        more = "or more" if reach.distance == steps else "steps"
        click.echo(shown(f"{reach.name}: {left}; 1 % at {reach.distance} {more} ({reach.main})", sys.stdout))


def _plot(reaches: list[Reach], path: Path) -> None:
    from charlm.insight.plots import Curve, curves

    lines = []
    for reach in reaches:
        for part in ("h", "c"):
            if part in reach.norms:
                norms = reach.over_layers(part)
                lines.append(Curve(f"{reach.name}, {part}", list(range(1, len(norms) + 1)), norms.tolist()))
    labels = {"title": "How far gradients reach", "xlabel": "steps back", "ylabel": "norm of the gradient"}
    curves(lines, path, labels, log_x=False, log_y=True)
