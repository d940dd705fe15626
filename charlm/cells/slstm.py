"""The sLSTM cell.

Beck et al. (2024), the scalar cell of xLSTM. The input gate is an exponential, so that the current input can outweigh
all that was stored. A normaliser sums the gates, which makes the output a weighted mean of the candidates. A stabiliser
keeps the exponentials in range without changing the output:

    z = tanh(a_z)                   candidate
    o = sigma(a_o)                  output gate: how much of the mean is shown
    m' = max(log f~ + m, a_i)       stabiliser, with f~ = sigma(a_f)
    i = exp(a_i - m')               input gate: the weight of the candidate
    f = exp(log f~ + m - m')        forget gate: the factor of all earlier weights
    c' = f * c + i * z              the cell state
    n' = f * n + i                  normaliser
    v = c' / n'                     the weighted mean of all candidates so far
    h' = o * v                      the hidden state

where a = W_x x + b + W_h h. One of i and f is always 1, so n is at least 1 after the first step. Before it n is 0 and
nothing is stored: then m' = a_i. The paper leaves the choice of f~ between sigma and exp. With an exponential, m would
grow without end over a long text and lose its last digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.cells.base import UNBOUNDED, Array, FusableCell, Signal, StepGrads, Units, Weights, gate, sigmoid


class SLSTMState(NamedTuple):
    """State of a layer; never changed in place."""

    h: Array  # (B, H) hidden state
    c: Array  # (B, H) cell state
    n: Array  # (B, H) normaliser, the sum of the weights in c
    m: Array  # (B, H) stabiliser, the logarithm of the scale of c and n


class SLSTMTrace(NamedTuple):
    h_prev: Array  # (B, H), as the others
    c_prev: Array
    n_prev: Array
    i: Array
    f: Array
    o: Array
    z: Array
    v: Array  # c' / n'
    n: Array  # after the step
    sigma_f: Array  # sigma(a_f), the forget gate before it is stabilised


class SLSTMDerivatives(NamedTuple):
    c: Array  # (B, H) of h' by c', and so the next six
    n: Array  # of h' by n'
    i: Array  # of n' by log i
    z_i: Array  # of c' by log i
    f: Array  # of c' by c, and of n' by n
    c_f: Array  # of c' by log f
    n_f: Array  # of n' by log f
    a: Array  # (B, 4H) of log i by a_i, of log f~ by a_f, of h' by a_o, of c' by a_z


class SLSTM(FusableCell[SLSTMState, SLSTMTrace, SLSTMDerivatives]):
    GATES = ("i", "f", "o", "z")
    FORGET_GATE = "f"
    SIGNALS = {
        "i": gate("input gate: the weight of the candidate; the larger of i and f is 1"),
        "f": gate("forget gate: the factor of all earlier weights"),
        "o": gate("output gate: how much of the mean is shown"),
        "z": Signal("candidate: what may be written", -1.0, 1.0),
        "v": Signal("cell state over normaliser: the weighted mean of what was written", -1.0, 1.0),
        "n": Signal("normaliser: how much has been written", 0.0, UNBOUNDED),
        "h": Signal("hidden state: what is shown", -1.0, 1.0),
    }
    MEMORY = "v"
    State = SLSTMState

    def activate(self, weights: Weights, a: Array, state: SLSTMState) -> tuple[SLSTMState, SLSTMTrace]:
        h_prev, c_prev, n_prev, m_prev = state
        hidden = c_prev.shape[-1]
        a_i, a_f, a_o, a_z = (a[:, block : block + hidden] for block in range(0, 4 * hidden, hidden))
        log_f = m_prev + _log_sigmoid(a_f)
        has_input = n_prev > 0
        m = np.where(has_input, np.maximum(log_f, a_i), a_i)
        i = np.exp(a_i - m)
        f = np.exp(np.minimum(log_f - m, 0)) * has_input
        o, z = sigmoid(a_o), np.tanh(a_z)
        c = f * c_prev + i * z
        n = f * n_prev + i
        v = c / n
        return SLSTMState(h=o * v, c=c, n=n, m=m), SLSTMTrace(h_prev, c_prev, n_prev, i, f, o, z, v, n, sigmoid(a_f))

    def clamp_units(self, state: SLSTMState, trace: SLSTMTrace, units: Units, values: Array) -> SLSTMState:
        h, c = state.h.copy(), state.c.copy()
        c[:, units] = values * state.n[:, units]
        h[:, units] = trace.o[:, units] * values
        return SLSTMState(h, c, state.n, state.m)

    def local_derivatives(self, trace: SLSTMTrace) -> SLSTMDerivatives:
        _, c_prev, n_prev, i, f, o, z, v, n, sigma_f = trace
        a = (np.ones_like(i), 1 - sigma_f, v * o * (1 - o), i * (1 - z**2))
        h_by_c = o / n
        return SLSTMDerivatives(
            c=h_by_c,
            n=-v * h_by_c,
            i=i,
            z_i=z * i,
            f=f,
            c_f=c_prev * f,
            n_f=n_prev * f,
            a=np.concatenate(a, axis=-1),
        )

    def step_backward(
        self, weights: Weights, derivatives: SLSTMDerivatives, d_after: SLSTMState
    ) -> StepGrads[SLSTMState]:
        d_c = d_after.c + d_after.h * derivatives.c
        d_n = d_after.n + d_after.h * derivatives.n
        d_log_i = d_c * derivatives.z_i + d_n * derivatives.i
        d_log_f = d_c * derivatives.c_f + d_n * derivatives.n_f
        # m' is subtracted from both logarithms and equals one of them; that one only has the gradient through m'.
        f_is_one = derivatives.i < 1
        d_m = np.where(f_is_one, d_after.m - d_log_i, d_log_f)
        d_a_i = np.where(f_is_one, d_log_i, d_after.m - d_log_f)
        d_a = np.concatenate((d_a_i, d_m, d_after.h, d_c), axis=-1)  # (B, 4H)
        d_a *= derivatives.a
        before = SLSTMState(h=d_a @ weights["w_h"], c=d_c * derivatives.f, n=d_n * derivatives.f, m=d_m)
        return d_a, d_a, before


def _log_sigmoid(a: Array) -> Array:
    """Return log(1 / (1 + exp(-a))), without overflow at either end."""
    result: Array = np.minimum(a, 0) - np.log1p(np.exp(-np.abs(a)))
    return result
