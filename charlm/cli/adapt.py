"""`charlm adapt`: parse, learn, save."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.command import charlm_command, complete_model, model_path
from charlm.cli.common import encoding_option, find_texts, glob_option, json_option, paths_argument
from charlm.cli.dynamic_options import describe_gain, learn_config, learning_options, load_learner
from charlm.cli.output import print_json, print_note, print_text, progress_bar
from charlm.errors import OutputError
from charlm.text.decoding import Encoding, read_text

if TYPE_CHECKING:
    from charlm.adapt.dynamic_eval import AdaptResult
    from charlm.adapt.learner import Learner
    from charlm.checkpoint import Checkpoint
    from charlm.text.chat_exports import ExportReader


@charlm_command(
    ("charlm adapt novel letters.txt -o letters", "a model that knows the letters too"),
    ("charlm adapt novel letters.txt -o letters --times 3", "a model that knows them better"),
)
@click.argument("model", shell_complete=complete_model)
@paths_argument
@click.option("-o", "--output", required=True, metavar="NAME", help="Name of the new model, or its path.")
@click.option("--times", default=1, type=click.IntRange(1, 1000), help="How often to read the text.")
@learning_options()
@encoding_option
@glob_option
@click.option("--force", is_flag=True, help="Overwrite a model of the same name.")
@json_option
def command(
    model: str,
    paths: tuple[str, ...],
    output: str,
    times: int,
    pattern: str,
    encoding: Encoding,
    force: bool,
    as_json: bool,
    **options: object,
) -> None:
    """Let a model learn a text in one reading, and save the result as a new model.

    It takes seconds instead of the minutes of a training, on the processor, without torch. MODEL stays unchanged. PATH
    may be a folder, a .gz file, or - for standard input; several texts are read one after the other.
    """
    from charlm import checkpoint
    from charlm.text.chat_exports import ExportReader
    from charlm.training.run_dir import RunDir  # names of models; imports no torch

    config = learn_config(options)
    base = model_path(model)
    target = RunDir.named(output)
    if not force and (existing := next((path for path in (target.model, target.path) if path.exists()), None)):
        raise OutputError(f"{existing} already exists", "choose another name with -o, or overwrite with --force")
    exports = ExportReader(checkpoint.read_header(base).dialogue.format)
    text, sources = _read(find_texts(paths, pattern, encoding), encoding, exports)
    learner = load_learner(base, config)
    result = _learn(learner, text, times)
    checkpoint.save(_adapted(learner, result, base.stem, sources), target.model)
    if as_json:
        figures = {
            "nats_per_char": result.learning.nats_per_character,
            "static": {"nats_per_char": result.static.nats_per_character},
            "chars": result.learning.characters,
            "unknown": result.learning.unknown,
            "movement": result.context.delta.movement,
            "held_back": result.context.shrinks,
        }
        print_json({"model": str(target.model), "base": base.stem, **figures, "learning": config.to_dict()})
    else:
        print_text(str(target.model))
        print_note(describe_gain(result))


def _read(files: list[Path], encoding: Encoding, exports: ExportReader) -> tuple[str, list[dict[str, object]]]:
    """Return the text, and the sources for the card of the model."""
    texts, sources = [], []
    for file in files:
        blocks: list[bytes] = []
        texts.append("".join(exports.read(read_text(file, encoding, blocks.append))))
        data = b"".join(blocks)
        sources.append({"name": file.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
    return "".join(texts), sources


def _learn(learner: Learner, text: str, times: int) -> AdaptResult:
    from charlm.adapt.dynamic_eval import learn_text

    before = 0
    with progress_bar(times * len(text), "learning") as advance:
        for result in learn_text(learner, text, times):
            advance(result.context.learned - before)
            before = result.context.learned
    return result


def _adapted(learner: Learner, result: AdaptResult, base: str, sources: list[dict[str, object]]) -> Checkpoint:
    """Return the model with the adapted weights, and with a record of their origin."""
    import charlm

    made = learner.checkpoint(result.context)
    record = replace(
        made.record,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sources=[*made.record.sources, *sources],
        characters_seen=made.record.characters_seen + result.context.learned,
        validation=None,  # these weights were not validated
        validation_characters=0,
        base=base,
        base_fingerprint=learner.base.fingerprint,
        settings={**made.record.settings, "adapted": learner.settings.to_dict()},
        versions={**made.record.versions, "charlm": charlm.__version__, "python": platform.python_version()},
    )
    return replace(made, record=record, statistics=learner.statistics)
