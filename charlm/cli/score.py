"""`charlm score`: parse, score, print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import charlm_command, complete_model, load_engine, model_path
from charlm.cli.common import encoding_option, json_option, read_texts
from charlm.cli.dynamic_options import learn_config, learning_options, load_learner
from charlm.cli.options import FiniteRange
from charlm.cli.output import is_live, print_json
from charlm.errors import CorpusError, UsageError
from charlm.text.decoding import Encoding

if TYPE_CHECKING:
    from charlm.cli.heat import Heat
    from charlm.config import LearnConfig
    from charlm.inference.scoring import LineScore, LineScorer


@charlm_command(
    ("charlm score novel chapter7.txt", "the twenty most unusual lines"),
    ("charlm score app app.log --threshold 3", "every line above 3 bits/char"),
    ("tail -f app.log | charlm score app -", "each line as it arrives"),
    ("tail -f app.log | charlm score app - --dynamic", "the same, following drift"),
    ("charlm score novel draft.txt --order line --json", "all lines, for a script"),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("path", metavar="PATH")
@click.option("--top", default=20, type=click.IntRange(0), help="Number of lines to show; 0 shows all.")
@click.option(
    "--order",
    type=click.Choice(["surprise", "line"]),
    default="surprise",
    help="Show the most surprising lines first, or in the order of the text.",
)
@click.option("--threshold", type=FiniteRange(), metavar="BITS", help="Show all lines above this many bits/char.")
@click.option("--dynamic", is_flag=True, help="Learn each line after it is scored.")
@learning_options()
@click.option("--cache", is_flag=True, help="Mix in what followed the same characters before.")
@encoding_option
@json_option
def command(
    model: str,
    path: str,
    top: int,
    order: str,
    threshold: float | None,
    encoding: Encoding,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the most surprising lines of a text: odd log lines, typos, foreign passages.

    The score of a line is the mean of its characters' bits, given all lines before it. PATH may be - for standard
    input, whose lines are scored as they arrive.
    """
    from charlm.cli.heat import Heat

    config = learn_config(options, "--dynamic", options["dynamic"])
    scorer = _scorer(model_path(model), config if options["dynamic"] else None, options["cache"])
    heat = Heat(sys.stdout)
    is_stream = path == "-"
    if not as_json and is_live(sys.stdout):
        click.echo(heat.legend(), err=True)
    lines = _arriving_lines(encoding) if is_stream else _lines(path, encoding)
    scores: Iterable[LineScore] = (scorer.push(line) for line in lines)
    if threshold is not None:
        scores = (score for score in scores if score.bits_per_character > threshold)
    if not is_stream:
        scores = _ordered(scores, order, top if threshold is None else 0)
    for score in scores:
        if as_json:
            print_json(_figures(score))
        else:
            sys.stdout.write(_line(score, heat) + "\n")  # click.echo would remove escape sequences from the text
            sys.stdout.flush()


def _scorer(path: Path, learning: LearnConfig | None, has_cache: bool) -> LineScorer:
    from charlm.inference.text_cache import TextCache

    cache = TextCache() if has_cache else None
    if learning is not None:
        from charlm.adapt.dynamic_eval import line_scorer

        return line_scorer(load_learner(path, learning), cache)
    from charlm.inference.scoring import LineScorer

    return LineScorer.static(load_engine(path), cache)


def _ordered(scores: Iterable[LineScore], order: str, top: int) -> list[LineScore]:
    by_surprise = sorted(scores, key=lambda score: -score.bits_per_character)[: top or None]
    return by_surprise if order == "surprise" else sorted(by_surprise, key=lambda score: score.number)


def _lines(path: str, encoding: Encoding) -> list[str]:
    text, *more = read_texts((path,), encoding=encoding).values()
    if more:
        raise UsageError(f"{path} holds several files", "score them one by one")
    return text.removesuffix("\n").split("\n")


def _arriving_lines(encoding: Encoding) -> Iterator[str]:
    for number, line in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        try:
            yield line.decode(*encoding).rstrip("\r\n")
        except (UnicodeDecodeError, LookupError) as error:
            problem = f"line {number} of standard input is not {encoding.name.upper()}"
            raise CorpusError(problem, "give its encoding with --encoding") from error


def _figures(score: LineScore) -> dict[str, object]:
    return {
        "line": score.number,
        "bits_per_char": score.bits_per_character,
        "text": score.text,
        "surprises": [round(bits, 3) for bits in score.surprisals],
    }


def _line(score: LineScore, heat: Heat) -> str:
    # The surprise of the newline counts, but it has no place to be shown.
    painted = "".join(
        heat.paint(character, bits) for character, bits in zip(score.text, score.surprisals, strict=False)
    )
    return f"{score.bits_per_character:7.3f}  {score.number:>6}  {painted}"
