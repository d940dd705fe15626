"""`charlm memory`: measure how far back a model remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import charlm_command, complete_model, load_engine, model_path
from charlm.cli.common import encoding_option, json_option, plot_option, read_whole
from charlm.cli.output import is_live, print_json, print_note, print_table, print_text

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
    from charlm.inference.context import encode_lossy
    from charlm.insight import context_length, recall_targets

    file = model_path(model)
    engine, name = load_engine(file), file.stem
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
        rows = {"context": [row._asdict() for row in contexts], "recall": [row._asdict() for row in recalled]}
        print_json({"model": name, **rows, "rhymes": rhymes if can_recall else None})
        return
    _print_contexts(contexts)
    if recalled:
        _print_recalled(recalled)
    if can_recall:
        if missing := [kind for kind in recall_targets.KINDS if kind not in {row.kind for row in recalled}]:
            print_note(f"note: the text has no recall targets of the kind {', '.join(missing)}")
        if rhymes["found"]:
            print_note(f"note: {rhymes['found']:,} rhymes; {rhymes['by_chance']:,} with the line ends in random order")
    elif measures_recall:
        print_note("note: recall was not measured, because some characters are spelled in bytes")


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show a running count on a terminal; the total is not known in advance."""
    if not is_live():
        yield lambda characters: None
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    count = TextColumn("{task.completed:,.0f} characters read")
    with Progress(count, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda characters: progress.advance(task, characters)


def _print_contexts(contexts: list[ContextGain]) -> None:
    longest = contexts[-1]
    gains = [*(f"{row.bits - longest.bits:+.3f} +- {row.error:.3f}" for row in contexts[:-1]), ""]
    rows = [(str(row.length), f"{row.bits:.3f}", gain) for row, gain in zip(contexts, gains, strict=True)]
    print_table(">>>", rows, ("context", "bits/char", "more than with all"))


def _print_recalled(recalled: list[RecallScore]) -> None:
    heads = ("recall", "distance", "tried", "right", "without", "bits", "more without")
    print_text("")
    print_table("<>>>>>>", map(_recall_row, recalled), heads)


def _recall_row(row: RecallScore) -> list[str]:
    error = "" if row.error is None else f" +- {row.error:.2f}"
    shares = [f"{row.accuracy:.1%}", f"{row.without:.1%}"]
    bits = [f"{row.bits:.2f}", f"{row.bits_without - row.bits:+.2f}{error}"]
    return [row.kind, f"{row.least} to {row.most}", str(row.tried), *shares, *bits]


def _plot(contexts: list[ContextGain], name: str, path: Path) -> None:
    from charlm.insight.plots import Curve, draw_curves

    curve = Curve(name, [row.length for row in contexts], [row.bits for row in contexts])
    labels = {"title": "The value of context", "xlabel": "characters of context", "ylabel": "bits per character"}
    draw_curves([curve], labels, log2_x=True).save(path)
