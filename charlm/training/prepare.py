"""Everything that is decided before the first step: text, vocabulary, split, dialogue format, model and schedule."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from charlm.checkpoint import Checkpoint
from charlm.config import DataConfig, ModelConfig, TrainConfig
from charlm.errors import TrainingError
from charlm.model.lm import CharLM, Dropout, load_tensors, to_tensors
from charlm.text.batching import Lanes
from charlm.text.dataset import Corpus, SpooledText, open_corpus, read_corpus
from charlm.text.dialogue import MAX_NAMES, Dialogue
from charlm.text.format_detection import DetectedFormat, FormatDetector
from charlm.text.sanitize import printable
from charlm.text.vocabulary import Vocabulary
from charlm.training.autoconfig import DEFAULT_MINUTES, Machine, plan
from charlm.training.base_selection import AUTO, Base, Start, load_base, select
from charlm.training.events import Event
from charlm.training.extension import extend
from charlm.training.loop import Trainer
from charlm.training.precision import measure
from charlm.training.process_group import ProcessGroup
from charlm.training.run_dir import RunDir

MEASURE_SECONDS = 0.5  # at most, and for short runs as many hundredths of a second as the budget has seconds


@dataclass(frozen=True)
class Request:
    """The options of a new run."""

    data: DataConfig
    output: str | None = None  # the model's name or path; None takes the first input's name
    overrides: Mapping[str, Any] = field(default_factory=dict)  # of the plan; see `charlm.training.autoconfig`
    base: str = AUTO  # name or path of the model to start from, "auto" or "none"
    force: bool = False  # overwrite a model of the same name

    @property
    def output_name(self) -> str:
        first = self.data.paths[0]
        name = "model" if first == "-" else Path(first).absolute().name
        # Endings are letters: chat.2024.txt and chat.2025.txt are two models.
        return self.output or re.sub(r"(\.[^\W\d_]\w{0,4})?(\.gz)?$", "", printable(name).lstrip(".")) or "model"

    def to_dict(self, run_dir: RunDir) -> dict[str, object]:
        """Return plain data with absolute paths, so that a resume works from any folder."""
        paths = [
            str((run_dir.path / "stdin.txt" if path == "-" else Path(path)).absolute()) for path in self.data.paths
        ]
        val_file = self.data.val_file and str(Path(self.data.val_file).absolute())
        data = {**self.data.to_dict(), "paths": paths, "val_file": val_file}
        return {**asdict(self), "data": data, "overrides": dict(self.overrides)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Request:
        return cls(**{**document, "data": DataConfig.from_dict(document["data"])})


@dataclass(frozen=True)
class DialogueChoice:
    """A format and the reason for it."""

    dialogue: Dialogue = field(default_factory=Dialogue)
    chosen_by: str = "text"  # "text", "user" or "base"
    detected: str = "plain"  # the format that the text seems to have

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DialogueChoice:
        """Return the choice of a run's config.json.

        Raises:
            CheckpointError: the document is damaged.
        """
        dialogue = Dialogue.from_dict(document["dialogue"])
        return cls(dialogue, str(document["chosen_by"]), str(document["detected"]))


@dataclass(frozen=True)
class RunPlan:
    """A run before its first step."""

    request: Request
    corpus: Corpus
    start: Start
    base: Checkpoint | None
    dialogue: DialogueChoice
    model: ModelConfig
    train: TrainConfig

    def to_dict(self, run_dir: RunDir, ranks: int) -> dict[str, object]:
        """Return the run's config.json."""
        return {
            "request": self.request.to_dict(run_dir),
            "model": self.model.to_dict(),
            "train": self.train.to_dict(),
            "corpus": self.corpus.key,
            "start": asdict(self.start),
            "dialogue": asdict(self.dialogue),
            "ranks": ranks,
        }


def prepare(
    request: Request,
    run_dir: RunDir,
    group: ProcessGroup,
    device: torch.device,
    clock: Callable[[], float] = time.monotonic,
    *,
    named: Base | None = None,
) -> Generator[Event, None, RunPlan]:
    """Read the text and plan a new run. Rank 0 does both; the other ranks open its ids and get its plan.

    Args:
        request: the options.
        run_dir: its folder exists.
        group: the processes that train together.
        device: to train on.
        clock: seconds.
        named: the base that `request` names.

    Raises:
        CharlmError: the text cannot be read, or an option is impossible.
    """
    start, dialogue = Start(), DialogueChoice()
    base: Checkpoint | None = None

    def choose(text: SpooledText) -> Vocabulary | None:
        nonlocal start, base
        began, found = clock(), named
        if named is not None:
            start = named.start(text)
        elif request.base == AUTO:
            start, found = select(text, request.data.train_share, request.overrides)
        start = replace(start, seconds=clock() - began)
        base = found.checkpoint if found is not None else None
        return base.vocabulary if base is not None else None

    if group.is_first:
        detector = FormatDetector(request.data.format)
        corpus = yield from read_corpus(request.data, run_dir.path, base=choose, detector=detector)
        dialogue = choose_dialogue(detector.result(), request.data.format, base.dialogue if base else None)
        group.broadcast(corpus.key)
    else:
        corpus = open_corpus(run_dir.path, group.broadcast())
    _set_threads(request)
    start = Start(**group.broadcast(asdict(start)))
    model, train = _plan(request, corpus, base, group, device)
    return RunPlan(request, corpus, start, base, dialogue, model, train)


