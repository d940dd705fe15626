"""`charlm memory`: parse, measure, print."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.command import CharlmCommand, complete_model, is_live, model_path
from charlm.cli.common import read_whole
from charlm.errors import UsageError

if TYPE_CHECKING:
    from charlm.insight.context_length import ContextGain, RecallScore


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm memory novel chapter7.txt", "how much context pays, and what is recalled from how far"),
        ("charlm memory novel chapter7.txt --longest 512 --json", "quicker, for a script"),
        ("charlm memory novel chapter7.txt --svg context.svg", "as a plot"),
    ),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("path", metavar="PATH")
@click.option("--longest", default=4096, help="The longest context, and the greatest distance, in characters.")
@click.option("--blocks", default=48, help="Stretches of 32 characters that are predicted, all over the text.")
@click.option("--most", default=48, help="Of each kind, so many are tried at each distance.")
@click.option(
    "--recall/--no-recall", "recalls", default=True, help="Whether to try names, brackets, quotes and rhymes."
)
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Plot bits/char against context as SVG.")
@click.option("--png", "png_file", type=click.Path(path_type=Path), help="The same as PNG.")
@click.option("--encoding", default="utf-8", help="How the text is encoded.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on stdout.")
def command(
    model: str,
    path: str,
    longest: int,
    blocks: int,
    most: int,
    recalls: bool,
    svg_file: Path | None,
    png_file: Path | None,
    encoding: str,
    as_json: bool,
) -> None:
    """Measure how long a model remembers.

    First the bits/char of the same characters with 1, 2, 4 ... characters of context. Then recall: a name that comes
    again, and what closes a quote or bracket, with its first place in the context and without; and what rhymes, with
    the word that it rhymes with and with another in its place. The difference is memory. PATH may be - for standard
    input. Take a text that the model was not trained on.

    A rhyme is found by its spelling: two words at the ends of lines at most four apart, written alike from the last
    vowels on. Where lines end anywhere, some do by chance; how many is said.
    """
    for name, value, least, greatest in (
        ("longest", longest, 1, 100_000),
        ("blocks", blocks, 2, 10_000),
        ("most", most, 1, 10_000),
    ):
        if not least <= value <= greatest:
            raise UsageError(f"{name} is {value}, but must lie between {least} and {greatest}")
    from charlm import checkpoint
    from charlm.inference.context import encode_lossy
    from charlm.inference.engine import Engine
    from charlm.insight import context_length, recall_targets

    engine = Engine(checkpoint.load(model_path(model)))
    text = read_whole(path, encoding)
    ids = encode_lossy(engine.vocabulary, text)
    lengths = [1 << power for power in range(longest.bit_length()) if 1 << power <= longest]
    # Places are counted in characters, and so are ids unless some are bytes.
    tries = recalls and len(ids) == len(text)
    found = list(recall_targets.places(text)) if tries else []
    rhymes = {
        "found": sum(each.kind == "rhyme" for each in found),
        "by_chance": recall_targets.by_chance(text) if tries else 0,
    }
    with _progress() as advance:
        contexts = context_length.by_context(engine, ids, lengths, blocks, on_read=advance)
        recalled = context_length.recall(engine, ids, found, longest=longest, most=most, on_read=advance)
    for file in (svg_file, png_file):
        if file:
            _plot(contexts, model_path(model).stem, file)
    if as_json:
        document = {
            "model": model_path(model).stem,
            "context": [row._asdict() for row in contexts],
            "recall": [row._asdict() for row in recalled],
            "rhymes": rhymes if tries else None,
        }
        click.echo(json.dumps(document))
        return
    _print_contexts(contexts)
    if tries:
        _print_recalled(recalled)
        if missing := [kind for kind in recall_targets.KINDS if kind not in {each.kind for each in recalled}]:
            click.echo(f"note: nothing to recall of the kind {', '.join(missing)} in this text", err=True)
        if rhymes["found"]:
            click.echo(
                "note: {found:,} rhymes; {by_chance:,} if the lines' last words were shuffled".format(**rhymes),
                err=True,
            )
    elif recalls:
        click.echo("note: some characters are spelled in bytes, so recall was not tried; say --no-recall", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """A running count on a terminal, nothing elsewhere; how much there is to read is not known before."""
    if not is_live():
        yield lambda _: None
        return
    read, shown = 0, 0

    def advance(count: int) -> None:
        nonlocal read, shown
        read += count
        if read - shown >= 20_000:
            shown = read
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
    click.echo(
        f"\n{'recall':8} {'distance':>13} {'tried':>6} {'right':>7} {'without':>8} {'bits':>7} {'more without':>15}"
    )
    for each in recalled:
        distance = f"{each.least} to {each.most}"
        error = "" if each.error is None else f" +- {each.error:.2f}"
        more = f"{each.bits_without - each.bits:+.2f}{error}"
        shares = f"{each.accuracy:7.1%} {each.without:8.1%} {each.bits:7.2f} {more:>15}"
        click.echo(f"{each.kind:8} {distance:>13} {each.tried:>6} {shares}")


def _plot(contexts: list[ContextGain], name: str, path: Path) -> None:
    from charlm.insight.plots import Curve, curves

    line = Curve(name, [row.length for row in contexts], [row.bits for row in contexts])
    labels = {"title": "What context is worth", "xlabel": "characters of context", "ylabel": "bits per character"}
    curves([line], path, labels, log_x=True, log_y=False)
