"""`charlm score`: parse, score, print."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from charlm.cli.command import charlm_command, complete_model, load_engine, model_path
from charlm.cli.common import encoding_option, json_option, read_texts
from charlm.cli.dynamic_options import learn_config, learning_options, load_learner
from charlm.cli.options import FiniteRange
from charlm.cli.output import is_live, print_json, shown
from charlm.errors import UsageError
from charlm.text.decoding import Encoding

if TYPE_CHECKING:
    from charlm.cli.heat import Heat
    from charlm.config import LearnConfig
    from charlm.inference.scoring import LineScore, LineScorer

Found: TypeAlias = "tuple[float, LineScore]"  # with its evidence


@charlm_command(
    ("charlm score novel chapter7.txt", "the twenty most unusual lines"),
    ("charlm score app app.log --order total", "the lines with most information first"),
    ("tail -f app.log | charlm score app - --threshold 12", "unusual lines as they arrive"),
    ("tail -f app.log | charlm score app - --dynamic", "the same, following drift"),
    ("charlm score novel draft.txt --order line --json", "all lines, for a script"),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("path", metavar="PATH")
@click.option("--top", default=20, type=click.IntRange(0), help="Number of lines to show; 0 shows all.")
@click.option(
    "--order",
    type=click.Choice(["words", "mean", "max", "total", "line"]),
    default="words",
    help="Rank lines by rare words, or by bits per character, of one character, of all; or keep them in order.",
)
@click.option("--threshold", type=FiniteRange(), metavar="BITS", help="Show all lines above this score.")
@click.option(
    "--heat",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Mark surprising characters: on a terminal, or also in a pipe.",
)
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

    A line is scored in bits, given all lines before it. By default the score is that of the most surprising character
    inside a word, divided by the number of times that the word occurs. PATH may be - for standard input, whose lines
    are scored as they arrive; bytes that are not of the encoding are replaced there.
    """
    config = learn_config(options, "--dynamic", options["dynamic"])
    scorer = _scorer(model_path(model), config if options["dynamic"] else None, options["cache"])
    heat = _heat(options["heat"])
    is_stream = path == "-"
    if heat is not None and not as_json and is_live(sys.stdout):
        click.echo(heat.legend(), err=True)
    lines = _arriving_lines(encoding) if is_stream else _lines(path, encoding)
    scores: Iterable[LineScore] = map(scorer.push, lines)
    if not is_stream:
        scores = list(scores)  # all words are counted before a line is ranked
    found = ((scorer.evidence(score, order), score) for score in scores)
    if threshold is not None:
        found = (pair for pair in found if pair[0] > threshold)
    for evidence, score in found if is_stream else _ordered(found, order, top if threshold is None else 0):
        if as_json:
            print_json({"line": score.number, "score": evidence, **_figures(score)})
        else:
            text = shown(score.text, sys.stdout) if heat is None else _painted(score, heat)
            # click.echo would remove escape sequences from the text
            sys.stdout.write(f"{evidence:7.3f}  {score.number:>6}  {text}\n")
            sys.stdout.flush()


def _scorer(path: Path, learning: LearnConfig | None, has_cache: bool) -> LineScorer:
    from charlm.inference.text_cache import TextCache

    cache = TextCache() if has_cache else None
    if learning is not None:
        from charlm.adapt.dynamic_eval import line_scorer

        return line_scorer(load_learner(path, learning), cache)
    from charlm.inference.scoring import LineScorer

    return LineScorer.static(load_engine(path), cache)


def _heat(mode: str) -> Heat | None:
    from charlm.cli.heat import Heat

    return Heat(sys.stdout) if mode == "always" or (mode == "auto" and sys.stdout.isatty()) else None


def _ordered(found: Iterable[Found], order: str, top: int) -> list[Found]:
    ranked = sorted(found, key=lambda pair: -pair[0])[: top or None]
    return sorted(ranked, key=lambda pair: pair[1].number) if order == "line" else ranked


def _lines(path: str, encoding: Encoding) -> list[str]:
    text, *more = read_texts((path,), encoding=encoding).values()
    if more:
        raise UsageError(f"{path} holds several files", "score them one by one")
    return text.removesuffix("\n").split("\n")


def _arriving_lines(encoding: Encoding) -> Iterator[str]:
    encoding.check()
    stream = io.TextIOWrapper(sys.stdin.buffer, encoding.name, errors="replace")
    yield from (line.removesuffix("\n") for line in iter(stream.readline, ""))


def _figures(score: LineScore) -> dict[str, object]:
    return {
        "bits_per_char": score.bits_per_character,
        "text": score.text,
        "surprises": [round(bits, 3) for bits in score.surprisals],
    }


def _painted(score: LineScore, heat: Heat) -> str:
    # The surprise of the newline counts, but it has no place to be shown.
    return "".join(heat.paint(character, bits) for character, bits in zip(score.text, score.surprisals, strict=False))
