"""A pointer: attention over earlier turns, which can copy from them.

The state of an LSTM loses a name after a turn or two. The pointer looks it up in the turn that has it. It mixes copies
into the model's distribution; a sentinel gives the share of the latter (Merity et al. 2016, arXiv:1609.07843). A second
head looks without copying, and changes the logits: whether there is a name decides how an answer begins. Below, h is
that of all layers before the next character c, and c_j is the character at position j of the earlier turns.

    copy:  a_0, a_1 ... a_N = softmax(w . h + b, q . k_1 ... q . k_N),        q = W_q h
    look:  b_0, b_1 ... b_N = softmax(w' . h + b', q' . k'_1 ... q' . k'_N),  q' = W_q' h
           u = relu(W_u h + b_u + sum b_j v_j)
    p(c) = a_0 softmax(logits + W_o u)_c + sum a_j [c_j = c]

The keys k_j and k'_j and the value v_j are sums of products with four vectors: h before c_j, h after it, h at the end
of its turn and a mean of those between. What a word is often stands behind it, as in "Bella is my cat".
`charlm.training.pointer` trains these weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from charlm.checkpoint import Tensors
from charlm.inference.state import Array, Ids
from charlm.tensor_shapes import POINTER_WIDTH

MIN_PROBABILITY: Final = 1e-30  # keeps logarithms finite
MEAN_DECAY: Final = 0.85  # of the weights in the mean of the positions behind one


class Pointer:
    """The weights of a model's pointer."""

    def __init__(self, tensors: Tensors) -> None:
        self._memory = tensors["pointer.memory"].T  # (W, 12 D)
        self.query = np.ascontiguousarray(tensors["pointer.query"].T)  # (W, 3 D + 2)
        self.bias = tensors["pointer.bias"]  # (D + 2,)
        self.output = np.ascontiguousarray(tensors["pointer.output"].T)  # (D, V)

    def remember(self, hidden: Array, ids: Ids) -> Memory:
        """Return the memory of one text.

        Args:
            hidden: h of all layers before each id and after the last, (N + 1, W).
            ids: the text, (N,).
        """
        parts = (hidden @ self._memory).reshape(len(ids) + 1, 4, 3 * POINTER_WIDTH)
        means, mean = [], np.zeros_like(parts[0, 2])
        for part in parts[:0:-1, 2]:
            mean = MEAN_DECAY * mean + np.float32(1 - MEAN_DECAY) * part
            means.append(mean)
        sums = parts[:-1, 0] + parts[1:, 1] + parts[-1, 3]
        if means:
            sums += np.array(means[::-1])
        return Memory(self, sums, ids)


@dataclass(frozen=True, eq=False)
class Memory:
    """N characters of earlier turns, that a text may copy."""

    pointer: Pointer
    parts: Array  # (N, 3 D): key of the copy, key of the look, value
    ids: Ids  # (N,)
    weight: float = 1.0  # factor of the odds of a copy

    @classmethod
    def join(cls, memories: Sequence[Memory], weight: float) -> Memory:
        """Return one memory of several texts, at least one."""
        parts = np.concatenate([one.parts for one in memories])
        return cls(memories[0].pointer, parts, np.concatenate([one.ids for one in memories]), weight)

    def copies(self, hidden: Array) -> Array:
        """Return the shares of the model and of copies of each position in the next id, (B, N + 1), from h, (B, W)."""
        return self._copies(self._products(hidden))

    def mix(self, hidden: Array, logits: Array) -> tuple[Array, Array]:
        """Return log p of the next id and the share of copies in p, both (B, V).

        Args:
            hidden: h of all layers, (B, W).
            logits: of the model, (B, V).
        """
        pointer, width = self.pointer, POINTER_WIDTH
        products = self._products(hidden)
        copy = self._copies(products)
        look = _attention(products[:, width : 2 * width], self.parts[:, width : 2 * width], products[:, -1])
        seen = products[:, 2 * width : 3 * width] + look[:, 1:].dot(self.parts[:, 2 * width :])
        logits = logits + np.maximum(seen, 0).dot(pointer.output)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p *= copy[:, :1] / p.sum(axis=1, keepdims=True)
        copies = np.array([np.bincount(self.ids, shares, p.shape[1]) for shares in copy[:, 1:]], dtype=np.float32)
        p = np.maximum(p + copies, MIN_PROBABILITY)
        return np.log(p), copies / p

    def _products(self, hidden: Array) -> Array:
        products: Array = hidden.dot(self.pointer.query)  # (B, 3 D + 2)
        products[:, 2 * POINTER_WIDTH :] += self.pointer.bias
        return products

    def _copies(self, products: Array) -> Array:
        keys = self.parts[:, :POINTER_WIDTH]
        return _attention(products[:, :POINTER_WIDTH], keys, products[:, -2] - math.log(self.weight))


def _attention(queries: Array, keys: Array, sentinel: Array) -> Array:
    """Return the softmax of the sentinel's score, (B,), and those of N keys, for B queries: (B, N + 1)."""
    scores = np.empty((len(queries), len(keys) + 1), dtype=np.float32)
    scores[:, 0] = sentinel
    scores[:, 1:] = queries.dot(keys.T)
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores
