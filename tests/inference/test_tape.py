"""The backward pass equals torch: the gradient of every weight, for every shape of model and length of segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional as F

from charlm.cells import CELLS
from charlm.config import ModelConfig
from charlm.inference import tape
from charlm.inference.state import Ids, State
from charlm.model.lm import CharLM
from charlm.tensor_shapes import tensor_shapes

Array = NDArray[np.floating[Any]]

every_cell = pytest.mark.parametrize("cell", CELLS)
FLOATS = {np.float64: 1e-10, np.float32: 1e-4}  # tolerance against torch


def make_weights(config: ModelConfig, rng: np.random.Generator, dtype: type = np.float64) -> dict[str, Array]:
    """Return random weights that close no gate and make no distribution flat."""
    weights = {}
    for name, shape in tensor_shapes(config).items():
        spread = 1 / np.sqrt(shape[-1]) if len(shape) == 2 else 0.3
        weights[name] = rng.normal(name.endswith("norm_scale"), spread, shape).astype(dtype)
        weights[name].flags.writeable = False  # a write is an error
    return weights


def make_state(config: ModelConfig, rng: np.random.Generator, dtype: type = np.float64) -> State:
    cell = CELLS[config.cell]
    layers = []
    for _ in range(config.layers):
        parts = {name: np.tanh(rng.normal(0, 1, (1, config.hidden))).astype(dtype) for name in cell.state_fields}
        if "n" in parts:
            parts["n"] = 1 + abs(parts["n"])  # a normaliser is at least 1 after the first step
        for part in parts.values():
            part.flags.writeable = False
        layers.append(cell.State(**parts))
    return State(tuple(layers))


def ours(
    config: ModelConfig, weights: dict[str, Array], ids: Ids, targets: Ids, state: State
) -> tuple[tape.Tape, dict[str, Array]]:
    recorded = tape.forward(config, weights, ids, state)
    gradients = tape.backward(recorded, tape.d_cross_entropy(recorded.logits, targets))
    return recorded, {name: one.dense() if isinstance(one, tape.Outer) else one for name, one in gradients.items()}


def torchs(
    config: ModelConfig, weights: dict[str, Array], ids: Ids, targets: Ids, state: State
) -> tuple[Array, dict[str, Array]]:
    """Return the logits and gradients by torch, in float64."""
    model = CharLM(config).double()
    model.load_state_dict({name: torch.tensor(weight).double() for name, weight in weights.items()})
    before = tuple(tuple(torch.tensor(part).double() for part in layer) for layer in state.layers)
    logits, _ = model(torch.from_numpy(ids[:, None]), before)
    F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets), reduction="sum").backward()
    found = {}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        found[name] = parameter.grad.numpy()
    return logits.detach().numpy()[:, 0], found


def assert_close(found: Array, expected: Array, tolerance: float, name: str, *, size: float = 0.0) -> None:
    """Compare within a share of the largest entry, or of `size`: a small entry may be a difference of large ones."""
    assert found.shape == expected.shape, name
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), size), name


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], int, int]:
    """Draw a shape, a length and a seed."""
    tied = draw(st.booleans())
    hidden = draw(st.integers(2, 9))
    shape = {
        "vocabulary": draw(st.integers(2, 12)),
        "embedding": hidden if tied else draw(st.integers(1, 9)),
        "hidden": hidden,
        "layers": draw(st.integers(1, 3)),
        "residual": draw(st.booleans()),
        "norm": draw(st.booleans()),
        "tied": tied,
    }
    return shape, draw(st.integers(1, 20)), draw(st.integers(0, 2**32 - 1))


@pytest.mark.parametrize("dtype", FLOATS)
@every_cell
@given(case=cases())
@example(case=({"vocabulary": 30, "embedding": 24, "hidden": 32, "layers": 2}, 60, 1))
@example(case=({"vocabulary": 30, "embedding": 32, "hidden": 32, "layers": 2, "tied": True}, 60, 2))
@example(case=({"vocabulary": 5, "embedding": 3, "hidden": 4, "layers": 2, "norm": False}, 1, 3))
@settings(max_examples=40)
def test_gradients_equal_torch(cell: str, dtype: type, case: tuple[dict[str, Any], int, int]) -> None:
    shape, length, seed = case
    # Layer norm of two units is nearly constant, so that its gradient is a rounding error.
    assume(dtype is np.float64 or shape["hidden"] >= 4)
    rng = np.random.default_rng(seed)
    config = ModelConfig(cell=cell, **shape)
    weights, state = make_weights(config, rng, dtype), make_state(config, rng, dtype)
    ids, targets = rng.integers(0, config.vocabulary, (2, length))
    recorded, found = ours(config, weights, ids, targets, state)
    logits, expected = torchs(config, weights, ids, targets, state)
    assert_close(recorded.logits, logits, FLOATS[dtype], "logits")
    assert found.keys() == expected.keys() == tensor_shapes(config).keys()
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in found.items():
        assert gradient.dtype == dtype, name
        assert_close(gradient, expected[name], FLOATS[dtype], name, size=largest / 100)
