"""How a model learns from what it reads: numbers, and their ranges. Imports nothing heavy, so that help is quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from charlm.errors import UsageError

_RANGES: dict[str, tuple[float, float]] = {
    "rate": (0.0, 0.1),
    "decay": (0.0, 1.0),
    "segment": (1, 10_000),
    "passes": (1, 100),
    "clip": (1e-3, 1e6),
    "epsilon": (1e-9, 1.0),
    "margin": (0.0, 1e6),
}


@dataclass(frozen=True)
class LearnConfig:
    """How a model learns from what it reads. The defaults are measured: docs/experiments.md.

    Attributes:
        rate: how far a gradient of the usual size moves its weight; 0 learns nothing.
        decay: the share of what was learned that is given up at each segment, on average over the weights; those whose
            gradients are usually large give up more.
        segment: characters that are read before each step, and through which gradients travel back.
        passes: steps on each segment.
        clip: the most that a tensor's gradient may have as its root mean square, in units of its usual size.
        epsilon: the least usual size of a gradient.
        margin: nats/char by which the recent text must be predicted worse than without learning to be learned too much.

    Raises:
        UsageError: a value out of range.
    """

    rate: float = 1e-4
    decay: float = 2e-3
    segment: int = 50
    passes: int = 1
    clip: float = 10.0
    epsilon: float = 3e-5
    margin: float = 0.1

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int if name in ("segment", "passes") else int | float):
                raise UsageError(f"{name} must be a number, not {value!r}")
            if not least <= value <= most:
                raise UsageError(f"{name} is {value:g}, but must lie between {least:g} and {most:g}")

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> LearnConfig:
        """Read back what `to_dict` wrote.

        Raises:
            UsageError: an unknown key, or a value out of range.
        """
        if strange := sorted(document.keys() - {field.name for field in fields(cls)}):
            raise UsageError(f"unknown learning option: {', '.join(map(str, strange))[:200]}")
        return cls(**document)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)
