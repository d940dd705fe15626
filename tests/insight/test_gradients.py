"""Gradients with respect to states equal finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.config import ModelConfig
from charlm.inference.sampling import log_softmax
from charlm.inference.state import State
from charlm.insight.gradients import cut_windows, initial_model, measure, state_gradients
from charlm.model.lm import CharLM
from charlm.tensor_shapes import tensor_shapes
from charlm.text.vocabulary import Vocabulary

SHAPES: list[dict[str, Any]] = [{}, {"norm": False}, {"residual": False, "tied": True}]
STEPS, BATCH, HIDDEN, LAYERS = 6, 2, 5, 2


def surprisal(config: ModelConfig, weights: Any, ids: Any, target: Any, layers: tuple[Any, ...]) -> float:
    """Return the summed surprisal at the end, by torch, from a state."""
    import torch

    model = CharLM(config).double()
    model.load_state_dict({name: torch.tensor(tensor) for name, tensor in weights.items()})
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(ids), tuple(tuple(map(torch.tensor, layer)) for layer in layers))
    return -float(log_softmax(logits[-1].numpy())[np.arange(BATCH), target].sum())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_state_gradients_equal_finite_differences(cell: str, shape: dict[str, Any]) -> None:
    config = ModelConfig(7, cell, HIDDEN, HIDDEN, LAYERS, **shape)
    rng = np.random.default_rng(1)
    weights = {
        name: rng.normal(name.endswith("norm_scale"), 0.4, tensor) for name, tensor in tensor_shapes(config).items()
    }
    ids, target = rng.integers(0, 7, (STEPS, BATCH)), rng.integers(0, 7, BATCH)
    module = CELLS[cell]
    # After one id, every part of the state is one that reading leads to.
    zero = module.State(*np.zeros((len(module.state_fields), BATCH, HIDDEN)))
    found = state_gradients(config, weights, ids, target, State((zero, zero)))

    def first(layer: int | None = None, part: str = "h", move: Any = 0.0) -> tuple[Any, ...]:
        """Return the states after the first id, with one part of one layer moved, and the layers above to match."""
        layers, x = [], weights["embedding"][ids[0]]
        for number in range(LAYERS):
            recurrent = {name: weights[f"layers.{number}.{name}"] for name in module.shapes(1, 1)}
            below = x @ weights[f"layers.{number}.w_x"].T + weights[f"layers.{number}.b"]
            state, _ = module.step(recurrent, below, zero)
            if number == layer:
                state = state._replace(**{part: getattr(state, part) + move})
            layers.append(state)
            out = state.h
            if config.norm:
                out = (out - out.mean(-1, keepdims=True)) / np.sqrt(out.var(-1, keepdims=True) + 1e-5)
                out = out * weights[f"layers.{number}.norm_scale"] + weights[f"layers.{number}.norm_shift"]
            x = x + out if config.has_residual(number) else out
        return tuple(layers)

    for layer in range(LAYERS):
        for part in module.state_fields:
            direction = rng.normal(size=(BATCH, HIDDEN))
            sides = [
                surprisal(config, weights, ids[1:], target, first(layer, part, sign * 1e-6 * direction))
                for sign in (1, -1)
            ]
            expected = (sides[0] - sides[1]) / 2e-6
            assert (found[part][layer, 0] * direction).sum() == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_gradient_reach_open_forget_gate_beats_plain_cell() -> None:
    vocabulary = Vocabulary("ab", has_bytes=False)
    windows = np.random.default_rng(0).integers(0, 2, (120, 6))
    kept = initial_model(ModelConfig(2, "lstm", 12, 12, 1), vocabulary, seed=1)
    kept.tensors["layers.0.b"][12:24] = 6.0  # sigma(6) to the hundredth power is .78
    kept.tensors["layers.0.w_h"][:] *= 0.1
    plain = initial_model(ModelConfig(2, "rnn", 12, 12, 1), vocabulary, seed=1)
    plain.tensors["layers.0.w_h"][:] *= 0.8
    one, other = (measure(model, windows, 100, "x") for model in (kept, plain))
    assert one.norms["c"].shape == (1, 100)
    assert one.ratio(100) > 0.3
    assert one.distance == 100
    assert other.ratio(100) < 0.8**100
    assert other.distance < 30


def test_windows_cover_the_text_evenly() -> None:
    ids = np.arange(100)
    windows = cut_windows(ids, 10, 7)
    assert windows.shape == (10, 7)
    assert windows[0, 0] == 0
    assert windows[-1, -1] == 99
    assert (np.diff(windows, axis=0) == 1).all()
