"""The fast step of generation is the plain forward pass of one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.config import ModelConfig
from charlm.inference.fast_step import fast_step, prepare
from charlm.inference.state import zero_state
from charlm.inference.tape import make_network, run
from charlm.tensor_shapes import tensor_shapes

from ..conftest import assert_states_close

SHAPES: list[dict[str, Any]] = [{}, {"norm": False}, {"residual": False}, {"embedding": 16, "tied": True}]


@pytest.mark.parametrize("clamped", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_fast_step_equals_plain_forward(cell: str, shape: dict[str, Any], batch: int, clamped: bool) -> None:
    config = ModelConfig(**{"vocabulary": 20, "cell": cell, "embedding": 12, "hidden": 16, "layers": 3, **shape})
    rng = np.random.default_rng(3)
    tensors = {
        name: rng.normal(name.endswith("norm_scale"), 0.25, tensor).astype(np.float32)
        for name, tensor in tensor_shapes(config).items()
    }
    plain, fast = make_network(config, tensors), prepare(config, tensors)
    if clamped:
        clamps = np.array([2, 5]), np.array([0.25, -0.5], dtype=np.float32)
        plain, fast = (
            network._replace(layers=(network.layers[0], network.layers[1]._replace(clamps=clamps), *network.layers[2:]))
            for network in (plain, fast)
        )
    state = expected = zero_state(config, batch)
    for _ in range(30):
        ids = rng.integers(0, config.vocabulary, batch)
        expected, _, logits = run(plain, ids, expected)
        state, found = fast_step(fast, state, ids)
        np.testing.assert_allclose(found, logits, rtol=0, atol=2e-5)
        assert {part.dtype for part in state.arrays()} == {np.dtype(np.float32)}
        assert_states_close(state, expected, 2e-5)
