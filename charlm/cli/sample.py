"""`charlm sample`: generate text and write it to stdout."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli import INTERRUPTED
from charlm.cli.command import charlm_command, complete_model, load_engine, model_path
from charlm.cli.dynamic_options import describe_gain, learn_config, learning_options, load_learner
from charlm.cli.heat import Heat
from charlm.cli.options import FiniteRange, Options, check_together, given, option, options_of
from charlm.cli.output import print_json, print_note, shown
from charlm.config import SamplingConfig
from charlm.errors import CorpusError, NotFoundError, UsageError
from charlm.text.decoding import normalise, read_text

if TYPE_CHECKING:
    from charlm.config import LearnConfig
    from charlm.inference.context import Context
    from charlm.inference.engine import Engine
    from charlm.inference.generate import Completion, Generation, Piece
    from charlm.inference.search import Hypothesis
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
    "-n", "--chars", group="Length", default=400, type=click.IntRange(0), metavar="INTEGER", help="Length of a text."
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
    from charlm.inference.generate import new_seed

    is_seeded = options["seed"] is not None
    params = SamplingConfig(**given(SamplingConfig, options))
    params = params if is_seeded else params.changed(seed=new_seed())
    path = model_path(options["model"])
    prompt = _prompt(options)
    engine, context, recent = _start(path, prompt, options["learn"], learning)
    vocabulary = engine.vocabulary
    if not vocabulary.has_bytes and (found := vocabulary.unknown(normalise(prompt))):
        print_note(f"note: {path.stem} does not know {' '.join(found[:20])}; each was replaced")
    if not is_seeded and options["beam"] is None:
        print_note(f"{path.stem}, seed {params.seed}")
    writer = _Writer(options, {"model": path.stem, "prompt": prompt, "temperature": params.temperature})
    code = 0
    try:
        _write_texts(engine, context, recent.tolist(), params, options, writer)
    except KeyboardInterrupt:
        code = INTERRUPTED
    writer.end()
    return code


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


def _start(path: Path, prompt: str, page: Path | None, config: LearnConfig) -> tuple[Engine, Context, Ids]:
    """Let a model learn a page, if there is one, and read the prompt. Return it, its context and its last ids."""
    from charlm.inference.context import StaticModel, encode_lossy, read_prompt

    if page is None:
        engine = load_engine(path)
        return engine, *read_prompt(StaticModel(engine), prompt)
    from charlm.adapt.dynamic_eval import learn

    text = "".join(read_text(page))
    learner = load_learner(path, config)
    result = learn(learner, text)
    print_note(f"{page.name}: {describe_gain(result)}")
    engine = learner.engine(result.context)
    if prompt:
        return engine, *read_prompt(StaticModel(engine), prompt, result.context)
    return engine, result.context, encode_lossy(engine.vocabulary, text[-_CONTEXT_CHARS:])


class _Writer:
    """Writes texts to stdout: raw into a pipe, with visible control characters on a terminal, or as JSON."""

    def __init__(self, options: Options, header: dict[str, Any]) -> None:
        self._options = options
        self._header = header  # of the JSON object of each text
        self._heat = Heat(sys.stdout) if options["heat"] else None
        self._seconds_each = 1 / options["rate"] if options["rate"] else 0.0
        self._due = time.monotonic()  # of the next character, or without a rate of the next flush
        self._is_mid_line = False
        if self._heat is not None:
            click.echo(self._heat.legend(), err=True)

    def stream(self, generation: Generation, seed: int | None) -> None:
        if self._options["stream"]:
            for piece in generation:
                alternatives = [{"text": one.text, "id": one.id, "p": one.probability} for one in piece.alternatives]
                known = {"text": piece.text, "id": piece.id, "logprob": piece.logprob, "entropy": piece.entropy}
                print_json(known | {"alternatives": alternatives})
        elif self._options["as_json"]:
            pieces = list(generation)
            text, logprob = "".join([piece.text for piece in pieces]), sum(piece.logprob for piece in pieces)
            self._print_document(text, logprob, generation.reason, seed)
        else:
            self._write_pieces(generation)

    def completion(self, one: Completion) -> None:
        if self._options["as_json"]:
            self._print_document(one.text, one.logprob, one.reason, one.seed)
        else:
            self._write_pieces(one.pieces)

    def hypothesis(self, one: Hypothesis) -> None:
        if self._options["as_json"]:
            self._print_document(one.text, one.logprob, one.reason, None)
        else:
            self._write_prompt()
            self.write(one.text)

    def write(self, text: str) -> None:
        if text:
            sys.stdout.write(shown(text, sys.stdout))
            self._is_mid_line = not text.endswith("\n")

    def end(self) -> None:
        if self._is_mid_line:
            sys.stdout.write("\n")
        sys.stdout.flush()

    def _write_prompt(self) -> None:
        if self._options["echo"]:
            self.write(self._header["prompt"])
        sys.stdout.flush()

    def _write_pieces(self, pieces: Iterable[Piece]) -> None:
        self._write_prompt()
        for piece in pieces:
            self._write_piece(piece)

    def _write_piece(self, piece: Piece) -> None:
        """Write one character. With --rate, wait until the next is due."""
        if self._heat is not None and piece.text:
            sys.stdout.write(self._heat.paint(piece.text, -piece.logprob / math.log(2)))
            self._is_mid_line = piece.text != "\n"
        else:
            self.write(piece.text)
        now = time.monotonic()
        if self._seconds_each:
            sys.stdout.flush()
            self._due = max(self._due + self._seconds_each, now - 1)
            time.sleep(max(0.0, self._due - time.monotonic()))
        elif now >= self._due:
            sys.stdout.flush()
            self._due = now + _FLUSH_SECONDS

    def _print_document(self, text: str, logprob: float, reason: str, seed: int | None) -> None:
        bits = -logprob / math.log(2) / max(1, len(text))
        document = {"text": text, "reason": reason, "logprob": logprob, "bits_per_char": bits, "seed": seed}
        print_json(self._header | document)


def _write_texts(
    engine: Engine, context: Context, recent: list[int], params: SamplingConfig, options: Options, writer: _Writer
) -> None:
    """Generate the texts that the options ask for, and write them."""
    from charlm.inference.generate import Generation, Sampler, generate_batch

    chars, stops = options["chars"], [_unescape(stop) for stop in options["stop"]]
    if options["beam"] is not None:
        from charlm.inference.search import beam_search

        writer.hypothesis(beam_search(engine, context, options["beam"], max_chars=chars, stops=stops)[0])
        return
    if options["count"] == 1 and not options["best_of"]:
        generation = Generation(
            context,
            Sampler.seeded(engine, params),
            max_chars=None if options["endless"] else chars,
            stops=stops,
            alternatives=_ALTERNATIVES if options["stream"] else 0,
            recent=recent,
        )
        writer.stream(generation, params.seed)
        return
    from charlm.inference.search import rerank_likelihood, rerank_mmi

    count = options["best_of"] or options["count"]
    texts = generate_batch(context, engine, params, count, max_chars=chars, stops=stops, recent=recent)
    if options["relevance"] is not None:
        texts = rerank_mmi(engine, texts, options["relevance"])
    elif options["best_of"]:
        texts = rerank_likelihood(texts)
    for number, one in enumerate(texts[:1] if options["best_of"] else texts):
        if number and not options["as_json"]:
            writer.write(_unescape(options["separator"]))
        writer.completion(one)


def _unescape(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t")
