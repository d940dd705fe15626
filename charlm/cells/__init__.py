"""The recurrent cells, one file each. `base.Cell` is the contract that all of them fulfil."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias, cast

from charlm.cells.base import ArrayTuple, Cell, LayerState, Trace
from charlm.cells.cifg import CIFG
from charlm.cells.gru import GRU
from charlm.cells.lstm import LSTM
from charlm.cells.multiplicative import Multiplicative
from charlm.cells.peephole import Peephole
from charlm.cells.rnn import RNN
from charlm.cells.slstm import SLSTM

AnyCell: TypeAlias = Cell[LayerState, Trace, ArrayTuple]

_CELLS = {
    "lstm": LSTM(),
    "gru": GRU(),
    "rnn": RNN(),
    "peephole": Peephole(),
    "cifg": CIFG(),
    "multiplicative": Multiplicative(),
    "slstm": SLSTM(),
}
# The cast is safe because callers give a cell only states, traces and derivatives of the same cell.
CELLS: Final = MappingProxyType(cast(Mapping[str, AnyCell], _CELLS))
