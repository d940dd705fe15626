"""`charlm sample`: generate text and write it to stdout."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from charlm.cli.command import charlm_command, complete_model, model_path
from charlm.cli.common import INTERRUPTED
from charlm.cli.dynamic_options import describe_gain, learn_config, learning_options, load_learner
from charlm.cli.options import FiniteRange, Options, check_together, given, option, options_of
from charlm.cli.output import print_note, shown
from charlm.config import SamplingConfig
from charlm.errors import CorpusError, NotFoundError, UsageError

if TYPE_CHECKING:
    from charlm.config import LearnConfig
    from charlm.inference.context import Context
    from charlm.inference.engine import Engine
    from charlm.inference.generate import Completion, Piece
    from charlm.inference.state import Ids

_COUNT = click.IntRange(1, 100_000)
_ALTERNATIVES = 5  # for each character, with --stream
_CONTEXT_CHARS = 1000  # end of a learned text that the repetition penalty sees
_FLUSH_SECONDS = 0.03  # looks live without a system call per character


@charlm_command(
    ("charlm sample", "a text by your newest model"),
    ("charlm sample novel -p 'It was' -n 500 --seed 7", "the same text every time"),
    ("charlm sample novel -t 0.5 --top-p 0.9", "more careful"),
    ("charlm sample novel --count 5 --stop '\\n'", "five lines, as one batch"),
    ("charlm sample novel --heat", "see what surprised the model"),
    ("charlm sample novel --learn page.txt", "learn a page first, then continue it"),
    ("charlm sample novel --json --stream | jq .alternatives", "the other likely characters"),
)
@click.argument("model", required=False, shell_complete=complete_model)
@option(
    "-p",
    "--prompt",
    group="Prompt",
    default="",
    show_default=False,
    help="Text to continue; - reads it from standard input.",
)
@option("--prompt-file", group="Prompt", type=click.Path(path_type=Path), help="Continue the text of this file.")
@option("--echo/--no-echo", group="Prompt", default=True, help="Print the prompt too.")
@option(
    "--learn",
    group="Prompt",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Learn this text, and continue from its end.",
)
@learning_options(group="Prompt")
@option(
    "-n",
    "--chars",
    group="Length",
    default=400,
    type=click.IntRange(0),
    metavar="INTEGER",
    help="Length of a text.",
)
@option(
    "--stop", group="Length", multiple=True, metavar="TEXT", help="End before this text; repeatable. \\n is a newline."
)
@option("--endless", group="Length", is_flag=True, help="Write until Ctrl-C.")
@options_of(SamplingConfig, group="Sampling")
@option("--count", group="Search", default=1, type=_COUNT, metavar="N", help="Number of texts; text k has seed + k.")
@option("--separator", group="Search", default="\\n---\\n", help="Between texts.")
@option("--best-of", group="Search", type=_COUNT, metavar="INTEGER", help="Draw this many texts, show the likeliest.")
@option(
    "--relevance",
    group="Search",
    type=FiniteRange(-1000, 1000),
    metavar="LAMBDA",
    help="With --best-of: prefer a text that the prompt makes likelier.",
)
@option("--beam", group="Search", type=_COUNT, metavar="WIDTH", help="Beam search instead of drawing.")
@option(
    "--rate",
    group="Output",
    type=FiniteRange(0, min_open=True),
    metavar="CPS",
    help="Write at most this many characters a second, like a typewriter.",
)
@option("--heat", group="Output", is_flag=True, help="Colour each character by its surprisal.")
@option("--json", "as_json", group="Output", is_flag=True, help="Print one JSON object per text.")
@option("--stream", group="Output", is_flag=True, help="With --json: one object per character, with its alternatives.")
def command(**options: Any) -> int:
    """Stream text from a model.

    MODEL is a name that charlm models lists, or a path; the default is your newest, or the bundled one.
    """
    _check(options)
    learning = learn_config(options, "--learn FILE", options["learn"] is not None)
    from charlm import checkpoint
    from charlm.inference.context import StaticModel, read_prompt
    from charlm.inference.engine import Engine
    from charlm.inference.generate import new_seed
    from charlm.text.decoding import normalise

    is_seeded = options["seed"] is not None
    params = SamplingConfig(**given(SamplingConfig, options))
    params = params if is_seeded else params.changed(seed=new_seed())
    path = model_path(options["model"])
    prompt = _prompt(options)
    if options["learn"] is not None:
        start = _learned(path, learning, options["learn"], prompt)
    else:
        engine = Engine(checkpoint.load(path))
        start = _Start(engine, *read_prompt(StaticModel(engine), prompt))
    vocabulary = start.engine.vocabulary
    if not vocabulary.has_bytes and (found := vocabulary.unknown(normalise(prompt))):
        unknown = " ".join(found[:20])
        print_note(f"note: {path.stem} does not know {unknown}; each was replaced")
    if not is_seeded and options["beam"] is None:
        print_note(f"{path.stem}, seed {params.seed}")
    writer = _Writer(options, prompt, path.stem, params)
    try:
        _Run(start, params, options, writer).run()
    except KeyboardInterrupt:
        writer.end()
        return INTERRUPTED
    return 0


def _check(options: Options) -> None:
    check_together(
        {**options, "count": options["count"] > 1},
        exclusive=[
            ("beam", "best_of", "endless", "count"),
            *[("stream", other) for other in ("beam", "best_of", "count")],
            *[("heat", other) for other in ("as_json", "beam")],
            ("ban", "beam"),
            ("prompt", "prompt_file"),
        ],
        needed={"relevance": "best_of", "stream": "as_json"},
    )
    if options["endless"] and options["as_json"] and not options["stream"]:
        raise UsageError("--endless never ends the text that --json would print", "add --stream")


def _prompt(options: Options) -> str:
    from charlm.text.decoding import read_text

    path, prompt = options["prompt_file"], options["prompt"]
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


class _Start(NamedTuple):
    """The model after the prompt."""

    engine: Engine
    context: Context
    recent: Ids  # the last ids that it has read


def _learned(path: Path, config: LearnConfig, page: Path, prompt: str) -> _Start:
    """Learn a page, then read the prompt."""
    from charlm.adapt.dynamic_eval import learn
    from charlm.inference.context import StaticModel, encode_lossy, read_prompt
    from charlm.text.decoding import read_text

    text = "".join(read_text(page))
    learner = load_learner(path, config)
    result = learn(learner, text)
    print_note(f"{page.name}: {describe_gain(result)}")
    engine = learner.engine(result.context)
    if prompt:
        return _Start(engine, *read_prompt(StaticModel(engine), prompt, result.context))
    return _Start(engine, result.context, encode_lossy(engine.vocabulary, text[-_CONTEXT_CHARS:]))


class _Writer:
    """Writes text to stdout: raw into a pipe, with visible control characters on a terminal, at a given rate."""

    def __init__(self, options: Options, prompt: str, model: str, params: SamplingConfig) -> None:
        from charlm.cli.heat import Heat

        self._echo = prompt if options["echo"] and not options["as_json"] else ""
        self._description = {"model": model, "prompt": prompt}
        self._temperature = params.temperature
        self._heat = Heat(sys.stdout) if options["heat"] else None
        self._seconds_each = 1 / options["rate"] if options["rate"] else 0.0
        self._due = time.monotonic()
        self._is_mid_line = False
        if self._heat is not None:
            click.echo(self._heat.legend(), err=True)

    def text(self, text: str) -> None:
        if text:
            sys.stdout.write(shown(text, sys.stdout))
            self._is_mid_line = not text.endswith("\n")

    def begin(self) -> None:
        """Write the prompt, if it is to be echoed."""
        self.text(self._echo)
        sys.stdout.flush()

    def piece(self, piece: Piece) -> None:
        """Write one character, and wait until the next is due."""
        if self._heat is not None and piece.text:
            sys.stdout.write(self._heat.paint(piece.text, -piece.logprob / math.log(2)))
            self._is_mid_line = piece.text != "\n"
        else:
            self.text(piece.text)
        if self._seconds_each:
            self._due = max(self._due + self._seconds_each, time.monotonic() - 1)
            sys.stdout.flush()
            time.sleep(max(0.0, self._due - time.monotonic()))

    def piece_as_json(self, piece: Piece) -> None:
        alternatives = [{"text": one.text, "id": one.id, "p": one.probability} for one in piece.alternatives]
        known = {"text": piece.text, "id": piece.id, "logprob": piece.logprob, "entropy": piece.entropy}
        self._json({**known, "alternatives": alternatives})

    def text_as_json(self, text: str, logprob: float, reason: str, seed: int | None) -> None:
        document = {"text": text, "reason": reason, "logprob": logprob}
        bits = -logprob / math.log(2) / max(1, len(text))
        about = {"bits_per_char": bits, "seed": seed, "temperature": self._temperature}
        self._json({**self._description, **document, **about})

    def _json(self, document: dict[str, object]) -> None:
        # A control character inside JSON also drives a terminal, so non-ASCII is escaped on one.
        sys.stdout.write(json.dumps(document, ensure_ascii=sys.stdout.isatty()) + "\n")
        sys.stdout.flush()

    def end(self) -> None:
        """End the last line."""
        if self._is_mid_line:
            sys.stdout.write("\n")
        sys.stdout.flush()


class _Run:
    """Generates the texts that the options ask for, and writes them."""

    def __init__(self, start: _Start, params: SamplingConfig, options: Options, writer: _Writer) -> None:
        self._start, self._params = start, params
        self._options, self._writer = options, writer
        self._stops = [_unescape(stop) for stop in options["stop"]]

    def run(self) -> None:
        if self._options["beam"] is not None:
            self._search_beam()
        elif self._options["count"] > 1 or self._options["best_of"]:
            self._write_batch()
        else:
            self._write_stream()
        self._writer.end()

    def _write_stream(self) -> None:
        from charlm.inference.generate import Generation, Sampler

        options, writer = self._options, self._writer
        generation = Generation(
            self._start.context,
            Sampler.seeded(self._start.engine, self._params),
            max_chars=None if options["endless"] else options["chars"],
            stops=self._stops,
            alternatives=_ALTERNATIVES if options["stream"] else 0,
            recent=self._start.recent.tolist(),
        )
        writer.begin()
        if options["stream"]:
            for piece in generation:
                writer.piece_as_json(piece)
        elif options["as_json"]:
            pieces = list(generation)
            text, logprob = "".join([piece.text for piece in pieces]), sum(piece.logprob for piece in pieces)
            writer.text_as_json(text, logprob, generation.reason, self._params.seed)
        else:
            for piece in _flushing(generation):
                writer.piece(piece)

    def _write_batch(self) -> None:
        from charlm.inference.generate import generate_batch
        from charlm.inference.search import rerank_likelihood, rerank_mmi

        options, writer, start = self._options, self._writer, self._start
        texts: list[Completion] = generate_batch(
            start.context,
            start.engine,
            self._params,
            options["best_of"] or options["count"],
            max_chars=options["chars"],
            stops=self._stops,
            recent=start.recent.tolist(),
        )
        if options["best_of"]:
            weight = options["relevance"]
            texts = (rerank_likelihood(texts) if weight is None else rerank_mmi(start.engine, texts, weight))[:1]
        for number, one in enumerate(texts):
            if options["as_json"]:
                writer.text_as_json(one.text, one.logprob, one.reason, one.seed)
                continue
            if number:
                writer.text(_unescape(options["separator"]))
            writer.begin()
            for piece in one.pieces:
                writer.piece(piece)

    def _search_beam(self) -> None:
        from charlm.inference.search import beam_search

        options, start = self._options, self._start
        best, *_ = beam_search(
            start.engine, start.context, options["beam"], max_chars=options["chars"], stops=self._stops
        )
        if options["as_json"]:
            self._writer.text_as_json(best.text, best.logprob, best.reason, None)
        else:
            self._writer.begin()
            self._writer.text(best.text)


def _flushing(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yield the pieces, and flush stdout now and then."""
    due = 0.0
    for piece in pieces:
        yield piece
        if (now := time.monotonic()) >= due:
            sys.stdout.flush()
            due = now + _FLUSH_SECONDS


def _unescape(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t")
