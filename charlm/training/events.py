"""What a run reports, as plain records. The loop and the run yield them; whoever listens decides what to show.

Losses are in nats per character.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

from charlm.checkpoint import TrainingRecord
from charlm.config import ModelConfig, TrainConfig
from charlm.text.dataset import CacheRebuilt, Reading
from charlm.text.dialogue import Dialogue


@dataclass(frozen=True)
class Planned:
    """The run is about to start."""

    name: str
    path: str
    model: ModelConfig
    train: TrainConfig
    parameters: int
    train_characters: int
    validation_characters: int
    characters: int  # distinct ones that have an id of their own
    has_bytes: bool
    skipped: tuple[str, ...]
    dialogue: Dialogue
    dialogue_chosen_by: str  # "text", "user" or "base", the model that is fine-tuned
    dialogue_detected: str  # the format that the text seems to have
    precision: str
    device: str
    threads: int
    resumed_at: int | None  # the step, if this run goes on
    ranks: int = 1  # processes that train together, each with its own lanes


@dataclass(frozen=True)
class Stepped:
    """One step of the optimizer."""

    step: int
    epoch: float
    characters: int  # read so far
    seconds: float  # spent so far
    progress: float  # share of the budget, 0 to 1
    loss: float  # of this chunk
    train: float  # smoothed
    learning_rate: float
    gradient_norm: float  # before clipping
    characters_per_second: float


@dataclass(frozen=True)
class Evaluated:
    """Validation text was read."""

    step: int
    epoch: float
    characters: int
    seconds: float
    progress: float
    train: float | None  # smoothed training loss; None before the first step
    validation: float
    validation_characters: int
    best: float
    improved: bool
    learning_rate: float
    gradient_norm: float
    characters_per_second: float


@dataclass(frozen=True)
class Sampled:
    """A text that the model writes at this point."""

    step: int
    text: str


@dataclass(frozen=True)
class Saved:
    """The run is on disk up to this step."""

    step: int
    path: str


@dataclass(frozen=True)
class SaveFailed:
    """Nothing new could be written; the last good files still stand."""

    step: int
    message: str


@dataclass(frozen=True)
class RolledBack:
    """The loss exploded; the run goes on from an earlier point with a smaller learning rate."""

    step: int  # to which it went back
    loss: float
    rate_scale: float  # of all rates from here on
    attempt: int


@dataclass(frozen=True)
class Ended:
    """The run is over, or was interrupted."""

    reason: str  # "budget", "patience" or "interrupted"
    step: int  # the last; the file's weights, which are the best, may be of an earlier one: record.steps
    path: str
    bytes: int
    validation: float | None  # of the weights in the file, over all validation text; None if interrupted
    record: TrainingRecord


Event = Reading | CacheRebuilt | Planned | Stepped | Evaluated | Sampled | Saved | SaveFailed | RolledBack | Ended


def to_dict(event: Event) -> dict[str, Any]:
    """An event as plain data for JSON, with its kind, and with every loss in bits as well as nats."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
    document: dict[str, Any] = {"event": name} | dataclasses.asdict(event)
    for name in ("loss", "train", "validation", "best"):
        if isinstance(value := document.get(name), float):
            document[f"{name}_bits"] = value / math.log(2)
            if not math.isfinite(value):
                document[name] = document[f"{name}_bits"] = None
    return document
