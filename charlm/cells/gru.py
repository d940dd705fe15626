"""The GRU cell.

Cho et al. (2014), in the form that cuDNN and torch compute (Chung et al. 2014). The reset gate acts after the recurrent
product, so that one product serves all three blocks:

    r = sigma(a_r + u_r)              reset gate: how much of the past the candidate sees
    z = sigma(a_z + u_z)              update gate: how much of the past is kept
    n = tanh(a_n + r * (u_n + b_h))   candidate
    h' = (1 - z) * n + z * h          the hidden state, which is the whole state

where a = W_x x + b and u = W_h h. The recurrent part of the candidate has its own bias, because the reset gate scales
it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.cells.base import Array, Cell, Factors, Signal, StepGrads, Units, Weights, gate, sigmoid
from charlm.cells.rnn import HiddenState, clamp_hidden


class GRUTrace(NamedTuple):
    h_prev: Array  # (B, H), as the others
    r: Array
    z: Array
    n: Array
    u_n: Array  # W_hn h + b_h, before the reset gate


class GRUDerivatives(NamedTuple):
    a: Array  # (B, 3H) of h' by a_r, a_z and a_n
    u: Array  # (B, 3H) of h' by u_r, u_z and u_n + b_h
    z: Array  # (B, H) of h' by h, without the path through the gates


class GRU(Cell[HiddenState, GRUTrace, GRUDerivatives]):
    """The GRU. The reset gate keeps W_x x and W_h h apart, which excludes `FusableCell`."""

    GATES = ("r", "z", "n")
    FORGET_GATE = None
    SIGNALS = {
        "r": gate("reset gate: how much of the past the candidate sees"),
        "z": gate("update gate: how much of the past is kept"),
        "n": Signal("candidate: what may be written", -1.0, 1.0),
        "h": Signal("hidden state: what is kept and shown", -1.0, 1.0),
    }
    MEMORY = "h"
    State = HiddenState

    def shapes(self, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
        return {**super().shapes(inputs, hidden), "b_h": (hidden,)}

    def step(self, weights: Weights, input_proj: Array, state: HiddenState) -> tuple[HiddenState, GRUTrace]:
        h_prev = state.h
        hidden = h_prev.shape[-1]
        u = h_prev.dot(weights["w_h"].T)  # (B, 3H)
        gates = sigmoid(input_proj[:, : 2 * hidden] + u[:, : 2 * hidden])  # (B, 2H)
        r, z = gates[:, :hidden], gates[:, hidden:]
        u_n = u[:, 2 * hidden :] + weights["b_h"]
        n = np.tanh(input_proj[:, 2 * hidden :] + r * u_n)
        h = n + z * (h_prev - n)  # (1 - z) * n + z * h
        return HiddenState(h), GRUTrace(h_prev, r, z, n, u_n)

    def clamp_units(self, state: HiddenState, trace: GRUTrace, units: Units, values: Array) -> HiddenState:
        return clamp_hidden(state, units, values)

    def local_derivatives(self, trace: GRUTrace) -> GRUDerivatives:
        h_prev, r, z, n, u_n = trace
        a_n = (1 - z) * (1 - n**2)
        gates = (a_n * u_n * r * (1 - r), (h_prev - n) * z * (1 - z))
        return GRUDerivatives(np.concatenate((*gates, a_n), axis=-1), np.concatenate((*gates, a_n * r), axis=-1), z)

    def step_backward(
        self, weights: Weights, derivatives: GRUDerivatives, d_after: HiddenState
    ) -> StepGrads[HiddenState]:
        d_h = np.concatenate((d_after.h, d_after.h, d_after.h), axis=-1)  # (B, 3H)
        d_u = d_h * derivatives.u
        return d_h * derivatives.a, d_u, HiddenState(d_u @ weights["w_h"] + d_after.h * derivatives.z)

    def weight_grads(self, trace: GRUTrace, d_recurrent: Array) -> dict[str, Factors | Array]:
        hidden = trace.h_prev.shape[-1]
        return {"w_h": (d_recurrent, trace.h_prev), "b_h": d_recurrent[:, -hidden:].sum(axis=0)}
