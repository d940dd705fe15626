"""Measure how far back a model remembers, in two ways that both start from the zero state.

- Context: the surprise of the same characters after more and more context. Where it stops falling, context is useless.
- Recall: the surprise of a target, for example a repeated name, with its first place in the context and without. The
  context begins after that place, or for a rhyme, another word replaces it. The model's gain from it is memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError
from charlm.inference.engine import Engine
from charlm.inference.scoring import surprisals
from charlm.inference.state import Ids
from charlm.insight.recall_targets import KINDS, RecallTarget

MAX_STREAMS = 64  # windows read at once; more if they are short
MAX_STEPS = 64  # ids of a window read at once
LEAD_CHARS = 32  # context before the first place


class ContextGain(NamedTuple):
    """The surprise after some length of context."""

    length: int  # characters of context
    bits: float  # mean surprise of a character
    error: float  # standard error of the difference from the longest context, over the same characters


def measure_context(
    engine: Engine,
    ids: Ids,
    lengths: list[int],
    blocks: int = 48,
    width: int = 32,
    on_read: Callable[[int], None] = lambda ids: None,
) -> list[ContextGain]:
    """Return bits per character by length of context, ascending, over the same characters for every length.

    Blocks of `width` characters, spread evenly over the text, are predicted; as many as fit without overlap, at most
    `blocks`. One pass serves near characters, so a context is up to a quarter longer. Calls `on_read` with the number
    of ids read since the last call. Raises CorpusError if the text is too short for the longest context.
    """
    longest = lengths[-1]
    if len(ids) < longest + 2 * width:
        raise CorpusError(
            f"the text has {len(ids)} characters, but a context of {longest} needs {longest + 2 * width}",
            "use a longer text, or a smaller --max-context",
        )
    blocks = min(blocks, max(2, (len(ids) - longest) // width))
    starts = np.linspace(longest, len(ids) - width, blocks).astype(np.int64)
    places = (starts[:, None] + np.arange(width)).ravel()
    windows: list[tuple[int, int, int]] = []  # length of context, first place and end of a pass
    for length in lengths:
        served = max(1, length // 4)
        first = -served
        for place in places.tolist():
            if place >= first + served:
                first = place
                windows.append((length, first, min(first + served, len(ids))))
    read = [(ids[first - length : end], end - first) for length, first, end in windows]
    predictions, nats, surprise = iter(_predict(engine, read, on_read)), np.empty(len(ids)), []
    for _, passes in groupby(windows, key=itemgetter(0)):
        for _, first, end in passes:
            nats[first:end] = next(predictions).nats
        surprise.append(nats[places].reshape(blocks, width))
    per_block = np.mean(surprise, axis=2) / math.log(2)  # neighbours correlate, so a block counts as one sample
    errors = (per_block - per_block[-1]).std(axis=1) / math.sqrt(blocks)
    return [
        ContextGain(length, float(bits.mean()), float(error))
        for length, bits, error in zip(lengths, per_block, errors, strict=True)
    ]


class RecallScore(NamedTuple):
    """Recall of targets of one kind in one range of distances."""

    kind: str  # one of KINDS
    least: int  # smallest distance in characters
    most: int  # greatest distance in characters
    tried: int  # number of targets
    accuracy: float  # share of characters that are the likeliest, with the first place in the context
    without: float  # the same without the first place
    bits: float  # mean surprise of a character with the first place
    bits_without: float  # and without
    error: float | None  # standard error of the difference in bits; None for a single target


def measure_recall(
    engine: Engine,
    ids: Ids,
    targets: list[RecallTarget],
    *,
    max_distance: int,
    samples: int = 48,
    seed: int = 0,
    on_read: Callable[[int], None] = lambda ids: None,
) -> list[RecallScore]:
    """Return a model's recall by kind and distance; each range of distances is twice as wide as the one before.

    Each character must be one id, as it is without byte fallback. At most `samples` targets of a kind and range count,
    drawn at random. `on_read` is called with the number of ids read since the last call.
    """
    rng = np.random.default_rng(seed)
    groups = []
    for kind in KINDS:
        least = 1
        while least <= max_distance:
            most = min(2 * least - 1, max_distance)
            drawn = [target for target in targets if target.kind == kind and least <= target.distance <= most]
            if len(drawn) > samples:
                drawn = [drawn[index] for index in sorted(rng.choice(len(drawn), samples, replace=False))]
            if drawn:
                groups.append((least, most, drawn))
            least *= 2
    read = [
        (window, target.stop - target.target)
        for *_, drawn in groups
        for target in drawn
        for window in _windows(ids, target)
    ]
    predictions = iter(_predict(engine, read, on_read))
    return [
        _recall_score(drawn[0].kind, least, most, [(next(predictions), next(predictions)) for _ in drawn])
        for least, most, drawn in groups
    ]


def _recall_score(kind: str, least: int, most: int, pairs: list[tuple[Prediction, Prediction]]) -> RecallScore:
    """Return the score of targets, each predicted with its first place and without."""
    count, sizes = len(pairs), np.array([len(one.nats) for one, _ in pairs])
    total = sizes.sum()
    nats = np.array([[each.nats.sum() for each in pair] for pair in pairs])  # (count, 2) with the place, without
    hits = np.array([[each.hits.sum() for each in pair] for pair in pairs])
    accuracy, accuracy_without = (hits.sum(axis=0) / total).tolist()
    bits, bits_without = (nats.sum(axis=0) / total / math.log(2)).tolist()
    residuals = (nats[:, 1] - nats[:, 0]) / math.log(2) - (bits_without - bits) * sizes
    error = float(np.sqrt((residuals**2).sum() * count / (count - 1)) / total) if count > 1 else None
    return RecallScore(kind, least, most, count, accuracy, accuracy_without, bits, bits_without, error)


def _windows(ids: Ids, target: RecallTarget) -> tuple[Ids, Ids]:
    """Return the ids from shortly before the first place to the end of the target; with the first place, and without.

    For a rhyme, another word replaces the first place. Else the second window begins after it.
    """
    begin = max(0, target.begin - LEAD_CHARS)
    with_place = ids[begin : target.stop]
    if target.instead is None:
        return with_place, ids[target.end : target.stop]
    instead = ids[target.instead : target.instead + target.end - target.begin]
    return with_place, np.concatenate((ids[begin : target.begin], instead, ids[target.end : target.stop]))


class Prediction(NamedTuple):
    """Prediction of N ids in a row."""

    nats: NDArray[np.float64]  # (N,) surprise
    hits: NDArray[np.bool_]  # (N,) whether an id is the likeliest


def _predict(engine: Engine, windows: list[tuple[Ids, int]], on_read: Callable[[int], None]) -> list[Prediction]:
    """Read windows from the zero state, and predict the given number of ids at the end of each, not its first.

    A product with few rows costs almost as much as one with many, so windows of all kinds are read at once.
    """
    order = sorted(range(len(windows)), key=lambda index: -len(windows[index][0]))
    found: dict[int, Prediction] = {}
    while order:
        streams = MAX_STREAMS * max(1, MAX_STEPS // len(windows[order[0]][0]))
        batch, order = order[:streams], order[streams:]
        found |= zip(batch, _predict_batch(engine, [windows[index] for index in batch], on_read), strict=True)
    return [found[index] for index in range(len(windows))]


def _predict_batch(
    engine: Engine, windows: list[tuple[Ids, int]], on_read: Callable[[int], None]
) -> Iterator[Prediction]:
    """Yield the predictions of windows that are read at once, the longest first."""
    lengths = np.array([len(ids) for ids, _ in windows])
    sizes = np.array([size for _, size in windows])
    padded = np.zeros((lengths[0], len(windows)), np.int64)
    for stream, (ids, _) in enumerate(windows):
        padded[: len(ids), stream] = ids
    places = np.arange(len(padded))[:, None]
    predicted = (lengths - sizes <= places) & (places < lengths)
    nats, hits = np.zeros(padded.shape), np.zeros(padded.shape, bool)
    state, step, streams = engine.start(len(windows)), 0, len(windows)
    while streams:
        end = min(step + MAX_STEPS, lengths[streams // 2] - 1)  # streams that end are dropped by halves
        state, logits = engine.forward(state.rows(slice(streams)), padded[step:end, :streams])
        rows, columns = np.nonzero(predicted[step + 1 : end + 1, :streams])
        after = rows + step + 1, columns
        nats[after] = surprisals(logits[rows, columns], padded[after])
        hits[after] = logits[rows, columns].argmax(axis=1) == padded[after]
        on_read((end - step) * streams)
        step, streams = end, int((lengths - 1 > end).sum())
    for stream, (ids, size) in enumerate(windows):
        own = slice(len(ids) - size, len(ids)), stream
        yield Prediction(nats[own], hits[own])
