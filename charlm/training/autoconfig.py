"""Plans the model and its training from a text and a budget.

The user's settings override the plan, and the rest follows from them. `--hidden 512` alone gets the learning rate and
dropout for that size. docs/experiments.md has the measurements behind the numbers. No torch, no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from charlm.cells import CELLS
from charlm.config import ModelConfig, TrainConfig
from charlm.errors import UsageError
from charlm.text.batching import max_lanes

DEFAULT_MINUTES = 5.0
MEDIUM_WEIGHTS = 1_050_000  # assumed for the work of a budget in characters
TRAINING_PASSES = 3  # a training step costs three times the multiply-adds of a forward step
# Reading validation text costs a third of training on it: this share costs 2 % of the time.
VALIDATION_SHARE = 0.06


@dataclass(frozen=True)
class Size:
    """A shape and the largest budget that it suits."""

    until: float  # multiply-adds of the whole run, in units of 1e12
    hidden: int
    layers: int
    learning_rate: float


SIZES = (
    Size(until=0.4, hidden=128, layers=1, learning_rate=9e-3),
    Size(until=3.5, hidden=256, layers=1, learning_rate=8e-3),
    Size(until=40, hidden=256, layers=2, learning_rate=6e-3),
    Size(until=60, hidden=384, layers=2, learning_rate=5e-3),
    Size(until=float("inf"), hidden=512, layers=2, learning_rate=4e-3),
)
# A model that reads a text more often only memorises it: 12 times for 54,000 characters, 21 times for a million.
EPOCHS, EPOCHS_CHARS, EPOCHS_GROWTH = 12.0, 54_000, 0.2
MAX_BASE_DECAY = 30.0  # towards a base, for EPOCHS_CHARS of text or less; a weight moves at most 1 / 30 from the base
BASE_DROPOUT_SHARE = 0.5  # of the dropout that training from scratch needs
MIN_EPOCH_CHUNKS = 48  # of each lane; fewer and longer lanes make more steps of an epoch, which small texts need
BASE_MIN_EPOCH_CHUNKS = 24  # of a model that has a base, which needs fewer steps
MAX_WEIGHTS_PER_CHARACTER = 12  # of training text; larger models memorise it


@dataclass(frozen=True)
class Machine:
    """Speed of the machine or machines."""

    speed: float = 50e9  # multiply-adds a second of a layer's training steps, on all ranks together
    ranks: int = 1  # number of processes that train together


def plan(
    characters: int,
    vocabulary: int,
    overrides: Mapping[str, Any],
    machine: Machine | None = None,
    base: ModelConfig | None = None,
) -> tuple[ModelConfig, TrainConfig]:
    """Choose the settings that the user has not set.

    Args:
        characters: number of characters of the training text.
        vocabulary: V.
        overrides: fields of `ModelConfig` and `TrainConfig` that the user has set, and `dropout` for the three at once.
        machine: its measured speed.
        base: the shape of the model to fine-tune, which cannot change.

    Raises:
        UsageError: an impossible value, or one that contradicts `base`.
    """
    machine = machine or Machine()
    settings = {key: value for key, value in overrides.items() if value is not None}
    dropout = settings.pop("dropout", None)
    if not any(key in settings for key in ("minutes", "epochs", "steps")):
        settings["minutes"] = DEFAULT_MINUTES
    shape = {field.name: settings.pop(field.name) for field in fields(ModelConfig) if field.name in settings}
    TrainConfig(**settings)  # checks the values before they are used
    min_chunks = MIN_EPOCH_CHUNKS if base is None else BASE_MIN_EPOCH_CHUNKS
    lanes, chunk = _lanes_and_chunk(characters, settings, machine.ranks, min_chunks)
    step = machine.ranks * lanes * chunk
    # How much is read in a number of minutes depends on the model, so the model is chosen by the work.
    work = _characters_seen(settings, characters, step, machine, MEDIUM_WEIGHTS) * TRAINING_PASSES * MEDIUM_WEIGHTS
    size = _size(work / 1e12, characters, shape if base is None else base.to_dict())
    if base is not None:
        model = _rebase(base, vocabulary, shape)
    else:
        shape = {"hidden": size.hidden, "layers": size.layers, **shape}
        model = ModelConfig(**{"vocabulary": vocabulary, "embedding": shape["hidden"], **shape})
    seen = _characters_seen(settings, characters, step, machine, _weights(model))
    max_epochs = _max_epochs(characters) if "minutes" in settings else 0.0
    if limit := settings.get("max_epochs", max_epochs):
        seen = min(seen, limit * characters)
    rate = _dropout(seen / characters, _weights(model) / characters) if dropout is None else dropout
    if dropout is None and base is not None:
        rate *= BASE_DROPOUT_SHARE
    has_pull = settings.pop("decay_to_base", True) and base is not None
    planned = {
        "lanes": lanes,
        "chunk": chunk,
        "learning_rate": size.learning_rate,
        "weight_decay": _decay_to_base(characters) if has_pull else TrainConfig.weight_decay,
        "decay_to_base": has_pull,
        "dropout_input": dropout or 0.0,  # none is planned: the faster one-hot input does not allow it
        "dropout_hidden": rate,
        "dropout_output": rate,
        "max_epochs": max_epochs,
        "val_chars": max(6_000, int(seen * VALIDATION_SHARE / settings.get("evaluations", TrainConfig.evaluations))),
    }
    return model, TrainConfig(**{**planned, **settings})


def _lanes_and_chunk(characters: int, settings: Mapping[str, int], ranks: int, min_chunks: int) -> tuple[int, int]:
    chunk = settings.get("chunk") or max(8, min(64, characters // 64))
    if "lanes" in settings:
        return int(settings["lanes"]), chunk
    return max(1, min(32, max_lanes(characters, chunk * min_chunks) // ranks)), chunk


def _size(work: float, characters: int, shape: Mapping[str, Any]) -> Size:
    if "hidden" in shape:
        return next((size for size in SIZES if size.hidden >= shape["hidden"]), SIZES[-1])
    fitting = [
        size for size in SIZES if 8 * size.layers * size.hidden**2 <= MAX_WEIGHTS_PER_CHARACTER * characters
    ] or [SIZES[0]]
    return next((size for size in fitting if work <= size.until), fitting[-1])


def _characters_seen(settings: Mapping[str, Any], characters: int, step: int, machine: Machine, weights: int) -> float:
    if "epochs" in settings:
        return float(settings["epochs"] * characters)
    if "steps" in settings:
        return float(settings["steps"] * step)
    return float(settings["minutes"] * 60 * machine.speed / (TRAINING_PASSES * weights))


def _weights(model: ModelConfig) -> int:
    """Return the number of weights in matrix products, for one character."""
    gates = len(CELLS[model.cell].GATES)
    layers = sum(gates * model.hidden * (model.inputs(layer) + model.hidden) for layer in range(model.layers))
    return layers + model.vocabulary * model.hidden


def _dropout(epochs: float, weights_per_character: float) -> float:
    """Return 0 for text that is read once, and more with each epoch and a larger model.

    In steps of .05, so that noise in the measured speed seldom changes the plan.
    """
    return round(20 * min(0.4, max(0.0, 0.006 * (epochs * weights_per_character - 1)))) / 20


def _max_epochs(characters: int) -> float:
    """Return how often a text is worth reading; after that a model only memorises it."""
    return float(round(EPOCHS * (characters / EPOCHS_CHARS) ** EPOCHS_GROWTH))


def _decay_to_base(characters: int) -> float:
    """Return the weight decay towards a base: less for more text, which then knows better."""
    return round(max(TrainConfig.weight_decay, MAX_BASE_DECAY * min(1.0, EPOCHS_CHARS / characters)), 2)


def _rebase(base: ModelConfig, vocabulary: int, shape: Mapping[str, Any]) -> ModelConfig:
    wanted = {**base.to_dict(), **shape, "vocabulary": vocabulary}
    for name, value in base.to_dict().items():
        if name != "vocabulary" and wanted[name] != value:
            raise UsageError(
                f"the base model has {name} {value}, not {wanted[name]}",
                f"leave --{name} out, or train without --from",
            )
    return ModelConfig(**wanted)
