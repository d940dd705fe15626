"""The LSTM cell with peepholes: one step forward, one step back.

Owns the arithmetic of one layer at one time step. Knows nothing of text, files, sampling or of how layers are stacked.

Gers and Schmidhuber (2000): the gates also look at the cell, each unit's gates at that unit's cell, so that they can
count and time what the output gate hides from them:

    i = sigma(a_i + p_i * c)     input gate: how much of the candidate is written
    f = sigma(a_f + p_f * c)     forget gate: how much of the old cell is kept
    g = tanh(a_g)                candidate
    c' = f * c + i * g           the cell state
    o = sigma(a_o + p_o * c')    output gate, which looks at the new cell: how much of it is shown
    h' = o * tanh(c')            the hidden state

where a = W_x x + b + W_h h, and p_i, p_f, p_o are vectors: the peepholes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells.common import UNBOUNDED, Array, Factors, Signal, gate, held_cell, sigmoid

GATES = ("i", "f", "o", "g")  # in the order of the rows of W_x, W_h and b
SIGNALS = {
    "i": gate("input gate: how much of the candidate is written"),
    "f": gate("forget gate: how much of the old cell is kept"),
    "o": gate("output gate: how much of the cell is shown"),
    "g": Signal("candidate: what may be written", -1.0, 1.0),
    "c": Signal("cell state: what is kept", -UNBOUNDED, UNBOUNDED),
    "h": Signal("hidden state: what is shown", -1.0, 1.0),
}
MEMORY = "c"  # the signal that is carried on and on
ONE_PRODUCT = True  # W_x x + W_h h may be one


class State(NamedTuple):
    """What a layer remembers between two characters. A value: never changed in place."""

    h: Array  # (B, H) hidden state, what the layer shows
    c: Array  # (B, H) cell state, what the layer keeps


class Weights(NamedTuple):
    """What the recurrent part needs."""

    w_h: Array  # (4H, H), rows in the order of GATES
    p_i: Array  # (H,) peepholes
    p_f: Array
    p_o: Array


class Trace(NamedTuple):
    """What one step leaves for the step back, and for whoever wants to look at the gates."""

    before: State
    i: Array  # (B, H), as are the others
    f: Array
    o: Array
    g: Array
    c: Array  # after the step
    tanh_c: Array


class Slopes(NamedTuple):
    """How what a step gives follows what it was made of: the factors of the chain rule that the trace alone decides."""

    c: Array  # (B, H) from c' to h', but for the output gate's look at it
    f: Array  # from c to c', but for what the gates see of it
    o: Array  # from a_o to h'
    a: Array  # (B, 4H) from a_i, a_f and a_g to c', from a_o to h'


def shapes(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a layer, as a model file stores them."""
    matrices = {"w_x": (4 * hidden, inputs), "w_h": (4 * hidden, hidden), "b": (4 * hidden,)}
    return {**matrices, "p_i": (hidden,), "p_f": (hidden,), "p_o": (hidden,)}


def step(weights: Weights, from_below: Array, state: State) -> tuple[State, Trace]:
    """Read one character's worth of input.

    Args:
        weights: the recurrent weights.
        from_below: W_x x + b, (B, 4H).
        state: the state before this character.

    Returns:
        The state after it, and the trace of how it came about.
    """
    hidden = state.c.shape[-1]
    a = state.h.dot(weights.w_h.T)  # (B, 4H)
    a += from_below
    a_i, a_f, a_o, a_g = (a[:, block : block + hidden] for block in range(0, 4 * hidden, hidden))
    i = sigmoid(a_i + weights.p_i * state.c)
    f = sigmoid(a_f + weights.p_f * state.c)
    g = np.tanh(a_g)
    c = f * state.c + i * g
    o = sigmoid(a_o + weights.p_o * c)
    tanh_c = np.tanh(c)
    return State(h=o * tanh_c, c=c), Trace(state, i, f, o, g, c, tanh_c)


def hold(state: State, trace: Trace, units: NDArray[np.intp], values: Array) -> State:
    """The state after a step, with the memory of U units held at values, (U,), and what they show following it."""
    held: State = held_cell(state, trace.o, units, values)
    return held


def slopes_of(trace: Trace) -> Slopes:
    """The slopes of a step; or of many, whose traces are one below the other."""
    before, i, f, o, g, _, tanh_c = trace
    a = (g * i * (1 - i), before.c * f * (1 - f), tanh_c * o * (1 - o), i * (1 - g**2))
    return Slopes(c=o * (1 - tanh_c**2), f=f, o=a[2], a=np.concatenate(a, axis=-1))


def step_back(
    weights: Weights, trace: Trace, d_after: State, slopes: Slopes | None = None
) -> tuple[Array, Array, State]:
    """Carry the loss's gradient from after a step to before it.

    Args:
        weights: as in `step`.
        trace: what `step` left.
        d_after: gradient with respect to the state after the step; its `h` also holds what came from above.
        slopes: those of the trace, where they were worked out for many steps at once.

    Returns:
        The gradient with respect to W_x x + b and that with respect to W_h h, both (B, 4H) (for this cell the same),
        and that with respect to the state before. Weight gradients are `d_weights`'.
    """
    slopes = slopes or slopes_of(trace)
    hidden = d_after.h.shape[-1]
    d_c = d_after.c + d_after.h * (slopes.c + slopes.o * weights.p_o)
    d_a = np.concatenate((d_c, d_c, d_after.h, d_c), axis=-1)  # (B, 4H)
    d_a *= slopes.a
    d_a_i, d_a_f = d_a[:, :hidden], d_a[:, hidden : 2 * hidden]
    return d_a, d_a, State(h=d_a @ weights.w_h, c=d_c * slopes.f + d_a_i * weights.p_i + d_a_f * weights.p_f)


def d_weights(traces: Sequence[Trace], d_recurrent: Array) -> dict[str, Factors | Array]:
    """The gradients of `Weights` over a segment.

    Args:
        traces: of its N steps.
        d_recurrent: what `step_back` gave for them, (N, 4H).
    """
    h, c = np.concatenate([trace.before.h for trace in traces]), np.concatenate([trace.before.c for trace in traces])
    after = np.concatenate([trace.c for trace in traces])
    d_a_i, d_a_f, d_a_o, _ = np.split(d_recurrent, 4, axis=-1)
    looks = {"p_i": d_a_i * c, "p_f": d_a_f * c, "p_o": d_a_o * after}
    return {"w_h": (d_recurrent, h), **{name: d_p.sum(axis=0) for name, d_p in looks.items()}}
