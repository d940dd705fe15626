"""The multiplicative LSTM cell: one step forward, one step back.

Owns the arithmetic of one layer at one time step. Knows nothing of text, files, sampling or of how layers are stacked.

Krause, Lu, Murray and Renals (2016). Before the gates see the past, each character turns it its own way, by a
multiplication element by element, as if it had a recurrent matrix of its own:

    m = (W_mx x + b_m) * (W_m h)    the past as this character sees it
    i = sigma(a_i)                  input gate: how much of the candidate is written
    f = sigma(a_f)                  forget gate: how much of the old cell is kept
    o = sigma(a_o)                  output gate: how much of the cell is shown
    g = tanh(a_g)                   candidate
    c' = f * c + i * g              the cell state
    h' = o * tanh(c')               the hidden state

where a = W_x x + b + W_h m. W_mx and b_m are the last block of rows of W_x and b. The paper has no b_m; with it a
character may also leave the past as it is. This is not the cell with a matrix for a memory that xLSTM calls mLSTM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells.common import UNBOUNDED, Array, Factors, Signal, activate, gate, held_cell

GATES = ("i", "f", "o", "g", "m")  # in the order of the rows of W_x and b; those of W_h are the first four
SIGNALS = {
    "i": gate("input gate: how much of the candidate is written"),
    "f": gate("forget gate: how much of the old cell is kept"),
    "o": gate("output gate: how much of the cell is shown"),
    "g": Signal("candidate: what may be written", -1.0, 1.0),
    "m": Signal("the past as the character sees it", -UNBOUNDED, UNBOUNDED),
    "c": Signal("cell state: what is kept", -UNBOUNDED, UNBOUNDED),
    "h": Signal("hidden state: what is shown", -1.0, 1.0),
}
MEMORY = "c"  # the signal that is carried on and on
ONE_PRODUCT = False  # what turns the past comes between


class State(NamedTuple):
    """What a layer remembers between two characters. A value: never changed in place."""

    h: Array  # (B, H) hidden state, what the layer shows
    c: Array  # (B, H) cell state, what the layer keeps


class Weights(NamedTuple):
    """What the recurrent part needs."""

    w_h: Array  # (4H, H), of m, rows in the order of GATES
    w_m: Array  # (H, H), of h


class Trace(NamedTuple):
    """What one step leaves for the step back, and for whoever wants to look at the gates."""

    before: State
    i: Array  # (B, H), as are the others
    f: Array
    o: Array
    g: Array
    m: Array
    by: Array  # W_mx x + b_m
    turned: Array  # W_m h
    tanh_c: Array


class Slopes(NamedTuple):
    """How what a step gives follows what it was made of: the factors of the chain rule that the trace alone decides."""

    c: Array  # (B, H) from c' to h'
    f: Array  # from c to c'
    a: Array  # (B, 4H) from a_i, a_f and a_g to c', from a_o to h'
    by: Array  # (B, H) from W_m h to m
    turned: Array  # from W_mx x + b_m to m


def shapes(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a layer, as a model file stores them."""
    matrices = {"w_x": (5 * hidden, inputs), "w_h": (4 * hidden, hidden), "w_m": (hidden, hidden)}
    return {**matrices, "b": (5 * hidden,)}


def step(weights: Weights, from_below: Array, state: State) -> tuple[State, Trace]:
    """Read one character's worth of input.

    Args:
        weights: the recurrent weights.
        from_below: W_x x + b, (B, 5H).
        state: the state before this character.

    Returns:
        The state after it, and the trace of how it came about.
    """
    hidden = state.h.shape[-1]
    by = from_below[:, 4 * hidden :]
    turned = state.h.dot(weights.w_m.T)
    m = by * turned
    a = m.dot(weights.w_h.T)  # (B, 4H)
    a += from_below[:, : 4 * hidden]
    activate(a, gates=3 * hidden)  # sigma for i, f and o, tanh for g
    i, f, o, g = a[:, :hidden], a[:, hidden : 2 * hidden], a[:, 2 * hidden : 3 * hidden], a[:, 3 * hidden :]
    c = f * state.c
    c += i * g
    tanh_c = np.tanh(c)
    return State(h=o * tanh_c, c=c), Trace(state, i, f, o, g, m, by, turned, tanh_c)


def hold(state: State, trace: Trace, units: NDArray[np.intp], values: Array) -> State:
    """The state after a step, with the memory of U units held at values, (U,), and what they show following it."""
    held: State = held_cell(state, trace.o, units, values)
    return held


def slopes_of(trace: Trace) -> Slopes:
    """The slopes of a step; or of many, whose traces are one below the other."""
    before, i, f, o, g, _, by, turned, tanh_c = trace
    a = (g * i * (1 - i), before.c * f * (1 - f), tanh_c * o * (1 - o), i * (1 - g**2))
    return Slopes(c=o * (1 - tanh_c**2), f=f, a=np.concatenate(a, axis=-1), by=by, turned=turned)


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
        The gradient with respect to W_x x + b, (B, 5H); that with respect to W_h m and W_m h, side by side, (B, 5H);
        and that with respect to the state before. Weight gradients are `d_weights`'.
    """
    slopes = slopes or slopes_of(trace)
    d_c = d_after.c + d_after.h * slopes.c
    d_a = np.concatenate((d_c, d_c, d_after.h, d_c), axis=-1)  # (B, 4H)
    d_a *= slopes.a
    d_m = d_a @ weights.w_h
    d_turned = d_m * slopes.by
    d_from_below = np.concatenate((d_a, d_m * slopes.turned), axis=-1)
    d_recurrent = np.concatenate((d_a, d_turned), axis=-1)
    return d_from_below, d_recurrent, State(h=d_turned @ weights.w_m, c=d_c * slopes.f)


def d_weights(traces: Sequence[Trace], d_recurrent: Array) -> dict[str, Factors | Array]:
    """The gradients of `Weights` over a segment.

    Args:
        traces: of its N steps.
        d_recurrent: what `step_back` gave for them, (N, 5H).
    """
    h, m = np.concatenate([trace.before.h for trace in traces]), np.concatenate([trace.m for trace in traces])
    gates = 4 * h.shape[-1]
    return {"w_h": (d_recurrent[:, :gates], m), "w_m": (d_recurrent[:, gates:], h)}
