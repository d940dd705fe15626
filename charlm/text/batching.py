"""Batches of a text: B parallel lanes, T steps at a time.

A lane is a contiguous stretch of the text. All lanes advance together, chunk after chunk, so a model's state after one
chunk is its state before the next. At the end of an epoch the lanes move by a random offset. Only there the text of a
lane is interrupted, and its state must be zeroed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.errors import UsageError

Ids = NDArray[np.int64]
AnyIds = NDArray[np.integer]


RELEASE_CHUNKS = 1 << 12  # read between two releases of a memory map's pages


class Chunk(NamedTuple):
    """T steps of B lanes. `y[t] == x[t + 1]`, across chunks too."""

    x: Ids  # (T, B)
    y: Ids  # (T, B)
    starts: bool  # the lanes begin here: the state before this chunk is zero


@dataclass(frozen=True)
class Position:
    """Position of the next chunk, and the state of the RNG; a resume needs both."""

    epoch: int
    chunk: int
    offset: int
    rng: dict[str, object]  # the state of NumPy's PCG64


class Lanes:
    """An endless stream of chunks over a text.

    R processes can share a text: each reads B lanes of its own, and together they read what one process with R x B
    lanes would. Their positions are always equal.

    Args:
        ids: the text, (N,).
        lanes: B.
        chunk: T; all chunks of an epoch have T steps or slightly fewer, so that no short one is left over.
        seed: of the offsets.
        rank: number of this process; it reads lanes `rank * B` to `rank * B + B - 1` of all R x B.
        ranks: R, number of processes.

    Raises:
        UsageError: the text is too short for this number of lanes.
    """

    def __init__(self, ids: AnyIds, lanes: int, chunk: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        if lanes < 1 or chunk < 1:
            raise UsageError("--lanes and --chunk must be at least 1")
        assert 0 <= rank < ranks
        all_lanes, limit = ranks * lanes, max_lanes(len(ids), chunk)
        if all_lanes > limit:
            raise UsageError(
                f"{all_lanes} lanes of {chunk} characters do not fit into {len(ids)} characters of training text",
                f"use at most {limit}" if limit else f"choose a --chunk below {len(ids)}",
            )
        self._ids = ids
        self.lanes = lanes
        self.chunk = chunk
        self._first = rank * lanes
        # The offset is at most one chunk: that moves every edge, and little text is left out of an epoch.
        self._slack = min(chunk, len(ids) - 1 - all_lanes * chunk)
        self.length = (len(ids) - 1 - self._slack) // all_lanes  # steps of each lane in an epoch
        self.chunks = -(-self.length // chunk)  # chunks in an epoch
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._epoch, self._chunk = 0, 0
        self._offset = self._draw_offset()

    def _draw_offset(self) -> int:
        return int(self._rng.integers(self._slack + 1))

    def edges(self, lane: int) -> tuple[int, int]:
        """Return the first and past-the-last index of a lane in this epoch."""
        start = self._offset + (self._first + lane) * self.length
        return start, start + self.length

    @property
    def epochs(self) -> float:
        """Epochs read so far."""
        return self._epoch + self._chunk / self.chunks

    @property
    def position(self) -> Position:
        """Position of the next chunk."""
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
        if self._chunk % RELEASE_CHUNKS == RELEASE_CHUNKS - 1:
            _release(self._ids)
        self._chunk += 1
        if self._chunk == self.chunks:
            self._epoch, self._chunk = self._epoch + 1, 0
            self._offset = self._draw_offset()
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        return self


def _release(ids: AnyIds) -> None:
    """Release a memory map's pages: they stay in the system's cache, but no longer count as this process's memory."""
    pages = getattr(ids, "_mmap", None)
    if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def max_lanes(characters: int, chunk: int) -> int:
    """Return the number of lanes of at least one whole chunk that fit into a text."""
    return max(0, (characters - 1) // chunk)


class TextWindow(NamedTuple):
    """A chunk of a text that is read once and scored."""

    x: Ids  # (T, B)
    y: Ids  # (T, B)
    scored: NDArray[np.bool_]  # (T, B) False for steps of the warm-up or after a lane's end
    starts: NDArray[np.bool_]  # (B,) True for lanes whose state is zero before this chunk


def read_once(
    ids: AnyIds,
    lanes: int,
    chunk: int,
    warmup: int = 256,
    limit: int | None = None,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[TextWindow]:
    """Read a whole text once, in lanes; score every prediction exactly once.

    All lanes but the first warm up their state, unscored, on the text before their stretch. So the result hardly
    depends on their number.

    Args:
        ids: the text, (N,); N - 1 predictions are made.
        lanes: B; fewer for a short text.
        chunk: T.
        warmup: steps that a lane reads before its stretch.
        limit: approximate number of predictions, the first of every lane; None makes all.
        rank: number of this process; each reads some of the lanes, or none if there are too few.
        ranks: number of processes.
    """
    predictions = len(ids) - 1
    lanes = max(1, min(lanes, predictions // max(2 * warmup, 1)))
    length = -(-predictions // lanes)
    steps_to_read = length if limit is None else min(length, -(-limit // lanes))
    ahead = warmup if lanes > 1 else 0
    begin = np.arange(lanes)[rank::ranks] * length
    for first in range(-ahead, steps_to_read if len(begin) else -ahead, chunk):
        # No chunk straddles the first lane's start, so that its state can be zeroed between two of them.
        last = min(first + chunk, steps_to_read)
        for lower, upper in [(first, 0), (0, last)] if first < 0 < last else [(first, last)]:
            steps = np.arange(lower, upper)
            places = steps[:, None] + begin  # (T, B)
            inside = np.clip(places, 0, predictions - 1)
            scored = (steps[:, None] >= 0) & (places < predictions)
            starts = (begin == 0) & (lower == 0) | np.full(len(begin), lower == -ahead)
            yield TextWindow(ids[inside].astype(np.int64), ids[inside + 1].astype(np.int64), scored, starts)
