"""A run between two steps, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run depends on, between two steps.

    Attributes:
        tensors: weights, the optimizer's moments, the carried state, the best weights, torch's random numbers.
        numbers: the rest, as plain data that survives JSON exactly.
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]
