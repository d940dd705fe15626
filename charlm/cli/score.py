"""`charlm score`: parse, score, print."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import CharlmCommand, complete_model, is_live, model_path
from charlm.cli.dynamic_options import learn_config, learning_options, load_learner
from charlm.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from charlm.cli.heat import Heat
    from charlm.config import LearnConfig
    from charlm.inference.scoring import LineScore, LineScorer


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm score novel chapter7.txt", "the twenty lines least like the rest"),
        ("charlm score app app.log --threshold 3", "every line above 3 bits/char"),
        ("tail -f app.log | charlm score app -", "as they come"),
        ("tail -f app.log | charlm score app - --dynamic", "as they come, following drift"),
        ("charlm score novel draft.txt --order line --json", "all lines, for a script"),
    ),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("path", metavar="PATH")
@click.option("--top", default=20, help="Show so many lines; 0 shows all.")
@click.option(
    "--order",
    type=click.Choice(["surprise", "line"]),
    default="surprise",
    help="Most surprising first, or as they stand.",
)
@click.option("--threshold", type=float, metavar="BITS", help="Only lines above so many bits/char; shows all of them.")
@click.option("--dynamic", is_flag=True, help="Learn each line once it was scored, so that what is new grows old.")
@learning_options()
@click.option("--encoding", default="utf-8", help="How the text is encoded.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(
    model: str, path: str, top: int, order: str, threshold: float | None, encoding: str, as_json: bool, **options: Any
) -> None:
    """Find the most surprising lines of a text: odd log lines, typos, foreign passages.

    Each line's bits/char are those of its characters, given all lines before it. PATH may be - for standard input,
    which is scored line by line as it comes.
    """
    if top < 0:
        raise UsageError(f"top is {top}, but must be 0 (all) or more")
    if threshold is not None and math.isnan(threshold):
        raise UsageError("threshold is nan, but must be a number")
    how = learn_config(options, "--dynamic", options["dynamic"])
    from charlm.cli.heat import Heat

    scorer = _learning(model_path(model), how) if options["dynamic"] else _static(model_path(model))
    heat = Heat(sys.stdout)
    follows = path == "-"
    if not as_json and is_live(sys.stdout):
        click.echo(heat.legend(), err=True)
    scores: Iterable[LineScore] = (scorer.push(line) for line in _lines(path, encoding))
    if threshold is not None:
        scores = (score for score in scores if score.bits_per_character > threshold)
    if not follows:
        scores = _ordered(scores, order, top if threshold is None else 0)
    for score in scores:
        # Not click.echo, which would take escape sequences out of a text on its way into a pipe.
        written = json.dumps(_figures(score), ensure_ascii=sys.stdout.isatty()) if as_json else _line(score, heat)
        sys.stdout.write(written + "\n")
        if follows:
            sys.stdout.flush()


def _static(path: Path) -> LineScorer:
    from charlm import checkpoint
    from charlm.inference.engine import Engine
    from charlm.inference.scoring import LineScorer

    return LineScorer.static(Engine(checkpoint.load(path)))


def _learning(path: Path, how: LearnConfig) -> LineScorer:
    from charlm.adapt.dynamic_eval import line_scorer

    return line_scorer(load_learner(path, how))


def _ordered(scores: Iterable[LineScore], order: str, top: int) -> list[LineScore]:
    by_surprise = sorted(scores, key=lambda score: -score.bits_per_character)[: top or None]
    return by_surprise if order == "surprise" else sorted(by_surprise, key=lambda score: score.number)


def _lines(path: str, encoding: str) -> Iterator[str]:
    from charlm.text.decoding import read_text
    from charlm.text.inputs import find_files

    if path != "-":
        (file, *more), _ = find_files([Path(path)], encoding=encoding)
        if more:
            raise UsageError(f"{path} holds several files", "score them one by one")
        yield from "".join(read_text(file, encoding)).removesuffix("\n").split("\n")
        return
    # Not in blocks: a line is scored when it is there.
    for number, line in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        try:
            yield line.decode(encoding).rstrip("\r\n")
        except (UnicodeDecodeError, LookupError) as error:
            raise CorpusError(
                f"line {number} of standard input is not {encoding.upper()}", "say what it is with --encoding"
            ) from error


def _figures(score: LineScore) -> dict[str, Any]:
    return {
        "line": score.number,
        "bits_per_char": score.bits_per_character,
        "text": score.text,
        "surprises": [round(bits, 3) for bits in score.surprisals],
    }


def _line(score: LineScore, heat: Heat) -> str:
    # The newline's own surprise counts, but has no place to be shown.
    pairs = zip(score.text, score.surprisals, strict=False)
    painted = "".join(heat.paint(character, bits) for character, bits in pairs)
    return f"{score.bits_per_character:7.3f}  {score.number:>6}  {painted}"
