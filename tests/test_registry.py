"""A name finds a model: as a path first, then in the folders in their order."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from charlm import registry
from charlm.errors import NotFoundError, UsageError
from charlm.registry import bundled_folder, default_model, find_model, folders, home, is_path, models

find_bundled_folder = bundled_folder  # an autouse fixture replaces the one in the module

LATER = 4_102_444_800  # the year 2100: after anything that is bundled


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def three_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace the real folders; the last one has the bundled models."""
    three = [tmp_path / name for name in ("first", "second", "third")]
    monkeypatch.setattr(registry, "folders", lambda: three)
    monkeypatch.setattr(registry, "bundled_folder", lambda: three[2])
    return three


def put(path: Path, written: float = LATER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    os.utime(path, (written, written))
    return path


def test_folders_are_local_then_home_then_bundled() -> None:
    here, at_home, bundled = folders()
    assert here.resolve() == Path.cwd() / "checkpoints"
    assert at_home == Path(os.environ["CHARLM_HOME"]) / "checkpoints"
    assert bundled == registry.bundled_folder()
    for folder in (at_home, here):
        path = put(folder / "sea.safetensors")
        assert find_model("sea") == path


def test_environment_moves_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHARLM_HOME", str(tmp_path / "elsewhere"))
    assert home() == tmp_path / "elsewhere"
    monkeypatch.delenv("CHARLM_HOME")
    assert home().name == "charlm"
    assert home().is_absolute()


def test_name_in_two_folders_finds_the_first(three_folders: list[Path]) -> None:
    made = [put(folder / "sea.safetensors") for folder in three_folders]
    for path in made:
        assert find_model("sea") == path
        assert find_model("sea.safetensors") == path
        assert list(models()) == [path]
        path.unlink()
    with pytest.raises(NotFoundError):
        find_model("sea")


def test_path_wins_over_name(three_folders: list[Path]) -> None:
    put(three_folders[0] / "sea.safetensors")
    elsewhere = put(Path("elsewhere/lake.safetensors"))
    assert find_model("elsewhere/lake.safetensors") == elsewhere
    assert find_model(str(elsewhere.resolve())) == elsewhere.resolve()
    for name in ("sea", "sea.safetensors", "sea.bin"):  # a local file with any suffix
        path = put(Path(name))
        assert find_model(name) == path


def test_path_without_suffix_finds_a_model(three_folders: list[Path]) -> None:
    path = put(Path("elsewhere/lake.v2.safetensors"))
    put(three_folders[0] / "elsewhere/lake.v2.safetensors")
    for name in ("elsewhere/lake.v2", "./elsewhere/lake.v2", str(path.resolve())):
        assert find_model(name).samefile(path)
    put(Path("elsewhere/lake.v2"))
    assert find_model("elsewhere/lake.v2") == Path("elsewhere/lake.v2")


def test_folder_is_no_model_unless_its_path_is_given(three_folders: list[Path]) -> None:
    for folder in (Path("sea"), Path("lake.safetensors"), three_folders[0] / "sea.safetensors"):
        folder.mkdir(parents=True)
    path = put(three_folders[1] / "sea.safetensors")
    assert find_model("sea") == path
    assert list(models()) == [path]
    assert find_model("lake.safetensors") == Path("lake.safetensors")


def test_models_lists_each_name_once_folder_by_folder(three_folders: list[Path]) -> None:
    names = {"first": ["b", "d"], "second": ["a", "b"], "third": ["a", "c"]}
    made = [put(Path(folder, f"{name}.safetensors").absolute()) for folder in names for name in names[folder]]
    expected = [path for path in made if (path.parent.name, path.stem) not in (("second", "b"), ("third", "a"))]
    put(three_folders[0] / "notes.txt")
    put(three_folders[0] / "b.run" / "resume.safetensors")
    assert list(models()) == expected
    assert [find_model(path.stem) for path in expected] == expected


@pytest.mark.parametrize(
    ("name", "similar"),
    [("harbuor", "harbour"), ("Harbour", "harbour"), ("shakespear", "shakespeare"), ("sea-2", "sea")],
)
def test_unknown_name_hints_at_similar_names(three_folders: list[Path], name: str, similar: str) -> None:
    for folder, known in zip(three_folders, ("harbour", "shakespeare", "sea"), strict=True):
        put(folder / f"{known}.safetensors")
    with pytest.raises(NotFoundError) as refused:
        find_model(name)
    assert repr(name) in refused.value.message
    assert refused.value.hint == f"did you mean {similar}?"


def test_unknown_name_hints_at_the_next_step(three_folders: list[Path]) -> None:
    for name, hint in (("sea", "charlm train"), ("xyz", "charlm models")):
        with pytest.raises(NotFoundError) as refused:
            find_model(name)
        assert hint in (refused.value.hint or "")
        put(three_folders[2] / "harbour.safetensors")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "a\0b", "x" * 300, "x" * 300 + ".safetensors", "x/" * 3000, "*", "a\nb", "\udcff"]
)
def test_impossible_names_are_not_found(three_folders: list[Path], name: str) -> None:
    put(three_folders[0] / "sea.safetensors")
    with pytest.raises(NotFoundError):
        find_model(name)


