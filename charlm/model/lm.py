"""The character language model in torch, for training.

Parameters have the names and shapes of the model file (`charlm.tensor_shapes`); saving is copying.

    Ids (T, B) -> embedding -> [dropout -> cell -> norm -> + input] x L -> dropout -> output -> logits (T, B, V)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.cells import CELLS
from charlm.config import ModelConfig
from charlm.model import kernels
from charlm.model.custom_cells import LayerState
from charlm.settings import Config, Setting

ModelState = tuple[LayerState, ...]

NORM_EPSILON = 1e-5
FORGET_BIAS = 1.0  # Gers et al. (2000), Jozefowicz et al. (2015): start by keeping the cell
# The output layer starts at zero, so that the first steps depend on its bias alone. Measured (docs/experiments.md): no
# other choice made here is worth as much.
EMBEDDING_STD, TIED_STD = 0.5, 0.05
ONE_HOT_MULTIPLE = 32  # widths of one-hot vectors are rounded up to it, because torch makes a kernel for each width
MAX_ONE_HOT_SHARE = 0.5  # of the embedding's width; wider one-hot vectors save nothing

_Rate = Annotated[float, Setting("dropout rate", 0, 1, open=(1,))]


@dataclass(frozen=True)
class Dropout(Config):
    """Dropout rates in training.

    The first three are locked (variational) dropout, one mask per lane and chunk (Gal and Ghahramani 2016). The last
    is DropConnect on the recurrent matrices (Merity et al. 2018).
    """

    input: _Rate = 0.0  # after the embedding
    hidden: _Rate = 0.0  # between layers
    output: _Rate = 0.0  # before the output layer
    weight: _Rate = 0.0  # of every recurrent weight


class Layer(nn.Module):
    """A cell with its norm and residual connection."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self._cell = kernels.CELLS[config.cell]
        self._shapes = CELLS[config.cell].shapes(config.inputs(layer), config.hidden)
        self._residual = config.has_residual(layer)
        for name, shape in self._shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
        self.norm_scale = nn.Parameter(torch.ones(config.hidden)) if config.norm else None
        self.norm_shift = nn.Parameter(torch.zeros(config.hidden)) if config.norm else None
        self._initialise(config)

    def _initialise(self, config: ModelConfig) -> None:
        cell = CELLS[config.cell]
        for name, parameter in self.named_parameters():
            for block in parameter.data.chunk(len(parameter) // config.hidden) if parameter.dim() == 2 else ():
                (nn.init.xavier_uniform_ if name == "w_x" else nn.init.orthogonal_)(block)
        if cell.FORGET_GATE:
            biases = self.get_parameter("b").data.chunk(len(cell.GATES))
            biases[cell.GATES.index(cell.FORGET_GATE)].fill_(FORGET_BIAS)

    def forward(
        self,
        x: Tensor,
        state: LayerState,
        weight_drop: float,
        one_hot: tuple[Tensor, Tensor] | None = None,
        hidden: list[Tensor] | None = None,
    ) -> tuple[Tensor, LayerState]:
        """Run a chunk: input, (T, B, I), and the state before it, to output, (T, B, H), and the state after it.

        `hidden` gets h after each step, (T, B, H). With `one_hot` the cell reads one-hot vectors, (T, B, U), by a
        matrix for them, (GH, U), instead of x.
        """
        weights: dict[str, Tensor] = {name: self.get_parameter(name) for name in self._shapes}
        if weight_drop:
            for name, weight in weights.items():
                if weight.dim() == 2 and name != "w_x":
                    weights[name] = F.dropout(weight, weight_drop)
        source, weights["w_x"] = (x, weights["w_x"]) if one_hot is None else one_hot
        h, after = self._cell(source, state, weights)
        if hidden is not None:
            hidden.append(h)
        if self.norm_scale is not None:
            h = F.layer_norm(h.to(x.dtype), self.norm_scale.shape, self.norm_scale, self.norm_shift, NORM_EPSILON)
        return x + h if self._residual else h, after


class Output(nn.Module):
    """The output layer; with tied weights it has only a bias."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w = None if config.tied else nn.Parameter(torch.zeros(config.vocabulary, config.hidden))
        self.b = nn.Parameter(torch.zeros(config.vocabulary))


class CharLM(nn.Module):
    """A stateful character language model.

    The first layer reads one-hot vectors up to `max_one_hot_share` of the embedding's width.
    """

    def __init__(
        self, config: ModelConfig, dropout: Dropout | None = None, max_one_hot_share: float = MAX_ONE_HOT_SHARE
    ) -> None:
        super().__init__()
        self.config = config
        self.dropout = dropout or Dropout()
        self._max_one_hot = max_one_hot_share * config.embedding
        self.embedding = nn.Parameter(torch.empty(config.vocabulary, config.embedding))
        nn.init.normal_(self.embedding, std=TIED_STD if config.tied else EMBEDDING_STD)
        self.layers = nn.ModuleList(Layer(config, layer) for layer in range(config.layers))
        self.output = Output(config)

    def start(self, lanes: int) -> ModelState:
        """Return the state before any input, for B lanes."""
        parts = len(CELLS[self.config.cell].state_fields)
        zero = self.embedding.new_zeros(lanes, self.config.hidden)
        return tuple((zero,) * parts for _ in range(self.config.layers))

    def forward(self, ids: Tensor, state: ModelState, hidden: list[Tensor] | None = None) -> tuple[Tensor, ModelState]:
        """Read ids, (T, B); return the logits after each, (T, B, V), and the state after the last, not detached.

        `hidden` gets h of each layer, (T, B, H).
        """
        dropout = self.dropout if self.training else Dropout()
        x = _locked_dropout(F.embedding(ids, self.embedding).to(self._precision()), dropout.input)
        one_hot = None if dropout.input else self._one_hot(ids, x.dtype)
        after = []
        for number, layer in enumerate(self.layers):
            if number:
                x = _locked_dropout(x, dropout.hidden)
            x, last = layer(x, state[number], dropout.weight, None if number else one_hot, hidden)
            after.append(last)
        x = _locked_dropout(x, dropout.output)
        w = self.embedding if self.output.w is None else self.output.w
        return F.linear(x, w, self.output.b), tuple(after)

    def _precision(self) -> torch.dtype:
        """Return the precision between the products: on a CPU that of the products, which halves the memory traffic."""
        is_rounded = self.embedding.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        return torch.get_autocast_dtype("cpu") if is_rounded else self.embedding.dtype

    def _one_hot(self, ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
        """Return the first layer's input as one-hot vectors and the matrix for them, or None if that saves nothing.

        W_x e is a column of W_x E^T, which needs a column for each different id of the chunk. A text has few different
        characters: the product is much narrower than with an embedding, and the layer takes a third less time.
        """
        if ids.device.type != "cpu":  # on a GPU the number of kernels counts
            return None
        used, place = torch.unique(ids, return_inverse=True)
        used = F.pad(used, (0, -len(used) % ONE_HOT_MULTIPLE))
        if len(used) > self._max_one_hot:
            return None
        one_hot = torch.zeros(*ids.shape, len(used), dtype=dtype).scatter_(2, place.unsqueeze(2), 1)
        return one_hot, F.linear(self.layers[0].get_parameter("w_x"), self.embedding[used])

    @torch.no_grad()
    def init_output_bias(self, counts: NDArray[np.int64]) -> None:
        """Set the output bias to the log frequencies of the ids, from their counts, (V,)."""
        frequencies = (counts + 0.1) / (counts.sum() + 0.1 * len(counts))
        self.output.b.copy_(torch.from_numpy(np.log(frequencies)))


def detach(state: ModelState) -> ModelState:
    """Return the same values without history: backpropagation through time ends here."""
    return tuple(tuple(part.detach() for part in layer) for layer in state)


def _locked_dropout(x: Tensor, rate: float) -> Tensor:
    """Drop the same units at every step of a chunk, by one mask of (1, B, D)."""
    if not rate:
        return x
    mask = torch.empty((1, *x.shape[1:]), device=x.device, dtype=x.dtype).bernoulli_(1 - rate)
    return x * mask.div_(1 - rate)


def load_tensors(model: CharLM, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Copy the tensors of a model file into a model of the same shape."""
    model.load_state_dict({name: torch.from_numpy(tensor.copy()) for name, tensor in tensors.items()})


def to_tensors(state_dict: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of a model file from a model's `state_dict`."""
    return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in state_dict.items()}
