"""The cache of exact text: against its definition, as a distribution, and at its limits."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.inference.sampling import log_softmax
from charlm.inference.text_cache import COUNTS, ORDERS, TextCache

SIZE = 4  # of the vocabulary
IDS = st.lists(st.integers(0, SIZE - 1), max_size=60)
LOGITS = st.lists(st.floats(-8, 8), min_size=SIZE, max_size=SIZE).map(lambda row: np.array(row, dtype=np.float32))


def read(text: list[int], max_ids: int = 1000) -> TextCache:
    cache = TextCache(max_ids)
    for index in text:
        cache.store(index)
    return cache


def mixed(cache: TextCache, logits: np.ndarray) -> np.ndarray:
    """Return log p of each id, as it would be scored next."""
    nats = -log_softmax(logits.astype(np.float64))
    return np.array([-deepcopy(cache).score(np.array([index]), nats[[index]])[0] for index in range(len(logits))])


def expected(text: list[int], logits: np.ndarray) -> np.ndarray:
    """Return the distribution as the module defines it, with the weights that a cache starts with."""
    p = np.exp(log_softmax(logits.astype(np.float64)))
    for order in ORDERS:
        if len(text) < order:
            break
        followed = [text[k] for k in range(order, len(text)) if text[k - order : k] == text[-order:]]
        if not followed:
            break
        counts = Counter(followed)
        bucket = sum(len(followed) > limit for limit in COUNTS)
        weight = 1 / (1 + np.exp(2.8 + 0.24 * (order - ORDERS[0]) - 0.62 * bucket - 1.38 * (len(counts) == 1)))
        p = (1 - weight) * p + weight * np.array([counts[k] for k in range(SIZE)]) / len(followed)
    return p


@given(text=IDS, logits=LOGITS)
@settings(max_examples=200)
def test_cache_scores_by_the_defined_distribution(text: list[int], logits: np.ndarray) -> None:
    p = np.exp(mixed(read(text), logits))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(p, expected(text, logits), atol=1e-5)


@given(text=IDS.filter(bool), logits=LOGITS)
@settings(max_examples=50)
def test_score_is_the_surprisal_before_each_id_is_stored(text: list[int], logits: np.ndarray) -> None:
    nats = -log_softmax(logits)
    cache = TextCache()
    for index in text:
        expected_nats = -mixed(cache, logits)[index]
        assert cache.score(np.array([index]), nats[[index]])[0] == pytest.approx(expected_nats, abs=1e-5)
    whole = TextCache().score(np.array(text), nats[text])
    assert np.isfinite(whole).all()


def test_repeated_text_is_learned() -> None:
    text = np.random.default_rng(1).integers(0, 50, 40)
    cache, guess = TextCache(), np.full(len(text), np.log(50))
    costs = [cache.score(text, guess).mean() for _ in range(30)]
    assert costs[0] == pytest.approx(np.log(50), abs=0.05)
    assert costs[1] < 0.6 * costs[0]
    assert costs[-1] < 0.2


def test_full_cache_drops_its_older_half() -> None:
    first, second = [0, 1, 2, 3] * 16, [3, 3, 1, 0] * 16
    logits = np.zeros(SIZE, dtype=np.float32)
    np.testing.assert_array_equal(mixed(read([*first, *second], 64), logits), mixed(read(second), logits))
