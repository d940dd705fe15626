"""`charlm eval`: parse, measure, print."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from charlm.cli.command import CharlmCommand, complete_model, is_live, model_path, shown
from charlm.cli.dynamic_options import learn_config, learning_options, load_learner
from charlm.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from charlm.config import LearnConfig
    from charlm.inference.scoring import TextScore

    Results: TypeAlias = tuple[TextScore, ...]  # with --dynamic two: learning, and static

SINGLE_LANE = 200_000  # characters up to which one lane, the exact way, is quick enough
MANY_LANES = 16


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm eval novel chapter7.txt", "how well does it predict this?"),
        ("charlm eval novel chapter7.txt --dynamic", "if it may learn from each line before the next?"),
        ("charlm eval smalltalk smalltalk.txt --last 0.05 --dialogue", "as a partner, on the text's end"),
        ("charlm eval novel a.txt b.txt --json", "for a script"),
        ("tail -n 1000 app.log | charlm eval app -", "from a pipe"),
    ),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--lanes", type=int, help="Stretches read at once, for speed.  [default: 1 up to 200,000 characters, then 16]"
)
@click.option("--dynamic", is_flag=True, help="Learn from each segment once it was predicted; static beside it.")
@learning_options()
@click.option("--last", type=float, help="Only this share of each text, its end, as training's --val-fraction does.")
@click.option("--dialogue", is_flag=True, help="As a partner: does it know true replies, and what are its own like?")
@click.option("--cases", default=200, help="With --dialogue: places of the text at which replies are ranked.")
@click.option("--words", type=click.Path(exists=True, dir_okay=False), help="With --dialogue: a text that spells well.")
@click.option("--seed", default=1, help="With --dialogue: of places, other replies, and replies drawn.")
@click.option("--encoding", default="utf-8", help="How the files are encoded.")
@click.option("--glob", "pattern", default="*", help="Which files of a folder to read.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on stdout.")
def command(model: str, paths: tuple[str, ...], pattern: str, encoding: str, as_json: bool, **options: Any) -> None:
    """Measure a model on a text: nats and bits per character, perplexity, speed.

    The state is carried through each file. PATH may be a folder, a .gz file, or - for standard input. With --dynamic
    the model learns as it reads (dynamic evaluation): each character is predicted before anything is learned from it,
    and each file begins with the model as it was trained.

    With --dialogue the text is taken as conversations in the model's format. Reported are how often the reply that was
    given is found among ten, nine of them from elsewhere (by likelihood, by relevance, and having learned from the
    conversation so far); bits per character of true replies; and what the model's own replies are like.
    """
    lanes, dynamic, last = options["lanes"], options["dynamic"], options["last"]
    if lanes is not None and not 1 <= lanes <= 4096:
        raise UsageError(f"lanes is {lanes}, but must lie between 1 and 4096")
    if lanes is not None and dynamic:
        raise UsageError("--dynamic reads one character after the other, so --lanes does not go with it")
    if last is not None and not 0 < last <= 1:
        raise UsageError(f"--last is {last:g}, but must lie above 0 and at most at 1")
    if options["dialogue"] and (lanes is not None or dynamic):
        raise UsageError(
            "--dialogue reads in its own way, with and without learning", "leave --lanes and --dynamic out"
        )
    if options["cases"] < 1:
        raise UsageError(f"cases is {options['cases']}, but must be at least 1")
    how = learn_config(options, "--dynamic or --dialogue", dynamic or options["dialogue"])
    path = model_path(model)
    texts = _read(paths, pattern, encoding)
    if last is not None:
        texts = {name: _end(text, last) for name, text in texts.items()}
    if options["dialogue"]:
        from charlm.cli.dialogue_eval import report

        words = "".join(_read((options["words"],), "*", encoding).values()) if options["words"] else ""
        report(path, texts, how, options["cases"], options["seed"], words, as_json)
        return
    from charlm.inference.scoring import TextScore

    measure = _learning(path, how) if dynamic else _static(path, lanes)
    start = time.perf_counter()
    results: dict[str, Results] = {}
    with _progress(sum(map(len, texts.values()))) as advance:
        for name, text in texts.items():
            before = 0
            for measured in measure(text):
                advance(measured[0].characters - before)
                before = measured[0].characters
                results[name] = measured
    seconds = time.perf_counter() - start
    total = tuple(sum(column, TextScore()) for column in zip(*results.values(), strict=True))
    speed = total[0].characters / seconds
    if as_json:
        document = {"model": path.stem, **_figures(total), "chars_per_second": speed}
        document |= {"learning": how.to_dict()} if dynamic else {}
        click.echo(
            json.dumps({**document, "files": [{"path": name, **_figures(one)} for name, one in results.items()]})
        )
        return
    width = max(map(len, results))
    for name, one in results.items():
        click.echo(shown(f"{name:{width}}  {_line(one)}", sys.stdout))
    if len(results) > 1:
        click.echo(f"{'all':{width}}  {_line(total)}")
    if total[0].unknown:
        click.echo(
            f"note: {total[0].unknown} characters are unknown to {path.stem}; each counts as a blind guess", err=True
        )
    click.echo(f"{speed:,.0f} chars/s", err=True)


def _static(path: Path, lanes: int | None) -> Callable[[str], Iterator[Results]]:
    """Measures a text with the model as it is."""
    from charlm import checkpoint
    from charlm.inference.engine import Engine
    from charlm.inference.scoring import score_text

    engine = Engine(checkpoint.load(path))

    def measure(text: str) -> Iterator[Results]:
        for measured in score_text(engine, text, lanes or (1 if len(text) <= SINGLE_LANE else MANY_LANES)):
            yield (measured,)

    return measure


def _learning(path: Path, how: LearnConfig) -> Callable[[str], Iterator[Results]]:
    """Measures a text with a model that learns, and with the model as it is."""
    from charlm.adapt.dynamic_eval import learning

    learns = load_learner(path, how)

    def measure(text: str) -> Iterator[Results]:
        for lesson in learning(learns, text):
            yield lesson.learning, lesson.static

    return measure


def _read(paths: tuple[str, ...], pattern: str, encoding: str) -> dict[str, str]:
    from charlm.text.decoding import STDIN, read_text
    from charlm.text.inputs import find_files

    named = [STDIN if path == "-" else Path(path) for path in paths]
    files = [file for path in named for file in ([path] if path == STDIN else find_files([path], pattern, encoding)[0])]
    texts = {str(file): "".join(read_text(file, encoding)) for file in files}
    for name, text in texts.items():
        if len(text) < 2:
            raise CorpusError(f"{name} is too short to be measured", "at least two characters are needed")
    return texts


def _end(text: str, share: float) -> str:
    """The end of a text, from the first new line in it if there is one."""
    end = text[int(len(text) * (1 - share)) :] if share < 1 else text
    after = end.find("\n") + 1
    return end[after:] if share < 1 and len(end) > after + 1 else end


@contextmanager
def _progress(characters: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere; gives a function that takes how many characters were read since."""
    if not is_live():
        yield lambda _: None
        return
    with click.progressbar(length=characters, label="reading", file=sys.stderr) as bar:
        yield bar.update


def _figures(results: Results) -> dict[str, Any]:
    measured, *static = results
    figures: dict[str, Any] = {
        "nats_per_char": measured.nats_per_character,
        "bits_per_char": measured.bits_per_character,
        "perplexity": measured.perplexity,
        "chars": measured.characters,
        "unknown": measured.unknown,
    }
    return figures | ({"static": _figures((static[0],))} if static else {})


def _line(results: Results) -> str:
    measured, *static = results
    line = (
        f"{measured.nats_per_character:.4f} nats/char  {measured.bits_per_character:.4f} bits/char  "
        f"perplexity {measured.perplexity:.3f}  {measured.characters:,} characters"
    )
    return line + "".join(f"  (static {one.nats_per_character:.4f} nats/char)" for one in static)
