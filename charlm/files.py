"""The user's data folder, and atomic writing: a kill at any instant leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from charlm.errors import OutputError

SUFFIX: Final = ".safetensors"  # of a model file


def home() -> Path:
    """Return the user's data folder; the environment variable CHARLM_HOME moves it."""
    if moved := os.environ.get("CHARLM_HOME"):
        return Path(moved)
    import platformdirs

    return platformdirs.user_data_path("charlm", appauthor=False)


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file next to `path`, and move it to `path` when the block succeeds.

    Raises OutputError if the file cannot be written (no permission, disk full); the old file is unchanged.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes a private file; models are for sharing, so they get the permissions of the umask.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}", "check free space and permissions"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically; raise OutputError if that fails."""
    with atomic_writer(path) as file:
        file.write(data)


def write_rescue(name: str, text: str) -> Path:
    """Write a text that must not be lost into a new private file; return its path.

    It is in the user's data folder, or else in the folder for temporary files. Raises OutputError if neither works.
    """
    prefix = f"{Path(name).stem}-{time.strftime('%Y%m%d-%H%M%S')}-"
    reason: OSError | None = None
    for folder in (home(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(Path(name).suffix, prefix, folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError as error:
            reason = error
        else:
            return Path(path)
    raise OutputError(f"cannot write {name}: {reason and reason.strerror}", "make room on the disk") from reason


def _sync_folder(folder: Path) -> None:
    # A rename is durable only when its folder is synced. Some platforms cannot open a folder.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
