"""Reach of gradients: the gradient of a character's surprisal with respect to the states k characters before.

Both paths count, through time and through the layers above. Where the norm vanishes with k, the model cannot learn from
k characters back (Hochreiter 1991; Bengio, Simard and Frasconi 1994). Where it grows, training is unstable. Distances
begin at 1: at the character itself c is only visible through h. Only `initial_model` needs torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.cells import CELLS
from charlm.checkpoint import Checkpoint
from charlm.config import ModelConfig
from charlm.inference import tape
from charlm.inference.engine import Engine
from charlm.inference.state import Ids, State
from charlm.text.vocabulary import Vocabulary
from charlm.training import require_torch

MIN_SHARE = 0.01  # of the gradient one step back; below it a gradient counts as vanished


@dataclass(frozen=True)
class GradientReach:
    """Norms of gradients by distance."""

    name: str  # of the model
    cell: str  # key of `charlm.cells.CELLS`
    norms: dict[str, NDArray[np.float64]]  # part of the state, "h", "c" ... -> (L, K), mean over the windows, k from 1
    medians: dict[str, NDArray[np.float64]]  # the same with the median

    @property
    def main(self) -> str:
        """The part of the state that carries the memory: c if there is one, else h."""
        return "c" if "c" in self.norms else "h"

    def over_layers(self, part: str) -> NDArray[np.float64]:
        """Return the norm over all layers, (K,)."""
        return np.asarray(np.sqrt((self.norms[part] ** 2).sum(axis=0)))

    def ratio(self, k: int) -> float:
        """Return the norm k steps back as a share of that one step back."""
        norms = self.over_layers(self.main)
        return float(norms[k - 1] / norms[0]) if norms[0] > 0 else math.nan

    @property
    def distance(self) -> int:
        """The last k with at least `MIN_SHARE` of the gradient."""
        norms = self.over_layers(self.main)
        return 1 + int(np.flatnonzero(norms >= MIN_SHARE * norms[0]).max(initial=0))


def measure(model: Checkpoint, windows: Ids, steps: int, name: str) -> GradientReach:
    """Measure how far a model's gradients reach, up to K steps back from the last id of each window, (T, B).

    The backward pass covers the K + 1 ids before the last; those before them are read first, for a realistic state.
    """
    assert len(windows) >= steps + 2
    engine = Engine(model)
    lead, rest, target = windows[: -steps - 2], windows[-steps - 2 : -1], windows[-1]
    state, _ = engine.forward(engine.start(windows.shape[1]), lead)
    # Double precision: after 200 steps of a plain cell float32 has no digits left.
    weights = {key: tensor.astype(np.float64) for key, tensor in model.tensors.items()}
    start = state.map(lambda part: part.astype(np.float64))
    gradients = state_gradients(model.config, weights, rest, target, start)
    lengths = {part: np.linalg.norm(values, axis=-1)[:, -2::-1] for part, values in gradients.items()}  # (L, K, B)
    means = {part: each.mean(axis=-1) for part, each in lengths.items()}
    medians = {part: np.median(each, axis=-1) for part, each in lengths.items()}
    return GradientReach(name, model.config.cell, means, medians)


def state_gradients(
    config: ModelConfig, weights: tape.Weights, ids: Ids, target: Ids, state: State
) -> dict[str, NDArray[np.float64]]:
    """Return the gradient of the surprisal of a target, (B,), with respect to every state before it.

    The S ids before the target are (S, B); the state is that before them. The result has (L, S, B, H) for each part of
    the state. The gradient of h includes what the layer above reads of it at the same step.
    """
    recorded = tape.forward(config, weights, ids, state)
    d_logits = np.zeros_like(recorded.logits)
    d_logits[-len(target) :] = tape.d_cross_entropy(recorded.logits[-len(target) :], target)
    layers = tape.state_gradients(recorded, d_logits)
    arrays = [np.stack([np.stack(parts) for parts in zip(*steps, strict=True)]) for steps in layers]  # (parts, S, B, H)
    return dict(zip(CELLS[config.cell].state_fields, np.stack(arrays, axis=1), strict=True))


def initial_model(config: ModelConfig, vocabulary: Vocabulary, seed: int, gain: float = 1.0) -> Checkpoint:
    """Return a model before training, with a random output layer: training's is zero, which stops every gradient.

    The gain is a factor of the recurrent matrices, which are orthogonal.
    """
    require_torch()
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
        drawn = np.random.default_rng(seed).normal(0, 1 / math.sqrt(config.hidden), tensors["output.w"].shape)
        tensors["output.w"] = drawn.astype(np.float32)
    return Checkpoint(config, vocabulary, tensors)


def cut_windows(ids: Ids, length: int, count: int) -> Ids:
    """Return `count` windows of `length` ids, (T, B), evenly spaced; windows of a short text overlap."""
    starts = np.linspace(0, len(ids) - length, count).astype(np.int64)
    return np.stack([ids[start : start + length] for start in starts], axis=1)
