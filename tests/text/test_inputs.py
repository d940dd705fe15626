"""Files from a command line: folders at every depth, without what is hidden or binary there; what is named is meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.errors import CorpusError, NotFoundError
from charlm.text.inputs import find_files


def make_files(folder: Path, *names: str, content: bytes = b"text") -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return paths


def test_a_folder_is_searched_at_every_depth_and_sorted(tmp_path: Path) -> None:
    paths = make_files(tmp_path, "b.txt", "a/z.txt", "a/b/c.md", "c/a.txt", "B", "empty")
    (tmp_path / "empty").write_bytes(b"")
    assert find_files([tmp_path]) == (sorted(paths), [])


def test_hidden_files_are_ignored_and_binary_ones_reported(tmp_path: Path) -> None:
    paths = make_files(tmp_path, "a.txt", "sub/b.txt")
    make_files(tmp_path, ".hidden", ".git/config", "sub/.hidden.txt")
    binary = make_files(tmp_path, "image.png", "sub/model.bin", content=b"\x89PNG\0")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert find_files([tmp_path]) == (paths, [str(path) for path in binary])


def test_a_hidden_or_binary_file_that_is_named_is_meant(tmp_path: Path) -> None:
    (hidden,) = make_files(tmp_path, ".hidden")
    (binary,) = make_files(tmp_path, "binary", content=b"\0")
    assert find_files([binary, hidden]) == ([binary, hidden], [])


def test_inputs_keep_their_order(tmp_path: Path) -> None:
    b, one, two, a = make_files(tmp_path, "b", "folder/1", "folder/2", "a")
    assert find_files([b, str(tmp_path / "folder"), a]) == ([b, one, two, a], [])


def test_a_pattern_chooses_among_a_folders_files_only(tmp_path: Path) -> None:
    named, text, deep, _ = make_files(tmp_path / "x", "named.log", "folder/b.txt", "folder/sub/a.txt", "folder/c.md")
    folder = tmp_path / "x" / "folder"
    assert find_files([named, folder], "*.txt") == ([named, text, deep], [])
    assert find_files([folder], "sub/*") == ([deep], [])


def test_a_folder_of_utf_16_is_not_taken_for_binary(tmp_path: Path) -> None:
    paths = make_files(tmp_path, "a.txt", "b.txt", content="text".encode("utf-16"))
    assert find_files([tmp_path], encoding="utf-16") == (paths, [])
    with pytest.raises(CorpusError):
        find_files([tmp_path])


def only_binary(folder: Path) -> None:
    make_files(folder, "a.bin", content=b"\0")


def only_hidden(folder: Path) -> None:
    make_files(folder, ".a.txt", ".git/config")


@pytest.mark.parametrize("fill", [only_binary, only_hidden, lambda _: None], ids=["binary", "hidden", "empty"])
def test_a_folder_without_text_is_refused(tmp_path: Path, fill: Callable[[Path], None]) -> None:
    fill(tmp_path)
    with pytest.raises(CorpusError, match="no text in the folder") as caught:
        find_files([tmp_path])
    assert "--glob" in (caught.value.hint or "")


def test_a_path_where_nothing_is_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no such file or folder: .*nothing\.txt"):
        find_files([make_files(tmp_path, "here")[0], tmp_path / "nothing.txt"])


def test_a_pipe_is_a_file_for_those_who_read_it_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert find_files([path]) == ([path], [])
