"""The plain recurrent cell: one step forward, one step back.

Owns the arithmetic of one layer at one time step. Knows nothing of text, files, sampling or of how layers are stacked.

Elman (1990):

    h' = tanh(a)    the hidden state, rewritten whole at every step

where a = W_x x + b + W_h h. The gradient passes through W_h and the tanh's slope once a step, and so shrinks or grows
geometrically with distance (Bengio, Simard and Frasconi 1994): the reason why the other cells exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells.common import Array, Factors, Signal

GATES = ("h",)  # the one block of rows of W_x, W_h and b
SIGNALS = {"h": Signal("hidden state: what is kept and shown", -1.0, 1.0)}
MEMORY = "h"  # the signal that is carried on and on
ONE_PRODUCT = True  # W_x x + W_h h may be one


class State(NamedTuple):
    """What a layer remembers between two characters. A value: never changed in place."""

    h: Array  # (B, H) hidden state


class Weights(NamedTuple):
    """What the recurrent part needs."""

    w_h: Array  # (H, H)


class Trace(NamedTuple):
    """What one step leaves for the step back."""

    before: State
    h: Array  # (B, H)


class Slopes(NamedTuple):
    """How what a step gives follows what it was made of: the factors of the chain rule that the trace alone decides."""

    a: Array  # (B, H) from a to h'


def shapes(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a layer, as a model file stores them."""
    return {"w_x": (hidden, inputs), "w_h": (hidden, hidden), "b": (hidden,)}


def step(weights: Weights, from_below: Array, state: State) -> tuple[State, Trace]:
    """Read one character's worth of input.

    Args:
        weights: the recurrent weights.
        from_below: W_x x + b, (B, H).
        state: the state before this character.

    Returns:
        The state after it, and the trace of how it came about.
    """
    a = state.h.dot(weights.w_h.T)  # (B, H)
    a += from_below
    h = np.tanh(a)
    return State(h), Trace(state, h)


def hold(state: State, trace: Trace, units: NDArray[np.intp], values: Array) -> State:
    """The state after a step, with the memory of U units held at values, (U,), and what they show following it."""
    h = state.h.copy()
    h[:, units] = values
    return State(h)


def slopes_of(trace: Trace) -> Slopes:
    """The slopes of a step; or of many, whose traces are one below the other."""
    return Slopes(a=1 - trace.h**2)


def step_back(
    weights: Weights, trace: Trace, d_after: State, slopes: Slopes | None = None
) -> tuple[Array, Array, State]:
    """Carry the loss's gradient from after a step to before it.

    Args:
        weights: as in `step`.
        trace: what `step` left.
        d_after: gradient with respect to the state after the step, with what came from above.
        slopes: those of the trace, where they were worked out for many steps at once.

    Returns:
        The gradient with respect to W_x x + b and that with respect to W_h h, both (B, H) (for this cell the same), and
        that with respect to the state before.
    """
    slopes = slopes or slopes_of(trace)
    d_a = d_after.h * slopes.a  # (B, H)
    return d_a, d_a, State(h=d_a @ weights.w_h)


def d_weights(traces: Sequence[Trace], d_recurrent: Array) -> dict[str, Factors | Array]:
    """The gradients of `Weights` over a segment.

    Args:
        traces: of its N steps.
        d_recurrent: what `step_back` gave for them, (N, H).
    """
    return {"w_h": (d_recurrent, np.concatenate([trace.before.h for trace in traces]))}