def test_default_model_is_the_newest(three_folders: list[Path]) -> None:
    first, second, third = three_folders
    put(first / "a.safetensors", LATER)
    put(second / "b.safetensors", LATER + 2)
    put(third / "c.safetensors", LATER + 1)
    put(third / "d.txt", LATER + 9)
    assert default_model() == second / "b.safetensors"
    put(third / "c.safetensors", LATER + 3)
    assert default_model() == third / "c.safetensors"
    put(third / "a.safetensors", LATER + 4)  # its name finds another model
    assert default_model() == third / "c.safetensors"


def test_default_model_without_own_models_is_bundled(three_folders: list[Path]) -> None:
    first, second, third = three_folders
    with pytest.raises(NotFoundError, match="no model yet"):
        default_model()
    put(third / "python.safetensors", LATER + 2)
    put(third / "smalltalk.safetensors", LATER)
    assert default_model() == third / "smalltalk.safetensors"
    (third / "smalltalk.safetensors").unlink()
    assert default_model() == third / "python.safetensors"
    put(second / "mine.safetensors", LATER - 9)  # older than what came with charlm, but their own
    assert default_model() == second / "mine.safetensors"
    put(first / "smalltalk.safetensors", LATER - 5)  # a bundled one's name in another folder is no bundled one
    assert default_model() == first / "smalltalk.safetensors"


@pytest.mark.parametrize("has_home", [False, True])
def test_checkout_shows_bundled_models_whatever_home_is(monkeypatch: pytest.MonkeyPatch, has_home: bool) -> None:
    if not has_home:
        monkeypatch.delenv("CHARLM_HOME")
    assert find_bundled_folder() == Path(registry.__file__).parents[1] / "checkpoints"
    assert (find_bundled_folder() / "smalltalk.safetensors").exists()


def test_package_without_checkout_has_models_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "site-packages" / "charlm" / "registry.py"))
    assert find_bundled_folder() == tmp_path / "site-packages" / "charlm" / "checkpoints"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a", False), ("a.b", False), ("a.safetensors", True), ("./a", True), ("b/a", True), ("/a", True)],
)
def test_is_path_needs_suffix_or_slash(name: str, expected: bool) -> None:
    assert is_path(name) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["novel.safetensors", "novel-int8.safetensors"], "novel.safetensors"),
        (["model.safetensors"], "model.safetensors"),
        (["a.safetensors", "b.safetensors"], None),
        ([], None),
    ],
)
def test_repository_on_hugging_face_is_a_model(
    files: list[str], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in files:
        put(tmp_path / name)

    def snapshot_download(repository: str, allow_patterns: str) -> str:
        assert (repository, allow_patterns) == ("owner/novel", "*.safetensors")
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    if expected is None:
        with pytest.raises(NotFoundError, match=f"hf:owner/novel has {len(files)} files that may be"):
            find_model("hf:owner/novel")
    else:
        assert find_model("hf:owner/novel") == tmp_path / expected


def test_failed_download_and_missing_package_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise OSError("404\nmore")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=fail))
    with pytest.raises(NotFoundError, match=r"^hf:owner/novel cannot be downloaded: 404$"):
        find_model("hf:owner/novel")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"^hf:owner/novel needs huggingface_hub, which is not installed$"):
        find_model("hf:owner/novel")
