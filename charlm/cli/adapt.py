"""`charlm adapt`: parse, learn, save."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import CharlmCommand, complete_model, is_live, model_path, shown
from charlm.cli.dynamic_options import describe_gain, learn_config, learning_options, load_learner
from charlm.errors import OutputError, UsageError

if TYPE_CHECKING:
    from charlm.adapt.dynamic_eval import AdaptResult
    from charlm.adapt.learner import Learner
    from charlm.checkpoint import Checkpoint


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm adapt novel letters.txt -o letters", "a model that knows the letters too"),
        ("charlm adapt novel letters.txt -o letters --times 3", "that knows them better"),
    ),
)
@click.argument("model", shell_complete=complete_model)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "--output", required=True, metavar="NAME", help="The new model's name, or a path.")
@click.option("--times", default=1, help="How often the text is read.")
@learning_options()
@click.option("--encoding", default="utf-8", help="How the files are encoded.")
@click.option("--glob", "pattern", default="*", help="Which files of a folder to read.")
@click.option("--force", is_flag=True, help="Overwrite a model of the same name.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on stdout.")
def command(
    model: str,
    paths: tuple[str, ...],
    output: str,
    times: int,
    pattern: str,
    encoding: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Read a text once, learning, and keep the result as a model.

    Seconds instead of a training's minutes, on the processor, without torch. MODEL stays as it is. PATH may be a
    folder, a .gz file, or - for standard input; several are read one after the other.
    """
    if not 1 <= times <= 1000:
        raise UsageError(f"times is {times}, but must lie between 1 and 1000")
    how = learn_config(options)
    from charlm import checkpoint
    from charlm.training.run_dir import RunDir  # knows how models are named, and nothing of torch

    base = model_path(model)
    target = RunDir.named(output)
    if (target.model.exists() or target.path.exists()) and not options["force"]:
        raise OutputError(
            f"{target.model if target.model.exists() else target.path} is there already",
            "choose another name with -o, or overwrite with --force",
        )
    text, sources = _read(paths, pattern, encoding)
    learns = load_learner(base, how)
    lesson = _learn(learns, text, times)
    made = _described(learns, lesson, base.stem, sources)
    checkpoint.save(made, target.model)
    if as_json:
        figures = {
            "nats_per_char": lesson.learning.nats_per_character,
            "static": {"nats_per_char": lesson.static.nats_per_character},
            "chars": lesson.learning.characters,
            "unknown": lesson.learning.unknown,
            "movement": lesson.memory.overlay.movement,
            "held_back": lesson.memory.shrinks,
        }
        click.echo(json.dumps({"model": str(target.model), "base": base.stem, **figures, "learning": how.to_dict()}))
        return
    click.echo(shown(str(target.model), sys.stdout))
    click.echo(describe_gain(lesson), err=True)


def _read(paths: tuple[str, ...], pattern: str, encoding: str) -> tuple[str, list[dict[str, Any]]]:
    """The text, and how the model's card names where it came from."""
    from charlm.text.decoding import STDIN, read_text
    from charlm.text.inputs import find_files

    named = [STDIN if path == "-" else Path(path) for path in paths]
    files = [file for path in named for file in ([path] if path == STDIN else find_files([path], pattern, encoding)[0])]
    texts, sources = [], []
    for file in files:
        digest, size = hashlib.sha256(), 0

        def count(block: bytes, digest: Any = digest) -> None:
            nonlocal size
            digest.update(block)
            size += len(block)

        texts.append("".join(read_text(file, encoding, count)))
        sources.append({"name": file.name, "sha256": digest.hexdigest(), "bytes": size})
    return "".join(texts), sources


def _learn(learns: Learner, text: str, times: int) -> AdaptResult:
    from charlm.adapt.dynamic_eval import learning

    if not is_live():
        *_, lesson = learning(learns, text, times)
        return lesson
    with click.progressbar(length=times * len(text), label="learning", file=sys.stderr) as bar:
        before = 0
        for lesson in learning(learns, text, times):
            bar.update(lesson.memory.learned - before)
            before = lesson.memory.learned
    return lesson


def _described(learns: Learner, lesson: AdaptResult, base: str, sources: list[dict[str, Any]]) -> Checkpoint:
    """The model with what it has learned, and a card that says so."""
    import charlm

    made = learns.checkpoint(lesson.memory)
    record = replace(
        made.record,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sources=[*made.record.sources, *sources],
        characters_seen=made.record.characters_seen + lesson.memory.learned,
        validation=None,  # nobody has measured these weights
        validation_characters=0,
        base=base,
        settings={**made.record.settings, "adapted": learns.settings.to_dict()},
        versions={**made.record.versions, "charlm": charlm.__version__, "python": platform.python_version()},
    )
    return replace(made, record=record, statistics=learns.statistics)
