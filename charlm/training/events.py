"""Events of a run, as plain records. The loop and the run yield them. Losses are in nats per character."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

from charlm.checkpoint import TrainingRecord
from charlm.config import ModelConfig, TrainConfig
from charlm.text.dataset import CacheRebuilt, Reading
from charlm.text.dialogue import Dialogue
from charlm.training.base_selection import Start


@dataclass(frozen=True)
class Planned:
    """The run is about to start."""

    name: str
    path: str
    model: ModelConfig
    train: TrainConfig
    start: Start
    parameters: int
    train_characters: int
    validation_characters: int
    characters: int  # in the vocabulary
    has_bytes: bool
    skipped: tuple[str, ...]  # binary files
    unreadable: tuple[str, ...]  # why other files were left out
    exports: str  # the chat exports that were recognised, in words
    dialogue: Dialogue
    dialogue_chosen_by: str  # "text", "user" or "base"
    dialogue_detected: str  # the format that the text seems to have
    precision: str
    device: str
    threads: int
    resumed_at: int | None  # the step; None for a new run
    ranks: int = 1  # number of processes that train together, each with lanes of its own


@dataclass(frozen=True)
class Measurement:
    """Numbers that a step and an evaluation both report."""

    step: int
    epoch: float
    characters: int  # read so far
    seconds: float  # spent so far
    progress: float  # share of the budget, 0 to 1
    train: float | None  # smoothed training loss; None before the first step
    learning_rate: float
    gradient_norm: float  # before clipping
    characters_per_second: float


@dataclass(frozen=True)
class Stepped(Measurement):
    """One step of the optimizer."""

    train: float
    loss: float  # of this chunk


@dataclass(frozen=True)
class Evaluated(Measurement):
    """The loss on validation text."""

    validation: float
    validation_characters: int
    best: float
    improved: bool


@dataclass(frozen=True)
class Sampled:
    """A sample of the current weights."""

    step: int
    text: str


@dataclass(frozen=True)
class Saved:
    """The run is on disk up to this step."""

    step: int
    path: str


@dataclass(frozen=True)
class SaveFailed:
    """A save failed; the files of the last save are unchanged."""

    step: int
    message: str


@dataclass(frozen=True)
class RolledBack:
    """The loss diverged; the run continues from an earlier step with a lower learning rate."""

    step: int  # to continue from
    loss: float
    rate_scale: float  # of all later learning rates
    attempt: int


@dataclass(frozen=True)
class Ended:
    """The run has ended or was interrupted."""

    reason: str  # "budget", "epochs", "patience" or "interrupted"
    step: int  # the last one; the file has the best weights, of an earlier step or this
    path: str
    bytes: int
    validation: float | None  # of the weights in the file, over the whole validation text; None if interrupted
    record: TrainingRecord


Event = Reading | CacheRebuilt | Planned | Stepped | Evaluated | Sampled | Saved | SaveFailed | RolledBack | Ended


def to_dict(event: Event) -> dict[str, object]:
    """Return an event as plain data for JSON, with its type, and with every loss in nats and bits."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
    document: dict[str, object] = {"event": name} | dataclasses.asdict(event)
    for name in ("loss", "train", "validation", "best"):
        if isinstance(value := document.get(name), float):
            document[f"{name}_bits"] = value / math.log(2)
            if not math.isfinite(value):
                document[name] = document[f"{name}_bits"] = None
    return document
