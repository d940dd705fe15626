"""A model with the memory of some units held: what is held stays, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.errors import UsageError
from charlm.inference.engine import SEGMENT, Engine, State
from tests.chat.models import random_engine

IDS = np.random.default_rng(0).integers(0, 20, SEGMENT + 30)


def same(one: State, other: State, tolerance: float = 1e-5) -> None:
    for part, expected in zip(one.arrays(), other.arrays(), strict=True):
        np.testing.assert_allclose(part, expected, atol=tolerance)


def memory(engine: Engine, look: Any, layer: int, unit: int) -> Any:
    return look.signals[layer][CELLS[engine.config.cell].MEMORY][:, unit]


@pytest.mark.parametrize("cell", CELLS)
def test_held_at_what_it_is_anyway_nothing_changes(cell: str) -> None:
    engine = random_engine(cell=cell)
    state, plain = engine.start(), engine.start()
    for index in IDS[:40].tolist():
        seen = engine.forward_with_activations(plain, np.array([index]))
        at = {(layer, 5): float(memory(engine, seen, layer, 5)[0]) for layer in (0, 1)}
        plain, expected = engine.step(plain, index)
        state, logits = engine.with_clamps(at).step(state, index)
        same(state, plain)
        np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_held_stays_and_the_rest_goes_on(cell: str) -> None:
    engine = random_engine(cell=cell)
    held = engine.with_clamps({(0, 3): 0.75, (0, 7): 0.0, (1, 2): -0.5})
    seen = held.forward_with_activations(held.start(), IDS)
    np.testing.assert_allclose(memory(engine, seen, 0, 3), 0.75)
    np.testing.assert_allclose(memory(engine, seen, 0, 7), 0)
    np.testing.assert_allclose(memory(engine, seen, 1, 2), -0.5)
    np.testing.assert_allclose(seen.signals[0]["h"][:, 7], 0, atol=1e-7)  # what forgets everything shows nothing
    free = engine.forward_with_activations(engine.start(), IDS)
    assert not np.allclose(free.logits, seen.logits, atol=1e-3)
    # Before what is held was read again, the lower layer's other units are as they would be.
    others = [unit for unit in range(16) if unit not in (3, 7)]
    for name in CELLS[cell].SIGNALS:
        np.testing.assert_allclose(seen.signals[0][name][0, others], free.signals[0][name][0, others], atol=1e-6)
    # Reading has the state that looking has, and leaves the one before as it was.
    start = held.start()
    state, logits = held.prefill(start, IDS)
    same(state, seen.state)
    same(start, engine.start(), 0)
    np.testing.assert_allclose(logits, seen.logits[-1], atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_is_one_that_the_cell_can_have(cell: str) -> None:
    """What is shown follows from what is held: the next step sees both."""
    engine, module = random_engine(cell=cell), CELLS[cell]
    state, _ = engine.prefill(engine.start(), IDS[:9])
    weights = engine._layers[0].weights
    after, trace = module.step(weights, engine._table[[3]], state.layers[0])
    held = module.clamp_units(after, trace, np.array([4]), np.array([0.25], dtype=np.float32))
    kept = held.c / held.n if cell == "slstm" else getattr(held, module.MEMORY)
    assert kept[0, 4] == pytest.approx(0.25)
    for one, other in zip(held, after, strict=True):
        np.testing.assert_array_equal(np.delete(one, 4, axis=1), np.delete(other, 4, axis=1))


@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_is_held_as_one_stream_is(cell: str) -> None:
    held = random_engine(cell=cell).with_clamps({(0, 1): 1.0, (1, 4): 0.0})
    ids = IDS[:60].reshape(20, 3)
    state, logits = held.forward(held.start(3), ids)
    for row in range(3):
        alone, expected = held.forward(held.start(), np.ascontiguousarray(ids[:, row]))
        same(state.rows([row]), alone)
        np.testing.assert_allclose(logits[:, row], expected, atol=1e-4)


def test_weights_are_shared_and_the_model_itself_is_free() -> None:
    engine = random_engine()
    before = engine.prefill(engine.start(), IDS)[1]
    held = engine.with_clamps({(0, 1): 9.0})
    assert held._table is engine._table
    assert held.checkpoint is engine.checkpoint
    assert all(one.weights is other.weights for one, other in zip(held._layers, engine._layers, strict=True))
    held.prefill(held.start(), IDS)
    np.testing.assert_array_equal(engine.prefill(engine.start(), IDS)[1], before)
    np.testing.assert_array_equal(held.with_clamps({}).prefill(engine.start(), IDS)[1], before)


@pytest.mark.parametrize("unit", [(2, 0), (0, 16), (-1, 0), (0, -1)])
def test_only_units_that_there_are(unit: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="there is no unit"):
        random_engine().with_clamps({unit: 0.0})
