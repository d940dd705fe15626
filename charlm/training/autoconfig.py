"""From a text and a budget to a model and a way to train it.

Owns the defaults. Everything that a user says overrides what is planned; what is not said follows from it, so that
`--hidden 512` alone gets the learning rate and the dropout that suit 512. docs/experiments.md has the measurements
behind the numbers. No torch, no files.
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
TRAINING_PASSES = 3  # a step forward and back costs three times the products of a step forward


@dataclass(frozen=True)
class Size:
    """A shape and what it is good for."""

    until: float  # multiply-adds, in units of 1e12, that the whole run can spend
    hidden: int
    layers: int
    learning_rate: float


# How large a model pays depends on how much arithmetic the budget buys.
SIZES = (
    Size(until=0.4, hidden=128, layers=1, learning_rate=9e-3),
    Size(until=3.5, hidden=256, layers=1, learning_rate=8e-3),
    Size(until=40, hidden=256, layers=2, learning_rate=6e-3),
    Size(until=60, hidden=384, layers=2, learning_rate=5e-3),
    Size(until=float("inf"), hidden=512, layers=2, learning_rate=4e-3),
)
# A text is learnt by heart once the weights outnumber its characters by far.
LARGEST_SHARE = 12  # parameters a character of training text


@dataclass(frozen=True)
class Machine:
    """What the run has to run on.

    Attributes:
        speed: multiply-adds a second that a training step of a layer reaches, as `charlm.training.precision` measures.
        ranks: how many processes train together, each with lanes of its own; the speed is that of all of them.
    """

    speed: float = 50e9
    ranks: int = 1


def plan(
    characters: int,
    vocabulary: int,
    overrides: Mapping[str, Any],
    machine: Machine | None = None,
    base: ModelConfig | None = None,
) -> tuple[ModelConfig, TrainConfig]:
    """Choose what the user has not.

    Args:
        characters: of the training text.
        vocabulary: V.
        overrides: fields of `ModelConfig` and `TrainConfig` that the user has set, and `dropout` for the three at once.
        machine: how quick it is.
        base: the shape of the model that is fine-tuned, which cannot change.

    Raises:
        UsageError: an impossible value, or one that contradicts `base`.
    """
    machine = machine or Machine()
    settings = {key: value for key, value in overrides.items() if value is not None}
    dropout = settings.pop("dropout", None)
    if not any(key in settings for key in ("minutes", "epochs", "steps")):
        settings["minutes"] = DEFAULT_MINUTES
    shape = {field.name: settings.pop(field.name) for field in fields(ModelConfig) if field.name in settings}
    TrainConfig(**settings)  # refuses what cannot be, before anything is reckoned from it
    lanes, chunk = _lanes_and_chunk(characters, settings, machine.ranks)
    step = machine.ranks * lanes * chunk
    work = _work(settings, characters, step, machine)  # characters x weights, or multiply-adds
    size = _size(work, characters, shape)
    if base is not None:
        model = _rebase(base, vocabulary, shape)
    else:
        shape = {"hidden": size.hidden, "layers": size.layers, **shape}
        model = ModelConfig(**{"vocabulary": vocabulary, "embedding": shape["hidden"], **shape})
    seen = _characters_seen(settings, characters, step, machine, model)
    rate = _dropout(seen / characters, _weights(model) / characters) if dropout is None else dropout
    planned = {
        "lanes": lanes,
        "chunk": chunk,
        "learning_rate": size.learning_rate * (0.25 if base is not None else 1.0),
        "dropout_input": dropout or 0.0,  # none is planned: one-hot vectors, which are quicker, can't have it
        "dropout_hidden": rate,
        "dropout_output": rate,
        "val_chars": max(6_000, int(seen * VALIDATION_SHARE / settings.get("evaluations", TrainConfig.evaluations))),
    }
    return model, TrainConfig(**{**planned, **settings})


# Reading validation text forward only costs a third of training on it: this share costs 2 % of the time.
VALIDATION_SHARE = 0.06


def _lanes_and_chunk(characters: int, settings: Mapping[str, Any], ranks: int) -> tuple[int, int]:
    chunk = settings.get("chunk") or max(8, min(64, characters // 64))
    if "lanes" in settings:
        return int(settings["lanes"]), chunk
    # At least sixteen chunks an epoch, so that the state carried between them matters.
    return max(1, min(32, max_lanes(characters, chunk * 16) // ranks)), chunk


def _work(settings: Mapping[str, Any], characters: int, step: int, machine: Machine) -> float:
    if "minutes" in settings:
        return float(settings["minutes"] * 60 * machine.speed / 1e12)
    seen = settings["epochs"] * characters if "epochs" in settings else settings["steps"] * step
    # With a budget in characters, as long as the medium size needs: larger would take longer than was asked for.
    return float(seen * 1_050_000 * TRAINING_PASSES / 1e12)


def _size(work: float, characters: int, shape: Mapping[str, Any]) -> Size:
    if "hidden" in shape:
        return next((size for size in SIZES if size.hidden >= shape["hidden"]), SIZES[-1])
    fitting = [size for size in SIZES if 8 * size.layers * size.hidden**2 <= LARGEST_SHARE * characters] or [SIZES[0]]
    return next((size for size in fitting if work <= size.until), fitting[-1])


def _characters_seen(
    settings: Mapping[str, Any], characters: int, step: int, machine: Machine, model: ModelConfig
) -> float:
    if "epochs" in settings:
        return float(settings["epochs"] * characters)
    if "steps" in settings:
        return float(settings["steps"] * step)
    return float(settings["minutes"] * 60 * machine.speed / (TRAINING_PASSES * _weights(model)))


def _weights(model: ModelConfig) -> int:
    """Those that a character is multiplied with."""
    gates = len(CELLS[model.cell].GATES)
    layers = sum(gates * model.hidden * (model.inputs(layer) + model.hidden) for layer in range(model.layers))
    return layers + model.vocabulary * model.hidden


def _dropout(epochs: float, weights_per_character: float) -> float:
    """None while the text is new; the more often it is read again, and the larger the model, the more.

    In steps of .05, so that the measurement of the machine, which is noisy, seldom changes the plan.
    """
    return round(20 * min(0.4, max(0.0, 0.006 * (epochs * weights_per_character - 1)))) / 20


def _rebase(base: ModelConfig, vocabulary: int, shape: Mapping[str, Any]) -> ModelConfig:
    wanted = {**base.to_dict(), **shape, "vocabulary": vocabulary}
    for name, value in base.to_dict().items():
        if name != "vocabulary" and wanted[name] != value:
            raise UsageError(
                f"the model that you start from has {name} {value}, which {wanted[name]} would change",
                f"leave --{name} out, or train from nothing",
            )
    return ModelConfig(**wanted)
