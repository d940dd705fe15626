"""How long a model remembers.

Two measurements, both starting from nothing:

- the surprise at the same characters, with more and more of the text before them: where it stops falling, context stops
  paying;
- recall: a name that comes again, what closes a quote or bracket, or what rhymes, k characters after it stood or was
  opened. It is predicted twice: once with that first place in the context; and once with the context beginning just
  after it or, for a rhyme, with a word in its place that does not rhyme. What the model can do in the first case only,
  it does from memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError
from charlm.inference.engine import SEGMENT, Engine
from charlm.inference.sampling import log_softmax
from charlm.inference.state import Array, Ids, State
from charlm.insight.recall_targets import KINDS, RecallTarget

STREAMS = 64  # read at once, at most
LEAD = 32  # characters before the first place, which are read as well when it is part of the context


class ContextGain(NamedTuple):
    """What a length of context is worth.

    Attributes:
        length: characters that were read before each.
        bits: the mean surprise.
        error: the standard error of its difference from that of the longest context, whose characters are the same.
    """

    length: int
    bits: float
    error: float


def by_context(
    engine: Engine,
    ids: Ids,
    lengths: list[int],
    blocks: int = 48,
    width: int = 32,
    on_read: Callable[[int], None] = lambda ids: None,
) -> list[ContextGain]:
    """Bits per character by how much context is read, over the same characters for every length.

    Args:
        engine: the model.
        ids: the text, (N,).
        lengths: of context, ascending.
        blocks: how many stretches of the text are predicted, spread evenly over it.
        width: characters in each. A context longer than four widths is measured to the stretch's beginning, so that one
            reading serves all of it.
        on_read: is told how many ids were read since.

    Raises:
        CorpusError: the text is too short for the longest context.
    """
    longest = lengths[-1]
    if len(ids) < longest + 2 * width:
        raise CorpusError(
            f"the text has {len(ids)} characters, but a context of {longest} needs {longest + 2 * width}",
            "give a longer text, or a shorter --longest",
        )
    starts = np.linspace(longest, len(ids) - width, blocks).astype(np.int64)
    surprise = np.empty((len(lengths), blocks, width))
    for row, length in enumerate(lengths):
        if length > 4 * width:
            windows = np.stack([ids[start - length : start + width] for start in starts], axis=1)
            for first in range(0, blocks, STREAMS):
                part = windows[:, first : first + STREAMS]
                found = _surprise_at_end(engine, part, width, on_read)
                surprise[row, first : first + STREAMS] = found.T
        else:
            places = (starts[:, None] + np.arange(width)).ravel()
            found = np.empty(len(places))
            for first in range(0, len(places), 4 * STREAMS):
                some = places[first : first + 4 * STREAMS]
                windows = np.stack([ids[place - length : place + 1] for place in some], axis=1)
                found[first : first + 4 * STREAMS] = _surprise_at_end(engine, windows, 1, on_read)[0]
            surprise[row] = found.reshape(blocks, width)
    per_block = surprise.mean(axis=2) / math.log(2)  # neighbours go together, so a stretch counts as one
    errors = (per_block - per_block[-1]).std(axis=1) / math.sqrt(blocks)
    return [
        ContextGain(length, float(bits.mean()), float(error))
        for length, bits, error in zip(lengths, per_block, errors, strict=True)
    ]


def _surprise_at_end(engine: Engine, windows: Ids, last: int, on_read: Callable[[int], None]) -> NDArray[np.float64]:
    """Read (T, B) from nothing; nats of the last ids, (last, B)."""
    streams = windows.shape[1]
    state, logits = engine.start(streams), None
    lead = len(windows) - last
    for first in range(0, lead, SEGMENT):
        part = windows[first : min(first + SEGMENT, lead)]
        state, logits = engine.forward(state, part)
        on_read(part.size)
    assert logits is not None
    before = [logits[-1:]]
    if last > 1:
        state, rest = engine.forward(state, windows[lead:-1])
        before.append(rest)
        on_read(rest.shape[0] * streams)
    predictions = log_softmax(np.concatenate(before))
    return -np.take_along_axis(predictions, windows[lead:][..., None], axis=-1)[..., 0].astype(np.float64)


class RecallScore(NamedTuple):
    """How well something is recalled at a distance.

    Attributes:
        kind: one of `KINDS`.
        least: characters between the two, from here ...
        most: ... to here.
        tried: how many there were.
        accuracy: the share of characters that the model thinks likeliest, with the first place in the context.
        without: the same without it: the context begins just after it, or another word stands there.
        bits: the mean surprise of a character with it.
        bits_without: and without.
        error: the standard error of the difference between the two; None where only one was tried.
    """

    kind: str
    least: int
    most: int
    tried: int
    accuracy: float
    without: float
    bits: float
    bits_without: float
    error: float | None


def recall(
    engine: Engine,
    ids: Ids,
    found: list[RecallTarget],
    *,
    longest: int,
    most: int = 48,
    seed: int = 0,
    on_read: Callable[[int], None] = lambda ids: None,
) -> list[RecallScore]:
    """How well a model recalls, by kind and distance, in doublings of the distance.

    Args:
        engine: the model.
        ids: the text; a character must be one id, as it is without byte fallback.
        found: what `charlm.insight.recall_targets` found.
        longest: the greatest distance.
        most: of a kind and distance, at most so many, drawn at random.
        seed: of what is drawn.
        on_read: is told how many ids were read since.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for kind in KINDS:
        least = 1
        while least <= longest:
            upper = min(2 * least - 1, longest)
            some = [each for each in found if each.kind == kind and least <= each.distance <= upper]
            if len(some) > most:
                some = [some[index] for index in sorted(rng.choice(len(some), most, replace=False))]
            if some:
                sizes = np.array([each.stop - each.target for each in some])
                right, nats = _predict(engine, [_window(ids, each) for each in some], sizes, on_read)
                by_chance, more = _predict(engine, [_without(ids, each) for each in some], sizes, on_read)
                total = sizes.sum()
                bits, bits_without = nats.sum() / total / math.log(2), more.sum() / total / math.log(2)
                gain = (more - nats) / math.log(2) - (bits_without - bits) * sizes  # of each, beyond the mean
                error = float(np.sqrt((gain**2).sum() * len(some) / (len(some) - 1)) / total) if len(some) > 1 else None
                shares = float(right.sum() / total), float(by_chance.sum() / total)
                rows.append(
                    RecallScore(kind, least, upper, len(some), *shares, float(bits), float(bits_without), error)
                )
            least *= 2
    return rows


