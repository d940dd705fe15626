"""The plain recurrent cell.

Elman (1990):

    h' = tanh(a)    the hidden state, wholly rewritten at every step

where a = W_x x + b + W_h h. Each step multiplies the gradient by W_h and the slope of tanh. It therefore shrinks or
grows geometrically with distance (Bengio, Simard and Frasconi 1994), which is why the other cells exist.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.cells.base import Array, FusableCell, Signal, StepGrads, Units, Weights


class HiddenState(NamedTuple):
    """State of a layer that has only h; never changed in place."""

    h: Array  # (B, H)


class RNNTrace(NamedTuple):
    h_prev: Array  # (B, H), as the others
    h: Array


class RNNDerivatives(NamedTuple):
    a: Array  # (B, H) of h' by a


class RNN(FusableCell[HiddenState, RNNTrace, RNNDerivatives]):
    GATES = ("h",)  # the only block of rows
    FORGET_GATE = None
    SIGNALS = {"h": Signal("hidden state: what is kept and shown", -1.0, 1.0)}
    MEMORY = "h"
    State = HiddenState

    def activate(self, weights: Weights, a: Array, state: HiddenState) -> tuple[HiddenState, RNNTrace]:
        h = np.tanh(a)
        return HiddenState(h), RNNTrace(state.h, h)

    def clamp_units(self, state: HiddenState, trace: RNNTrace, units: Units, values: Array) -> HiddenState:
        return clamp_hidden(state, units, values)

    def local_derivatives(self, trace: RNNTrace) -> RNNDerivatives:
        return RNNDerivatives(a=1 - trace.h**2)

    def step_backward(
        self, weights: Weights, derivatives: RNNDerivatives, d_after: HiddenState
    ) -> StepGrads[HiddenState]:
        d_a = d_after.h * derivatives.a  # (B, H)
        return d_a, d_a, HiddenState(d_a @ weights["w_h"])


def clamp_hidden(state: HiddenState, units: Units, values: Array) -> HiddenState:
    """Return the state with some units set to values, (U,)."""
    h = state.h.copy()
    h[:, units] = values
    return HiddenState(h)
