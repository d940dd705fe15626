"""`charlm xray`, `charlm gradients` and `charlm memory`: printed and written figures equal the measured ones."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.checkpoint import load, save
from charlm.inference.engine import Engine
from charlm.insight.activations import record

from ..conftest import random_checkpoint
from .conftest import HARBOUR, Charlm, assert_refused

TEXT = "the ferry goes.\nand comes back, at nine?"


@pytest.fixture
def engine(model: str, tmp_path: Path) -> Engine:
    return Engine(load(tmp_path / "checkpoints" / f"{model}.safetensors"))


@pytest.mark.parametrize("cell", CELLS)
def test_xray_table_lists_every_signal(charlm: Charlm, tmp_path: Path, cell: str) -> None:
    save(random_checkpoint(cell=cell), tmp_path / "m.safetensors")
    plain = charlm("xray", "m.safetensors", TEXT)
    assert plain.code == 0
    document = json.loads(charlm("xray", "m.safetensors", TEXT, "--json").out)
    assert document["cell"] == cell
    assert document["chars"] == len(TEXT)
    assert [(row["layer"], row["name"]) for row in document["signals"]] == [
        (layer, name) for layer in range(2) for name in CELLS[cell].SIGNALS
    ]
    for row in document["signals"]:
        assert re.search(rf"^ +{row['layer']} +{row['name']} .*{re.escape(row['meaning'])}$", plain.out, re.M)


def test_xray_reads_argument_file_and_pipe(charlm: Charlm, model: str, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    values = record(engine, TEXT).signals[1, "c"][:, 5]
    for given in (TEXT, "t.txt"):
        document = json.loads(charlm("xray", model, given, "--unit", "1:5", "--json").out)
        assert document["text"] == TEXT
        np.testing.assert_allclose(document["values"], values, atol=1e-5)
    short = json.loads(charlm("xray", model, "t.txt", "--unit", "1:5", "--chars", "7", "--json").out)
    assert short["text"] == TEXT[:7]


def test_xray_unit_without_colours_shows_marks(charlm: Charlm, model: str) -> None:
    lines = charlm("xray", model, TEXT, "--unit", "0:3", "--signal", "f").out.splitlines()
    assert "layer 0, unit 3, f: forget gate" in lines[0]
    assert lines[1] == "the ferry goes."
    assert re.fullmatch(r"\d{16}", lines[2])  # the newline has a value too
    assert lines[3] == "and comes back, at nine?"
    assert re.fullmatch(r"\d{24}", lines[4])


def test_unit_is_plotted_in_every_format(charlm: Charlm, model: str, engine: Engine, tmp_path: Path) -> None:
    hostile = TEXT + " <b> & \x1b[2J"
    for file in ("u.html", "u.svg", "u.png"):
        assert charlm("xray", model, hostile, "--unit", "1:5", "--plot", file, "--npz", "u.npz").code == 0
    page = (tmp_path / "u.html").read_text()
    assert "&lt;" in page
    assert "\x1b" not in page
    picture = (tmp_path / "u.svg").read_text()
    assert "<b>" in re.sub(r"\s", "", "".join(ElementTree.fromstring(picture).itertext()))
    assert "http" not in re.sub('xmlns="[^"]*"', "", page + picture)  # readable without a network
    assert (tmp_path / "u.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    arrays = np.load(io.BytesIO((tmp_path / "u.npz").read_bytes()), allow_pickle=False)
    np.testing.assert_allclose(arrays["1.c"], record(engine, hostile).signals[1, "c"])
    assert "".join(map(chr, arrays["characters"])) == hostile


def test_gates_are_plotted_and_printed(charlm: Charlm, model: str, tmp_path: Path) -> None:
    assert charlm("xray", model, TEXT, "--gates", "--layer", "1", "--plot", "g.svg").code == 0
    ElementTree.parse(tmp_path / "g.svg")
    assert charlm("xray", model, TEXT, "--gates", "--plot", "g.html").code == 2
    maps = charlm("xray", model, TEXT, "--gates").out
    assert maps.count("the ferry") == 2 * len(CELLS["lstm"].SIGNALS)


def test_xray_find_reports_units(charlm: Charlm, model: str) -> None:
    asked = ("xray", model, HARBOUR, "--chars", "3000", "--find", "--feature", "vowel=[aeiou]", "--top", "2")
    document = json.loads(charlm(*asked, "--json").out)
    found = {each["feature"]: each for each in document["features"]}
    assert {"vowel", "start of a word", "position in the line"} <= found.keys()
    assert len(found["vowel"]["units"]) == 2
    assert abs(found["vowel"]["units"][0]["held_out"]) > 0.3  # which the character itself decides
    for each in document["features"]:
        if each["shuffled"]:
            assert abs(each["shuffled"]["held_out"]) < 0.1
    table = charlm(*asked, "--plot", "f.svg")
    best = found["vowel"]["units"][0]
    assert re.search(rf"^vowel +{best['layer']}:{best['number']} ", table.out, re.M)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unit", "2:0"], "there is no unit 2:0"),
        (["--unit", "x"], "'x' is no unit"),
        (["--unit", "0:0", "--signal", "q"], "lstm has no signal 'q'"),
        (["--unit", "0:0", "--gates"], "--unit and --gates exclude each other"),
        (["--plot", "x.svg"], "something to draw"),
        (["--feature", "a=b"], "--feature has no meaning without --find"),
        (["--find", "--feature", "ab"], "no feature"),
        (["--gates", "--layer", "9"], "no layer 9"),
        (["--chars", "1"], "--chars"),
    ],
)
def test_invalid_use_prints_one_sentence(charlm: Charlm, model: str, arguments: list[str], message: str) -> None:
    assert_refused(charlm("xray", model, TEXT, *arguments), 2, message)


def test_gradients_measure_models_and_fresh_cells(charlm: Charlm, model: str, tmp_path: Path) -> None:
    fresh_cell = ("--cell", "rnn", "--hidden", "12")
    asked = ("gradients", model, "--text", HARBOUR, *fresh_cell, "--steps", "30", "--windows", "4")
    document = json.loads(charlm(*asked, "--json").out)
    named, fresh = document["models"]
    assert (named["name"], named["cell"], fresh["name"]) == ("noise", "lstm", "fresh rnn")
    assert np.array(named["norms"]["c"]).shape == (2, 30)
    assert np.array(fresh["norms"]["h"]).shape == (1, 30)
    plain = charlm(*asked, "--plot", "r.svg")
    assert re.search(r"^ +30 ", plain.out, re.M)
    ElementTree.parse(tmp_path / "r.svg")
    grown = json.loads(charlm(*asked, "--gain", "4", "--json").out)
    assert grown["models"][1]["norms"] != fresh["norms"]
    assert grown["models"][0] == named


def test_gradients_without_model_are_refused(charlm: Charlm, model: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("short")
    assert "no model to measure" in charlm("gradients", "--text", HARBOUR).err
    assert "5 characters" in charlm("gradients", model, "--text", "t.txt").err
    assert charlm("gradients", "--cell", "lstn", "--text", HARBOUR).code == 2


def test_memory(charlm: Charlm, model: str, tmp_path: Path) -> None:
    asked = ("memory", model, HARBOUR, "--max-context", "70", "--blocks", "4", "--samples", "3")
    document = json.loads(charlm(*asked, "--json").out)
    assert [row["length"] for row in document["context"]] == [1, 2, 4, 8, 16, 32, 64]
    assert "name" in {row["kind"] for row in document["recall"]}
    assert all(row["tried"] <= 3 and row["most"] <= 70 for row in document["recall"])
    plain = charlm(*asked, "--plot", "m.svg")
    for row in document["context"]:
        assert re.search(rf"^ +{row['length']} +{row['bits']:.3f}", plain.out, re.M)
    assert re.search(r"^name +64 to 70 ", plain.out, re.M)
    ElementTree.parse(tmp_path / "m.svg")
    assert "rhyme" in {row["kind"] for row in document["recall"]}
    assert document["rhymes"]["found"] > 2 * document["rhymes"]["by_chance"]  # it is verse in part
    none = json.loads(charlm(*asked, "--no-recall", "--json").out)
    assert (none["recall"], none["rhymes"]) == ([], None)
    (tmp_path / "p.txt").write_text("the ferry goes. " * 12)
    prose = charlm("memory", model, "p.txt", "--max-context", "64", "--blocks", "2")
    assert "no recall targets of the kind name, bracket, quote, rhyme" in prose.err
    (tmp_path / "t.txt").write_text("short")
    assert "needs 128" in charlm("memory", model, "t.txt", "--max-context", "64").err
