"""Comparison of cells: equal parameters, results of the runs, and resuming."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from charlm.cells import CELLS
from charlm.checkpoint import load
from charlm.errors import OutputError, UsageError
from charlm.insight.compare import Comparison, Result, find_config, training_bytes
from charlm.insight.comparison_config import ComparisonConfig
from charlm.tensor_shapes import parameter_count
from charlm.training.events import Ended, Stepped

from ..conftest import HARBOUR

PLAN = ComparisonConfig(
    (str(HARBOUR),),
    ("lstm", "slstm"),
    parameters=12_000,
    steps=6,
    layers=1,
    lanes=4,
    chunk=16,
    precision="fp32",
    threads=1,
)


def results(comparison: Comparison) -> dict[tuple[str, int], Result]:
    return {(event.cell, event.seed): event.event for event in comparison.events() if isinstance(event.event, Result)}


@pytest.mark.parametrize("cell", CELLS)
def test_find_config_has_the_nearest_parameter_count(cell: str) -> None:
    config = find_config(cell, replace(PLAN, parameters=900_000, layers=2), vocabulary=65)
    assert config.cell == cell
    off = abs(parameter_count(config) - 900_000)
    assert off < 0.02 * 900_000
    for width in (config.hidden - 4, config.hidden + 4):
        assert abs(parameter_count(replace(config, hidden=width, embedding=width)) - 900_000) >= off
    with pytest.raises(UsageError, match="has 10 parameters"):
        find_config(cell, replace(PLAN, parameters=10), vocabulary=65)


def test_training_bytes_grow_with_the_batch() -> None:
    config = find_config("cifg", PLAN, 30)
    small, large = (training_bytes(config, lanes, 20) for lanes in (4, 40))
    kept = [held - 16 * parameter_count(config) for held in (small, large)]
    assert kept[0] > 0
    assert 5 * kept[0] < kept[1] < 10 * kept[0]  # what is kept of weights is the same for both


def test_stopped_comparison_resumes_to_the_same_results(tmp_path: Path) -> None:
    whole = results(Comparison(PLAN, tmp_path / "whole"))
    assert whole.keys() == {("lstm", 1), ("slstm", 1)}
    for (cell, seed), result in whole.items():
        checkpoint = load(tmp_path / "whole" / f"{cell}-{seed}.safetensors")
        assert checkpoint.config.cell == cell
        assert parameter_count(checkpoint.config) == result.parameters
        assert checkpoint.record.validation == result.nats
        assert result.bits == result.nats / math.log(2)
        assert result.steps == 6
        assert 300 < result.characters <= 6 * 4 * 16  # chunks end where an epoch does
        assert result.curve[-1][1] == pytest.approx(result.nats, abs=1e-4)
        assert result.state_bytes == 4 * result.hidden * len(CELLS[cell].state_fields)

    first = Comparison(PLAN, tmp_path / "parts")
    for event in first.events():
        if event.cell == "slstm" and isinstance(event.event, Stepped) and event.event.step == 3:
            first.request_stop()
    assert first.stopped
    events = list(Comparison(PLAN, tmp_path / "parts").events())
    stepped = [(one.cell, one.event.step) for one in events if isinstance(one.event, Stepped)]
    assert stepped == [("slstm", 4), ("slstm", 5), ("slstm", 6)]
    again = {(one.cell, one.seed): one.event for one in events if isinstance(one.event, Result)}
    assert {key: (one.nats, one.reach, one.left) for key, one in again.items()} == {
        key: (one.nats, one.reach, one.left) for key, one in whole.items()
    }

    third = Comparison(PLAN, tmp_path / "parts")
    assert [type(event.event) for event in third.events()] == [Result, Result]
    with pytest.raises(OutputError, match="holds another comparison"):
        Comparison(replace(PLAN, steps=7), tmp_path / "parts")
    anew = list(Comparison(replace(PLAN, cells=("rnn",), steps=2), tmp_path / "parts", force=True).events())
    assert sum(isinstance(event.event, Ended) for event in anew) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cells": ("lstm", "lstm")}, "twice"),
        ({"cells": ()}, "no cell"),
        ({"cells": ("lstn",)}, "unknown cell"),
        ({"minutes": 1.0}, "one budget"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_plan_with_invalid_values_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(PLAN, **wrong)
