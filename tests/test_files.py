"""A write that fails, wherever it fails, leaves the old file and no other."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charlm.errors import CorpusError, OutputError
from charlm.files import atomic_writer, write_bytes


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    return path


def holds_only(path: Path, content: bytes) -> bool:
    return path.read_bytes() == content and list(path.parent.iterdir()) == [path]


def disk_full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_half(path: Path, fail: Callable[[], None]) -> None:
    with atomic_writer(path) as file:
        file.write(b"half of the n")
        fail()


def test_new_file_replaces_the_old_one_when_the_block_ends(old: Path) -> None:
    with atomic_writer(old) as file:
        file.write(b"new ")
        file.flush()
        assert old.read_bytes() == b"old"
        file.write(b"file")
    assert holds_only(old, b"new file")


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.bin"
    write_bytes(path, b"\0\r\n")
    assert holds_only(path, b"\0\r\n")


@pytest.mark.parametrize("error", [ValueError("a bug"), CorpusError("bad text"), KeyboardInterrupt()])
def test_exception_in_the_block_leaves_the_old_file(old: Path, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        write_half(old, fail)
    assert caught.value is error
    assert holds_only(old, b"old")


def test_a_full_disk_while_writing_leaves_the_old_file(old: Path) -> None:
    with pytest.raises(OutputError):
        write_half(old, disk_full)
    assert holds_only(old, b"old")


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "replace"), (Path, "chmod")])
def test_a_full_disk_while_finishing_leaves_the_old_file(
    old: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, disk_full)
        with pytest.raises(OutputError) as caught:
            write_bytes(old, b"new")
    assert str(old) in caught.value.message
    assert os.strerror(errno.ENOSPC) in caught.value.message
    assert caught.value.hint
    assert holds_only(old, b"old")


def test_no_permission_is_the_users_situation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("charlm.files.tempfile.mkstemp", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        write_bytes(tmp_path / "model", b"new")
    assert not list(tmp_path.iterdir())


def a_file_for_a_folder(folder: Path) -> Path:
    (folder / "file").write_bytes(b"here before")
    return folder / "file" / "model"


def a_folder_for_a_file(folder: Path) -> Path:
    (folder / "model").mkdir()
    return folder / "model"


def a_name_too_long(folder: Path) -> Path:
    return folder / ("m" * 300)


@pytest.mark.parametrize("make", [a_file_for_a_folder, a_folder_for_a_file, a_name_too_long])
def test_a_place_that_cannot_be_is_the_users_situation(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError):
        write_bytes(path, b"new")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_kill_at_any_instant_leaves_the_old_file_or_the_new(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step that reaches the disk is stopped at once; a name must never point to data that is not synced."""
    steps: list[str] = []
    synced: set[int] = set()
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(handle: int) -> None:
        status = os.fstat(handle)
        steps.append("sync folder" if stat.S_ISDIR(status.st_mode) else "sync file")
        assert old.read_bytes() == (b"new" if steps[-1] == "sync folder" else b"old")
        assert stat.S_ISDIR(status.st_mode) or status.st_size == len(b"new"), "synced before all was written"
        synced.add(status.st_ino)
        fsync(handle)

    def watched_replace(path: Path, target: Path) -> Path:
        steps.append("replace")
        assert path.stat().st_ino in synced
        assert path.parent == target.parent, "a rename is atomic only within a folder"
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    write_bytes(old, b"new")
    assert steps == ["sync file", "replace", "sync folder"]


def test_a_folder_that_cannot_be_synced_does_not_matter(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def files_only(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    write_bytes(old, b"new")
    assert holds_only(old, b"new")


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_file_is_as_readable_as_the_umask_allows(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "model", b"new")
        assert os.umask(umask) == umask, "the umask is left as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o666 & ~umask
