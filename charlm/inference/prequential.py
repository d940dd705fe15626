"""Texts read by a model that learns: measured, scored line by line, or learned for their own sake.

Each character is predicted before it is learned, so a figure says how well the model does on a text that it is shown a
character at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError
from charlm.inference.engine import Ids
from charlm.inference.learner import Learner, Memory, Read
from charlm.inference.reading import Measured, spell, with_unknown

SLICE = 20  # segments between two reports of progress


def reading(learner: Learner, memory: Memory, ids: Ids) -> Iterator[Read]:
    """Read a long text and learn it, slice by slice; the same as in one go."""
    size = SLICE * learner.settings.segment
    for first in range(0, len(ids), size):
        read = learner.read(memory, ids[first : first + size])
        memory = read.memory
        yield read


def measuring_learning(learner: Learner, text: str) -> Iterator[tuple[Measured, Measured]]:
    """Measure a model on a text that it learns as it reads; yields what was measured so far, with learning and without.

    Args:
        learner: the model; it begins with what was trained.
        text: at least two characters; the first is read but not predicted.

    Raises:
        CorpusError: the text is too short.
    """
    if len(text) < 2:
        raise CorpusError("the text is too short to be measured", "at least two characters are needed")
    vocabulary = learner.base.vocabulary
    ids, unknown = spell(vocabulary, text)
    learning = static = Measured()
    place = 1
    for read in reading(learner, learner.start(ids[:1]), ids[1:]):
        characters = int(vocabulary.begins[ids[place : place + len(read.nats)]].sum())
        place += len(read.nats)
        learning += Measured(float(read.nats.sum()), characters)
        static += Measured(float(read.base_nats.sum()), characters)
        yield learning, static
    if strange := int(unknown[1:].sum()):
        yield with_unknown(learning, strange), with_unknown(static, strange)


def line_reader(learner: Learner) -> Callable[[Ids], NDArray[np.float64]]:
    """For `LineScorer`: a way of reading on that learns each line once it was scored."""
    memory = learner.start()

    def read(ids: Ids) -> NDArray[np.float64]:
        nonlocal memory
        memory, nats, _ = learner.read(memory, ids)
        return nats

    return read
