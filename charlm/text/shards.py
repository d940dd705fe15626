"""A text's ids on disk: one file, or several of bounded size that are read as if they were one.

Owns those files. A shard holds the ids of a stretch of the text. Each is written atomically and depends on nothing but
its stretch, so that an encoding that was interrupted goes on with the shard where it stood, and of a text that lost a
shard only that one is made again. Knows nothing of splits or lanes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError, UsageError
from charlm.files import atomic_writer
from charlm.text.points import Pages
from charlm.text.vocabulary import CODE_POINTS, Vocabulary

AnyIds = NDArray[np.unsignedinteger[Any]]

MOST = 1 << 30  # characters of a shard where nobody says how many shards there are to be
MOST_SHARDS = 10_000


class Shards:
    """Several arrays of ids, read as if they were one.

    Args:
        parts: the arrays, in order; none is empty.
    """

    def __init__(self, parts: Sequence[AnyIds]) -> None:
        self.parts = tuple(parts)
        self._starts = np.cumsum([0, *map(len, self.parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, places: slice | NDArray[np.integer[Any]]) -> AnyIds:
        """Ids at places: a slice without a step, or an array of indices from 0 on, of any shape."""
        if isinstance(places, slice):
            first, last, step = places.indices(len(self))
            assert step == 1
            found = list(self._between(first, last))
            return found[0] if len(found) == 1 else np.concatenate(found or [self.parts[0][:0]])
        result = np.empty(places.shape, dtype=self.parts[0].dtype)
        holders = np.searchsorted(self._starts, places, side="right") - 1
        for holder in np.unique(holders):
            here = holders == holder
            result[here] = self.parts[holder][places[here] - self._starts[holder]]
        return result

    def _between(self, first: int, last: int) -> Iterator[AnyIds]:
        for part, start in zip(self.parts, self._starts.tolist(), strict=False):
            if first < start + len(part) and start < last:
                yield part[max(first - start, 0) : last - start]

    def until(self, edge: int) -> Shards:
        """The first `edge` ids, nothing copied."""
        return Shards(list(self._between(0, edge)))


class Store:
    """The files of one text's ids.

    Args:
        folder: where they are.
        name: what they are called, `ROLE-KEY`; what else is there of the same role is of another text.
        dtype: of an id.
        count: how many files there are.
    """

    def __init__(self, folder: Path, name: str, dtype: type[np.unsignedinteger[Any]], count: int) -> None:
        self._dtype = np.dtype(dtype)
        self._old = f"{name.split('-')[0]}-*.ids"
        names = [name] if count == 1 else [f"{name}-{number + 1}-of-{count}" for number in range(count)]
        self.paths = [folder / f"{one}.ids" for one in names]

    @property
    def lengths(self) -> list[int]:
        """How many ids each file holds."""
        return [path.stat().st_size // self._dtype.itemsize for path in self.paths]

    def encode(self, pages: Pages, vocabulary: Vocabulary) -> Iterator[None]:
        """Write those of the files that are not there; pauses after every block.

        Raises:
            OutputError: a file cannot be written; those before it stand.
        """
        for pattern in (self._old, f".{self._old}.*.tmp"):  # the second is what a kill leaves of a file
            for old in self.paths[0].parent.glob(pattern):
                if old not in self.paths:
                    old.unlink()
        characters, widths = int(pages.counts.sum()), _widths(vocabulary)
        for number, path in enumerate(self.paths):
            first, last = (characters * edge // len(self.paths) for edge in (number, number + 1))
            if path.exists() and path.stat().st_size == self._dtype.itemsize * _spelled(pages, first, last, widths):
                continue
            with atomic_writer(path) as file:
                for points in pages.between(first, last):
                    file.write(vocabulary.encode_points(points).astype(self._dtype, copy=False).data)
                    yield

    def open(self, lengths: Sequence[int]) -> AnyIds | Shards:
        """The ids, memory-mapped.

        Args:
            lengths: how many each file holds.

        Raises:
            CorpusError: a file is missing or of another size.
        """
        parts: list[AnyIds] = []
        for number, (path, length) in enumerate(zip(self.paths, lengths, strict=True)):
            which = f"shard {number + 1} of {len(lengths)}" if len(lengths) > 1 else "the file of ids"
            try:
                size = path.stat().st_size
                if size != length * self._dtype.itemsize:
                    expected = length * self._dtype.itemsize
                    raise CorpusError(f"{which} of the text is damaged: {path} has {size} bytes instead of {expected}")
                parts.append(np.memmap(path, dtype=self._dtype, mode="r"))
            except FileNotFoundError as error:
                raise CorpusError(f"{which} of the text is missing: {path}") from error
            except OSError as error:
                raise CorpusError(f"{which} of the text cannot be opened: {path}: {error.strerror}") from error
        return parts[0] if len(parts) == 1 else Shards(parts)


def check(shards: int | None) -> None:
    """Refuse what cannot be a number of shards.

    Raises:
        UsageError: it cannot.
    """
    if shards is not None and not 1 <= shards <= MOST_SHARDS:
        raise UsageError(f"--shards is {shards}, but must be between 1 and {MOST_SHARDS:,}")


def number_for(characters: int, shards: int | None) -> int:
    """How many shards a text gets; None makes one of every `MOST` characters.

    Raises:
        UsageError: the text has fewer characters than there are to be shards.
    """
    count = -(-characters // MOST) if shards is None else shards
    if count > characters:
        raise UsageError(f"{characters} characters do not make {count} shards", "choose a smaller --shards")
    return count


def _widths(vocabulary: Vocabulary) -> NDArray[np.uint8] | None:
    """How many ids spell each code point, (0x110000,), or None where it is one for all."""
    if not vocabulary.has_bytes:
        return None
    widths = np.full(CODE_POINTS, 4, dtype=np.uint8)  # of UTF-8
    for width, edge in ((3, 0x10000), (2, 0x800), (1, 0x80)):
        widths[:edge] = width
    widths[[ord(character) for character in vocabulary.characters]] = 1
    return widths


def _spelled(pages: Pages, first: int, last: int, widths: NDArray[np.uint8] | None) -> int:
    """How many ids a stretch of the text has."""
    if widths is None:
        return last - first
    return sum(int(widths.take(points).sum(dtype=np.int64)) for points in pages.between(first, last))
