"""Cells side by side: the same text, the same budget, about the same number of parameters.

Owns what makes a comparison fair and what is measured afterwards. The training is `charlm.training.run`'s, which saves
each run as it goes: a comparison that was stopped goes on where it stood when it is asked for again.

Everything but the cell and the width is the same for all: text, split, layers, lanes, chunk, learning rate, dropout,
seeds. The width is solved for, so that each has about as many parameters as was asked for.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm import checkpoint
from charlm.cells import CELLS
from charlm.config import DataConfig, ModelConfig
from charlm.errors import CheckpointError, OutputError, UsageError
from charlm.files import write_bytes
from charlm.insight.gradients import cut_windows, measure
from charlm.model.lm import CharLM
from charlm.tensor_shapes import parameter_count
from charlm.text.dataset import Corpus, load_corpus
from charlm.training.events import Ended, Event
from charlm.training.run import Request, Run
from charlm.training.run_dir import RunDir

LEAST_WIDTH, MOST_WIDTH = 4, 4096
WIDTH_STEP = 4  # widths are multiples of it, which kernels like
REACH_STEPS, REACH_WINDOWS, REACH_LEAD = 200, 16, 100
OPTIMIZER_BYTES = 16  # a parameter: itself, its gradient, AdamW's two moments, four bytes each


@dataclass(frozen=True)
class ComparisonPlan:
    """What is compared.

    Attributes:
        paths: of the text.
        cells: keys of `charlm.cells.CELLS`.
        parameters: about how many each model has.
        seeds: how often each cell is trained.
        minutes: budget of each run; or
        steps: in steps.
        layers: L.
        lanes: B.
        chunk: T.
        learning_rate: the highest, for all.
        dropout: locked dropout at all three places, for all.
        precision: "fp32", "bf16" or "auto".
        threads: of the processor; 0 is torch's choice.

    Raises:
        UsageError: something that cannot be.
    """

    paths: tuple[str, ...]
    cells: tuple[str, ...]
    parameters: int = 900_000
    seeds: int = 1
    minutes: float | None = None
    steps: int | None = None
    layers: int = 2
    lanes: int = 32
    chunk: int = 64
    learning_rate: float = 6e-3
    dropout: float = 0.05
    precision: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        if not self.cells:
            raise UsageError("there is no cell to compare", f"choose from {', '.join(CELLS)}")
        for cell in self.cells:
            ModelConfig(vocabulary=2, cell=cell)  # says so if there is none of that name
        if len(set(self.cells)) < len(self.cells):
            raise UsageError("a cell is named twice", "say --seeds 2 to train each twice")
        if (self.minutes is None) == (self.steps is None):
            raise UsageError("a comparison has one budget", "say --minutes or --steps")
        if not 1 <= self.seeds <= 100:
            raise UsageError(f"seeds is {self.seeds}, but must lie between 1 and 100")

    def overrides(self, config: ModelConfig, seed: int) -> dict[str, Any]:
        """What a run is told, see `charlm.training.autoconfig`."""
        budget = {"minutes": self.minutes} if self.minutes is not None else {"steps": self.steps}
        shape = {name: getattr(config, name) for name in ("cell", "hidden", "embedding", "layers")}
        same = {
            name: getattr(self, name) for name in ("lanes", "chunk", "learning_rate", "dropout", "precision", "threads")
        }
        return {**shape, **same, **budget, "seed": seed, "patience": 0}


@dataclass(frozen=True)
class Result:
    """How a run came out.

    Attributes:
        cell: which.
        seed: of the run.
        hidden: the width that was solved for.
        parameters: how many there are.
        nats: validation loss of the best weights over all validation text, nats per character.
        characters: read in training.
        steps: of the optimizer.
        seconds: of training, validation on the way included.
        training_bytes: what a training step holds: weights, gradients, moments, and what is kept for the way back.
        state_bytes: what one conversation's state takes.
        reach: how far back 1 % of the gradient still reaches, at most 200 steps.
        left: the share of the gradient one step back that is left 100 steps back.
        curve: seconds and nats of every evaluation on the way.
    """

    cell: str
    seed: int
    hidden: int
    parameters: int
    nats: float
    characters: int
    steps: int
    seconds: float
    training_bytes: int
    state_bytes: int
    reach: int
    left: float
    curve: tuple[tuple[float, float], ...]

    @property
    def bits(self) -> float:
        """Bits per character."""
        return self.nats / math.log(2)

    @property
    def speed(self) -> float:
        """Characters a second."""
        return self.characters / max(self.seconds, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with the figures that people read."""
        return {**asdict(self), "bits_per_char": self.bits, "chars_per_second": self.speed}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Result:
        """Read back what `to_dict` wrote."""
        known = {name: document[name] for name in cls.__dataclass_fields__ if name != "curve"}
        return cls(**known, curve=tuple((float(seconds), float(nats)) for seconds, nats in document["curve"]))


@dataclass(frozen=True)
class RunEvent:
    """Something that happened in one of the runs; the last of a run is its result."""

    cell: str
    seed: int
    event: Event | Result


