"""Measure how far back a model remembers, in two ways that both start from the zero state.

- Context: the surprise of the same characters after more and more context. Where it stops falling, context is useless.
- Recall: the surprise of a target, for example a repeated name, with its first place in the context and without. The
  context begins after that place, or for a rhyme, another word replaces it. The model's gain from it is memory.
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
from charlm.inference.state import Array, Ids
from charlm.insight.recall_targets import KINDS, RecallTarget

MAX_STREAMS = 64  # windows read at once
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
    surprise = np.array([_surprise_after(engine, ids, places, length, on_read) for length in lengths])
    surprise = surprise.reshape(len(lengths), blocks, width)
    per_block = surprise.mean(axis=2) / math.log(2)  # neighbours correlate, so a block counts as one sample
    errors = (per_block - per_block[-1]).std(axis=1) / math.sqrt(blocks)
    return [
        ContextGain(length, float(bits.mean()), float(error))
        for length, bits, error in zip(lengths, per_block, errors, strict=True)
    ]


def _surprise_after(
    engine: Engine, ids: Ids, places: Ids, length: int, on_read: Callable[[int], None]
) -> NDArray[np.float64]:
    """Return the nats of the ids at ascending places, (N,), each after at least `length` ids from the zero state."""
    last = max(1, length // 4)
    firsts = [int(places[0])]
    for place in places:
        if place >= firsts[-1] + last:
            firsts.append(int(place))
    padded = np.concatenate((ids, np.zeros(last, ids.dtype)))
    windows = np.stack([padded[first - length : first + last] for first in firsts], axis=1)
    streams = MAX_STREAMS * max(1, 256 // len(windows))
    parts = [windows[:, start : start + streams] for start in range(0, len(firsts), streams)]
    nats = np.concatenate([_surprise_at_end(engine, part, last, on_read) for part in parts], axis=1)
    window = np.searchsorted(firsts, places, side="right") - 1
    result: NDArray[np.float64] = nats[places - np.array(firsts)[window], window]
    return result


def _surprise_at_end(engine: Engine, windows: Ids, last: int, on_read: Callable[[int], None]) -> NDArray[np.float64]:
    """Read windows, (T, B), from the zero state; return the nats of their last ids, (last, B)."""
    context, truth = windows[:-1], windows[1:, :, None]
    state = engine.start(windows.shape[1])
    nats: NDArray[np.float64] = np.empty((0, windows.shape[1]))
    for first in range(0, len(context), SEGMENT):
        part = context[first : first + SEGMENT]
        state, logits = engine.forward(state, part)
        log_p = np.take_along_axis(log_softmax(logits), truth[first : first + len(part)], axis=-1)
        nats = np.concatenate((nats, -log_p[..., 0].astype(np.float64)))[-last:]
        on_read(part.size)
    return nats


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
    rows = []
    for kind in KINDS:
        least = 1
        while least <= max_distance:
            most = min(2 * least - 1, max_distance)
            drawn = [target for target in targets if target.kind == kind and least <= target.distance <= most]
            if len(drawn) > samples:
                drawn = [drawn[index] for index in sorted(rng.choice(len(drawn), samples, replace=False))]
            if drawn:
                rows.append(_recall_score(engine, ids, drawn, (least, most), on_read))
            least *= 2
    return rows


def _recall_score(
    engine: Engine, ids: Ids, targets: list[RecallTarget], distances: tuple[int, int], on_read: Callable[[int], None]
) -> RecallScore:
    count, sizes = len(targets), np.array([target.stop - target.target for target in targets])
    hits, nats = _predict(engine, [_window(ids, target) for target in targets], sizes, on_read)
    hits_without, nats_without = _predict(engine, [_window_without(ids, target) for target in targets], sizes, on_read)
    total = sizes.sum()
    bits, bits_without = (float(each.sum() / total / math.log(2)) for each in (nats, nats_without))
    residuals = (nats_without - nats) / math.log(2) - (bits_without - bits) * sizes
    error = float(np.sqrt((residuals**2).sum() * count / (count - 1)) / total) if count > 1 else None
    accuracies = float(hits.sum() / total), float(hits_without.sum() / total)
    return RecallScore(targets[0].kind, *distances, count, *accuracies, bits, bits_without, error)


def _window(ids: Ids, target: RecallTarget) -> Ids:
    """Return the ids from shortly before the first place to the end of the target."""
    return ids[max(0, target.begin - LEAD_CHARS) : target.stop]


def _window_without(ids: Ids, target: RecallTarget) -> Ids:
    """Return the same window with the first place cut off or replaced."""
    if target.instead is None:
        return ids[target.end : target.stop]
    length = target.end - target.begin
    before, after = ids[max(0, target.begin - LEAD_CHARS) : target.begin], ids[target.end : target.stop]
    return np.concatenate((before, ids[target.instead : target.instead + length], after))


def _predict(
    engine: Engine, windows: list[Ids], sizes: NDArray[np.int64], on_read: Callable[[int], None]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read windows from the zero state and predict the last sizes[b] ids of window b.

    All windows end at the same step, so shorter ones begin later. Returns the number of ids that were the likeliest,
    (B,), and the sum of nats, (B,).
    """
    lengths = np.array([len(window) for window in windows])
    steps, streams = int(lengths.max()), len(windows)
    padded = np.stack([np.concatenate([np.zeros(steps - len(window), np.int64), window]) for window in windows], axis=1)
    state = engine.start(streams)
    logits: Array = np.empty((streams, 0), np.float32)  # every window begins before its target
    hits, nats = np.zeros(streams, np.int64), np.zeros(streams)
    for step in range(steps):
        (predicted,) = np.nonzero(steps - step <= sizes)
        if len(predicted):
            truth = padded[step, predicted]
            hits[predicted] += logits[predicted].argmax(axis=1) == truth
            nats[predicted] -= log_softmax(logits[predicted])[np.arange(len(predicted)), truth]
        has_begun = steps - step <= lengths
        state, logits = engine.step(state, padded[step])
        if not has_begun.all():
            state = state.zero_where(~has_begun)
        on_read(streams)
    return hits, nats
