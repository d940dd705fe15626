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


def activate(a: Array, gates: int) -> Array:
    """The gates' logistic function and the candidate's tanh at once: sigma(a) = (1 + tanh(a / 2)) / 2.

    A step of one stream is made of small arrays, on which a call costs more than its arithmetic.

    Args:
        a: pre-activations, (B, N); overwritten.
        gates: how many columns, from the left, are gates.
    """
    left = a[:, :gates]
    left *= 0.5
    np.tanh(a, out=a)
    left *= 0.5
    left += 0.5
    return a
