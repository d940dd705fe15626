"""How a model is trained: the numbers, and what a user may say of them. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from charlm.errors import UsageError

PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class TrainConfig:
    """Every number that a training run depends on. Exactly one of the three budgets is set.

    Attributes:
        minutes: budget in minutes of wall clock.
        epochs: budget in passes over the training text.
        steps: budget in steps of the optimizer.
        lanes: B, how many stretches of the text are read in parallel.
        chunk: T, after how many steps backpropagation through time is cut.
        learning_rate: the highest, after warm-up.
        final_rate: the last, as a share of the highest.
        warmup: share of the budget over which the rate rises.
        beta1: AdamW's decay of the first moment.
        beta2: AdamW's decay of the second moment.
        weight_decay: AdamW's, on matrices only.
        clip: the gradient's norm is cut to this.
        dropout_input: see `charlm.model.lm.Dropout`, as the next three.
        dropout_hidden: between layers.
        dropout_output: before the output layer.
        weight_drop: of the recurrent weights.
        carry: whether the state is carried from chunk to chunk; without, every chunk starts from nothing.
        evaluations: how often the run is measured on validation text, evenly over the budget.
        val_chars: how many characters of validation text each of those reads (the last reads all).
        patience: stop after so many evaluations without a new best; 0 never does.
        seed: of weights, dropout and lane offsets.
        precision: fp32, bf16 (autocast), or auto: whichever a short measurement finds quicker.
        device: cpu, cuda, mps, or auto.
        threads: of the processor; 0 leaves torch's choice.

    Raises:
        UsageError: a value out of range.
    """

    minutes: float | None = None
    epochs: float | None = None
    steps: int | None = None
    lanes: int = 32
    chunk: int = 64
    learning_rate: float = 4e-3
    final_rate: float = 0.02
    warmup: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.3
    clip: float = 1.0
    dropout_input: float = 0.0
    dropout_hidden: float = 0.0
    dropout_output: float = 0.0
    weight_drop: float = 0.0
    carry: bool = True
    evaluations: int = 20
    val_chars: int = 30_000
    patience: int = 8
    seed: int = 1
    precision: str = "auto"
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        budgets = [name for name in ("minutes", "epochs", "steps") if getattr(self, name) is not None]
        if len(budgets) != 1:
            said = " and ".join(f"--{name}" for name in budgets) or "none"
            raise UsageError(f"a run has one budget, but there is {said}", "say one of --minutes, --epochs and --steps")
        budget = getattr(self, budgets[0])
        if not 0 < budget < float("inf"):
            raise UsageError(f"{budgets[0]} is {budget}, but must be above 0")
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"{name.replace('_', '-')} is {value}, but must lie between {least:g} and {most:g}")
        for name in ("dropout_input", "dropout_hidden", "dropout_output", "weight_drop"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(
                    f"{name.replace('_', '-')} is {getattr(self, name)}, but must be at least 0 and below 1"
                )
        for name, choices in (("precision", PRECISIONS), ("device", DEVICES)):
            if getattr(self, name) not in choices:
                raise UsageError(f"unknown {name} {getattr(self, name)!r}", f"choose one of {', '.join(choices)}")

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TrainConfig:
        """Read back what `to_dict` wrote.

        Raises:
            UsageError: an unknown or missing key, or a value out of range.
        """
        if strange := {field.name for field in fields(cls)}.symmetric_difference(document):
            raise UsageError(f"the training settings have unknown or missing keys: {', '.join(sorted(strange))[:200]}")
        return cls(**document)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @property
    def budget(self) -> str:
        """The budget in words."""
        for name in ("minutes", "epochs", "steps"):
            if (value := getattr(self, name)) is not None:
                return f"{value:g} {name if value != 1 else name[:-1]}"
        raise AssertionError


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("lanes", 1, 65_536),
    ("chunk", 1, 65_536),
    ("learning_rate", 1e-9, 10),
    ("final_rate", 0, 1),
    ("warmup", 0, 0.9),
    ("beta1", 0, 0.9999),
    ("beta2", 0, 0.999999),
    ("weight_decay", 0, 10),
    ("clip", 1e-6, 1e6),
    ("evaluations", 1, 100_000),
    ("val_chars", 1, float("inf")),
    ("patience", 0, 100_000),
    ("seed", 0, (1 << 63) - 1),
    ("threads", 0, 4096),
)