def restore(config: Mapping[str, Any], run_dir: RunDir, group: ProcessGroup) -> Generator[Event, None, RunPlan]:
    """Return the plan of a run that is resumed, from its config.json.

    Raises:
        CharlmError: the text or the base has changed since the run started.
    """
    request, start = Request.from_dict(config["request"]), Start(**config["start"])
    base = None
    if group.is_first:
        base = load_base(start)
        vocabulary = base.vocabulary if base is not None else None
        corpus = yield from read_corpus(request.data, run_dir.path, base=vocabulary)
        group.broadcast(corpus.key)
    else:
        corpus = open_corpus(run_dir.path, group.broadcast())
    if config["corpus"] != corpus.key:
        raise TrainingError(
            f"the text has changed since {run_dir.name} was started, so the run cannot be resumed",
            f"restore the text, or train on the new one with --from {run_dir.reference}",
        )
    _set_threads(request)
    dialogue = DialogueChoice.from_dict(config["dialogue"])
    model, train = ModelConfig.from_dict(config["model"]), TrainConfig.from_dict(config["train"])
    return RunPlan(request, corpus, start, base, dialogue, model, train)


def _set_threads(request: Request) -> None:
    if threads := request.overrides.get("threads"):
        torch.set_num_threads(threads)


def choose_dialogue(found: DetectedFormat, requested: str, base: Dialogue | None) -> DialogueChoice:
    """Choose the format of a model.

    A model that is fine-tuned on text without turns keeps its format. With named turns it keeps its speakers, after
    those of the new text. `requested` is the user's option, or "auto".
    """
    dialogue = found.dialogue
    chosen_by = "text" if requested == "auto" else "user"
    if base is not None and chosen_by == "text" and not dialogue.has_turns and base.has_turns:
        return DialogueChoice(base, "base", found.detected)
    if base is not None and dialogue.has_names and base.has_names:
        if not dialogue.names and dialogue.format == base.format:
            dialogue = replace(dialogue, colon=base.colon, spaced=base.spaced)
        dialogue = replace(dialogue, names=tuple(dict.fromkeys((*dialogue.names, *base.names)))[:MAX_NAMES])
    return DialogueChoice(dialogue, chosen_by, found.detected)


def _plan(
    request: Request, corpus: Corpus, base: Checkpoint | None, group: ProcessGroup, device: torch.device
) -> tuple[ModelConfig, TrainConfig]:
    overrides, base_config = request.overrides, base.config if base is not None else None
    cell = base_config.cell if base_config is not None else overrides.get("cell") or "lstm"
    ModelConfig(vocabulary=2, cell=cell)  # checks the name of the cell
    if not group.is_first:
        model, train = group.broadcast()
        return ModelConfig.from_dict(model), TrainConfig.from_dict(train)
    has_time_budget = not (overrides.get("steps") or overrides.get("epochs"))
    minutes = overrides.get("minutes") or DEFAULT_MINUTES if has_time_budget else 0.0
    seconds = min(MEASURE_SECONDS, MEASURE_SECONDS * minutes)
    measured = measure(device, cell, overrides.get("precision") or "auto", seconds=seconds)
    machine = Machine(measured.speed * group.size, group.size)
    model, train = plan(len(corpus.train), len(corpus.vocabulary), overrides, machine, base_config)
    train = replace(train, precision=measured.precision, device=device.type)
    group.broadcast([model.to_dict(), train.to_dict()])
    return model, train


def make_trainer(plan: RunPlan, group: ProcessGroup, device: torch.device, clock: Callable[[], float]) -> Trainer:
    """Build the model and the loop of a new run."""
    config, corpus = plan.train, plan.corpus
    torch.manual_seed(config.seed)
    dropout = Dropout(config.dropout_input, config.dropout_hidden, config.dropout_output, config.weight_drop)
    model = CharLM(plan.model, dropout)
    model.init_output_bias(corpus.counts)
    if plan.base is not None:
        load_tensors(model, extend(plan.base, corpus.vocabulary, corpus.counts, to_tensors(model.state_dict())))
    model.to(device)
    lanes = Lanes(corpus.train, config.lanes, config.chunk, config.seed, group.rank, group.size)
    if not group.is_first:
        torch.manual_seed((config.seed + group.rank) % (1 << 63))  # equal weights, but dropout of its own
    trainer = Trainer(model, lanes, corpus.validation, corpus.vocabulary.begins, config, clock, group)
    trainer.progress.seconds = plan.start.seconds
    return trainer
