"""The sLSTM cell: one step forward, one step back.

Owns the arithmetic of one layer at one time step. Knows nothing of text, files, sampling or of how layers are stacked.

Beck et al. (2024), the scalar cell of xLSTM. The input gate is an exponential, so that what is read now can outweigh
all that was stored; a normaliser sums the gates, so that what is shown is a weighted mean of the candidates; and a
stabiliser keeps the exponentials in range without changing what is shown:

    z = tanh(a_z)                   candidate
    o = sigma(a_o)                  output gate: how much of the mean is shown
    m' = max(log f~ + m, a_i)       stabiliser, with f~ = sigma(a_f)
    i = exp(a_i - m')               input gate: the weight of the candidate
    f = exp(log f~ + m - m')        forget gate: by how much earlier weights shrink
    c' = f * c + i * z              the cell state
    n' = f * n + i                  normaliser
    v = c' / n'                     the weighted mean of all candidates so far
    h' = o * v                      the hidden state

where a = W_x x + b + W_h h. One of the two gates is always 1, so n is at least 1 once something was read. Before, n
is 0 and there is nothing to keep: then m' = a_i. The paper leaves the choice of f~ between sigma and exp; with an
exponential, m would grow without end over a long text and lose its last digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells.common import UNBOUNDED, Array, Factors, Signal, gate, sigmoid

GATES = ("i", "f", "o", "z")  # in the order of the rows of W_x, W_h and b
SIGNALS = {
    "i": gate("input gate: the weight of the candidate; here or in f the larger of the two is 1"),
    "f": gate("forget gate: by how much earlier weights shrink"),
    "o": gate("output gate: how much of the mean is shown"),
    "z": Signal("candidate: what may be written", -1.0, 1.0),
    "v": Signal("cell state over normaliser: the weighted mean of what was written", -1.0, 1.0),
    "n": Signal("normaliser: how much has been written", 0.0, UNBOUNDED),
    "h": Signal("hidden state: what is shown", -1.0, 1.0),
}
MEMORY = "v"  # the signal that is carried on and on
ONE_PRODUCT = True  # W_x x + W_h h may be one


class State(NamedTuple):
    """What a layer remembers between two characters. A value: never changed in place."""

    h: Array  # (B, H) hidden state, what the layer shows
    c: Array  # (B, H) cell state, what the layer keeps
    n: Array  # (B, H) normaliser, the sum of the weights in c
    m: Array  # (B, H) stabiliser, the logarithm by which c and n are scaled down


class Weights(NamedTuple):
    """What the recurrent part needs."""

    w_h: Array  # (4H, H), rows in the order of GATES


class Trace(NamedTuple):
    """What one step leaves for the step back, and for whoever wants to look at the gates."""

    before: State
    i: Array  # (B, H), as are the others
    f: Array
    o: Array
    z: Array
    v: Array  # c' / n'
    n: Array  # after the step
    opened: Array  # sigma(a_f), the forget gate before it was stabilised


class Slopes(NamedTuple):
    """How what a step gives follows what it was made of: the factors of the chain rule that the trace alone decides."""

    c: Array  # (B, H) from c' to h'
    n: Array  # from n' to h'
    i: Array  # from log i to n'
    z_i: Array  # from log i to c'
    f: Array  # from c to c', and from n to n'
    c_f: Array  # from log f to c'
    n_f: Array  # from log f to n'
    keeps: NDArray[np.bool_]  # where m' is log f~ + m, so that f is 1; elsewhere it is a_i, and i is 1
    a: Array  # (B, 4H) from a_i to log i, from a_f to log f~, from a_o to h', from a_z to c'


def shapes(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a layer, as a model file stores them."""
    return {"w_x": (4 * hidden, inputs), "w_h": (4 * hidden, hidden), "b": (4 * hidden,)}


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
    a_i, a_f, a_o, a_z = (a[:, block : block + hidden] for block in range(0, 4 * hidden, hidden))
    kept = state.m + _log_sigmoid(a_f)
    begun = state.n > 0
    m = np.where(begun, np.maximum(kept, a_i), a_i)
    i = np.exp(a_i - m)
    f = np.exp(np.minimum(kept - m, 0)) * begun
    o, z = sigmoid(a_o), np.tanh(a_z)
    c = f * state.c + i * z
    n = f * state.n + i
    v = c / n
    return State(h=o * v, c=c, n=n, m=m), Trace(state, i, f, o, z, v, n, sigmoid(a_f))


def _log_sigmoid(a: Array) -> Array:
    """log(1 / (1 + exp(-a))), without overflow at either end."""
    result: Array = np.minimum(a, 0) - np.log1p(np.exp(-np.abs(a)))
    return result


def hold(state: State, trace: Trace, units: NDArray[np.intp], values: Array) -> State:
    """The state after a step, with the memory of U units held at values, (U,), and what they show following it."""
    h, c = state.h.copy(), state.c.copy()
    c[:, units] = values * state.n[:, units]
    h[:, units] = trace.o[:, units] * values
    return state._replace(h=h, c=c)


def slopes_of(trace: Trace) -> Slopes:
    """The slopes of a step; or of many, whose traces are one below the other."""
    before, i, f, o, z, v, n, opened = trace
    a = (np.ones_like(i), 1 - opened, v * o * (1 - o), i * (1 - z**2))
    shown = o / n
    return Slopes(
        c=shown,
        n=-v * shown,
        i=i,
        z_i=z * i,
        f=f,
        c_f=before.c * f,
        n_f=before.n * f,
        keeps=i < 1,
        a=np.concatenate(a, axis=-1),
    )


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
    d_c = d_after.c + d_after.h * slopes.c
    d_n = d_after.n + d_after.h * slopes.n
    d_log_i = d_c * slopes.z_i + d_n * slopes.i
    d_log_f = d_c * slopes.c_f + d_n * slopes.n_f
    # m' is subtracted from both logarithms and is one of them: that one has no gradient but what comes through m'.
    d_kept = np.where(slopes.keeps, d_after.m - d_log_i, d_log_f)
    d_a_i = np.where(slopes.keeps, d_log_i, d_after.m - d_log_f)
    d_a = np.concatenate((d_a_i, d_kept, d_after.h, d_c), axis=-1)  # (B, 4H)
    d_a *= slopes.a
    return d_a, d_a, State(h=d_a @ weights.w_h, c=d_c * slopes.f, n=d_n * slopes.f, m=d_kept)


def d_weights(traces: Sequence[Trace], d_recurrent: Array) -> dict[str, Factors | Array]:
    """The gradients of `Weights` over a segment.

    Args:
        traces: of its N steps.
        d_recurrent: what `step_back` gave for them, (N, 4H).
    """
    return {"w_h": (d_recurrent, np.concatenate([trace.before.h for trace in traces]))}
