"""Reads texts from a wheel (zip) or an sdist (tar.gz) in memory; nothing is unpacked to disk.

Any other file is itself a text, plain or gzipped. A hostile archive has little effect: only files that match the
patterns are read, up to a limit, and their paths are only names.
"""

from __future__ import annotations

import fnmatch
import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from charlm.errors import CorpusError

MAX_BYTES: Final = 500_000_000  # read from an archive, unpacked


def texts(path: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Return the texts of an archive, or of the file itself, by path, in the order of patterns and then of paths.

    Raises:
        CorpusError: the archive is damaged, has no such files, is too large, or has a file that is not UTF-8.
    """
    try:
        members = dict(_members(path, patterns))
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, RuntimeError) as error:
        raise CorpusError(f"cannot read {path.name}: {error}") from error
    ordered = [name for pattern in patterns for name in sorted(members) if fnmatch.fnmatchcase(name, pattern)]
    if not ordered:
        raise CorpusError(f"{path.name} has no file that matches {' or '.join(patterns)}")
    found = {}
    for name in dict.fromkeys(ordered):
        try:
            found[name] = members[name].decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CorpusError(f"{name} in {path.name} is not UTF-8: byte 0x{members[name][error.start]:02X}") from error
    return found


def _members(path: Path, patterns: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    room = MAX_BYTES
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.is_dir() and _matches(entry.filename, patterns):
                    with archive.open(entry) as file:
                        data = file.read(room + 1)
                    room = _less(room, data, path)
                    yield entry.filename, data
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and _matches(member.name, patterns) and (opened := tar.extractfile(member)):
                    data = opened.read(room + 1)
                    room = _less(room, data, path)
                    yield member.name, data
    else:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(room + 1)
        _less(room, data, path)
        name = path.stem if path.suffix == ".gz" else path.name
        if _matches(name, patterns):
            yield name, data


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return ".." not in PurePosixPath(name).parts and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _less(room: int, data: bytes, path: Path) -> int:
    if len(data) > room:
        raise CorpusError(f"{path.name} holds more than {MAX_BYTES:,} bytes of text")
    return room - len(data)
