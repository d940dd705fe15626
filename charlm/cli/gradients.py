"""`charlm gradients`: measure how far back gradients reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import charlm_command, complete_model, model_path
from charlm.cli.common import encoding_option, json_option, plot_option, read_whole
from charlm.cli.options import Options
from charlm.cli.output import print_json, print_table, print_text
from charlm.errors import CorpusError, UsageError
from charlm.text.decoding import Encoding

if TYPE_CHECKING:
    from charlm.checkpoint import Checkpoint
    from charlm.insight.gradients import GradientReach

LEAD_CHARS = 100  # read before a window, for a realistic state
PRINTED_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


@charlm_command(
    ("charlm gradients novel --text novel.txt", "how far back this model's gradients reach"),
    ("charlm gradients --cell rnn --cell lstm --text novel.txt", "fresh models, as training starts them"),
    ("charlm gradients --cell rnn --gain 2 --text novel.txt", "with recurrent weights that make gradients explode"),
    ("charlm gradients a b c --text novel.txt --plot reach.svg", "several models, as a plot"),
)
@click.argument("models", nargs=-1, metavar="MODEL...", shell_complete=complete_model)
@click.option("--text", "path", required=True, metavar="FILE", help="Text to read; - is standard input.")
@click.option("--cell", "cells", multiple=True, help="Add a fresh model of this cell; repeatable.")
@click.option("--hidden", type=click.IntRange(1, 4096), default=128, help="Width of the fresh models.")
@click.option("--layers", type=click.IntRange(1, 8), default=1, help="Layers of the fresh models.")
@click.option("--norm/--no-norm", default=True, help="Layer norm in the fresh models.")
@click.option(
    "--gain",
    type=click.FloatRange(0, 100),
    default=1.0,
    help="Factor of the fresh models' orthogonal recurrent matrices.",
)
@click.option("--steps", type=click.IntRange(2, 5000), default=200, help="Steps back.")
@click.option("--windows", type=click.IntRange(1, 1024), default=32, help="Places of the text to measure at.")
@click.option("--seed", default=1, help="Seed of the fresh models.")
@plot_option
@encoding_option
@json_option
def command(models: tuple[str, ...], path: str, cells: tuple[str, ...], encoding: Encoding, **options: Any) -> None:
    """Measure how far back gradients reach.

    The measure is the norm of the gradient of a character's surprise with respect to the states h and c, k steps before
    it. Where it vanishes, training learns nothing from that far back; where it explodes, training is unstable. Figures
    are means over places of the text and over all layers.
    """
    if not models and not cells:
        raise UsageError("there is no model to measure", "name one, or add --cell rnn --cell lstm")
    text = read_whole(path, encoding)
    reaches = list(_measure(models, cells, text, options))
    if options["plot_file"]:
        _plot(reaches, options["plot_file"])
    if options["as_json"]:
        print_json({"steps": options["steps"], "models": [_document(reach) for reach in reaches]})
    else:
        _print(reaches, options["steps"])


def _measure(models: tuple[str, ...], cells: tuple[str, ...], text: str, options: Options) -> Iterator[GradientReach]:
    from charlm import checkpoint
    from charlm.config import ModelConfig
    from charlm.inference.context import encode_lossy
    from charlm.insight.gradients import cut_windows, initial_model, measure
    from charlm.text.vocabulary import Vocabulary

    def reach(model: Checkpoint, name: str) -> GradientReach:
        ids = encode_lossy(model.vocabulary, text)
        length = LEAD_CHARS + options["steps"] + 2
        if len(ids) < length:
            raise CorpusError(
                f"the text has {len(ids)} characters, but {options['steps']} steps back need {length}",
                "use a longer text, or fewer --steps",
            )
        return measure(model, cut_windows(ids, length, options["windows"]), options["steps"], name)

    for model in models:
        file = model_path(model)
        yield reach(checkpoint.load(file), file.stem)
    vocabulary = Vocabulary("".join(sorted(set(text))), has_bytes=False)
    for cell in cells:
        hidden, layers = options["hidden"], options["layers"]
        config = ModelConfig(len(vocabulary), cell, hidden, hidden, layers, norm=options["norm"])
        yield reach(initial_model(config, vocabulary, options["seed"], options["gain"]), f"fresh {cell}")


def _document(reach: GradientReach) -> dict[str, object]:
    return {
        "name": reach.name,
        "cell": reach.cell,
        "memory": reach.main,
        "reach": reach.distance,
        "norms": {part: norms.tolist() for part, norms in reach.norms.items()},
        "medians": {part: medians.tolist() for part, medians in reach.medians.items()},
    }


def _columns(reaches: list[GradientReach]) -> list[tuple[GradientReach, str]]:
    return [(reach, part) for reach in reaches for part in ("h", "c") if part in reach.norms]


def _print(reaches: list[GradientReach], steps: int) -> None:
    columns = _columns(reaches)
    rows = [
        [str(k), *(f"{reach.over_layers(part)[k - 1]:.3e}" for reach, part in columns)]
        for k in sorted({*(k for k in PRINTED_STEPS if k < steps), steps})
    ]
    parts = ["", *(f"d loss / d {part}" for _, part in columns)]
    print_table(">" * len(parts), [parts, *rows], ["steps back", *(reach.name[:16] for reach, _ in columns)])
    for reach in reaches:
        left = f"{reach.ratio(steps):.2e} of the gradient one step back is left at {steps}"
        more = "or more" if reach.distance == steps else "steps"
        print_text(f"{reach.name}: {left}; 1 % at {reach.distance} {more} ({reach.main})")


def _plot(reaches: list[GradientReach], path: Path) -> None:
    from charlm.insight.plots import Curve, draw_curves

    curves = []
    for reach, part in _columns(reaches):
        norms = reach.over_layers(part)
        curves.append(Curve(f"{reach.name}, {part}", list(range(1, len(norms) + 1)), norms.tolist()))
    labels = {"title": "Reach of gradients", "xlabel": "steps back", "ylabel": "norm of the gradient"}
    draw_curves(curves, labels, log_y=True).save(path)