def _window(ids: Ids, place: RecallTarget) -> Ids:
    """From a little before what is remembered to the end of what is recalled."""
    return ids[max(0, place.begin - LEAD) : place.stop]


def _without(ids: Ids, place: RecallTarget) -> Ids:
    """The same without what is remembered."""
    if place.instead is None:
        return ids[place.end : place.stop]
    window = _window(ids, place).copy()
    first, length = len(window) - (place.stop - place.begin), place.end - place.begin
    window[first : first + length] = ids[place.instead : place.instead + length]
    return window


def _predict(
    engine: Engine, windows: list[Ids], sizes: NDArray[np.int64], on_read: Callable[[int], None]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read windows from nothing; of the last sizes[b] ids of window b, how many are thought likeliest, and their nats.

    All end together, so those that are shorter begin later.

    Returns:
        (B,) and (B,), sums.
    """
    lengths = np.array([len(window) for window in windows])
    steps, streams = int(lengths.max()), len(windows)
    padded = np.stack([np.concatenate([np.zeros(steps - len(window), np.int64), window]) for window in windows], axis=1)
    state = engine.start(streams)
    logits: Array | None = None
    right, nats = np.zeros(streams, np.int64), np.zeros(streams)
    for step in range(steps):
        (asked,) = np.nonzero(steps - step <= sizes)
        if len(asked):
            assert logits is not None  # something always comes before what is recalled
            truth = padded[step, asked]
            right[asked] += logits[asked].argmax(axis=1) == truth
            nats[asked] -= log_softmax(logits[asked])[np.arange(len(asked)), truth]
        begun = steps - step <= lengths
        state, logits = engine.step(state, padded[step])
        if not begun.all():
            keep = begun[:, None]
            state = State(tuple(type(layer)(*[part * keep for part in layer]) for layer in state.layers))
        on_read(streams)
    return right, nats
