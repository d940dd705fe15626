"""The LSTM cell, and what its variants share with it.

Hochreiter and Schmidhuber (1997), with the forget gate of Gers, Schmidhuber and Cummins (2000):

    i = sigma(a_i)        input gate: how much of the candidate is written
    f = sigma(a_f)        forget gate: how much of the old cell is kept
    o = sigma(a_o)        output gate: how much of the cell is shown
    g = tanh(a_g)         candidate
    c' = f * c + i * g    the cell state: the path that gradients travel
    h' = o * tanh(c')     the hidden state

where a = W_x x + b + W_h h. The caller supplies W_x x + b, often cheaper than by a product: the first layer looks it up
in a table with one row per character.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from charlm.cells.base import UNBOUNDED, Array, FusableCell, Signal, StepGrads, Units, Weights, activate_inplace, gate

LSTM_SIGNALS: Final = {
    "i": gate("input gate: how much of the candidate is written"),
    "f": gate("forget gate: how much of the old cell is kept"),
    "o": gate("output gate: how much of the cell is shown"),
    "g": Signal("candidate: what may be written", -1.0, 1.0),
    "c": Signal("cell state: what is kept", -UNBOUNDED, UNBOUNDED),
    "h": Signal("hidden state: what is shown", -1.0, 1.0),
}


class LSTMState(NamedTuple):
    """State of a layer with a cell; never changed in place."""

    h: Array  # (B, H) hidden state
    c: Array  # (B, H) cell state


class LSTMTrace(NamedTuple):
    h_prev: Array  # (B, H), as the others
    c_prev: Array
    i: Array
    f: Array
    o: Array
    g: Array
    tanh_c: Array


class LSTMDerivatives(NamedTuple):
    c: Array  # (B, H) of h' by c'
    f: Array  # (B, H) of c' by c
    a: Array  # (B, GH) of c' by a_i, a_f and a_g, of h' by a_o


def clamp_cell(state: LSTMState, o: Array, units: Units, values: Array) -> LSTMState:
    """Return the state with the cell of some units set to values, (U,), where h = o * tanh(c)."""
    h, c = state.h.copy(), state.c.copy()
    c[:, units] = values
    h[:, units] = o[:, units] * np.tanh(values)
    return LSTMState(h, c)


class LSTM(FusableCell[LSTMState, LSTMTrace, LSTMDerivatives]):
    GATES = ("i", "f", "o", "g")
    FORGET_GATE = "f"
    SIGNALS = LSTM_SIGNALS
    MEMORY = "c"
    State = LSTMState

    def activate(self, weights: Weights, a: Array, state: LSTMState) -> tuple[LSTMState, LSTMTrace]:
        h_prev, c_prev = state
        hidden = c_prev.shape[-1]
        activate_inplace(a, gates=3 * hidden)  # sigma for i, f and o, tanh for g
        i, f, o, g = a[:, :hidden], a[:, hidden : 2 * hidden], a[:, 2 * hidden : 3 * hidden], a[:, 3 * hidden :]
        c = f * c_prev
        c += i * g
        tanh_c = np.tanh(c)
        return LSTMState(h=o * tanh_c, c=c), LSTMTrace(h_prev, c_prev, i, f, o, g, tanh_c)

    def clamp_units(self, state: LSTMState, trace: LSTMTrace, units: Units, values: Array) -> LSTMState:
        return clamp_cell(state, trace.o, units, values)

    def local_derivatives(self, trace: LSTMTrace) -> LSTMDerivatives:
        _, c_prev, i, f, o, g, tanh_c = trace
        a = (g * i * (1 - i), c_prev * f * (1 - f), tanh_c * o * (1 - o), i * (1 - g**2))
        return LSTMDerivatives(c=o * (1 - tanh_c**2), f=f, a=np.concatenate(a, axis=-1))

    def step_backward(self, weights: Weights, derivatives: LSTMDerivatives, d_after: LSTMState) -> StepGrads[LSTMState]:
        d_c = d_after.c + d_after.h * derivatives.c
        d_a = np.concatenate((d_c, d_c, d_after.h, d_c), axis=-1)  # (B, 4H)
        d_a *= derivatives.a
        return d_a, d_a, LSTMState(h=d_a @ weights["w_h"], c=d_c * derivatives.f)
