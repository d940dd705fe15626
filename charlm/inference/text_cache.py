"""A cache of exact text: continuations of earlier occurrences of the last characters, mixed into predictions.

It needs no gradient (Kuhn and De Mori 1990; Grave, Joulin and Usunier 2017). Orders are combined as in PPM (Cleary and
Witten 1984), from the shortest to the longest match. The weight of each is learned online by the EM step of a mixture:
it moves to the share of the prediction that comes from its counts.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charlm.inference.state import Ids

# p_k = (1 - w) p_(k-1) + w counts_k / sum(counts_k): counts_k has the ids that followed the last k ids, and p_2 is
# the model's distribution. The weight w depends on k, on the number of counts and on whether they agree.
ORDERS: Final = range(3, 9)  # after fewer ids the model predicts better
COUNTS: Final = (1, 3, 15)  # the weight differs for more counts
RATE: Final = 0.02  # of the weights
MAX_IDS: Final = 1 << 17

Cell = tuple[int, int, bool]  # of a weight: order, class of the number of counts, whether they agree
WEIGHTS: Final[dict[Cell, float]] = {
    (order, count, agrees): 1 / (1 + math.exp(2.8 + 0.24 * (order - ORDERS[0]) - 0.62 * count - 1.38 * agrees))
    for order, count, agrees in product(ORDERS, range(len(COUNTS) + 1), (False, True))
}
"""Initial weights, fitted to those learned on a play."""


class TextCache:
    """The last ids that were read; of more than `max_ids` the older half is dropped."""

    def __init__(self, max_ids: int = MAX_IDS) -> None:
        self._max_ids = max_ids
        self._size = 0
        self._ids = np.zeros(min(1024, max_ids), dtype=np.int32)
        # For each place in the text, and its end: the number of ids before it that equal the last ids.
        self._lengths = np.zeros(len(self._ids) + 1, dtype=np.uint16)
        self._weights = dict(WEIGHTS)

    def store(self, index: int) -> None:
        """Read the next id, and add it to the text."""
        if self._size == len(self._ids):
            start = max(0, self._size - self._max_ids // 2)
            self._ids = np.concatenate((self._ids[start:], np.zeros_like(self._ids[start:])))
            self._lengths = np.concatenate((self._lengths[start:], np.zeros_like(self._lengths[start:-1])))
            self._lengths[0] = 0
            self._size -= start
        self._ids[self._size] = index
        self._size += 1
        size = self._size
        np.multiply(self._lengths[:size] + 1, self._ids[:size] == index, out=self._lengths[1 : size + 1])

    def _matches(self) -> Iterator[tuple[Cell, list[int]]]:
        """Yield the cell and the ids that followed, from the lowest order to the longest match."""
        places = np.flatnonzero(self._lengths[: self._size] >= ORDERS[0])
        lengths, following = self._lengths[places].tolist(), self._ids[places].tolist()
        for order in ORDERS:
            ids = [index for index, length in zip(following, lengths, strict=True) if length >= order]
            if not ids:
                return
            yield (order, bisect_left(COUNTS, len(ids)), len(set(ids)) == 1), ids

    def score(self, ids: Ids, nats: NDArray[np.floating]) -> NDArray[np.float64]:
        """Read ids, learn the weights, and return the surprisal of each id, (N,). `nats` has the model's, (N,)."""
        return np.array([self._score(int(index), p) for index, p in zip(ids, np.exp(-nats), strict=True)])

    def _score(self, index: int, p: float) -> float:
        for cell, ids in self._matches():
            weight = self._weights[cell]
            by_counts = weight * ids.count(index) / len(ids)
            p = by_counts + (1 - weight) * p
            self._weights[cell] += RATE * (by_counts / p - weight)
        self.store(index)
        return -math.log(p)
