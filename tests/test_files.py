"""A write that fails, wherever it fails, leaves the old file and no other."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
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


DISK_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
NO_PERMISSION = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write_half(path: Path, error: BaseException) -> None:
    with atomic_writer(path) as file:
        file.write(b"half of the n")
        raise error


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


@pytest.mark.parametrize("error", [ValueError("a bug"), CorpusError("bad text"), KeyboardInterrupt(), DISK_FULL])
def test_exception_in_the_block_leaves_the_old_file(old: Path, error: BaseException) -> None:
    with pytest.raises(OutputError if error is DISK_FULL else type(error)):
        write_half(old, error)
    assert holds_only(old, b"old")


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (os, "fsync", DISK_FULL),
        (Path, "replace", DISK_FULL),
        (Path, "chmod", DISK_FULL),
        (tempfile, "mkstemp", NO_PERMISSION),
    ],
)
def test_system_error_leaves_the_old_file(
    old: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: OSError
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(OutputError) as caught:
            write_bytes(old, b"new")
    assert str(old) in caught.value.message
    assert str(error.strerror) in caught.value.message
    assert caught.value.hint
    assert holds_only(old, b"old")


@pytest.mark.parametrize("name", ["file/model", "folder", "m" * 300])
def test_impossible_path_is_an_output_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError):
        write_bytes(tmp_path / name, b"new")
    assert sorted(tmp_path.rglob("*")) == before


def test_kill_at_any_instant_leaves_old_or_new_file(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name must never point to data that is not synced."""
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


def test_folder_that_cannot_be_synced_is_no_error(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def files_only(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    write_bytes(old, b"new")
    assert holds_only(old, b"new")


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "model", b"new")
        assert os.umask(umask) == umask, "the umask is left as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o666 & ~umask
