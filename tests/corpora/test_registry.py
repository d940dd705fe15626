"""Names of corpora are found, but a file of that name comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

import charlm
from charlm.corpora import build, registry
from charlm.corpora.catalogue import Recipe
from charlm.errors import NotFoundError

from .conftest import copying


@pytest.fixture
def built(recipe: Recipe, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and a built corpus `harbours`."""
    build.build(recipe, download=copying(archive))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_corpora_folder_is_in_a_checkout_or_in_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHARLM_HOME", str(tmp_path))
    assert registry.folder() == tmp_path / "corpora"
    monkeypatch.delenv("CHARLM_HOME")
    checkout = Path(charlm.__file__).parent.parent
    assert registry.folder() == checkout / "corpora", "these tests run from a checkout"
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "lib" / "charlm" / "corpora" / "registry.py"))
    monkeypatch.setattr(registry, "home", lambda: tmp_path / "data")
    assert registry.folder() == tmp_path / "data" / "corpora"


def test_built_corpus_is_found_by_name(built: Path) -> None:
    assert registry.resolve(["harbours", "-"]) == [str(registry.text_path("harbours")), "-"]
    assert registry.form(["harbours"]) == "plain"
    assert list(registry.built()) == ["harbours"]


def test_file_or_folder_of_that_name_comes_first(built: Path) -> None:
    (built / "harbours").mkdir()
    assert registry.resolve(["harbours"]) == ["harbours"]
    assert registry.form(["harbours"]) is None


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("paths", [["-"], ["harbours", "harbours"], [], ["nothing"]])
def test_form_of_other_inputs_is_none(paths: list[str]) -> None:
    assert registry.form(paths) is None


def test_other_text_in_the_folder_is_found_by_name(built: Path) -> None:
    registry.text_path("mine").write_text("over and back", encoding="utf-8")
    assert registry.resolve(["mine"]) == [str(registry.text_path("mine"))]
    assert registry.form(["mine"]) is None


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("harbors", "no file, folder or corpus named 'harbors'", "did you mean harbours?"),
        ("smalltalk", "the corpus 'smalltalk' is not built yet", "charlm corpora build smalltalk"),
        ("smaltalk", "no file, folder or corpus named 'smaltalk'", "did you mean smalltalk?"),
        ("zzz.txt", "no file, folder or corpus named 'zzz.txt'", "corpora that are built: harbours"),
        ("away/zzz.txt", "no such file or folder: away/zzz.txt", None),
        ("../afar/zzz.txt", "no such file or folder: ../afar/zzz.txt", None),
        ("x" * 5000, f"no file, folder or corpus named '{'x' * 5000}'", "corpora that are built: harbours"),
    ],
)
def test_unknown_name_raises_with_a_hint(name: str, message: str, hint: str | None) -> None:
    with pytest.raises(NotFoundError) as caught:
        registry.resolve([name])
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_similar_files_are_in_the_hint(built: Path) -> None:
    (built / "novel.txt").touch()
    (built / "sub").mkdir()
    (built / "sub" / "poems.txt").touch()
    for wrong, right in (("novl.txt", "novel.txt"), ("sub/poem.txt", "sub/poems.txt")):
        with pytest.raises(NotFoundError) as caught:
            registry.resolve([wrong])
        assert caught.value.hint == f"did you mean {right}?"


@pytest.mark.usefixtures("built")
def test_path_outside_the_folder_is_no_name() -> None:
    with pytest.raises(NotFoundError):
        registry.find("../corpora/harbours")
