"""`charlm memory`: measure how far back a model remembers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import charlm_command, complete_model, is_live, model_path
from charlm.cli.common import encoding_option, json_option, plot_option, print_json, read_whole

if TYPE_CHECKING:
    from charlm.insight.context_length import ContextGain, RecallScore


@charlm_command(
    ("charlm memory novel chapter7.txt", "the value of context, and recall by distance"),
    ("charlm memory novel chapter7.txt --max-context 512 --json", "faster, for a script"),
    ("charlm memory novel chapter7.txt --plot context.svg", "as a plot"),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("path", metavar="PATH")
@click.option(
    "--max-context",
    type=click.IntRange(1, 100_000),
    default=4096,
    help="Longest context, and greatest distance, in characters.",
)
@click.option(
    "--blocks",
    type=click.IntRange(2, 10_000),
    default=48,
    help="Stretches of 32 characters that are predicted, all over the text.",
)
@click.option(
    "--samples", type=click.IntRange(1, 10_000), default=48, help="Recall targets of each kind at each distance."
)
@click.option(
    "--recall/--no-recall", "measures_recall", default=True, help="Measure recall of names, brackets, quotes, rhymes."
)
@plot_option
@encoding_option
@json_option
def command(
    model: str, path: str, measures_recall: bool, plot_file: Path | None, as_json: bool, **options: Any
) -> None:
    """Measure how far back a model remembers.

    First come the bits/char of the same characters after 1, 2, 4 ... characters of context. Then comes recall of
    names, closing quotes and brackets, with their first place in the context and without. For a rhyme, another word
    replaces the first one. The difference is memory. PATH may be - for standard input. Use a text that the model was
    not trained on.

    Rhymes are found by spelling: two words at the ends of lines at most four apart, spelled alike from their last
    vowels on. In prose some do by chance; a note says how many.
    """
    from charlm import checkpoint
    from charlm.inference.context import encode_lossy
    from charlm.inference.engine import Engine
    from charlm.insight import context_length, recall_targets

    engine = Engine(checkpoint.load(model_path(model)))
    name = model_path(model).stem
    text = read_whole(path, options["encoding"])
    ids = encode_lossy(engine.vocabulary, text)
    max_context = options["max_context"]
    lengths = [1 << power for power in range(max_context.bit_length())]
    # Targets are indexed by character, so each character must be one id.
    can_recall = measures_recall and len(ids) == len(text)
    targets = list(recall_targets.find_targets(text)) if can_recall else []
    with _progress() as advance:
        contexts = context_length.measure_context(engine, ids, lengths, options["blocks"], on_read=advance)
        recalled = context_length.measure_recall(
            engine, ids, targets, max_distance=max_context, samples=options["samples"], on_read=advance
        )
    rhymes = {
        "found": sum(target.kind == "rhyme" for target in targets),
        "by_chance": recall_targets.count_chance_rhymes(text) if can_recall else 0,
    }
    if plot_file:
        _plot(contexts, name, plot_file)
    if as_json:
        document = {
            "model": name,
            "context": [row._asdict() for row in contexts],
            "recall": [row._asdict() for row in recalled],
            "rhymes": rhymes if can_recall else None,
        }
        print_json(document)
        return
    _print_contexts(contexts)
    if can_recall:
        _print_recalled(recalled)
        if missing := [kind for kind in recall_targets.KINDS if kind not in {row.kind for row in recalled}]:
            click.echo(f"note: the text has no recall targets of the kind {', '.join(missing)}", err=True)
        if rhymes["found"]:
            click.echo(
                f"note: {rhymes['found']:,} rhymes; {rhymes['by_chance']:,} with the line ends in random order",
                err=True,
            )
    elif measures_recall:
        click.echo("note: recall was not measured, because some characters are spelled in bytes", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show a running count on a terminal; the total is not known in advance."""
    if not is_live():
        yield lambda _: None
        return
    read, printed = 0, 0

    def advance(count: int) -> None:
        nonlocal read, printed
        read += count
        if read - printed >= 20_000:
            printed = read
            click.echo(f"\r{read:,} characters read", nl=False, err=True)

    yield advance
    click.echo("\r" + " " * 40 + "\r", nl=False, err=True)
    sys.stderr.flush()


def _print_contexts(contexts: list[ContextGain]) -> None:
    click.echo(f"{'context':>8} {'bits/char':>10} {'more than with all':>19}")
    for row in contexts:
        more = f"{row.bits - contexts[-1].bits:+.3f} +- {row.error:.3f}"
        click.echo(f"{row.length:>8} {row.bits:>10.3f} {more if row is not contexts[-1] else '':>19}")


def _print_recalled(recalled: list[RecallScore]) -> None:
    if not recalled:
        return
    heads = f"{'tried':>6} {'right':>7} {'without':>8} {'bits':>7} {'more without':>15}"
    click.echo(f"\n{'recall':8} {'distance':>13} {heads}")
    for row in recalled:
        distance = f"{row.least} to {row.most}"
        error = "" if row.error is None else f" +- {row.error:.2f}"
        more = f"{row.bits_without - row.bits:+.2f}{error}"
        figures = f"{row.tried:>6} {row.accuracy:7.1%} {row.without:8.1%} {row.bits:7.2f} {more:>15}"
        click.echo(f"{row.kind:8} {distance:>13} {figures}")


def _plot(contexts: list[ContextGain], name: str, path: Path) -> None:
    from charlm.insight.plots import Curve, plot_curves

    curve = Curve(name, [row.length for row in contexts], [row.bits for row in contexts])
    labels = {"title": "The value of context", "xlabel": "characters of context", "ylabel": "bits per character"}
    plot_curves([curve], path, labels, log2_x=True)
