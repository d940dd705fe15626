"""Compare cells: the same text, the same budget, about the same number of parameters.

All else is the same: text, split, layers, lanes, chunk, learning rate, dropout, seeds. The width is chosen for the
number of parameters. Each run is saved, so a stopped comparison resumes when it is run again.
"""

from __future__ import annotations

import csv
import json
import math
from bisect import bisect_left
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm import checkpoint
from charlm.cells import CELLS
from charlm.config import DataConfig, ModelConfig
from charlm.errors import CheckpointError, OutputError, UsageError
from charlm.files import write_bytes
from charlm.insight.comparison_config import ComparisonConfig
from charlm.insight.gradients import cut_windows, measure
from charlm.model.lm import CharLM
from charlm.tensor_shapes import parameter_count
from charlm.text.dataset import Corpus, load_corpus
from charlm.training import run_state
from charlm.training.base_selection import NONE
from charlm.training.events import Ended, Event
from charlm.training.run import Request, Run
from charlm.training.run_dir import RunDir

WIDTHS = range(4, 4097, 4)  # multiples of 4 suit the kernels
REACH_STEPS, REACH_WINDOWS, REACH_LEAD_CHARS = 200, 16, 100
BYTES_PER_PARAMETER = 16  # value, gradient and AdamW's two moments, four bytes each


@dataclass(frozen=True)
class Result:
    """Result of a run."""

    cell: str
    seed: int
    hidden: int  # width
    parameters: int
    nats: float  # validation loss of the best weights over all validation text, per character
    characters: int  # read in training
    steps: int
    seconds: float  # of training and validation
    training_bytes: int  # memory of a training step
    state_bytes: int  # memory of one conversation's state
    reach: int  # steps back at which 1 % of the gradient is left, at most REACH_STEPS
    left: float  # share of the gradient one step back that is left 100 steps back
    curve: Sequence[Sequence[float]]  # seconds and nats of each evaluation

    @property
    def bits(self) -> float:
        return self.nats / math.log(2)

    @property
    def speed(self) -> float:
        """Characters a second."""
        return self.characters / max(self.seconds, 1e-9)

    def to_dict(self) -> dict[str, object]:
        return {**asdict(self), "bits_per_char": self.bits, "chars_per_second": self.speed}


@dataclass(frozen=True)
class RunEvent:
    """An event of one of the runs; the last one of a run is its result."""

    cell: str
    seed: int
    event: Event | Result


