"""`charlm eval`: parse, measure, print."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.command import Command, complete_model, is_live, model_path, shown
from charlm.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from charlm.inference.reading import Measured

SINGLE_LANE = 200_000  # characters up to which one lane, the exact way, is quick enough
MANY_LANES = 16


@click.command(
    cls=Command,
    examples=(
        ("charlm eval novel chapter7.txt", "how well does it predict this?"),
        ("charlm eval novel a.txt b.txt --json", "for a script"),
        ("tail -n 1000 app.log | charlm eval app -", "from a pipe"),
    ),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--lanes", type=int, help="Stretches read at once, for speed.  [default: 1 up to 200,000 characters, then 16]"
)
@click.option("--encoding", default="utf-8", help="How the files are encoded.")
@click.option("--glob", "pattern", default="*", help="Which files of a folder to read.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on stdout.")
def command(model: str, paths: tuple[str, ...], lanes: int | None, encoding: str, pattern: str, as_json: bool) -> None:
    """Measure a model on a text: nats and bits per character, perplexity, speed.

    The state is carried through each file. PATH may be a folder, a .gz file, or - for standard input.
    """
    if lanes is not None and not 1 <= lanes <= 4096:
        raise UsageError(f"lanes is {lanes}, but must lie between 1 and 4096")
    from charlm import checkpoint
    from charlm.inference.engine import Engine
    from charlm.inference.reading import Measured, measuring

    path = model_path(model)
    texts = _read(paths, pattern, encoding)
    engine = Engine(checkpoint.load(path))
    start = time.perf_counter()
    results: dict[str, Measured] = {}
    with _progress(sum(map(len, texts.values()))) as advance:
        for name, text in texts.items():
            before = 0
            for measured in measuring(engine, text, lanes or (1 if len(text) <= SINGLE_LANE else MANY_LANES)):
                advance(measured.characters - before)
                before = measured.characters
                results[name] = measured
    seconds = time.perf_counter() - start
    total = sum(results.values(), Measured())
    speed = total.characters / seconds
    if as_json:
        files = [{"path": name, **_figures(one)} for name, one in results.items()]
        click.echo(json.dumps({"model": path.stem, **_figures(total), "chars_per_second": speed, "files": files}))
        return
    width = max(map(len, results))
    for name, one in results.items():
        click.echo(shown(f"{name:{width}}  {_line(one)}", sys.stdout))
    if len(results) > 1:
        click.echo(f"{'all':{width}}  {_line(total)}")
    if total.unknown:
        click.echo(
            f"note: {total.unknown} characters are unknown to {path.stem}; each counts as a blind guess", err=True
        )
    click.echo(f"{speed:,.0f} chars/s", err=True)


def _read(paths: tuple[str, ...], pattern: str, encoding: str) -> dict[str, str]:
    from charlm.text.corpus import STDIN, find_files, read_text

    named = [STDIN if path == "-" else Path(path) for path in paths]
    files = [file for path in named for file in ([path] if path == STDIN else find_files([path], pattern, encoding)[0])]
    texts = {str(file): "".join(read_text(file, encoding)) for file in files}
    for name, text in texts.items():
        if len(text) < 2:
            raise CorpusError(f"{name} is too short to be measured", "at least two characters are needed")
    return texts


@contextmanager
def _progress(characters: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere; gives a function that takes how many characters were read since."""
    if not is_live():
        yield lambda _: None
        return
    with click.progressbar(length=characters, label="reading", file=sys.stderr) as bar:
        yield bar.update


def _figures(measured: Measured) -> dict[str, float | int]:
    return {
        "nats_per_char": measured.nats_per_character,
        "bits_per_char": measured.bits_per_character,
        "perplexity": measured.perplexity,
        "chars": measured.characters,
        "unknown": measured.unknown,
    }


def _line(measured: Measured) -> str:
    return (
        f"{measured.nats_per_character:.4f} nats/char  {measured.bits_per_character:.4f} bits/char  "
        f"perplexity {measured.perplexity:.3f}  {measured.characters:,} characters"
    )
