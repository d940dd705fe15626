"""Texts read by a model that learns: scored as a whole or line by line, or learned for their own sake.

Each character is predicted before it is learned, so a score says how well the model predicts a text that it reads a
character at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from charlm.adapt.learner import AdaptedContext, Learner, LearnResult
from charlm.errors import CorpusError
from charlm.inference.context import Context, encode_lossy, unknown_mask
from charlm.inference.scoring import LineScorer, Nats, TextScore
from charlm.inference.state import Ids
from charlm.inference.text_cache import TextCache

PROGRESS_SEGMENTS = 20  # between two reports of progress


class AdaptResult(NamedTuple):
    """The result of learning a text, up to some place in it."""

    context: AdaptedContext
    learning: TextScore  # each character before it was learned
    static: TextScore  # without learning


def read_in_slices(learner: Learner, context: AdaptedContext, ids: Ids) -> Iterator[LearnResult]:
    """Learn a long text slice by slice. The result is that of one call, to the bit."""
    size = PROGRESS_SEGMENTS * learner.settings.segment
    for first in range(0, len(ids), size):
        result = learner.read(context, ids[first : first + size])
        context = result.context
        yield result


def learn_text(learner: Learner, text: str, times: int = 1, cache: TextCache | None = None) -> Iterator[AdaptResult]:
    """Learn a text of at least two characters; yields the result so far.

    The first character is read but not predicted. Only the first of several times is scored. Raises CorpusError for a
    text that is too short.
    """
    if len(text) < 2:
        raise CorpusError("the text is too short to be learned from", "at least two characters are needed")
    vocabulary = learner.base.vocabulary
    ids, unknown = encode_lossy(vocabulary, text), int(unknown_mask(vocabulary, text)[1:].sum())
    context, learning, static = learner.start(ids[:1]), TextScore(), TextScore()
    if cache is not None:
        cache.store(int(ids[0]))
    place = 1
    for result in read_in_slices(learner, context, ids[1:]):
        context, nats, base_nats = result
        if cache is not None:
            nats = cache.score(ids[place : place + len(nats)], nats)
        characters = int(vocabulary.begins[ids[place : place + len(nats)]].sum())
        place += len(nats)
        learning += TextScore(float(nats.sum()), characters)
        static += TextScore(float(base_nats.sum()), characters)
        yield AdaptResult(context, learning, static)
    if unknown:
        learning, static = learning.with_unknown(unknown), static.with_unknown(unknown)
        yield AdaptResult(context, learning, static)
    for _ in range(times - 1):
        for result in read_in_slices(learner, context, ids):
            context = result.context
            yield AdaptResult(context, learning, static)


def learn(learner: Learner, text: str, times: int = 1) -> AdaptResult:
    """Learn a text, see `learn_text`, and return the last result."""
    *_, last = learn_text(learner, text, times)
    return last


def line_scorer(learner: Learner, cache: TextCache | None = None) -> LineScorer:
    """Return a scorer that learns each line once it was scored."""

    def score(context: Context, ids: Ids) -> tuple[Context, Nats]:
        assert isinstance(context, AdaptedContext)
        result = learner.read(context, ids)
        return result.context, result.nats

    return LineScorer(learner.base.vocabulary, learner.start(), score, cache)
