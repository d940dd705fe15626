"""Files of a command line: folders are searched without hidden and binary files, named files are always taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from charlm.errors import CorpusError, NotFoundError
from charlm.text.decoding import Encoding
from charlm.text.inputs import find_files


def make_files(folder: Path, *names: str, content: bytes = b"text") -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return paths


def test_folder_is_searched_at_every_depth_and_sorted(tmp_path: Path) -> None:
    paths = make_files(tmp_path, "b.txt", "a/z.txt", "a/b/c.md", "c/a.txt", "B", "empty")
    (tmp_path / "empty").write_bytes(b"")
    assert find_files([tmp_path]) == (sorted(paths), [])


def test_hidden_files_are_ignored_and_binary_ones_reported(tmp_path: Path) -> None:
    paths = make_files(tmp_path, "a.txt", "sub/b.txt")
    make_files(tmp_path, ".hidden", ".git/config", "sub/.hidden.txt")
    binary = make_files(tmp_path, "image.png", "sub/model.bin", content=b"\x89PNG\0")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert find_files([tmp_path]) == (paths, [str(path) for path in binary])


def test_named_files_keep_their_order_even_hidden_or_binary(tmp_path: Path) -> None:
    b, one, two, hidden = make_files(tmp_path, "b", "folder/1", "folder/2", ".hidden")
    (binary,) = make_files(tmp_path, "binary", content=b"\0")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert find_files([binary, b, str(tmp_path / "folder"), hidden, pipe]) == ([binary, b, one, two, hidden, pipe], [])


def test_pattern_selects_files_of_folders_only(tmp_path: Path) -> None:
    named, text, deep, _ = make_files(tmp_path / "x", "named.log", "folder/b.txt", "folder/sub/a.txt", "folder/c.md")
    folder = tmp_path / "x" / "folder"
    assert find_files([named, folder], "*.txt") == ([named, text, deep], [])
    assert find_files([folder], "sub/*") == ([deep], [])


def test_folder_of_utf_16_is_not_binary(tmp_path: Path) -> None:
    paths = make_files(tmp_path, "a.txt", "b.txt", content="some text of a letter".encode("utf-16-le"))
    assert find_files([tmp_path], encoding=Encoding("utf-16-le")) == (paths, [])
    assert find_files([tmp_path]) == (paths, []), "reading it gives the hint"


@pytest.mark.parametrize("names", [(), ("a.bin",), (".a.txt", ".git/config")], ids=["empty", "binary", "hidden"])
def test_folder_without_text_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    make_files(tmp_path, *names, content=b"\0")
    with pytest.raises(CorpusError, match="no text in the folder") as caught:
        find_files([tmp_path])
    assert "--glob" in (caught.value.hint or "")


def test_missing_path_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no such file or folder: .*nothing\.txt"):
        find_files([make_files(tmp_path, "here")[0], tmp_path / "nothing.txt"])
