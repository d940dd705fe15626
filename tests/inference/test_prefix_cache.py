"""The cache reads what plain reading reads, but only what is new."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.errors import UsageError
from charlm.inference.context import StaticModel, encode_lossy
from charlm.inference.engine import SEGMENT
from charlm.inference.prefix_cache import Prefix, PrefixCache

from ..chat.models import CountingEngine, random_checkpoint, random_engine

TEXT = "the cat sat on the mat. " * 40


@pytest.mark.parametrize("has_bytes", [False, True])
def test_read_equals_plain_reading(has_bytes: bool) -> None:
    model = StaticModel(random_engine(has_bytes=has_bytes))
    cache = PrefixCache(model)
    for text in (TEXT, TEXT + "more", TEXT[:100], TEXT[:100] + "\u4e16", TEXT + "more", ""):
        context = cache.read(text)
        expected = model.read(model.start(), encode_lossy(model.base.vocabulary, text))
        np.testing.assert_allclose(context.logits, expected.logits, atol=1e-5)


def test_longer_text_costs_what_is_new() -> None:
    engine = CountingEngine(random_checkpoint())
    cache = PrefixCache(StaticModel(engine))
    cache.read(TEXT)
    before = engine.read_ids
    cache.read(TEXT + "and more")
    assert engine.read_ids - before == len("and more")
    cache.read(TEXT)
    assert engine.read_ids - before == len("and more")


def test_stored_context_is_found() -> None:
    model = StaticModel(random_engine())
    cache, context = PrefixCache(model), model.start()
    text = Prefix("the ")
    text.extend("cat")
    cache.store(text, context)
    assert cache.read("the cat") is context


def test_oldest_contexts_are_dropped() -> None:
    engine = CountingEngine(random_checkpoint())
    cache = PrefixCache(StaticModel(engine), max_contexts=2)
    for text in ("aa", "bb", "aa", "cc"):
        cache.read(text)
    assert engine.read_ids == 6
    cache.read("aa")
    assert engine.read_ids == 6
    cache.read("bb")
    assert engine.read_ids == 8


def test_cancelled_read_stops_within_a_block() -> None:
    engine = CountingEngine(random_checkpoint())
    with pytest.raises(UsageError, match="stopped after reading"):
        PrefixCache(StaticModel(engine)).read(TEXT, lambda: engine.read_ids > 0)
    assert engine.read_ids == SEGMENT
