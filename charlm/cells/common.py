"""What every cell needs: the array type and the logistic function."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)), by tanh: exact at both ends, where the exponential overflows."""
    half: Array = np.tanh(a * 0.5)
    half *= 0.5
    half += 0.5
    return half
