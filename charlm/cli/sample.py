"""`charlm sample`: parse, generate, write."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import CharlmCommand, complete_model, model_path, shown
from charlm.cli.dynamic_options import comparison, learner, learning_options, settings
from charlm.cli.main import INTERRUPTED
from charlm.errors import CorpusError, NotFoundError, UsageError
from charlm.text.sanitize import visible

if TYPE_CHECKING:
    from charlm.config import LearnConfig, SamplingConfig
    from charlm.inference.engine import Engine
    from charlm.inference.generate import Completion, Piece
    from charlm.inference.scoring import Primed


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm sample", "a text by your newest model"),
        ("charlm sample novel -p 'It was' -n 500 --seed 7", "the same text every time"),
        ("charlm sample novel -t 0.5 --top-p 0.9", "more careful"),
        ("charlm sample novel --count 5 --stop '\\n'", "five lines, as one batch"),
        ("charlm sample novel --heat", "see what surprised the model"),
        ("charlm sample novel --learn page.txt", "read a page first, and write on in its manner"),
        ("charlm sample novel --json --stream | jq .alternatives", "what else might have come"),
    ),
)
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("-p", "--prompt", default="", help="Text to go on from; - reads it from standard input.")
@click.option("--prompt-file", type=click.Path(path_type=Path), help="Go on from this file's text.")
@click.option("--echo/--no-echo", default=True, help="Print the prompt too.")
@click.option(
    "--learn", type=click.Path(path_type=Path), metavar="FILE", help="Learn this text, and go on from its end."
)
@learning_options
@click.option("-n", "--chars", default=400, help="How many characters to write.")
@click.option("-t", "--temperature", default=0.8, help="0 takes the likeliest; below 1 careful, above 1 wild.")
@click.option("--top-k", default=0, help="Draw among the k likeliest; 0 is off.")
@click.option("--top-p", default=0.95, help="Draw among the likeliest that make up this share; 1 is off.")
@click.option("--min-p", default=0.0, help="Draw among those at least this share as likely as the likeliest; 0 is off.")
@click.option("--typical", default=1.0, help="Draw among the most typical that make up this share; 1 is off.")
@click.option("--repetition-penalty", default=1.0, help="Above 1 avoids characters of the last few; 1 is off.")
@click.option("--repetition-window", default=64, help="How many characters back that looks.")
@click.option("--ban", default="", metavar="CHARACTERS", help="Never write these.")
@click.option(
    "--stop", multiple=True, metavar="TEXT", help="End before this; may be given several times. \\n is a newline."
)
@click.option("--seed", type=int, help="Makes a text again.  [default: drawn, and told on stderr]")
@click.option("--count", default=1, help="So many texts, as one batch; text k has the seed plus k.")
@click.option("--separator", default="\\n---\\n", help="Between texts.")
@click.option("--best-of", type=int, help="Write so many, show the likeliest.")
@click.option(
    "--relevance", type=float, metavar="LAMBDA", help="With --best-of: prefer what the prompt makes likelier."
)
@click.option("--beam", type=int, metavar="WIDTH", help="Beam search instead of drawing.")
@click.option("--rate", type=float, metavar="CPS", help="At most so many characters a second, like a typewriter.")
@click.option("--heat", is_flag=True, help="Colour each character by its surprise.")
@click.option("--endless", is_flag=True, help="Write until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a text; with --stream one a character.")
@click.option("--stream", is_flag=True, help="With --json: one object a character, with its alternatives.")
def command(**options: Any) -> int:
    """Stream text from a model.

    MODEL is a name that charlm models lists, or a path; left out, your newest, or the bundled one.
    """
    _check(options)
    how = settings(options, "--learn FILE", options["learn"] is not None)
    from charlm import checkpoint
    from charlm.config import SamplingConfig
    from charlm.inference.engine import Engine
    from charlm.inference.generate import new_seed
    from charlm.inference.scoring import prime

    drawn = options["seed"] is None
    params = SamplingConfig(
        temperature=options["temperature"],
        top_k=options["top_k"],
        top_p=options["top_p"],
        min_p=options["min_p"],
        typical=options["typical"],
        repetition_penalty=options["repetition_penalty"],
        repetition_window=options["repetition_window"],
        banned=options["ban"],
        seed=new_seed() if drawn else options["seed"],
    )
    path = model_path(options["model"])
    prompt = _prompt(options)
    if options["learn"] is not None:
        engine, primed = _learned(path, how, options["learn"], prompt)
    else:
        engine = Engine(checkpoint.load(path))
        primed = prime(engine, prompt)
    if primed.unknown:
        strange = " ".join(primed.unknown[:20])
        click.echo(visible(f"note: {path.stem} does not know {strange}; something else was read for it"), err=True)
    if drawn and options["beam"] is None:
        click.echo(visible(f"{path.stem}, seed {params.seed}"), err=True)
    writer = _Writer(options, prompt, path.stem, params)
    try:
        _write(engine, primed, params, options, writer)
    except KeyboardInterrupt:
        writer.interrupt()
        return INTERRUPTED
    return 0


def _check(options: dict[str, Any]) -> None:
    chosen = [name for name in ("beam", "best_of", "endless") if options[name]]
    if options["count"] != 1:
        chosen.append("count")
    if len(chosen) > 1:
        raise UsageError(" and ".join(f"--{name.replace('_', '-')}" for name in chosen) + " do not go together")
    if options["relevance"] is not None and not options["best_of"]:
        raise UsageError("--relevance chooses among several texts", "say how many with --best-of")
    if options["relevance"] is not None and not math.isfinite(options["relevance"]):
        raise UsageError(f"relevance is {options['relevance']:g}, but must be a finite number")
    if options["ban"] and options["beam"] is not None:
        raise UsageError("--ban is about text that is drawn, so --beam does not go with it")
    if options["endless"] and options["as_json"] and not options["stream"]:
        raise UsageError("--endless never has a whole text for --json to print", "say --stream too")
    if options["stream"] and not options["as_json"]:
        raise UsageError("--stream belongs to --json", "text is streamed anyway")
    if options["stream"] and chosen and chosen != ["endless"]:
        raise UsageError(
            f"--stream shows one text as it is drawn, so --{chosen[0].replace('_', '-')} does not go with it"
        )
    if options["heat"] and (options["as_json"] or options["beam"] is not None):
        raise UsageError("--heat colours text that is drawn, so --json and --beam do not go with it")
    if options["rate"] is not None and not 0 < options["rate"] < math.inf:
        raise UsageError(f"rate is {options['rate']:g}, but must be above 0")
    for name in ("count", "best_of", "beam"):
        if options[name] is not None and not 1 <= options[name] <= 100_000:
            raise UsageError(f"{name.replace('_', '-')} is {options[name]}, but must lie between 1 and 100000")
    if options["chars"] < 0:
        raise UsageError(f"chars is {options['chars']}, but must not be negative")


def _prompt(options: dict[str, Any]) -> str:
    from charlm.text.decoding import read_text

    path, prompt = options["prompt_file"], options["prompt"]
    if path is not None and prompt:
        raise UsageError("there are two prompts: --prompt and --prompt-file")
    if path is not None:
        if not path.exists():
            raise NotFoundError(f"no such file: {path}")
        return "".join(read_text(path))
    if prompt == "-":
        try:
            return sys.stdin.buffer.read().decode()
        except UnicodeDecodeError as error:
            raise CorpusError(f"standard input is not UTF-8: byte at offset {error.start}") from error
    return str(prompt)


def _learned(path: Path, how: LearnConfig, page: Path, prompt: str) -> tuple[Engine, Primed]:
    """The model once it has learned a page, and read the prompt after it."""
    from charlm.adapt.dynamic_eval import learn
    from charlm.inference.scoring import Primed, prime, spell
    from charlm.text.decoding import read_text

    text = "".join(read_text(page))
    learns = learner(path, how)
    lesson = learn(learns, text)
    click.echo(visible(f"{page.name}: {comparison(lesson)}"), err=True)
    memory, engine = lesson.memory, learns.engine(lesson.memory)
    if prompt:
        return engine, prime(engine, prompt, memory.state)
    return engine, Primed(memory.state, memory.logits, spell(engine.vocabulary, text[-1000:])[0], ())


class _Writer:
    """Puts text on stdout: raw into a pipe, made visible on a terminal, at a pace."""

    def __init__(self, options: dict[str, Any], prompt: str, model: str, params: SamplingConfig) -> None:
        from charlm.cli.heat import Heat

        self.options = options
        self._model = model
        self._params = params
        self._live = sys.stdout.isatty()
        self._heat = Heat(sys.stdout) if options["heat"] else None
        self._seconds_each = 1 / options["rate"] if options["rate"] else 0.0
        self._due = time.monotonic()
        self.prompt = prompt
        self._mid_line = False

    def text(self, text: str) -> None:
        """Write text as it is."""
        if text:
            sys.stdout.write(shown(text, sys.stdout))
            self._mid_line = not text.endswith("\n")

    def legend(self) -> None:
        """What the colours mean, once."""
        if self._heat is not None:
            click.echo(self._heat.legend(), err=True)

    def begin(self) -> None:
        """What stands before a text."""
        if self.options["echo"] and not self.options["as_json"]:
            self.text(self.prompt)
            sys.stdout.flush()

    def piece(self, piece: Piece) -> None:
        """Write one character as it comes."""
        if self._heat is not None and piece.text:
            sys.stdout.write(self._heat.paint(piece.text, -piece.logprob / math.log(2)))
            self._mid_line = piece.text != "\n"
        else:
            self.text(piece.text)
        if self._seconds_each:
            self._due = max(self._due + self._seconds_each, time.monotonic() - 1)
            sys.stdout.flush()
            time.sleep(max(0.0, self._due - time.monotonic()))

    def piece_as_json(self, piece: Piece) -> None:
        """Write one character as an object."""
        document = {
            "text": piece.text,
            "id": piece.id,
            "logprob": piece.logprob,
            "entropy": piece.entropy,
            "alternatives": [{"text": one.text, "id": one.id, "p": one.probability} for one in piece.alternatives],
        }
        self._json(document)

    def text_as_json(self, text: str, logprob: float, reason: str, seed: int | None) -> None:
        """Write a whole text as an object."""
        self._json(
            {
                "model": self._model,
                "prompt": self.prompt,
                "text": text,
                "reason": reason,
                "logprob": logprob,
                "bits_per_char": -logprob / math.log(2) / max(1, len(text)),
                "seed": seed,
                "temperature": self._params.temperature,
            }
        )

    def _json(self, document: dict[str, Any]) -> None:
        # A lone terminal control is as harmful inside JSON, so non-ASCII is escaped on a screen.
        sys.stdout.write(json.dumps(document, ensure_ascii=self._live) + "\n")
        sys.stdout.flush()

    def separator(self) -> None:
        """Between two texts."""
        self.text(_unescape(self.options["separator"]))

    def end(self) -> None:
        """After the last text."""
        if self._mid_line and not self.options["as_json"]:
            sys.stdout.write("\n")
        sys.stdout.flush()

    def interrupt(self) -> None:
        """After Ctrl-C."""
        self.end()


def _write(engine: Engine, primed: Primed, params: SamplingConfig, options: dict[str, Any], writer: _Writer) -> None:
    writer.legend()
    if options["beam"] is not None:
        _write_beam(engine, primed, options, writer)
    elif options["count"] > 1 or options["best_of"]:
        _write_batch(engine, primed, params, options, writer)
    else:
        _write_stream(engine, primed, params, options, writer)
    writer.end()


def _write_stream(
    engine: Engine, primed: Primed, params: SamplingConfig, options: dict[str, Any], writer: _Writer
) -> None:
    from charlm.inference.generate import Generation

    generation = Generation(
        engine,
        primed.state,
        primed.logits,
        params,
        max_chars=None if options["endless"] else options["chars"],
        stops=_stops(options),
        alternatives=5 if options["stream"] else 0,
        recent=primed.ids.tolist(),
    )
    writer.begin()
    if options["stream"]:
        for piece in generation:
            writer.piece_as_json(piece)
    elif options["as_json"]:
        pieces = list(generation)
        text, logprob = "".join([piece.text for piece in pieces]), sum(piece.logprob for piece in pieces)
        writer.text_as_json(text, logprob, generation.reason, params.seed)
    else:
        for piece in _flushing(generation):
            writer.piece(piece)


def _flushing(pieces: Iterator[Piece], every: float = 0.03) -> Iterator[Piece]:
    """Hand pieces on, and flush stdout often enough to look live without a system call a character."""
    due = 0.0
    for piece in pieces:
        yield piece
        if (now := time.monotonic()) >= due:
            sys.stdout.flush()
            due = now + every


def _write_batch(
    engine: Engine, primed: Primed, params: SamplingConfig, options: dict[str, Any], writer: _Writer
) -> None:
    from charlm.inference.generate import generate_batch
    from charlm.inference.search import best_first, most_relevant_first

    texts: list[Completion] = generate_batch(
        engine,
        primed.state,
        primed.logits,
        params,
        options["best_of"] or options["count"],
        max_chars=options["chars"],
        stops=_stops(options),
        recent=primed.ids.tolist(),
    )
    if options["best_of"]:
        weight = options["relevance"]
        texts = (best_first(texts) if weight is None else most_relevant_first(engine, texts, weight))[:1]
    for number, one in enumerate(texts):
        if options["as_json"]:
            writer.text_as_json(one.text, one.logprob, one.reason, one.seed)
            continue
        if number:
            writer.separator()
        writer.begin()
        for piece in one.pieces:
            writer.piece(piece)


def _write_beam(engine: Engine, primed: Primed, options: dict[str, Any], writer: _Writer) -> None:
    from charlm.inference.search import beam_search

    best, *_ = beam_search(
        engine, primed.state, primed.logits, options["beam"], max_chars=options["chars"], stops=_stops(options)
    )
    if options["as_json"]:
        writer.text_as_json(best.text, best.logprob, best.reason, None)
    else:
        writer.begin()
        writer.text(best.text)


def _stops(options: dict[str, Any]) -> list[str]:
    return [_unescape(stop) for stop in options["stop"]]


def _unescape(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t")
