"""A pointer: attention over earlier turns, which can copy from them.

The state of an LSTM loses a name after a turn or two. The pointer looks it up in the turn that has it. It mixes copies
into the model's distribution; a sentinel gives the share of the latter (Merity et al. 2016, arXiv:1609.07843). Below, h
is that of all layers before the next character c, and c_j is the character at position j of the earlier turns.

    s_j = q . k_j,  q = W_q h
    a_0, a_1 ... a_N = softmax(w . h + b, s_1 ... s_N)
    p(c) = a_0 softmax(logits + W_o (a_0 v_0 + sum a_j v_j))_c + sum a_j [c_j = c]

The key k_j and the value v_j are sums of products with four vectors: h before c_j, h after it, h at the end of its turn
and a mean of those between. What a word is often stands behind it, as in "Bella is my cat".
`charlm.training.pointer` trains these weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from charlm.checkpoint import Tensors
from charlm.inference.state import Array, Ids, State
from charlm.tensor_shapes import POINTER_WIDTH

MIN_PROBABILITY: Final = 1e-30  # keeps logarithms finite
MEAN_DECAY: Final = 0.85  # of the weights in the mean of the positions behind one


class Pointer:
    """The weights of a model's pointer."""

    def __init__(self, tensors: Tensors) -> None:
        tensors = {name.removeprefix("pointer."): tensor for name, tensor in tensors.items()}
        self._memory = tensors["memory"].T  # (W, 8 D): keys and values of four vectors
        # One product with h gives the query and the score of the sentinel.
        self.query = np.ascontiguousarray(np.concatenate((tensors["query"], tensors["sentinel"][None])).T)  # (W, D + 1)
        self.sentinel_bias = float(tensors["sentinel_bias"][0])
        self.no_value = tensors["no_value"]  # (D,) v_0
        self.output = np.ascontiguousarray(tensors["output"].T)  # (D, V)

    def remember(self, hidden: Array, ids: Ids) -> Memory:
        """Return the memory of one text.

        Args:
            hidden: h of all layers before each id and after the last, (N + 1, W).
            ids: the text, (N,).
        """
        parts = (hidden @ self._memory).reshape(len(ids) + 1, 4, 2 * POINTER_WIDTH)
        means, mean = [], np.zeros_like(parts[0, 2])
        for part in parts[:0:-1, 2]:
            mean = MEAN_DECAY * mean + np.float32(1 - MEAN_DECAY) * part
            means.append(mean)
        both = parts[:-1, 0] + parts[1:, 1] + parts[-1, 3]
        if means:
            both += np.array(means[::-1])
        return Memory(self, both[:, :POINTER_WIDTH], both[:, POINTER_WIDTH:], ids)


@dataclass(frozen=True, eq=False)
class Memory:
    """N characters of earlier turns, that a text may copy."""

    pointer: Pointer
    keys: Array  # (N, D)
    values: Array  # (N, D)
    ids: Ids  # (N,)
    weight: float = 1.0  # factor of the odds of a copy

    @classmethod
    def join(cls, parts: Sequence[Memory], weight: float) -> Memory:
        """Return one memory of several texts, at least one."""
        keys, values, ids = (
            np.concatenate([getattr(one, name) for one in parts]) for name in ("keys", "values", "ids")
        )
        return cls(parts[0].pointer, keys, values, ids, weight)

    def mix(self, state: State, logits: Array) -> Array:
        """Return log p of the next id, (B, V), with copies; the state and the logits are those of B streams."""
        pointer = self.pointer
        products = np.concatenate([layer.h for layer in state.layers], axis=1).dot(pointer.query)  # (B, D + 1)
        scores = np.empty((len(logits), len(self.ids) + 1), dtype=np.float32)
        scores[:, 0] = products[:, -1] + (pointer.sentinel_bias - math.log(self.weight))
        scores[:, 1:] = products[:, :-1].dot(self.keys.T)
        scores -= scores.max(axis=1, keepdims=True)
        attention = np.exp(scores, out=scores)
        attention /= attention.sum(axis=1, keepdims=True)
        own, copied = attention[:, :1], attention[:, 1:]
        logits = logits + (own * pointer.no_value + copied.dot(self.values)).dot(pointer.output)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p *= own / p.sum(axis=1, keepdims=True)
        for row, shares in zip(p, copied, strict=True):
            row += np.bincount(self.ids, shares, len(row))
        mixed: Array = np.log(np.maximum(p, MIN_PROBABILITY))
        return mixed
