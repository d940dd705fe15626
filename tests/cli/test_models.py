"""`charlm models` and `charlm models show` as their users meet them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from charlm.checkpoint import load, save
from charlm.tensor_shapes import parameter_count
from charlm.text.dialogue import Dialogue
from charlm.text.sanitize import visible

from ..conftest import ALPHABET, RECORD, random_checkpoint
from .conftest import Charlm, assert_refused
from .terminal import HOSTILE, SGR, on_terminal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two models, one of them damaged in a third file, and one in the user's data folder."""
    trained = replace(random_checkpoint(cell="gru", layers=3, has_bytes=True), record=RECORD)
    save(trained, tmp_path / "checkpoints" / "trained.safetensors")
    save(random_checkpoint(), tmp_path / "checkpoints" / "bare.safetensors")
    whole = (tmp_path / "checkpoints" / "bare.safetensors").read_bytes()
    (tmp_path / "checkpoints" / "damaged.safetensors").write_bytes(whole[: len(whole) // 2])
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_list_has_a_line_for_each(charlm: Charlm) -> None:
    result = charlm("models")
    assert (result.code, result.err) == (0, "")
    lines = {line.split()[0]: line for line in result.out.splitlines()}
    assert list(lines) == ["bare", "damaged", "trained"]
    assert "lstm 2x16" in lines["bare"]
    assert "not measured" in lines["bare"]
    assert "gru 3x16" in lines["trained"]
    assert "1.500 bits/char" in lines["trained"]
    assert "unreadable: " in lines["damaged"]


@pytest.mark.usefixtures("folder")
def test_the_list_as_json(charlm: Charlm) -> None:
    rows = {row["name"]: row for row in json.loads(charlm("models", "--json").out)}
    assert set(rows) == {"bare", "damaged", "trained"}
    assert rows["trained"]["config"]["cell"] == "gru"
    assert rows["trained"]["validation"] == RECORD.validation
    assert rows["bare"]["validation"] is None
    assert Path(rows["bare"]["path"]).stat().st_size == rows["bare"]["bytes"]
    assert "error" in rows["damaged"]
    assert "error" not in rows["bare"]


def test_no_models(charlm: Charlm) -> None:
    result = charlm("models")
    assert (result.code, result.out) == (0, "")
    assert "charlm train FILE" in result.err
    assert json.loads(charlm("models", "--json").out) == []


def test_models_of_data_folder_are_listed_once(charlm: Charlm, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / "home"
    (home / "checkpoints").mkdir(parents=True)
    for name in ("bare", "far"):
        save(random_checkpoint(layers=1), home / "checkpoints" / f"{name}.safetensors")
    monkeypatch.setenv("CHARLM_HOME", str(home))
    rows = {row["name"]: row for row in json.loads(charlm("models", "--json").out)}
    assert set(rows) == {"bare", "damaged", "far", "trained"}
    assert rows["bare"]["config"]["layers"] == 2, "the nearer one counts"
    assert rows["far"]["path"].startswith(str(home))


@pytest.mark.usefixtures("folder")
def test_card_shows_the_training_record(charlm: Charlm) -> None:
    result = charlm("models", "show", "trained")
    assert (result.code, result.err) == (0, "")
    for told in (
        "gru 3x16, embedding 16, residual + norm",
        f"{len(ALPHABET)} characters and 256 bytes",
        "part0.txt, 1,234 bytes",
        "and 2 files more",
        "from older",
        "321 steps, 5.00 epochs, 45,000 characters, 61 s",
        "8 lanes x 16 steps, rate 0.004, seed 3",
        "fp32 on cpu, 2 threads, torch 2.13.0",
        "1.5000 bits/char",
        "over 1,000 characters",
        "2026-05-01T12:00:00",
    ):
        assert told in result.out
    assert "part10.txt" not in result.out
    bare = charlm("models", "show", "bare").out
    for untold in ("training", "validation", "created", "fine-tuned", "dialogue"):
        assert untold not in bare


@pytest.mark.parametrize(
    ("dialogue", "line"),
    [
        (Dialogue("lines"), "lines"),
        (Dialogue("play"), "play"),
        (Dialogue("transcript", ("Anna", "太郎")), "transcript: Anna, 太郎"),
        (Dialogue("play", tuple("ABCDEFGHI")), "play: A, B, C, D, E, F, G, H, ..."),
    ],
)
def test_card_shows_the_dialogue_format(charlm: Charlm, tmp_path: Path, dialogue: Dialogue, line: str) -> None:
    save(replace(random_checkpoint(), dialogue=dialogue), tmp_path / "m.safetensors")
    told = [row for row in charlm("models", "show", "./m.safetensors").out.splitlines() if row.startswith("dialogue")]
    assert [row.split(maxsplit=1)[1] for row in told] == [line]
    document = json.loads(charlm("models", "show", "./m.safetensors", "--json").out)
    assert Dialogue.from_dict(document["dialogue"]) == dialogue


@pytest.mark.usefixtures("folder")
def test_card_as_json_is_complete(charlm: Charlm) -> None:
    document = json.loads(charlm("models", "show", "trained", "--json").out)
    assert document["record"] == asdict(RECORD)
    assert document["characters"] == ALPHABET
    assert document["config"]["layers"] == 3
    assert document["parameters"] > 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show",), 2, "Missing argument"),
        (("show", "bear"), 1, "did you mean bare?"),
        (("show", "damaged"), 1, "damaged.safetensors: not a model file"),
        (("shwo",), 2, "shwo"),
        (("--nope",), 2, "No such option"),
    ],
)
def test_show_of_bad_argument_is_one_sentence(charlm: Charlm, arguments: tuple[str, ...], code: int, says: str) -> None:
    assert_refused(charlm("models", *arguments), code, says)


def test_a_card_s_control_characters_reach_a_terminal_as_symbols(charlm: Charlm, tmp_path: Path) -> None:
    evil = f"evil{HOSTILE}\x1b]0;title\x07"
    record = replace(
        RECORD,
        created=evil,
        sources=[{"name": evil, "sha256": evil, "bytes": 3}],
        base=evil,
        settings={"lanes": evil, "seed": evil},
        precision=evil,
        device=evil,
        versions={"torch": evil},
    )
    model = replace(random_checkpoint(characters="\n\tab" + HOSTILE), record=record)
    save(model, tmp_path / "checkpoints" / "m.safetensors")
    for arguments in (("models", "show", "m"), ("models", "show", "m", "--json"), ("models",), ("models", "--json")):
        shown = on_terminal(*arguments, cwd=tmp_path)
        assert shown.code == 0
        assert not set(HOSTILE) & set(SGR.sub("", shown.text)), arguments
        if arguments == ("models", "show", "m"):
            assert shown.text.count(visible(evil).split("\n")[0]) >= 6
        if "show" in arguments and "--json" in arguments:
            assert json.loads(shown.text)["record"]["base"] == evil
            assert json.loads(charlm(*arguments).out) == json.loads(shown.text)


def test_export_halves_the_file_and_keeps_the_weights(charlm: Charlm, folder: Path) -> None:
    result = charlm("models", "export", "trained", "-o", "small.safetensors")
    assert (result.code, result.out) == (0, "small.safetensors\n")
    before, after = (load(folder / name) for name in ("checkpoints/trained.safetensors", "small.safetensors"))
    assert (after.config, after.record, after.dialogue) == (before.config, before.record, before.dialogue)
    for name, tensor in before.tensors.items():
        np.testing.assert_allclose(after.tensors[name], tensor, rtol=1e-3, atol=1e-6)
    weights = 4 * parameter_count(before.config)
    sizes = [(folder / name).stat().st_size for name in ("checkpoints/trained.safetensors", "small.safetensors")]
    assert sizes[0] - sizes[1] >= weights / 2 - 16


def test_int8_export_scores_nearly_the_same(charlm: Charlm, folder: Path) -> None:
    assert charlm("models", "export", "trained", "-o", "small.safetensors", "--int8").code == 0
    (folder / "t.txt").write_text("the ferry and the town\n" * 5, encoding="utf-8")
    before, after = (
        json.loads(charlm("eval", name, "t.txt", "--json").out)["nats_per_char"]
        for name in ("trained", "./small.safetensors")
    )
    assert before != after
    assert abs(before - after) < 0.01


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "precision"), [("a.html", "full"), ("a.html", "int8"), ("a.onnx", "half")])
def test_export_in_a_precision_that_the_file_lacks_is_refused(charlm: Charlm, name: str, precision: str) -> None:
    assert_refused(charlm("models", "export", "bare", "-o", name, f"--{precision}"), 2, "precision")


@pytest.mark.usefixtures("folder")
def test_export_to_onnx_writes_all_weights(charlm: Charlm, folder: Path) -> None:
    pytest.importorskip("onnx", reason="NOT TESTED: onnx files need onnx")
    assert charlm("models", "export", "trained", "-o", "t.onnx").code == 0
    weights = parameter_count(load(folder / "checkpoints/trained.safetensors").config)
    assert (folder / "t.onnx").stat().st_size > 4 * weights


def test_full_export_is_exact_and_overwrites_only_with_force(charlm: Charlm, folder: Path) -> None:
    assert charlm("models", "export", "trained", "-o", "copy.safetensors", "--full").code == 0
    assert load(folder / "copy.safetensors").fingerprint == load(folder / "checkpoints/trained.safetensors").fingerprint
    before = (folder / "copy.safetensors").read_bytes()
    assert_refused(charlm("models", "export", "bare", "-o", "copy.safetensors"), 1, "already exists")
    assert (folder / "copy.safetensors").read_bytes() == before
    assert charlm("models", "export", "bare", "-o", "copy.safetensors", "--force").code == 0
    assert (folder / "copy.safetensors").read_bytes() != before
