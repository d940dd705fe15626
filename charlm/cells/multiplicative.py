"""The multiplicative LSTM cell.

Krause, Lu, Murray and Renals (2016). Each character first scales the recurrent input element by element, as if it had a
recurrent matrix of its own:

    m = (W_mx x + b_m) * (W_m h)    the recurrent input as this character sees it
    i = sigma(a_i)                  input gate: how much of the candidate is written
    f = sigma(a_f)                  forget gate: how much of the old cell is kept
    o = sigma(a_o)                  output gate: how much of the cell is shown
    g = tanh(a_g)                   candidate
    c' = f * c + i * g              the cell state
    h' = o * tanh(c')               the hidden state

where a = W_x x + b + W_h m. W_mx and b_m are the last block of rows of W_x and b. The paper has no b_m; with it a
character can also leave the recurrent input as it is. xLSTM's cell with a matrix memory, mLSTM, is a different one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.cells.base import UNBOUNDED, Array, Cell, Factors, Signal, StepGrads, Units, Weights
from charlm.cells.lstm import LSTM, LSTM_SIGNALS, LSTMDerivatives, LSTMState, LSTMTrace, clamp_cell

_LSTM = LSTM()


class MultiplicativeTrace(NamedTuple):
    h_prev: Array  # (B, H), as the others
    c_prev: Array
    i: Array
    f: Array
    o: Array
    g: Array
    tanh_c: Array
    m: Array
    scale: Array  # W_mx x + b_m
    w_m_h: Array  # W_m h


class MultiplicativeDerivatives(NamedTuple):
    c: Array  # (B, H) of h' by c'
    f: Array  # (B, H) of c' by c
    a: Array  # (B, 4H) of c' by a_i, a_f and a_g, of h' by a_o
    scale: Array  # (B, H) of m by W_m h
    w_m_h: Array  # (B, H) of m by W_mx x + b_m


class Multiplicative(Cell[LSTMState, MultiplicativeTrace, MultiplicativeDerivatives]):
    GATES = ("i", "f", "o", "g", "m")  # W_h has the first four
    FORGET_GATE = "f"
    SIGNALS = {
        **{name: LSTM_SIGNALS[name] for name in "ifog"},
        "m": Signal("recurrent input as the character sees it", -UNBOUNDED, UNBOUNDED),
        "c": LSTM_SIGNALS["c"],
        "h": LSTM_SIGNALS["h"],
    }
    MEMORY = "c"
    State = LSTMState

    def shapes(self, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
        matrices = {"w_x": (5 * hidden, inputs), "w_h": (4 * hidden, hidden), "w_m": (hidden, hidden)}
        return {**matrices, "b": (5 * hidden,)}

    def step(self, weights: Weights, input_proj: Array, state: LSTMState) -> tuple[LSTMState, MultiplicativeTrace]:
        gates = 4 * state.h.shape[-1]
        scale = input_proj[:, gates:]
        w_m_h = state.h.dot(weights["w_m"].T)
        m = scale * w_m_h
        a = m.dot(weights["w_h"].T)  # (B, 4H)
        a += input_proj[:, :gates]
        after, trace = _LSTM.activate(weights, a, state)
        return after, MultiplicativeTrace(*trace, m, scale, w_m_h)

    def clamp_units(self, state: LSTMState, trace: MultiplicativeTrace, units: Units, values: Array) -> LSTMState:
        return clamp_cell(state, trace.o, units, values)

    def local_derivatives(self, trace: MultiplicativeTrace) -> MultiplicativeDerivatives:
        return MultiplicativeDerivatives(*_LSTM.local_derivatives(LSTMTrace(*trace[:7])), trace.scale, trace.w_m_h)

    def step_backward(
        self, weights: Weights, derivatives: MultiplicativeDerivatives, d_after: LSTMState
    ) -> StepGrads[LSTMState]:
        d_a, _, (d_m, d_c_prev) = _LSTM.step_backward(weights, LSTMDerivatives(*derivatives[:3]), d_after)
        d_w_m_h = d_m * derivatives.scale
        d_input_proj = np.concatenate((d_a, d_m * derivatives.w_m_h), axis=-1)  # (B, 5H)
        d_recurrent = np.concatenate((d_a, d_w_m_h), axis=-1)  # (B, 5H), of W_h m and W_m h
        return d_input_proj, d_recurrent, LSTMState(h=d_w_m_h @ weights["w_m"], c=d_c_prev)

    def weight_grads(self, trace: MultiplicativeTrace, d_recurrent: Array) -> dict[str, Factors | Array]:
        gates = 4 * trace.m.shape[-1]
        return {"w_h": (d_recurrent[:, :gates], trace.m), "w_m": (d_recurrent[:, gates:], trace.h_prev)}
