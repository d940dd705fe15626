"""The GRU cell: one step forward, one step back.

Owns the arithmetic of one layer at one time step. Knows nothing of text, files, sampling or of how layers are stacked.

Cho et al. (2014), in the form in which the reset gate acts after the recurrent product, so that one product serves all
three blocks (the variant of Chung et al. 2014 that cuDNN and torch compute):

    r = sigma(a_r + u_r)              reset gate: how much of the past the candidate sees
    z = sigma(a_z + u_z)              update gate: how much of the past is kept
    n = tanh(a_n + r * (u_n + b_h))   candidate
    h' = (1 - z) * n + z * h          the hidden state, which is all the state there is

where a = W_x x + b comes from below and u = W_h h. The candidate's recurrent part has a bias of its own, because the
reset gate scales it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells.common import Array, Factors, Signal, gate, sigmoid

GATES = ("r", "z", "n")  # in the order of the rows of W_x, W_h and b
SIGNALS = {
    "r": gate("reset gate: how much of the past the candidate sees"),
    "z": gate("update gate: how much of the past is kept"),
    "n": Signal("candidate: what may be written", -1.0, 1.0),
    "h": Signal("hidden state: what is kept and shown", -1.0, 1.0),
}
MEMORY = "h"  # the signal that is carried on and on
ONE_PRODUCT = False  # the reset gate comes between


class State(NamedTuple):
    """What a layer remembers between two characters. A value: never changed in place."""

    h: Array  # (B, H) hidden state


class Weights(NamedTuple):
    """What the recurrent part needs."""

    w_h: Array  # (3H, H), rows in the order of GATES
    b_h: Array  # (H,) bias of the candidate's recurrent part


class Trace(NamedTuple):
    """What one step leaves for the step back, and for whoever wants to look at the gates."""

    before: State
    r: Array  # (B, H), as are the others
    z: Array
    n: Array
    u_n: Array  # W_hn h + b_h, before the reset gate


class Slopes(NamedTuple):
    """How what a step gives follows what it was made of: the factors of the chain rule that the trace alone decides."""

    below: Array  # (B, 3H) from a_r, a_z and a_n to h'
    recurrent: Array  # from u_r, u_z and u_n + b_h to h'
    z: Array  # (B, H) from h to h', past the gates


def shapes(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a layer, as a model file stores them."""
    return {"w_x": (3 * hidden, inputs), "w_h": (3 * hidden, hidden), "b": (3 * hidden,), "b_h": (hidden,)}


def step(weights: Weights, from_below: Array, state: State) -> tuple[State, Trace]:
    """Read one character's worth of input.

    Args:
        weights: the recurrent weights.
        from_below: W_x x + b, (B, 3H).
        state: the state before this character.

    Returns:
        The state after it, and the trace of how it came about.
    """
    hidden = state.h.shape[-1]
    u = state.h.dot(weights.w_h.T)  # (B, 3H)
    gates = sigmoid(from_below[:, : 2 * hidden] + u[:, : 2 * hidden])  # (B, 2H)
    r, z = gates[:, :hidden], gates[:, hidden:]
    u_n = u[:, 2 * hidden :] + weights.b_h
    n = np.tanh(from_below[:, 2 * hidden :] + r * u_n)
    h = n + z * (state.h - n)  # (1 - z) * n + z * h
    return State(h), Trace(state, r, z, n, u_n)


def hold(state: State, trace: Trace, units: NDArray[np.intp], values: Array) -> State:
    """The state after a step, with the memory of U units held at values, (U,), and what they show following it."""
    h = state.h.copy()
    h[:, units] = values
    return State(h)


def slopes_of(trace: Trace) -> Slopes:
    """The slopes of a step; or of many, whose traces are one below the other."""
    before, r, z, n, u_n = trace
    a_n = (1 - z) * (1 - n**2)
    gates = (a_n * u_n * r * (1 - r), (before.h - n) * z * (1 - z))
    return Slopes(np.concatenate((*gates, a_n), axis=-1), np.concatenate((*gates, a_n * r), axis=-1), z)


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
        The gradient with respect to W_x x + b and that with respect to W_h h, both (B, 3H), and that with respect to
        the state before. Weight gradients are `d_weights`'.
    """
    slopes = slopes or slopes_of(trace)
    d_h = np.concatenate((d_after.h, d_after.h, d_after.h), axis=-1)  # (B, 3H)
    d_recurrent = d_h * slopes.recurrent
    return d_h * slopes.below, d_recurrent, State(h=d_recurrent @ weights.w_h + d_after.h * slopes.z)


def d_weights(traces: Sequence[Trace], d_recurrent: Array) -> dict[str, Factors | Array]:
    """The gradients of `Weights` over a segment.

    Args:
        traces: of its N steps.
        d_recurrent: what `step_back` gave for them, (N, 3H).
    """
    h = np.concatenate([trace.before.h for trace in traces])
    return {"w_h": (d_recurrent, h), "b_h": d_recurrent[:, -h.shape[-1] :].sum(axis=0)}
