"""A cache of exact text, mixed into a model's predictions: what followed the last characters at earlier places.

It needs no gradient (Kuhn and De Mori 1990; Grave, Joulin and Usunier 2017). Orders are combined as in PPM (Cleary and
Witten 1984), from the lowest to the longest match. The weight of each is learned online, as the share of a prediction
that comes from its counts: the EM step of a mixture.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.inference.state import Array, Ids

# p_k = (1 - w) p_(k-1) + w counts_k / sum(counts_k): counts_k has the ids that followed the last k ids, and p_2 is
# the model's distribution. The weight w depends on k, on the number of counts and on whether they agree.
ORDERS: Final = range(3, 9)  # the model knows better what follows fewer ids
COUNTS: Final = (1, 3, 15)  # the weight differs for more counts
RATE: Final = 0.02  # of the weights
MAX_IDS: Final = 1 << 17

_Match = tuple[tuple[int, int, int], NDArray[np.integer]]  # index of the weight, and the ids that followed


class ExactText(NamedTuple):
    """Text that a model may repeat exactly."""

    ids: Ids
    odds: float  # see `TextCache`


class TextCache:
    """Ids that were read, and a place in a text that may repeat them.

    Args:
        ids: the text to repeat, (N,).
        recent: the last ids before the place.
        odds: multiply those of the weights that `mix` uses.
        max_ids: then the older half of the text is dropped.
    """

    def __init__(
        self, ids: Ids | Sequence[int] = (), recent: Sequence[int] = (), odds: float = 1.0, *, max_ids: int = MAX_IDS
    ) -> None:
        self._odds = odds
        self._max_ids = max_ids
        self._size = len(ids)
        self._ids = np.zeros(max(min(1024, max_ids), self._size), dtype=np.int32)
        self._ids[: self._size] = ids
        # For each place in the text, and its end: the number of ids before it that equal the last ids.
        self._lengths = np.zeros(len(self._ids) + 1, dtype=np.uint8)
        # Fitted to the weights learned on a play.
        order, count, agrees = np.ogrid[: len(ORDERS), : len(COUNTS) + 1, :2]
        self._weights = 1 / (1 + np.exp(2.8 + 0.24 * order - 0.62 * count - 1.38 * agrees))
        for index in recent[-ORDERS[-1] :]:
            self.advance(index)

    def advance(self, index: int) -> None:
        """Read an id that follows."""
        size = self._size
        lengths = (self._lengths[:size] + 1) * (self._ids[:size] == index)
        np.minimum(lengths, ORDERS[-1], out=self._lengths[1 : size + 1])

    def store(self, index: int) -> None:
        """Read an id that follows, and add it to the text."""
        if self._size == len(self._ids):
            start = max(0, self._size - self._max_ids // 2)
            self._ids = np.concatenate((self._ids[start:], np.zeros_like(self._ids[start:])))
            self._lengths = np.concatenate((self._lengths[start:], np.zeros_like(self._lengths[start:-1])))
            self._lengths[0] = 0
            self._size -= start
        self._ids[self._size] = index
        self._size += 1
        self.advance(index)

    def _matches(self) -> Iterator[_Match]:
        """Yield for each order, the lowest first, the ids that followed."""
        places = np.flatnonzero(self._lengths[: self._size] >= ORDERS[0])
        if not len(places):
            return
        lengths, following = self._lengths[places], self._ids[places]
        for number, order in enumerate(ORDERS):
            ids = following[lengths >= order]
            if not len(ids):
                return
            yield (number, bisect_left(COUNTS, len(ids)), int((ids == ids[0]).all())), ids

    def mix(self, logits: Array) -> Array:
        """Return log p of the next id, (V,), from the model's logits; those themselves if nothing matches."""
        p: NDArray[np.float64] | None = None
        for cell, ids in self._matches():
            if p is None:
                p = np.exp(logits - logits.max(), dtype=np.float64)
                p /= p.sum()
            weight = self._odds * self._weights[cell]
            weight /= 1 - self._weights[cell] + weight
            p *= 1 - weight
            p += np.bincount(ids, minlength=len(p)) * (weight / len(ids))
        return logits if p is None else np.log(p).astype(logits.dtype)

    def score(self, ids: Ids, nats: NDArray[np.floating]) -> NDArray[np.float64]:
        """Read ids into the cache; return the surprisal of each, (N,), given that by the model. Weights are learned."""
        return np.array([self._score(int(index), p) for index, p in zip(ids, np.exp(-nats), strict=True)])

    def _score(self, index: int, p: float) -> float:
        for cell, ids in self._matches():
            weight = self._weights[cell]
            by_counts = weight * float((ids == index).mean())
            p = by_counts + (1 - weight) * p
            self._weights[cell] += RATE * (by_counts / p - weight)
        self.store(index)
        return -float(np.log(p))
