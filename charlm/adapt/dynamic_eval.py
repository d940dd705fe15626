"""Texts read by a model that learns: measured, scored line by line, or learned for their own sake.

Each character is predicted before it is learned, so a figure says how well the model does on a text that it is shown a
character at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.adapt.learner import AdaptiveState, Learner, Read
from charlm.errors import CorpusError
from charlm.inference.context import Context, encode_lossy, unknown_mask
from charlm.inference.scoring import LineScorer, TextScore
from charlm.inference.state import Ids

SLICE = 20  # segments between two reports of progress


def reading(learner: Learner, memory: AdaptiveState, ids: Ids) -> Iterator[Read]:
    """Read a long text and learn it, slice by slice; the same as in one go."""
    size = SLICE * learner.settings.segment
    for first in range(0, len(ids), size):
        read = learner.read(memory, ids[first : first + size])
        memory = read.memory
        yield read


class AdaptResult(NamedTuple):
    """What learning a text has given.

    Attributes:
        memory: after it.
        learning: how well it was predicted.
        static: how well it would have been without learning.
    """

    memory: AdaptiveState
    learning: TextScore
    static: TextScore


def learning(learner: Learner, text: str, times: int = 1) -> Iterator[AdaptResult]:
    """Learn a text; yields what has been learned so far.

    Args:
        learner: the model; it begins with what was trained.
        text: at least two characters; the first is read but not predicted.
        times: how often it is read. Figures are those of the first time, which alone say something of the model.

    Raises:
        CorpusError: the text is too short.
    """
    if len(text) < 2:
        raise CorpusError("the text is too short to be learned from", "at least two characters are needed")
    vocabulary = learner.base.vocabulary
    ids, unknown = encode_lossy(vocabulary, text), int(unknown_mask(vocabulary, text)[1:].sum())
    memory, measured, static = learner.start(ids[:1]), TextScore(), TextScore()
    place = 1
    for read in reading(learner, memory, ids[1:]):
        memory = read.memory
        characters = int(vocabulary.begins[ids[place : place + len(read.nats)]].sum())
        place += len(read.nats)
        measured += TextScore(float(read.nats.sum()), characters)
        static += TextScore(float(read.base_nats.sum()), characters)
        yield AdaptResult(memory, measured, static)
    if unknown:
        measured, static = measured.with_unknown(unknown), static.with_unknown(unknown)
        yield AdaptResult(memory, measured, static)
    for _ in range(times - 1):
        for read in reading(learner, memory, ids):
            memory = read.memory
            yield AdaptResult(memory, measured, static)


def learn(learner: Learner, text: str, times: int = 1) -> AdaptResult:
    """What `learning` gives in the end."""
    *_, last = learning(learner, text, times)
    return last


def line_scorer(learner: Learner) -> LineScorer:
    """Return a scorer that learns each line once it was scored."""
    memory = learner.start()

    def score(context: Context, ids: Ids) -> tuple[Context, NDArray[np.float64]]:
        nonlocal memory
        memory, nats, _ = learner.read(memory, ids)
        return Context(memory.state, memory.logits), nats

    return LineScorer(learner.base.vocabulary, Context(memory.state, memory.logits), score)
