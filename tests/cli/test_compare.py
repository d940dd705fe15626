"""`charlm compare`: the printed figures are those of its runs."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import HARBOUR, Charlm


def test_compare_prints_results_and_resumes(charlm: Charlm, tmp_path: Path) -> None:
    shape = ("--parameters", "12000", "--layers", "1", "--lanes", "4", "--chunk", "16", "--threads", "1")
    asked = ("compare", HARBOUR, "--cells", "gru,rnn", "--steps", "3", "--precision", "fp32", *shape)
    first = charlm(*asked, "--json")
    assert first.code == 0
    document = json.loads(first.out)
    assert document["folder"] == "checkpoints/compare-harbour"
    assert {row["cell"] for row in document["results"]} == {"gru", "rnn"}
    assert document["results"][0]["nats"] <= document["results"][1]["nats"]
    again = charlm(*asked, "--plot", "c.svg")  # nothing is trained again
    for row in document["results"]:
        assert f"{row['bits_per_char']:.4f}" in again.out
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")
    assert charlm("sample", "checkpoints/compare-harbour/gru-1.safetensors", "-n", "5").code == 0
    other = charlm(*asked, "--dropout", "0.3")
    assert other.code == 1
    assert "another comparison" in other.err
    assert charlm("compare", "-").code == 2
