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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from charlm.errors import CorpusError

MAX_BYTES: Final = 500_000_000  # read from an archive, unpacked


def texts(
    path: Path, patterns: Sequence[str], *, encoding: str = "utf-8-sig", max_bytes: int = MAX_BYTES
) -> list[tuple[str, str]]:
    """Return path and text of each file in an archive that matches, in the order of patterns and then of paths.

    Raises:
        CorpusError: the archive is damaged, has no such files, is too large, or has a file in another encoding.
    """
    members: dict[str, bytes] = {}
    left = max_bytes
    try:
        for name, opened in _members(path):
            if ".." not in PurePosixPath(name).parts and any(fnmatch.fnmatchcase(name, one) for one in patterns):
                with opened() as file:
                    members[name] = file.read(left + 1)
                left -= len(members[name])
                if left < 0:
                    raise CorpusError(f"{path.name} holds more than {max_bytes:,} bytes of text")
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, RuntimeError) as error:
        raise CorpusError(f"cannot read {path.name}: {error}") from error
    ordered = [name for pattern in patterns for name in sorted(members) if fnmatch.fnmatchcase(name, pattern)]
    if not ordered:
        raise CorpusError(f"{path.name} has no file that matches {' or '.join(patterns)}")
    found = []
    for name in dict.fromkeys(ordered):
        try:
            found.append((name, members[name].decode(encoding)))
        except UnicodeDecodeError as error:
            shown = encoding.removesuffix("-sig").upper()
            byte = members[name][error.start]
            raise CorpusError(f"{name} in {path.name} is not {shown}: byte 0x{byte:02X}") from error
    return found


def _members(path: Path) -> Iterator[tuple[str, Callable[[], IO[bytes] | gzip.GzipFile]]]:
    """Yield name and opener of each file in an archive."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield entry.filename, partial(archive.open, entry)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            for member in filter(tarfile.TarInfo.isfile, tar):
                yield member.name, partial(cast("Callable[[tarfile.TarInfo], IO[bytes]]", tar.extractfile), member)
    elif path.suffix == ".gz":
        yield path.stem, partial(gzip.GzipFile, path)
    else:
        yield path.name, lambda: path.open("rb")
