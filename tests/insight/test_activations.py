"""A recording equals single steps of the engine, for every cell, spelling and cut of the text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.inference.context import StaticModel, read_prompt
from charlm.inference.engine import SEGMENT, Engine
from charlm.inference.sampling import log_softmax
from charlm.inference.scoring import score_text
from charlm.insight.activations import record, summarise

from ..conftest import assert_states_close, random_checkpoint

TEXT = "the ferry goes at six, and back at nine. " * 8
assert len(TEXT) > SEGMENT


@pytest.mark.parametrize("cell", CELLS)
def test_recording_equals_engine_steps(cell: str) -> None:
    engine = Engine(random_checkpoint(cell=cell))
    recording = record(engine, TEXT)
    assert recording.signals.keys() == {(layer, name) for layer in range(2) for name in CELLS[cell].SIGNALS}
    state, surprise, entropy = engine.start(), [math.nan], []
    for place, index in enumerate(engine.vocabulary.encode(TEXT).tolist()):
        if place:
            surprise.append(-float(log_p[index]) / math.log(2))  # noqa: F821  # of the step before
        state, logits = engine.step(state, index)
        log_p = log_softmax(logits)
        entropy.append(-float((np.exp(log_p) * log_p).sum()) / math.log(2))
        for layer in range(2):
            np.testing.assert_allclose(recording.signals[layer, "h"][place], state.layers[layer].h[0], atol=1e-5)
    np.testing.assert_allclose(recording.surprisal, surprise, atol=1e-4)
    np.testing.assert_allclose(recording.entropy, entropy, atol=1e-4)
    assert_states_close(recording.state, state)
    *_, measured = score_text(engine, TEXT)
    assert recording.bits_per_character == pytest.approx(measured.bits_per_character, abs=1e-4)


def test_recording_bytes_have_one_row_per_character() -> None:
    engine = Engine(random_checkpoint(has_bytes=True))
    text = "a\u00e9\u6f22b\U0001f600." * 30
    recording = record(engine, text)
    assert len(recording.surprisal) == len(recording.entropy) == len(recording.signals[0, "h"]) == len(text)
    prompt, _ = read_prompt(StaticModel(engine), text[:5])
    np.testing.assert_allclose(recording.signals[1, "h"][4], prompt.state.layers[1].h[0], atol=1e-5)
    *_, measured = score_text(engine, text)
    assert recording.bits_per_character == pytest.approx(measured.bits_per_character, abs=1e-4)


def test_recording_continues_from_state() -> None:
    engine = Engine(random_checkpoint(cell="slstm"))
    whole = record(engine, TEXT)
    first = record(engine, TEXT[:100], names={"h"})
    second = record(engine, TEXT[100:], names={"h"}, state=first.state)
    assert first.signals.keys() == {(0, "h"), (1, "h")}
    for layer in range(2):
        both = np.concatenate((first.signals[layer, "h"], second.signals[layer, "h"]))
        np.testing.assert_allclose(both, whole.signals[layer, "h"], atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_summary_equals_statistics_of_recording(cell: str) -> None:
    recording = record(Engine(random_checkpoint(cell=cell, scale=1.5)), TEXT)
    rows = {(row.layer, row.name): row for row in summarise(recording)}
    assert rows.keys() == recording.signals.keys()
    for key, values in recording.signals.items():
        row, signal = rows[key], CELLS[cell].SIGNALS[key[1]]
        assert row.mean == pytest.approx(values.mean(), abs=1e-5)
        if signal.is_gate:
            assert row.low == pytest.approx((values < 0.1).mean())
            assert row.high == pytest.approx((values > 0.9).mean())
        assert (row.norm is not None) == (key[1] == CELLS[cell].MEMORY)
        if row.norm is not None:
            assert row.norm == pytest.approx(np.sqrt((values.astype(np.float64) ** 2).sum(axis=1)).mean(), rel=1e-5)
