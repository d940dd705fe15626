"""The LSTM cell with peepholes.

Gers and Schmidhuber (2000): each gate also reads the cell of its own unit. Gates can then count and time events that
the output gate hides from them:

    i = sigma(a_i + p_i * c)     input gate: how much of the candidate is written
    f = sigma(a_f + p_f * c)     forget gate: how much of the old cell is kept
    g = tanh(a_g)                candidate
    c' = f * c + i * g           the cell state
    o = sigma(a_o + p_o * c')    output gate, which reads the new cell: how much of it is shown
    h' = o * tanh(c')            the hidden state

where a = W_x x + b + W_h h, and the vectors p_i, p_f, p_o are the peepholes.
"""

from __future__ import annotations

import numpy as np

from charlm.cells.base import Array, Factors, StepGrads, Weights, sigmoid
from charlm.cells.lstm import LSTM, LSTMDerivatives, LSTMState, LSTMTrace


class Peephole(LSTM):
    """The LSTM's derivatives are the same; `step_backward` adds the paths through the peepholes."""

    def shapes(self, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
        return {**super().shapes(inputs, hidden), "p_i": (hidden,), "p_f": (hidden,), "p_o": (hidden,)}

    def activate(self, weights: Weights, a: Array, state: LSTMState) -> tuple[LSTMState, LSTMTrace]:
        h, c_prev = state
        hidden = c_prev.shape[-1]
        a_i, a_f, a_o, a_g = (a[:, block : block + hidden] for block in range(0, 4 * hidden, hidden))
        i = sigmoid(a_i + weights["p_i"] * c_prev)
        f = sigmoid(a_f + weights["p_f"] * c_prev)
        g = np.tanh(a_g)
        c = f * c_prev + i * g
        o = sigmoid(a_o + weights["p_o"] * c)
        tanh_c = np.tanh(c)
        return LSTMState(h=o * tanh_c, c=c), LSTMTrace(h, c_prev, i, f, o, g, tanh_c)

    def step_backward(self, weights: Weights, derivatives: LSTMDerivatives, d_after: LSTMState) -> StepGrads[LSTMState]:
        hidden = d_after.h.shape[-1]
        h_by_a_o = derivatives.a[:, 2 * hidden : 3 * hidden]
        d_c = d_after.c + d_after.h * (derivatives.c + h_by_a_o * weights["p_o"])
        d_a = np.concatenate((d_c, d_c, d_after.h, d_c), axis=-1)  # (B, 4H)
        d_a *= derivatives.a
        d_a_i, d_a_f = d_a[:, :hidden], d_a[:, hidden : 2 * hidden]
        d_c_prev = d_c * derivatives.f + d_a_i * weights["p_i"] + d_a_f * weights["p_f"]
        return d_a, d_a, LSTMState(h=d_a @ weights["w_h"], c=d_c_prev)

    def weight_grads(self, trace: LSTMTrace, d_recurrent: Array) -> dict[str, Factors | Array]:
        d_a_i, d_a_f, d_a_o, _ = np.split(d_recurrent, 4, axis=-1)
        c = trace.f * trace.c_prev + trace.i * trace.g
        peepholes = {"p_i": d_a_i * trace.c_prev, "p_f": d_a_f * trace.c_prev, "p_o": d_a_o * c}
        return {"w_h": (d_recurrent, trace.h_prev), **{name: d_p.sum(axis=0) for name, d_p in peepholes.items()}}
