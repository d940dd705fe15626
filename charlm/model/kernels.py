"""The cells over a whole chunk: torch's fused kernels, or the loops of `custom_cells`.

Each function computes what the cell of the same name in `charlm.cells` computes step by step; tests compare the two.
Weights have the layout of the cell and are rearranged for the kernel here, which costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.model import custom_cells
from charlm.model.custom_cells import LayerState, Loop


def lstm(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through an LSTM layer, see `Loop`."""
    # The kernel wants the candidate's rows before the output gate's.
    w_x, w_h, b = (_swap_last_two_gates(weights[name].to(x.dtype)) for name in ("w_x", "w_h", "b"))
    h, c = (part.unsqueeze(0).to(x.dtype) for part in state)
    output, h, c = torch.lstm(x, (h, c), [w_x, w_h, b, torch.zeros_like(b)], True, 1, 0.0, True, False, False)
    return output, (h.squeeze(0), c.squeeze(0))


def gru(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through a GRU layer, see `Loop`."""
    b_h = F.pad(weights["b_h"], (2 * len(weights["b_h"]), 0))  # the gates have no such bias
    return _run(torch.gru, x, state, weights, b_h)


def rnn(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through a plain recurrent layer, see `Loop`."""
    return _run(torch.rnn_tanh, x, state, weights, torch.zeros_like(weights["b"]))


def _run(
    kernel: Callable[..., tuple[Tensor, Tensor]],
    x: Tensor,
    state: LayerState,
    weights: Mapping[str, Tensor],
    b_h: Tensor,
) -> tuple[Tensor, LayerState]:
    parts = [weights["w_x"], weights["w_h"], weights["b"], b_h]
    output, h = kernel(x, state[0].unsqueeze(0).to(x.dtype), parts, True, 1, 0.0, True, False, False)
    return output, (h.squeeze(0),)


def _swap_last_two_gates(rows: Tensor) -> Tensor:
    i, f, o, g = rows.chunk(4)
    return torch.cat((i, f, g, o))


CELLS: Final[Mapping[str, Loop]] = {"lstm": lstm, "gru": gru, "rnn": rnn, **custom_cells.CELLS}
