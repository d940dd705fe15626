"""A moment of the model as plain values: the same numbers as a recording's, folded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from charlm.cells import CELLS
from charlm.cells.base import UNBOUNDED, Signal, gate
from charlm.inference.context import encode_lossy
from charlm.insight.activations import record, summarise
from charlm.insight.xray import STEPS, entropies_of, fold, inks, palette, span, steps, summarise_activations
from tests.chat.models import random_engine

TEXT = "what is seen\nis what is known"


@pytest.mark.parametrize("cell", CELLS)
def test_a_moment_is_the_last_of_a_recording(cell: str) -> None:
    engine = random_engine(cell=cell)
    look = engine.forward_with_activations(engine.start(), encode_lossy(engine.vocabulary, TEXT))
    recording = record(engine, TEXT)
    for (layer, name), values in recording.signals.items():
        np.testing.assert_allclose(look.signals[layer][name], values, atol=1e-5)
    np.testing.assert_allclose(entropies_of(look.logits), recording.entropy, atol=1e-4)

    seen = summarise_activations(engine, look, TEXT[-1], [1.0, 2.0], 5)
    last = record(engine, TEXT[-1], state=engine.prefill(engine.start(), encode_lossy(engine.vocabulary, TEXT[:-1]))[0])
    expected = {(one.layer, one.name): one for one in summarise(last)}
    assert [len(depth.bands) for depth in seen.layers] == [len(CELLS[cell].SIGNALS)] * 2
    for layer, depth in enumerate(seen.layers):
        assert depth.norm == pytest.approx(expected[layer, CELLS[cell].MEMORY].norm, abs=1e-4)
        for band in depth.bands:
            summary = expected[layer, band.name]
            assert len(band.steps) == 5
            assert all(0 <= step < STEPS for step in band.steps)
            assert band.mean == pytest.approx(summary.mean, abs=1e-5)
            ended = summary.low is not None and summary.high is not None
            assert band.saturated == (pytest.approx(summary.low + summary.high) if ended else None)
            np.testing.assert_allclose(band.values, recording.signals[layer, band.name][-1], atol=1e-5)
    assert sum(p for _, p in seen.choices) <= 1 + 1e-6
    assert [p for _, p in seen.choices] == sorted([p for _, p in seen.choices], reverse=True)


def test_what_comes_out_holds_no_arrays() -> None:
    engine = random_engine()
    activations = engine.forward_with_activations(engine.start(), np.array([1, 2, 3]))
    seen = summarise_activations(engine, activations, "a", [0.5], 7)

    def plain(value: Any) -> bool:
        return value is None or type(value) in (str, int, float) or all(plain(one) for one in value)

    assert plain(seen)


@pytest.mark.parametrize("cell", CELLS)
def test_looking_changes_nothing(cell: str) -> None:
    engine = random_engine(cell=cell)
    ids = encode_lossy(engine.vocabulary, TEXT * 20)  # more than one segment
    look = engine.forward_with_activations(engine.start(), ids)
    state, logits = engine.forward(engine.start(), ids)
    np.testing.assert_array_equal(look.logits, logits)
    for one, other in zip(look.state.arrays(), state.arrays(), strict=True):
        np.testing.assert_array_equal(one, other)


@given(values=hnp.arrays(np.float32, st.integers(1, 80), elements=st.floats(-1, 1, width=32)), width=st.integers(1, 99))
def test_folding_keeps_the_mean(values: Any, width: int) -> None:
    folded = fold(values, width)
    assert len(folded) == min(width, len(values))
    sizes = np.diff(np.arange(len(folded) + 1) * len(values) // len(folded))
    assert set(sizes) <= {len(values) // len(folded), len(values) // len(folded) + 1}
    assert float(folded @ sizes) == pytest.approx(float(values.sum(dtype=np.float64)), abs=1e-9)


def test_scales_hold_what_there_is() -> None:
    assert span(gate(""), 0.3) == (0, 1)
    assert span(Signal("", -UNBOUNDED, UNBOUNDED), 0.3) == (-1, 1)
    assert span(Signal("", -UNBOUNDED, UNBOUNDED), 7.0) == (-7, 7)
    assert span(Signal("", 0.0, UNBOUNDED), 7.0) == (0, 7)
    assert steps(np.array([-9.0, -1.0, 0.0, 1.0, 9.0]), -1, 1) == [0, 0, STEPS // 2, STEPS - 1, STEPS - 1]
    assert len(palette()) == len(inks()) == STEPS
    assert set(inks()) == {"#000000", "#ffffff"}
