"""A model with clamped units: their memory keeps its value, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.errors import UsageError
from charlm.inference.engine import SEGMENT, Engine
from tests.chat.models import random_engine
from tests.conftest import assert_states_close

IDS = np.random.default_rng(0).integers(0, 20, SEGMENT + 30)


def memory(engine: Engine, seen: Any, layer: int, unit: int) -> Any:
    return seen.signals[layer][CELLS[engine.config.cell].MEMORY][:, unit]


@pytest.mark.parametrize("cell", CELLS)
def test_clamp_at_own_value_changes_nothing(cell: str) -> None:
    engine = random_engine(cell=cell)
    state, plain = engine.start(), engine.start()
    for index in IDS[:40].tolist():
        seen = engine.forward_with_activations(plain, np.array([index]))
        at = {(layer, 5): float(memory(engine, seen, layer, 5)[0]) for layer in (0, 1)}
        plain, expected = engine.step(plain, index)
        state, logits = engine.with_clamps(at).step(state, index)
        assert_states_close(state, plain)
        np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_clamped_units_keep_value_while_others_go_on(cell: str) -> None:
    engine = random_engine(cell=cell)
    held = engine.with_clamps({(0, 3): 0.75, (0, 7): 0.0, (1, 2): -0.5})
    seen = held.forward_with_activations(held.start(), IDS)
    np.testing.assert_allclose(memory(engine, seen, 0, 3), 0.75)
    np.testing.assert_allclose(memory(engine, seen, 0, 7), 0)
    np.testing.assert_allclose(memory(engine, seen, 1, 2), -0.5)
    np.testing.assert_allclose(seen.signals[0]["h"][:, 7], 0, atol=1e-7)  # a memory of zero shows nothing
    free = engine.forward_with_activations(engine.start(), IDS)
    assert not np.allclose(free.logits, seen.logits, atol=1e-3)
    # At the first step a clamp has no effect on the other units of the lower layer.
    others = [unit for unit in range(16) if unit not in (3, 7)]
    for name in CELLS[cell].SIGNALS:
        np.testing.assert_allclose(seen.signals[0][name][0, others], free.signals[0][name][0, others], atol=1e-6)
    # Reading gives the same state as recording, and leaves the one before unchanged.
    start = held.start()
    state, logits = held.prefill(start, IDS)
    assert_states_close(state, seen.state)
    assert_states_close(start, engine.start(), 0)
    np.testing.assert_allclose(logits, seen.logits[-1], atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_clamp_step_sets_memory_and_hidden_of_unit_alone(cell: str) -> None:
    engine = random_engine(cell=cell)
    state, _ = engine.prefill(engine.start(), IDS[:9])
    free, _ = engine.step(state, 3)
    clamped, _ = engine.with_clamps({(0, 4): 0.25}).step(state, 3)
    after: Any = clamped.layers[0]
    memory = after.c / after.n if cell == "slstm" else getattr(after, CELLS[cell].MEMORY)
    assert memory[0, 4] == pytest.approx(0.25)
    assert after.h[0, 4] != free.layers[0].h[0, 4]
    for part, expected in zip(after, free.layers[0], strict=True):
        np.testing.assert_array_equal(np.delete(part, 4, axis=1), np.delete(expected, 4, axis=1))


@pytest.mark.parametrize("cell", CELLS)
def test_clamps_batch_equals_single_streams(cell: str) -> None:
    held = random_engine(cell=cell).with_clamps({(0, 1): 1.0, (1, 4): 0.0})
    ids = IDS[:60].reshape(20, 3)
    state, logits = held.forward(held.start(3), ids)
    for row in range(3):
        alone, expected = held.forward(held.start(), np.ascontiguousarray(ids[:, row]))
        assert_states_close(state.rows([row]), alone)
        np.testing.assert_allclose(logits[:, row], expected, atol=1e-4)


def test_clamped_engine_leaves_original_unclamped() -> None:
    engine = random_engine()
    before = engine.prefill(engine.start(), IDS)[1]
    held = engine.with_clamps({(0, 1): 9.0})
    assert held.checkpoint is engine.checkpoint
    held.prefill(held.start(), IDS)
    np.testing.assert_array_equal(engine.prefill(engine.start(), IDS)[1], before)
    np.testing.assert_array_equal(held.with_clamps({}).prefill(engine.start(), IDS)[1], before)


@pytest.mark.parametrize("unit", [(2, 0), (0, 16), (-1, 0), (0, -1)])
def test_clamp_of_unknown_unit_is_refused(unit: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="there is no unit"):
        random_engine().with_clamps({unit: 0.0})
