"""The LSTM cell with coupled input and forget gate: one step forward, one step back.

Owns the arithmetic of one layer at one time step. Knows nothing of text, files, sampling or of how layers are stacked.

Greff, Srivastava, Koutnik, Steunebrink and Schmidhuber (2017), one of the variants whose worth they measured: what is
forgotten makes room for exactly as much that is written, and a quarter of the weights is saved:

    f = sigma(a_f)              forget gate: how much of the old cell is kept
    o = sigma(a_o)              output gate: how much of the cell is shown
    g = tanh(a_g)               candidate
    c' = f * c + (1 - f) * g    the cell state, always between -1 and 1
    h' = o * tanh(c')           the hidden state

where a = W_x x + b + W_h h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells.common import Array, Factors, Signal, activate, gate, held_cell

GATES = ("f", "o", "g")  # in the order of the rows of W_x, W_h and b
SIGNALS = {
    "f": gate("forget gate: how much of the old cell is kept; the rest is written anew"),
    "o": gate("output gate: how much of the cell is shown"),
    "g": Signal("candidate: what may be written", -1.0, 1.0),
    "c": Signal("cell state: what is kept", -1.0, 1.0),
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

    w_h: Array  # (3H, H), rows in the order of GATES


class Trace(NamedTuple):
    """What one step leaves for the step back, and for whoever wants to look at the gates."""

    before: State
    f: Array  # (B, H), as are the others
    o: Array
    g: Array
    tanh_c: Array


class Slopes(NamedTuple):
    """How what a step gives follows what it was made of: the factors of the chain rule that the trace alone decides."""

    c: Array  # (B, H) from c' to h'
    f: Array  # from c to c'
    a: Array  # (B, 3H) from a_f and a_g to c', from a_o to h'


def shapes(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a layer, as a model file stores them."""
    return {"w_x": (3 * hidden, inputs), "w_h": (3 * hidden, hidden), "b": (3 * hidden,)}


def step(weights: Weights, from_below: Array, state: State) -> tuple[State, Trace]:
    """Read one character's worth of input.

    Args:
        weights: the recurrent weights.
        from_below: W_x x + b, (B, 3H).
        state: the state before this character.

    Returns:
        The state after it, and the trace of how it came about.
    """
    hidden = state.c.shape[-1]
    a = state.h.dot(weights.w_h.T)  # (B, 3H)
    a += from_below
    activate(a, gates=2 * hidden)  # sigma for f and o, tanh for g
    f, o, g = a[:, :hidden], a[:, hidden : 2 * hidden], a[:, 2 * hidden :]
    c = g + f * (state.c - g)  # f * c + (1 - f) * g
    tanh_c = np.tanh(c)
    return State(h=o * tanh_c, c=c), Trace(state, f, o, g, tanh_c)


def hold(state: State, trace: Trace, units: NDArray[np.intp], values: Array) -> State:
    """The state after a step, with the memory of U units held at values, (U,), and what they show following it."""
    held: State = held_cell(state, trace.o, units, values)
    return held


def slopes_of(trace: Trace) -> Slopes:
    """The slopes of a step; or of many, whose traces are one below the other."""
    before, f, o, g, tanh_c = trace
    a = ((before.c - g) * f * (1 - f), tanh_c * o * (1 - o), (1 - f) * (1 - g**2))
    return Slopes(c=o * (1 - tanh_c**2), f=f, a=np.concatenate(a, axis=-1))


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
        The gradient with respect to W_x x + b and that with respect to W_h h, both (B, 3H) (for this cell the same),
        and that with respect to the state before. Weight gradients are `d_weights`'.
    """
    slopes = slopes or slopes_of(trace)
    d_c = d_after.c + d_after.h * slopes.c
    d_a = np.concatenate((d_c, d_after.h, d_c), axis=-1)  # (B, 3H)
    d_a *= slopes.a
    return d_a, d_a, State(h=d_a @ weights.w_h, c=d_c * slopes.f)


def d_weights(traces: Sequence[Trace], d_recurrent: Array) -> dict[str, Factors | Array]:
    """The gradients of `Weights` over a segment.

    Args:
        traces: of its N steps.
        d_recurrent: what `step_back` gave for them, (N, 3H).
    """
    return {"w_h": (d_recurrent, np.concatenate([trace.before.h for trace in traces]))}
