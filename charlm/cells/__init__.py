"""The recurrent cells: one file a cell, with its equations, one step forward and one step back.

Every cell module has the same names, so that whoever stacks, loads, trains or shows cells needs no special cases:

    GATES            the names of the blocks of H rows in W_x and b, in their order
    SIGNALS          what can be watched in it, by name: gates, candidate, state; each is in the trace or in the state
    MEMORY           the signal that is carried on and on
    ONE_PRODUCT      whether a step makes nothing of W_x x and W_h h but their sum, so that one product may give it
    State            a NamedTuple of (B, H) arrays, `h` first: what a layer remembers between two characters; all zero
                     is the state before anything was read
    Weights          a NamedTuple of what the recurrent part needs
    Trace            a NamedTuple of what a step leaves for the step back and for whoever wants to look
    shapes(I, H)     the names and shapes of a layer's tensors, as stored in a model file
    step             (weights, from_below, state) -> (state, trace); with ONE_PRODUCT also with [W_x W_h] for W_h,
                     b for what comes from below and [x, h] for h
    hold             (state, trace, units, values) -> state: the memory of some units held, after a step
    slopes_of        trace -> Slopes: what of a step back its trace alone decides; of many steps at once as well
    step_back        (weights, trace, d_after, slopes) -> (d_from_below, d_recurrent, d_before)
    d_weights        (traces, d_recurrent) -> the gradients of Weights, a matrix's as two factors
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final

from charlm.cells import cifg, gru, lstm, multiplicative, peephole, rnn, slstm

CELLS: Final[Mapping[str, ModuleType]] = MappingProxyType(
    {
        "lstm": lstm,
        "gru": gru,
        "rnn": rnn,
        "peephole": peephole,
        "cifg": cifg,
        "multiplicative": multiplicative,
        "slstm": slstm,
    }
)
