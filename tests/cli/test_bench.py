"""`charlm bench` reports what it measures; the machine's own figures are not for a test to judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charlm.cli import bench

from .conftest import HARBOUR, Charlm


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    from charlm.training import speed

    monkeypatch.setattr(speed, "SHAPES", ((16, 2),))
    monkeypatch.setattr(speed, "PRODUCT_SIZES", (8, 16))
    monkeypatch.setattr(bench, "SAMPLED_CHARS", 20)
    monkeypatch.setattr(bench, "BANDWIDTH_BYTES", 1 << 20)
    monkeypatch.setattr(bench, "measure_starts", lambda: {"help": 0.1})


@pytest.mark.usefixtures("_small")
def test_shares_are_of_the_peaks_in_the_same_report(charlm: Charlm) -> None:
    result = charlm("bench", "--json", "--seconds", "0.1")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert set(report["products"]) <= {"fp32", "bf16"}
    [training] = report["training"]
    assert training["share"] == training["flops"] / report["products"][training["precision"]]
    # Two layers of 4 gates of 16, from 16 and 16 units, and 65 logits; forward and twice back; two operations each.
    assert training["flops"] == pytest.approx(training["characters_per_second"] * 6 * (2 * 64 * 32 + 65 * 16))
    for row in report["sampling"]:
        bound = report["memory"]["bytes_per_second"] / row["bytes_per_char"]
        assert row["share"] == pytest.approx(row["chars_per_second"] / bound)


@pytest.mark.usefixtures("_small")
def test_a_table_for_people(charlm: Charlm) -> None:
    result = charlm("bench", "--seconds", "0.1")
    assert result.code == 0
    for part in ("matrix products", "memory", "training 2x16, 2 lanes", "sampling 2x512", "charlm --help"):
        assert part in result.out


def test_learning_is_reported_at_each_budget(charlm: Charlm, tmp_path: Path) -> None:
    report = json.loads(charlm("bench", "--learn", HARBOUR, "--minutes", "0.04,0.08", "--json").out)
    assert [row["minutes"] for row in report["learn"]] == [0.04, 0.08]
    for row in report["learn"]:
        assert 0 < row["steps_share"] < 1
        assert row["validation"] > 0
    assert report["learn"][0]["seconds"] > 60 * 0.04  # the other may end after its epochs
    assert not list(tmp_path.iterdir()), "nothing is left"


@pytest.mark.parametrize("minutes", ["", "one", "1,0", "1,nan", "1,inf"])
def test_budgets_that_cannot_be(charlm: Charlm, minutes: str) -> None:
    result = charlm("bench", "--learn", HARBOUR, "--minutes", minutes)
    assert (result.code, "--minutes is" in result.err) == (2, True)


def test_no_time_is_refused(charlm: Charlm) -> None:
    assert charlm("bench", "--seconds", "0").code == 2