class Comparison:
    """A comparison, begun or gone on with: iterate over `events()`.

    Args:
        plan: what is compared.
        folder: where its runs stand.
        force: begin anew if another comparison stands there.

    Raises:
        OutputError: another comparison stands there.
    """

    def __init__(self, plan: ComparisonPlan, folder: Path, *, force: bool = False) -> None:
        self.plan = plan
        self.folder = folder
        self._force = force
        self._run: Run | None = None
        self._stop = False
        self._note = folder / "comparison.json"
        document = json.loads(json.dumps(asdict(plan)))
        if self._note.exists() and not force:
            try:
                there = json.loads(self._note.read_text(encoding="utf-8"))
            except ValueError as error:
                raise CheckpointError(f"{self._note} is damaged: {error}", "begin anew with --force") from error
            if there != document:
                raise OutputError(
                    f"another comparison stands in {folder}", "choose another place with -o, or begin anew with --force"
                )
        self._document = document

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before its end."""
        return self._stop

    def request_stop(self) -> None:
        """End after the step under way, saved; may be called from a signal handler."""
        self._stop = True
        if self._run is not None:
            self._run.request_stop()

    def events(self) -> Iterator[RunEvent]:
        """Train what has not been trained, and tell; results of earlier sessions are told as well.

        Raises:
            CharlmError: a run cannot start or go on.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot write to {self.folder}: {error.strerror}", "choose another place with -o"
            ) from error
        if self._force:
            for old in self.folder.glob("*-*.json"):
                old.unlink()
        corpus = load_corpus(self.plan.paths, self.folder)
        configs = {cell: solve(cell, self.plan, len(corpus.vocabulary)) for cell in self.plan.cells}
        write_bytes(self._note, json.dumps(self._document, indent=1).encode())
        for seed in range(1, self.plan.seeds + 1):
            for cell, config in configs.items():
                if self._stop:
                    return
                result = self._finished(cell, seed)
                if result is None:
                    is_over = yield from self._train(cell, seed, config)
                    if not is_over:
                        return
                    result = self._measure(cell, seed, config, corpus)
                    path = self.folder / f"{cell}-{seed}.json"
                    write_bytes(path, json.dumps(result.to_dict(), indent=1).encode())
                yield RunEvent(cell, seed, result)

    def _finished(self, cell: str, seed: int) -> Result | None:
        path = self.folder / f"{cell}-{seed}.json"
        if not path.exists():
            return None
        try:
            return Result.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged: {error}", "delete it, and it is measured again") from error

    def _train(self, cell: str, seed: int, config: ModelConfig) -> Generator[RunEvent, None, bool]:
        """Train one, or go on with it; whether it came to its end."""
        folder = RunDir.named(str(self.folder / f"{cell}-{seed}"))
        if folder.resume_file.exists() and not self._force:
            if _is_over(folder):
                return True  # trained, but stopped before it was measured
            run = Run(resumed=str(self.folder / f"{cell}-{seed}"))
        else:
            data = DataConfig(self.plan.paths)
            request = Request(data, str(self.folder / f"{cell}-{seed}"), self.plan.overrides(config, seed), force=True)
            run = Run(request)
        self._run = run
        if self._stop:
            run.request_stop()
        is_over = False
        for event in run.events():
            yield RunEvent(cell, seed, event)
            if isinstance(event, Ended):
                is_over = event.reason != "interrupted"
        self._run = None
        return is_over

    def _measure(self, cell: str, seed: int, config: ModelConfig, corpus: Corpus) -> Result:
        folder = RunDir.named(str(self.folder / f"{cell}-{seed}"))
        model = checkpoint.load(folder.model)
        record = model.record
        assert record.validation is not None
        length = min(REACH_LEAD + REACH_STEPS + 2, len(corpus.validation) - 1)
        steps = min(REACH_STEPS, length - 2)
        ids = corpus.validation[:].astype("int64")
        reach = measure(model, cut_windows(ids, length, REACH_WINDOWS), steps, cell)
        with folder.metrics_file.open(encoding="utf-8", newline="") as file:
            # The last row is of the whole validation text, the others are of a part of it.
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


def _is_over(folder: RunDir) -> bool:
    from charlm.training import run_state

    return bool(run_state.load(folder.resume_file).numbers["progress"]["reason"])


def solve(cell: str, plan: ComparisonPlan, vocabulary: int) -> ModelConfig:
    """The model whose number of parameters is nearest to what was asked for.

    Raises:
        UsageError: no width gives so few or so many.
    """

    def config(width: int) -> ModelConfig:
        return ModelConfig(vocabulary, cell, embedding=width, hidden=width, layers=plan.layers)

    widths = range(LEAST_WIDTH, MOST_WIDTH + 1, WIDTH_STEP)
    least, most = parameter_count(config(widths[0])), parameter_count(config(widths[-1]))
    if not least <= plan.parameters <= most:
        raise UsageError(
            f"a {cell} has no width with {plan.parameters:,} parameters", f"from {least:,} to {most:,} it has"
        )
    low, high = 0, len(widths) - 1  # parameters grow with the width
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameter_count(config(widths[middle])) <= plan.parameters else (low, middle)
    near = (config(widths[low]), config(widths[high]))
    return min(near, key=lambda each: abs(parameter_count(each) - plan.parameters))


def training_bytes(config: ModelConfig, lanes: int, chunk: int) -> int:
    """What a training step holds in memory: weights, gradients, moments, and what is kept for the way back.

    Counted, not measured: each piece of memory that the forward pass saves, once.
    """
    with torch.random.fork_rng(devices=[]):
        model = CharLM(config)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    ids = torch.zeros(chunk, lanes, dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits, _ = model(ids, model.start(lanes))
        F.cross_entropy(logits.flatten(0, 1), ids.flatten())
    return OPTIMIZER_BYTES * parameter_count(config) + sum(kept.values())
