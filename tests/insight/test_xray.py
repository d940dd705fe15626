"""The summary of a step holds the numbers of a recording, as plain values."""

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
from charlm.inference.sampling import log_softmax
from charlm.insight.activations import entropy_bits, record, summarise
from charlm.insight.xray import (
    COLOUR_LEVELS,
    bin_means,
    colour_levels,
    colour_range,
    inks,
    palette,
    summarise_activations,
)
from tests.chat.models import random_engine
from tests.conftest import assert_states_close

TEXT = "what is seen\nis what is known"


@pytest.mark.parametrize("cell", CELLS)
def test_activation_summary_equals_last_recorded_step(cell: str) -> None:
    engine = random_engine(cell=cell)
    activations = engine.forward_with_activations(engine.start(), encode_lossy(engine.vocabulary, TEXT))
    recording = record(engine, TEXT)
    for (layer, name), values in recording.signals.items():
        np.testing.assert_allclose(activations.signals[layer][name], values, atol=1e-5)
    np.testing.assert_allclose(entropy_bits(log_softmax(activations.logits)), recording.entropy, atol=1e-4)

    summary = summarise_activations(engine, activations, TEXT[-1], [1.0, 2.0], 5)
    last = record(engine, TEXT[-1], state=engine.prefill(engine.start(), encode_lossy(engine.vocabulary, TEXT[:-1]))[0])
    expected = {(one.layer, one.name): one for one in summarise(last)}
    assert [len(layer_summary.bands) for layer_summary in summary.layers] == [len(CELLS[cell].SIGNALS)] * 2
    for layer, layer_summary in enumerate(summary.layers):
        assert layer_summary.norm == pytest.approx(expected[layer, CELLS[cell].MEMORY].norm, abs=1e-4)
        for band in layer_summary.bands:
            row = expected[layer, band.name]
            assert len(band.levels) == 5
            assert all(0 <= step < COLOUR_LEVELS for step in band.levels)
            assert band.mean == pytest.approx(row.mean, abs=1e-5)
            has_ends = row.low is not None and row.high is not None
            assert band.saturated == (pytest.approx(row.low + row.high) if has_ends else None)
            np.testing.assert_allclose(band.values, recording.signals[layer, band.name][-1], atol=1e-5)
    assert sum(p for _, p in summary.choices) <= 1 + 1e-6
    assert [p for _, p in summary.choices] == sorted([p for _, p in summary.choices], reverse=True)


def test_activation_summary_holds_no_arrays() -> None:
    engine = random_engine()
    activations = engine.forward_with_activations(engine.start(), np.array([1, 2, 3]))
    summary = summarise_activations(engine, activations, "a", [0.5], 7)

    def plain(value: Any) -> bool:
        return value is None or type(value) in (str, int, float) or all(plain(one) for one in value)

    assert plain(summary)


@pytest.mark.parametrize("cell", CELLS)
def test_forward_with_activations_equals_forward(cell: str) -> None:
    engine = random_engine(cell=cell)
    ids = encode_lossy(engine.vocabulary, TEXT * 20)  # more than one segment
    activations = engine.forward_with_activations(engine.start(), ids)
    state, logits = engine.forward(engine.start(), ids)
    np.testing.assert_array_equal(activations.logits, logits)
    assert_states_close(activations.state, state, 0)


@given(values=hnp.arrays(np.float32, st.integers(1, 80), elements=st.floats(-1, 1, width=32)), width=st.integers(1, 99))
def test_bin_means_keep_the_mean(values: Any, width: int) -> None:
    folded = bin_means(values, width)
    assert len(folded) == min(width, len(values))
    sizes = np.diff(np.arange(len(folded) + 1) * len(values) // len(folded))
    assert set(sizes) <= {len(values) // len(folded), len(values) // len(folded) + 1}
    assert float(folded @ sizes) == pytest.approx(float(values.sum(dtype=np.float64)), abs=1e-9)


def test_colour_scale_covers_all_values() -> None:
    assert colour_range(gate(""), 0.3) == (0, 1)
    assert colour_range(Signal("", -UNBOUNDED, UNBOUNDED), 0.3) == (-1, 1)
    assert colour_range(Signal("", -UNBOUNDED, UNBOUNDED), 7.0) == (-7, 7)
    assert colour_range(Signal("", 0.0, UNBOUNDED), 7.0) == (0, 7)
    top = COLOUR_LEVELS - 1
    assert colour_levels(np.array([-9.0, -1.0, 0.0, 1.0, 9.0]), -1, 1) == [0, 0, COLOUR_LEVELS // 2, top, top]
    assert len(palette()) == len(inks()) == COLOUR_LEVELS
    assert set(inks()) == {"#000000", "#ffffff"}
