"""A text's code points on disk, read in one pass that can be taken up again.

Owns what stands between files and ids: while the text is read, its normalised code points are written into one file,
each stretch as narrow as it can be (one byte a character for most European text), and counted. Only when all of it is
read is known which characters are worth an id. Every `JOURNAL` bytes the state of the reading is kept, so that one that
was interrupted goes on from there. Knows nothing of vocabularies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from charlm.files import write_bytes
from charlm.text.vocabulary import CODE_POINTS, code_points

Points = NDArray[np.unsignedinteger[Any]]
# Reads a file's text from a byte offset on: pieces, each with the offset after it, or None where nobody can begin.
ReadFrom = Callable[[Path, int, Callable[[bytes], None]], Iterator[tuple[str, int | None]]]

JOURNAL = 1 << 26  # bytes read between two entries
BLOCK = 1 << 20  # characters read back at a time
_WIDTHS: dict[int, type[np.unsignedinteger[Any]]] = {1: np.uint8, 2: np.uint16, 4: np.uint32}


@dataclass(frozen=True)
class TextSource:
    """One input as the model's card names it."""

    name: str
    sha256: str
    bytes: int


@dataclass
class _State:
    """How far the reading has come."""

    file: int = 0  # which is being read
    offset: int = 0  # bytes of it that are done
    last: str = ""  # the last character of it
    bytes: int = 0  # of the files before it
    written: int = 0  # bytes of code points
    runs: list[list[int]] = field(default_factory=list)  # [width, characters] of each stretch
    sources: list[TextSource] = field(default_factory=list)  # those that are done


class Pages:
    """Several files as one text, each ending in a newline, as code points in a file.

    Args:
        files: what to read.
        read: how.
        path: where the code points go; `path` with the suffix .json is the journal.
        key: changes whenever the files do, see `fingerprint`; a journal of another key is of no use.
    """

    def __init__(self, files: Sequence[Path], read: ReadFrom, path: Path, key: str) -> None:
        self.files = list(files)
        self.counts: NDArray[np.int64] = np.zeros(CODE_POINTS, dtype=np.int64)
        self._read = read
        self._path = path
        self._key = key
        self._now = _State()
        self._size = 0  # bytes read of the file under way

    @property
    def bytes(self) -> int:
        """Read so far."""
        return self._now.bytes + self._size

    @property
    def sources(self) -> list[TextSource]:
        """The files that are done."""
        return self._now.sources

    @property
    def _journal(self) -> Path:
        return self._path.with_suffix(".json")

    def fill(self) -> Iterator[None]:
        """Read what is not read yet; pauses after every piece."""
        self._take_up()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("r+b" if self._path.exists() else "wb") as out:
            out.truncate(self._now.written)
            out.seek(self._now.written)
            noted = self.bytes
            while self._now.file < len(self.files):
                for can_begin_here in self._fill_from_file(out):
                    yield
                    if can_begin_here and self.bytes - noted >= JOURNAL:
                        out.flush()
                        self._note()
                        noted = self.bytes

    def _fill_from_file(self, out: BinaryIO) -> Iterator[bool]:
        now, path = self._now, self.files[self._now.file]
        digest = hashlib.sha256()

        def take(block: bytes) -> None:
            digest.update(block)
            self._size += len(block)

        for piece, offset in self._read(path, now.offset, take):
            self._write(piece, out)
            now.last = piece[-1:] or now.last
            if offset is not None:
                now.offset = offset
            yield offset is not None
        if now.file < len(self.files) - 1 and now.last and now.last != "\n":
            self._write("\n", out)
        now.sources.append(TextSource(path.name, digest.hexdigest(), self._size))
        now.bytes, self._size = now.bytes + self._size, 0
        now.file, now.offset, now.last = now.file + 1, 0, ""
        yield True

    def _write(self, text: str, out: BinaryIO) -> None:
        if not text:
            return
        points: Points = np.frombuffer(text.encode("ascii"), np.uint8) if text.isascii() else code_points(text)
        found = np.bincount(points)
        self.counts[: len(found)] += found
        width = 1 if len(found) <= 1 << 8 else 2 if len(found) <= 1 << 16 else 4
        out.write(points.astype(_WIDTHS[width], copy=False).data)
        runs = self._now.runs
        if runs and runs[-1][0] == width:
            runs[-1][1] += len(points)
        else:
            runs.append([width, len(points)])
        self._now.written += width * len(points)

    def _note(self) -> None:
        seen = np.flatnonzero(self.counts)
        counts = [seen.tolist(), self.counts[seen].tolist()]
        write_bytes(self._journal, json.dumps({"key": self._key, "counts": counts, **asdict(self._now)}).encode())

    def _take_up(self) -> None:
        if not self._journal.exists() or not self._path.exists():
            return
        document = json.loads(self._journal.read_bytes())
        seen, counts = document.pop("counts")
        if document.pop("key") != self._key or self._path.stat().st_size < document["written"]:
            return
        self.counts[seen] = counts
        self._now = _State(**{**document, "sources": [TextSource(**source) for source in document["sources"]]})

    def __iter__(self) -> Iterator[Points]:
        """The code points, in stretches of a block."""
        return self.between(0, int(self.counts.sum()))

    def between(self, first: int, last: int) -> Iterator[Points]:
        """The code points of a stretch of the text, by characters, in stretches of a block."""
        with self._path.open("rb") as file:
            start = place = 0  # of the run: its first character, its first byte
            for width, characters in self._now.runs:
                lower, upper = max(first - start, 0), min(last - start, characters)
                file.seek(place + width * lower)
                for begin in range(lower, upper, BLOCK):
                    count = min(BLOCK, upper - begin)
                    yield np.frombuffer(file.read(width * count), _WIDTHS[width])
                start, place = start + characters, place + width * characters

    def text(self) -> Iterator[str]:
        """The text again, piece by piece."""
        for points in self:
            yield points.astype(np.uint32).tobytes().decode("utf-32-le")

    def drop(self) -> None:
        """Delete the code points; the ids have taken their place."""
        self._path.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)


def fingerprint(files: Sequence[Path], *rest: object) -> str:
    """A name for files as they are now, by their paths, sizes and times, and for how they are read."""
    digest = hashlib.sha256(json.dumps([str(one) for one in rest]).encode())
    for path in files:
        stat = path.stat()
        digest.update(f"\n{path.absolute()} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
