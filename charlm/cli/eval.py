"""`charlm eval`: parse, measure, print."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from charlm.cli.command import charlm_command, complete_model, load_engine, model_path
from charlm.cli.common import encoding_option, glob_option, json_option, read_texts
from charlm.cli.dynamic_options import learn_config, learning_options, load_learner
from charlm.cli.options import FiniteRange, check_together, given, option
from charlm.cli.output import print_json, print_note, print_table, progress_bar
from charlm.config import LearnConfig
from charlm.errors import CorpusError, UsageError
from charlm.text.decoding import Encoding

if TYPE_CHECKING:
    from charlm.inference.scoring import TextScore

    Scores: TypeAlias = tuple[TextScore, ...]  # with --dynamic or --cache also without
    Measure: TypeAlias = Callable[[str], Iterator[Scores]]

MAX_SINGLE_LANE_CHARS: Final = 200_000  # longer texts are read in several lanes, which is faster and less exact
MANY_LANES: Final = 16
MEMORIES: Final = ("learning", "names", "recall")  # of a chat
LANES_HELP = "Parts read at the same time, for speed.  [default: 1 up to 200,000 characters, then 16]"


@charlm_command(
    ("charlm eval novel chapter7.txt", "how well does it predict this?"),
    ("charlm eval novel chapter7.txt --dynamic", "and if it learns from each line?"),
    ("charlm eval smalltalk --dialogue", "does it remember, and answer to the point?"),
    ("charlm eval smalltalk smalltalk.txt --last 0.05 --dialogue", "does it find the true reply?"),
    ("charlm eval novel a.txt b.txt --json", "for a script"),
    ("tail -n 1000 app.log | charlm eval app -", "from a pipe"),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("paths", nargs=-1, metavar="PATH...")
@option("--lanes", type=click.IntRange(1, 4096), help=LANES_HELP)
@option("--dynamic", is_flag=True, help="Learn from each segment after it is predicted; show the static result too.")
@learning_options()
@option("--cache", is_flag=True, help="Mix in what followed the same characters before; show the plain result too.")
@option("--last", type=FiniteRange(0, 1, min_open=True), help="Read only this fraction of each text, its end.")
@option("--dialogue", group="Dialogue", is_flag=True, help="Measure the model as a chat partner.")
@option(
    "--cases",
    group="Dialogue",
    default=200,
    type=click.IntRange(1),
    help="Number of replies to rank, or of facts of each kind.",
)
@option(
    "--without", group="Dialogue", multiple=True, type=click.Choice(MEMORIES), help="Turn a memory of the chat off."
)
@option(
    "--words", group="Dialogue", type=click.Path(exists=True, dir_okay=False), help="A text whose words count as known."
)
@option("--seed", group="Dialogue", default=1, help="Seed of cases, other replies and sampled replies.")
@encoding_option
@glob_option
@json_option
def command(
    model: str, paths: tuple[str, ...], pattern: str, encoding: Encoding, as_json: bool, **options: Any
) -> None:
    """Measure a model on a text: nats and bits per character, perplexity, speed.

    The state is carried through each file. PATH may be a folder, a .gz file, or - for standard input. With --dynamic
    the model learns as it reads (dynamic evaluation): it predicts each character before it learns from it. Each file
    begins with the trained weights.

    With --dialogue the text is read as conversations in the model's format. The report shows how often the true reply
    is found among ten, nine of them from other places. Replies are ranked by likelihood, by relevance, after learning
    from the conversation so far, and by matching words. It also shows the bits per character of true replies, and
    statistics of the model's own replies.

    With --dialogue and no PATH a scripted person talks to the model. The report shows the share of facts that it
    recalls 1, 3, 5 and 10 turns later, and the share of replies that fit the question.
    """
    dynamic, dialogue = options["dynamic"], options["dialogue"]
    check_together(
        options,
        exclusive=[("dynamic", "lanes"), ("cache", "lanes"), *product(["dialogue"], ["lanes", "dynamic", "cache"])],
        needed={"without": "dialogue"},
    )
    config = learn_config(options, "--dynamic or --dialogue", dynamic or dialogue)
    from charlm.checkpoint import read_header

    path = model_path(model)
    if not paths:
        if not dialogue:
            raise UsageError("there is no text to measure", "name a file, or add --dialogue")
        from charlm.cli.dialogue_eval import evaluate_partner

        rate = given(LearnConfig, options).get("rate")
        evaluate_partner(path, rate, options["cases"], options["seed"], options["without"], as_json)
        return
    texts = _read(read_texts(paths, pattern, encoding, read_header(path).dialogue.format), options["last"])
    if dialogue:
        from charlm.cli.dialogue_eval import evaluate_dialogue

        words = "".join(read_texts((options["words"],), encoding=encoding).values()) if options["words"] else ""
        evaluate_dialogue(path, texts, config, options["cases"], options["seed"], words, as_json)
        return
    start = time.perf_counter()
    scores = _measure_texts(_measure(path, config if dynamic else None, options["lanes"], options["cache"]), texts)
    speed = sum(one[0].characters for one in scores.values()) / (time.perf_counter() - start)
    if as_json:
        files = [{"path": name, **_figures(one)} for name, one in scores.items()]
        document = {"model": path.stem, **_figures(_total(scores)), "chars_per_second": speed}
        print_json(document | ({"learning": config.to_dict()} if dynamic else {}) | {"files": files})
    else:
        _print(scores, path.stem)
        print_note(f"{speed:,.0f} chars/s")


def _read(texts: dict[str, str], last: float | None) -> dict[str, str]:
    for name, text in texts.items():
        if len(text) < 2:
            raise CorpusError(f"{name} is too short to be measured", "at least two characters are needed")
    return texts if last is None else {name: _end(text, last) for name, text in texts.items()}


def _end(text: str, fraction: float) -> str:
    """Return the end of a text, from the start of a line if it has one."""
    if fraction == 1:
        return text
    end = text[int(len(text) * (1 - fraction)) :]
    after = end.find("\n") + 1
    return end[after:] if len(end) > after + 1 else end


def _measure(path: Path, learning: LearnConfig | None, lanes: int | None, has_cache: bool) -> Measure:
    from charlm.inference.text_cache import TextCache

    if learning is not None:
        from charlm.adapt.dynamic_eval import learn_text

        learner = load_learner(path, learning)
        return lambda text: (
            (result.learning, result.static)
            for result in learn_text(learner, text, cache=TextCache() if has_cache else None)
        )
    from charlm.inference.scoring import score_text

    engine = load_engine(path)

    def measure(text: str) -> Iterator[Scores]:
        if has_cache:
            return zip(score_text(engine, text, cache=TextCache()), score_text(engine, text), strict=True)
        default = 1 if len(text) <= MAX_SINGLE_LANE_CHARS else MANY_LANES
        return ((score,) for score in score_text(engine, text, lanes or default))

    return measure


def _measure_texts(measure: Measure, texts: dict[str, str]) -> dict[str, Scores]:
    found: dict[str, Scores] = {}
    with progress_bar(sum(map(len, texts.values())), "reading") as advance:
        for name, text in texts.items():
            before = 0
            for scores in measure(text):
                advance(scores[0].characters - before)
                before = scores[0].characters
                found[name] = scores
    return found


def _total(scores: dict[str, Scores]) -> Scores:
    from charlm.inference.scoring import TextScore

    return tuple(sum(column, TextScore()) for column in zip(*scores.values(), strict=True))


def _figures(scores: Scores) -> dict[str, object]:
    score, *static = scores
    figures: dict[str, object] = {
        "nats_per_char": score.nats_per_character,
        "bits_per_char": score.bits_per_character,
        "perplexity": score.perplexity,
        "chars": score.characters,
        "unknown": score.unknown,
    }
    return figures | ({"static": _figures((static[0],))} if static else {})


def _print(scores: dict[str, Scores], model: str) -> None:
    total = _total(scores)
    rows = []
    for name, (score, *static) in [*scores.items(), *([("all", total)] if len(scores) > 1 else [])]:
        losses = [f"{score.nats_per_character:.4f} nats/char", f"{score.bits_per_character:.4f} bits/char"]
        others = [f"perplexity {score.perplexity:.3f}", f"{score.characters:,} characters"]
        rows.append([name, *losses, *others, *(f"(static {one.nats_per_character:.4f} nats/char)" for one in static)])
    print_table("<" + ">" * (len(rows[0]) - 1), rows)
    if unknown := total[0].unknown:
        print_note(f"note: {unknown} characters are unknown to {model}; each counts as a uniform guess")