class Comparison:
    """A comparison, new or resumed. Iterate over `events()` to run it; `force` replaces another one in the folder.

    Raises OutputError if the folder holds another comparison.
    """

    def __init__(self, plan: ComparisonConfig, folder: Path, *, force: bool = False) -> None:
        self.plan = plan
        self.folder = folder
        self.stopped = False
        self._force = force
        self._run: Run | None = None
        self._plan_file = folder / "comparison.json"
        self._document = json.loads(json.dumps(plan.to_dict()))
        if force or not self._plan_file.exists():
            return
        try:
            existing = json.loads(self._plan_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{self._plan_file} is damaged: {error}", "start again with --force") from error
        if existing != self._document:
            hint = "choose another folder with -o, or replace it with --force"
            raise OutputError(f"{folder} holds another comparison", hint)

    def request_stop(self) -> None:
        """Stop after the current step, saved. A signal handler may call this."""
        self.stopped = True
        if self._run is not None:
            self._run.request_stop()

    def events(self) -> Iterator[RunEvent]:
        """Train the missing runs and yield their events, and the results of finished runs."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "choose another folder with -o"
            raise OutputError(f"cannot write to {self.folder}: {error.strerror}", hint) from error
        if self._force:
            for old in self.folder.glob("*-*.json"):
                old.unlink()
        corpus = load_corpus(DataConfig(self.plan.paths), self.folder)
        configs = {cell: find_config(cell, self.plan, len(corpus.vocabulary)) for cell in self.plan.cells}
        write_bytes(self._plan_file, json.dumps(self._document, indent=1).encode())
        for seed in range(1, self.plan.seeds + 1):
            for cell, config in configs.items():
                if self.stopped:
                    return
                run_dir = RunDir.named(str(self.folder / f"{cell}-{seed}"))
                result_file = self.folder / f"{cell}-{seed}.json"
                if result_file.exists():
                    yield RunEvent(cell, seed, _read_result(result_file))
                    continue
                is_finished = yield from self._train(run_dir, cell, seed, config)
                if not is_finished:
                    return
                result = self._measure(run_dir, cell, seed, config, corpus)
                write_bytes(result_file, json.dumps(result.to_dict(), indent=1).encode())
                yield RunEvent(cell, seed, result)

    def _train(self, run_dir: RunDir, cell: str, seed: int, config: ModelConfig) -> Generator[RunEvent, None, bool]:
        """Train or resume a run; return whether it finished."""
        name = str(run_dir.model)
        if self._force or not run_dir.resume_file.exists():
            run = Run(Request(DataConfig(self.plan.paths), name, self.plan.overrides(config, seed), NONE, force=True))
        elif run_state.load(run_dir.resume_file).numbers["progress"]["reason"]:
            return True  # stopped between training and measuring
        else:
            run = Run(resumed=name)
        self._run = run
        if self.stopped:
            run.request_stop()
        is_finished = False
        for event in run.events():
            yield RunEvent(cell, seed, event)
            if isinstance(event, Ended):
                is_finished = event.reason != "interrupted"
        self._run = None
        return is_finished

    def _measure(self, run_dir: RunDir, cell: str, seed: int, config: ModelConfig, corpus: Corpus) -> Result:
        model = checkpoint.load(run_dir.model)
        record = model.record
        assert record.validation is not None
        length = min(REACH_LEAD_CHARS + REACH_STEPS + 2, len(corpus.validation) - 1)
        steps = min(REACH_STEPS, length - 2)
        ids = corpus.validation[:].astype("int64")
        reach = measure(model, cut_windows(ids, length, REACH_WINDOWS), steps, cell)
        with run_dir.metrics_file.open(encoding="utf-8", newline="") as file:
            # The last row is about the whole validation text, the others are about a part of it.
            *rows, _ = csv.DictReader(file)
        curve = tuple((float(row["seconds"]), float(row["validation"])) for row in rows)
        return Result(
            cell=cell,
            seed=seed,
            hidden=config.hidden,
            parameters=parameter_count(config),
            nats=record.validation,
            characters=record.characters_seen,
            steps=record.steps,
            seconds=record.seconds,
            training_bytes=training_bytes(config, self.plan.lanes, self.plan.chunk),
            state_bytes=4 * config.layers * config.hidden * len(CELLS[cell].state_fields),
            reach=reach.distance,
            left=reach.ratio(min(100, steps)),
            curve=curve,
        )


def _read_result(path: Path) -> Result:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Result(**{name: document[name] for name in Result.__dataclass_fields__})
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}", "delete it to measure the run again") from error


def find_config(cell: str, plan: ComparisonConfig, vocabulary: int) -> ModelConfig:
    """Return the configuration with the nearest number of parameters; raise UsageError if no width comes near."""

    def config(width: int) -> ModelConfig:
        return ModelConfig(vocabulary, cell, embedding=width, hidden=width, layers=plan.layers)

    def size(width: int) -> int:
        return parameter_count(config(width))

    smallest, largest = size(WIDTHS[0]), size(WIDTHS[-1])
    if not smallest <= plan.parameters <= largest:
        hint = f"choose from {smallest:,} to {largest:,} with --parameters"
        raise UsageError(f"no {cell} has {plan.parameters:,} parameters", hint)
    above = bisect_left(WIDTHS, plan.parameters, key=size)
    nearest = min(WIDTHS[max(0, above - 1) : above + 1], key=lambda width: abs(size(width) - plan.parameters))
    return config(nearest)


def training_bytes(config: ModelConfig, lanes: int, chunk: int) -> int:
    """Return the memory of a training step: weights, gradients, moments, and tensors saved for the backward pass.

    It is counted, not measured: each storage that the forward pass saves counts once.
    """
    with torch.random.fork_rng(devices=[]):
        model = CharLM(config)
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved: dict[int, int] = {}  # bytes by address
    alive: list[Tensor] = []  # no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            saved[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    ids = torch.zeros(chunk, lanes, dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits, _ = model(ids, model.start(lanes))
        F.cross_entropy(logits.flatten(0, 1), ids.flatten())
    return BYTES_PER_PARAMETER * parameter_count(config) + sum(saved.values())
