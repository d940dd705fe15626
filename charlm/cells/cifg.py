"""The LSTM cell with coupled input and forget gate.

Greff, Srivastava, Koutnik, Steunebrink and Schmidhuber (2017), one of the variants that they measured. As much is
written as is forgotten, and a quarter of the weights is saved:

    f = sigma(a_f)              forget gate: how much of the old cell is kept
    o = sigma(a_o)              output gate: how much of the cell is shown
    g = tanh(a_g)               candidate
    c' = f * c + (1 - f) * g    the cell state, always between -1 and 1
    h' = o * tanh(c')           the hidden state

where a = W_x x + b + W_h h.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.cells.base import Array, FusableCell, Signal, StepGrads, Units, Weights, activate_inplace, gate
from charlm.cells.lstm import LSTM_SIGNALS, LSTMDerivatives, LSTMState, clamp_cell


class CIFGTrace(NamedTuple):
    h_prev: Array  # (B, H), as the others
    c_prev: Array
    f: Array
    o: Array
    g: Array
    tanh_c: Array


class CIFG(FusableCell[LSTMState, CIFGTrace, LSTMDerivatives]):
    GATES = ("f", "o", "g")
    FORGET_GATE = "f"
    SIGNALS = {
        "f": gate("forget gate: how much of the old cell is kept; the candidate takes the rest"),
        "o": LSTM_SIGNALS["o"],
        "g": LSTM_SIGNALS["g"],
        "c": Signal("cell state: what is kept", -1.0, 1.0),
        "h": LSTM_SIGNALS["h"],
    }
    MEMORY = "c"
    State = LSTMState

    def activate(self, weights: Weights, a: Array, state: LSTMState) -> tuple[LSTMState, CIFGTrace]:
        h, c_prev = state
        hidden = c_prev.shape[-1]
        activate_inplace(a, gates=2 * hidden)  # sigma for f and o, tanh for g
        f, o, g = a[:, :hidden], a[:, hidden : 2 * hidden], a[:, 2 * hidden :]
        c = g + f * (c_prev - g)  # f * c + (1 - f) * g
        tanh_c = np.tanh(c)
        return LSTMState(h=o * tanh_c, c=c), CIFGTrace(h, c_prev, f, o, g, tanh_c)

    def clamp_units(self, state: LSTMState, trace: CIFGTrace, units: Units, values: Array) -> LSTMState:
        return clamp_cell(state, trace.o, units, values)

    def local_derivatives(self, trace: CIFGTrace) -> LSTMDerivatives:
        _, c_prev, f, o, g, tanh_c = trace
        a = ((c_prev - g) * f * (1 - f), tanh_c * o * (1 - o), (1 - f) * (1 - g**2))
        return LSTMDerivatives(c=o * (1 - tanh_c**2), f=f, a=np.concatenate(a, axis=-1))

    def step_backward(self, weights: Weights, derivatives: LSTMDerivatives, d_after: LSTMState) -> StepGrads[LSTMState]:
        d_c = d_after.c + d_after.h * derivatives.c
        d_a = np.concatenate((d_c, d_after.h, d_c), axis=-1)  # (B, 3H)
        d_a *= derivatives.a
        return d_a, d_a, LSTMState(h=d_a @ weights["w_h"], c=d_c * derivatives.f)
