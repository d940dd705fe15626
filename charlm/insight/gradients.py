"""How far gradients reach: how the surprise at one character depends on the states before it.

For a character at time t, and for every layer, the gradient of its surprise with respect to what the layer remembered k
steps earlier: d loss_t / d h_(t-k), and the same for c and whatever else the cell's state has. Both roads count, that
through time and that through the layers above. Where the norm falls with k, what stands k characters back cannot be
learned from (Hochreiter 1991; Bengio, Simard and Frasconi 1994); where it grows, training is unstable. Distances begin
at 1: at the character itself c is only seen through h.

The way back is that of the cells themselves, in NumPy. Only a model that is made on the spot needs torch, for its
first weights are training's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.cells import CELLS
from charlm.cells.base import with_arrays
from charlm.checkpoint import Checkpoint
from charlm.config import ModelConfig
from charlm.inference import tape
from charlm.inference.engine import Engine
from charlm.inference.state import Ids, State
from charlm.inference.tape import Weights
from charlm.text.vocabulary import Vocabulary

REACH = 0.01  # of what a gradient is one step back, below which it no longer reaches


@dataclass(frozen=True)
class Reach:
    """How gradients fall or grow with distance.

    Attributes:
        name: the model's.
        cell: a key of `charlm.cells.CELLS`.
        norms: a part of the state, "h", "c" ... -> (L, K), the mean norm over the windows, for k from 1 to K.
        medians: the same with the median.
    """

    name: str
    cell: str
    norms: dict[str, NDArray[np.float64]]
    medians: dict[str, NDArray[np.float64]]

    @property
    def main(self) -> str:
        """The part that carries the memory: c where there is one, else h."""
        return "c" if "c" in self.norms else "h"

    def over_layers(self, part: str) -> NDArray[np.float64]:
        """The norm over all layers, (K,)."""
        return np.asarray(np.sqrt((self.norms[part] ** 2).sum(axis=0)))

    def ratio(self, k: int, part: str | None = None) -> float:
        """The norm k steps back, as a share of that one step back."""
        norms = self.over_layers(part or self.main)
        return float(norms[k - 1] / norms[0]) if norms[0] > 0 else math.nan

    @property
    def distance(self) -> int:
        """The last k at which at least `REACH` of the gradient is left."""
        norms = self.over_layers(self.main)
        return 1 + int(np.flatnonzero(norms >= REACH * norms[0]).max(initial=0))


def measure(model: Checkpoint, windows: Ids, steps: int, name: str) -> Reach:
    """Measure how far a model's gradients reach.

    Args:
        model: in any precision.
        windows: (T, B), B stretches of text; the last id of each is what is predicted, the K + 1 before it are what is
            gone back through, and those before them are read first, so that the state is a real one.
        steps: K.
        name: of the model, for the record.
    """
    assert len(windows) >= steps + 2
    engine = Engine(model)
    lead, rest, target = windows[: -steps - 2], windows[-steps - 2 : -1], windows[-1]
    state, _ = engine.forward(engine.start(windows.shape[1]), lead)
    # Double precision: 200 steps of a plain cell leave less than float32 can tell from nothing.
    weights = {key: tensor.astype(np.float64) for key, tensor in model.tensors.items()}
    start = State(tuple(with_arrays(layer, [part.astype(np.float64) for part in layer]) for layer in state.layers))
    gradients = state_gradients(model.config, weights, rest, target, start)
    lengths = {part: np.linalg.norm(values, axis=-1)[:, -2::-1] for part, values in gradients.items()}  # (L, K, B)
    means = {part: each.mean(axis=-1) for part, each in lengths.items()}
    return Reach(name, model.config.cell, means, {part: np.median(each, axis=-1) for part, each in lengths.items()})


def state_gradients(
    config: ModelConfig, weights: Weights, ids: Ids, target: Ids, state: State
) -> dict[str, NDArray[np.float64]]:
    """The gradient of the surprise at the end with respect to every state on the way.

    Args:
        config: the model's shape.
        weights: its tensors.
        ids: (S, B) what is read.
        target: (B,) what comes then, and whose surprise it is.
        state: of B streams, before.

    Returns:
        A part of the state -> (L, S, B, H): with respect to the state after each of the S ids. That of h counts what
        the layer above reads of it at the same step.
    """
    recorded = tape.forward(config, weights, ids, state)
    d_logits = np.zeros_like(recorded.logits)
    d_logits[-len(target) :] = tape.d_cross_entropy(recorded.logits[-len(target) :], target)
    found = tape.state_gradients(config, weights, recorded, d_logits)
    arrays = [np.stack([np.stack(parts) for parts in zip(*steps, strict=True)]) for steps in found]  # (parts, S, B, H)
    return dict(zip(CELLS[config.cell].state_fields, np.stack(arrays, axis=1), strict=True))


def fresh(config: ModelConfig, vocabulary: Vocabulary, seed: int, gain: float = 1.0) -> Checkpoint:
    """A model as training begins it, but with an output layer: training's begins at zero, where no gradient is.

    Args:
        config: its shape.
        vocabulary: its characters.
        seed: of its weights.
        gain: by which the recurrent matrices, orthogonal as training begins them, are multiplied.
    """
    import torch

    from charlm.model.lm import CharLM, to_tensors

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tensors = to_tensors(CharLM(config).state_dict())
    for layer in range(config.layers):
        for name, shape in CELLS[config.cell].shapes(config.inputs(layer), config.hidden).items():
            if len(shape) == 2 and name != "w_x":
                tensors[f"layers.{layer}.{name}"] *= np.float32(gain)
    if not config.tied:
        spread = 1 / math.sqrt(config.hidden)
        drawn = np.random.default_rng(seed).normal(0, spread, tensors["output.w"].shape)
        tensors["output.w"] = drawn.astype(np.float32)
    return Checkpoint(config, vocabulary, tensors)


def cut_windows(ids: Ids, length: int, count: int) -> Ids:
    """Stretches of a text, evenly spread over it, (T, B).

    Args:
        ids: (N,), at least `length`.
        length: T.
        count: B; they overlap if the text is short.
    """
    starts = np.linspace(0, len(ids) - length, count).astype(np.int64)
    windows: Ids = np.stack([ids[start : start + length] for start in starts], axis=1)
    return windows
