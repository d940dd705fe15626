"""Reading a text in B parallel lanes, T steps at a time.

A lane is a contiguous stretch of the text. All lanes advance together, chunk after chunk, so that the state which a
model carries out of one chunk is what it needs at the start of the next. At the end of an epoch the lanes are cut anew
at a random offset; only there does a lane jump, and only there must its state be zeroed.

Knows nothing of models: it hands out ids and says where a new stretch starts.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.errors import UsageError

Ids = NDArray[np.int64]
AnyIds = NDArray[np.integer[Any]]


RELEASE = 1 << 12  # chunks after which the pages that were read are given back


class Chunk(NamedTuple):
    """T steps of B lanes. `y[t] == x[t + 1]`, across chunks too."""

    x: Ids  # (T, B)
    y: Ids  # (T, B)
    starts: bool  # whether the lanes begin here: the state before this chunk is zero


@dataclass(frozen=True)
class Position:
    """Where the reading stands; what a resume needs."""

    epoch: int
    chunk: int
    offset: int
    rng: dict[str, Any]  # the state of NumPy's PCG64


class Lanes:
    """An endless stream of chunks over a text.

    Several processes may share a text: each of R reads B lanes of its own, and together they read what one process with
    R x B lanes would. Their positions are always the same.

    Args:
        ids: the text, (N,).
        lanes: B.
        chunk: T; chunks have T steps at most and differ by one at most, so that none is left over short.
        seed: draws the offsets.
        rank: which process this is; it reads lanes `rank * B` to `rank * B + B - 1` of all R x B.
        ranks: R, how many processes there are.

    Raises:
        UsageError: the text is too short for so many lanes.
    """

    def __init__(self, ids: AnyIds, lanes: int, chunk: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        if lanes < 1 or chunk < 1:
            raise UsageError("--lanes and --chunk must be at least 1")
        assert 0 <= rank < ranks
        everyone, most = ranks * lanes, most_lanes(len(ids), chunk)
        if everyone > most:
            raise UsageError(
                f"{everyone} lanes of {chunk} characters do not fit into {len(ids)} characters of training text",
                f"at most {most} do" if most else f"choose a --chunk below {len(ids)}",
            )
        self._ids = ids
        self.lanes = lanes
        self.chunk = chunk
        self._first = rank * lanes
        # The offset is at most one chunk: enough to move every edge, and little text is left out of an epoch.
        self._slack = min(chunk, len(ids) - 1 - everyone * chunk)
        self.length = (len(ids) - 1 - self._slack) // everyone  # steps of each lane in an epoch
        self.chunks = -(-self.length // chunk)  # chunks in an epoch
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._epoch, self._chunk = 0, 0
        self._offset = self._draw_offset()

    def _draw_offset(self) -> int:
        return int(self._rng.integers(self._slack + 1))

    def edges(self, lane: int) -> tuple[int, int]:
        """The stretch of the text that a lane reads in this epoch, as first and past-the-last index."""
        start = self._offset + (self._first + lane) * self.length
        return start, start + self.length

    @property
    def epochs(self) -> float:
        """Epochs read so far."""
        return self._epoch + self._chunk / self.chunks

    @property
    def position(self) -> Position:
        """Where the next chunk stands."""
        return Position(self._epoch, self._chunk, self._offset, dict(self._rng.bit_generator.state))

    @position.setter
    def position(self, position: Position) -> None:
        self._epoch, self._chunk, self._offset = position.epoch, position.chunk, position.offset
        self._rng.bit_generator.state = position.rng

    def __next__(self) -> Chunk:
        first = self._chunk * self.length // self.chunks
        last = (self._chunk + 1) * self.length // self.chunks
        starts = [self.edges(lane)[0] for lane in range(self.lanes)]
        block = np.stack([self._ids[start + first : start + last + 1] for start in starts], axis=1).astype(np.int64)
        chunk = Chunk(block[:-1], block[1:], starts=self._chunk == 0)
        if self._chunk % RELEASE == RELEASE - 1:
            _release(self._ids)
        self._chunk += 1
        if self._chunk == self.chunks:
            self._epoch, self._chunk = self._epoch + 1, 0
            self._offset = self._draw_offset()
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        return self


def _release(ids: AnyIds) -> None:
    """Let go of a memory map's pages: they stay in the system's cache, but no longer count as this process's memory."""
    pages = getattr(ids, "_mmap", None)
    if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def most_lanes(characters: int, chunk: int) -> int:
    """How many lanes of at least one whole chunk a text holds."""
    return max(0, (characters - 1) // chunk)


class TextWindow(NamedTuple):
    """A chunk of a text that is read once, to be scored."""

    x: Ids  # (T, B)
    y: Ids  # (T, B)
    scored: NDArray[np.bool_]  # (T, B) False where a lane warms up or has ended
    starts: NDArray[np.bool_]  # (B,) lanes whose state is zero before this chunk


def read_once(
    ids: AnyIds,
    lanes: int,
    chunk: int,
    warmup: int = 256,
    limit: int | None = None,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[TextWindow]:
    """Read a whole text once, every prediction scored exactly once.

    With one lane this is the text from its start to its end. More lanes are quicker; each but the first warms up its
    state, unscored, on the text before its stretch, so that the result hardly depends on their number.

    Args:
        ids: the text, (N,); N - 1 predictions are made.
        lanes: B; fewer are used where the text is short.
        chunk: T.
        warmup: steps that a lane reads before its stretch.
        limit: about how many predictions to make, the first of every lane; None makes all.
        rank: which of several processes this is; each reads some of the lanes, or none if there are too few.
        ranks: how many processes there are.
    """
    predictions = len(ids) - 1
    lanes = max(1, min(lanes, predictions // max(2 * warmup, 1)))
    length = -(-predictions // lanes)
    steps_to_read = length if limit is None else min(length, -(-limit // lanes))
    ahead = warmup if lanes > 1 else 0
    begin = np.arange(lanes)[rank::ranks] * length
    for first in range(-ahead, steps_to_read if len(begin) else -ahead, chunk):
        # No chunk straddles the first lane's start, so that its state can be zeroed between two of them.
        for lower, upper in _without(0, first, min(first + chunk, steps_to_read)):
            steps = np.arange(lower, upper)
            places = steps[:, None] + begin  # (T, B)
            inside = np.clip(places, 0, predictions - 1)
            scored = (steps[:, None] >= 0) & (places < predictions)
            starts = (begin == 0) & (lower == 0) | np.full(len(begin), lower == -ahead)
            yield TextWindow(ids[inside].astype(np.int64), ids[inside + 1].astype(np.int64), scored, starts)


def _without(edge: int, lower: int, upper: int) -> list[tuple[int, int]]:
    return [(lower, edge), (edge, upper)] if lower < edge < upper else [(lower, upper)]
