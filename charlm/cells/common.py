"""What every cell needs: the array type, the logistic function, and how a cell names what there is to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

Factors = tuple[Array, Array]
"""The gradient of a matrix, as two factors: left (N, R) and right (N, C), for left.T @ right."""


class Signal(NamedTuple):
    """Something that can be watched in a cell at work: one number a unit and step.

    Attributes:
        meaning: in words.
        low: the least value it can have; minus infinity if there is none.
        high: the greatest.
    """

    meaning: str
    low: float
    high: float

    @property
    def is_gate(self) -> bool:
        """Whether it opens (1) and closes (0)."""
        return (self.low, self.high) == (0.0, 1.0)


def stacked(traces: Sequence[Any]) -> Any:
    """What steps have left as one: each of their arrays, (B, H), one below the other, (N * B, H).

    Args:
        traces: of N steps, or their states; NamedTuples of arrays and of such NamedTuples.
    """
    first = traces[0]
    parts = zip(*traces, strict=True)
    return type(first)(*[stacked(part) if isinstance(part[0], tuple) else np.concatenate(part) for part in parts])


UNBOUNDED: Final = float("inf")

_HALF: Final = np.float32(0.5)  # exact in every precision, and a call with it is quicker than with Python's


def gate(meaning: str) -> Signal:
    """A signal between 0, closed, and 1, open."""
    return Signal(meaning, 0.0, 1.0)


def look(signals: Mapping[str, Signal], trace: Any, after: Any) -> dict[str, Array]:
    """The signals of one step, (B, H) each: what is not in the step's trace is in the state after it."""
    return {name: getattr(trace if name in trace._fields else after, name) for name in signals}


def held_cell(state: Any, o: Array, units: NDArray[np.intp], values: Array) -> Any:
    """An LSTM's state after a step, with the cells of some units held: h = o * tanh(c) of those follows.

    Args:
        state: a NamedTuple with `h` and `c`, (B, H) each.
        o: the output gate, (B, H).
        units: U of them.
        values: of their cells, (U,).
    """
    h, c = state.h.copy(), state.c.copy()
    c[:, units] = values
    h[:, units] = o[:, units] * np.tanh(values)
    return state._replace(h=h, c=c)


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
    left *= _HALF
    np.tanh(a, a)
    left *= _HALF
    left += _HALF
    return a
