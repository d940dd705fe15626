"""The text files that a command line names.

Hidden and binary files in folders are skipped; a file that is named itself is always taken.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from charlm.errors import CorpusError, NotFoundError
from charlm.text.decoding import UTF8, Encoding, is_binary


def find_files(
    paths: Sequence[str | Path], pattern: str = "*", encoding: Encoding = UTF8
) -> tuple[list[Path], list[str]]:
    """Return the text files that a command line names.

    Args:
        paths: files, and folders that are searched at every depth.
        pattern: a glob that a folder's files must match.
        encoding: of the files; it decides which files are binary.

    Returns:
        The files in order (a folder's sorted by path), and the names of skipped binary files.

    Raises:
        NotFoundError: a path does not exist.
        CorpusError: a folder has no text.
        UsageError: there is no such encoding.
    """
    encoding.check()
    found: list[Path] = []
    skipped: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            before = len(found)
            for file in sorted(_walk(path, pattern)):
                if _is_binary(file, encoding):
                    skipped.append(str(file))
                else:
                    found.append(file)
            if len(found) == before:
                raise CorpusError(f"no text in the folder {path}", f"files there must match {pattern!r}; see --glob")
        elif path.exists():
            found.append(path)
        else:
            raise NotFoundError(f"no such file or folder: {path}")
    return found, skipped


def _is_binary(file: Path, encoding: Encoding) -> bool:
    try:
        return is_binary(file, encoding)
    except CorpusError:
        return False  # reading it will report the problem


def _walk(folder: Path, pattern: str) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.match(pattern) and path.is_file():
                yield path
