"""How long a model remembers.

Two measurements, both by cutting the context off and starting from nothing:

- the surprise at the same characters, with more and more of the text before them: where it stops falling, context stops
  paying;
- recall: a name that comes again, or what closes a quote or bracket, k characters after it stood or was opened. It is
  predicted twice, once with that first place in the context and once with the context beginning just after it. What the
  model can do in the first case only, it does from memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError
from charlm.inference.engine import SEGMENT, Array, Engine, Ids, State
from charlm.inference.reading import log_softmax

STREAMS = 64  # read at once, at most
LEAD = 32  # characters before the first place, which are read as well when it is part of the context
KINDS = ("name", "bracket", "quote")
LEAST_NAME = 4  # letters
_PAIRS = {"(": ")", "[": "]", "{": "}", "\u201c": "\u201d", "\u300c": "\u300d", "\u300e": "\u300f"}


class Context(NamedTuple):
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
) -> list[Context]:
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
        Context(length, float(bits.mean()), float(error))
        for length, bits, error in zip(lengths, per_block, errors, strict=True)
    ]


def _surprise_at_end(engine: Engine, windows: Ids, last: int, on_read: Callable[[int], None]) -> NDArray[np.float64]:
    """Read (T, B) from nothing; nats of the last ids, (last, B)."""
    streams = windows.shape[1]
    state, logits = engine.start(streams), None
    lead = len(windows) - last
    for first in range(0, lead, SEGMENT):
        part = windows[first : min(first + SEGMENT, lead)]
        state, logits = engine.read(state, part)
        on_read(part.size)
    assert logits is not None
    before = [logits[-1:]]
    if last > 1:
        state, rest = engine.read(state, windows[lead:-1])
        before.append(rest)
        on_read(rest.shape[0] * streams)
    predictions = log_softmax(np.concatenate(before))
    return -np.take_along_axis(predictions, windows[lead:][..., None], axis=-1)[..., 0].astype(np.float64)


class Place(NamedTuple):
    """Something that is there to be recalled.

    Attributes:
        kind: one of `KINDS`.
        begin: where what is remembered begins, as the next in characters.
        end: where it ends.
        target: where what is to be recalled begins.
        stop: and ends.
    """

    kind: str
    begin: int
    end: int
    target: int
    stop: int

    @property
    def distance(self) -> int:
        """Characters from the end of the one to the beginning of the other."""
        return self.target - self.end


def places(text: str) -> Iterator[Place]:
    """Names that come again, and what closes brackets and quotes.

    A name is a capitalised word of at least four letters inside a sentence or alone on a line. Of one that comes again,
    its first letter is given and the rest is to be recalled. A bracket or quote counts if it closes on the same
    paragraph as it opens.
    """
    last: dict[str, re.Match[str]] = {}
    for match in re.finditer(rf"(?<![.!?]\s)\b[A-Z][\w]{{{LEAST_NAME - 1},}}\b", text):
        if (earlier := last.get(match[0])) is not None:
            yield Place("name", earlier.start(), earlier.end(), match.start() + 1, match.end())
        last[match[0]] = match
    opened: list[tuple[str, int]] = []
    quoted: int | None = None
    for place, character in enumerate(text):
        if character == "\n" and text[place - 1 : place] == "\n":
            opened, quoted = [], None
        elif character == '"':
            if quoted is not None:
                yield Place("quote", quoted, quoted + 1, place, place + 1)
            quoted = place if quoted is None else None
        elif character in _PAIRS:
            opened.append((_PAIRS[character], place))
        elif opened and character == opened[-1][0]:
            _, start = opened.pop()
            kind = "quote" if character in "\u201d\u300d\u300f" else "bracket"
            yield Place(kind, start, start + 1, place, place + 1)


class Recall(NamedTuple):
    """How well something is recalled at a distance.

    Attributes:
        kind: one of `KINDS`.
        least: characters between the two, from here ...
        most: ... to here.
        tried: how many there were.
        accuracy: the share of characters that the model thinks likeliest, with the first place in the context.
        without: the same with the context beginning just after it.
        bits: the mean surprise of a character with it.
        bits_without: and without.
    """

    kind: str
    least: int
    most: int
    tried: int
    accuracy: float
    without: float
    bits: float
    bits_without: float


def recall(
    engine: Engine,
    ids: Ids,
    found: list[Place],
    *,
    longest: int,
    most: int = 48,
    seed: int = 0,
    on_read: Callable[[int], None] = lambda ids: None,
) -> list[Recall]:
    """How well a model recalls, by kind and distance, in doublings of the distance.

    Args:
        engine: the model.
        ids: the text; a character must be one id, as it is without byte fallback.
        found: what `places` found.
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
                right, nats = _predict(engine, ids, some, [max(0, each.begin - LEAD) for each in some], on_read)
                wrong, more = _predict(engine, ids, some, [each.end for each in some], on_read)
                bits = (nats / math.log(2), more / math.log(2))
                rows.append(Recall(kind, least, upper, len(some), right, wrong, *bits))
            least *= 2
    return rows


def _predict(
    engine: Engine, ids: Ids, some: list[Place], starts: list[int], on_read: Callable[[int], None]
) -> tuple[float, float]:
    """The share of the targets' characters that are thought likeliest, and their mean nats.

    Stream b reads from starts[b] up to its target's end. All end together, so those with less to read begin later.
    """
    lengths = np.array([each.stop - start for each, start in zip(some, starts, strict=True)])
    steps, streams = int(lengths.max()), len(some)
    state = engine.start(streams)
    logits: Array | None = None
    likeliest, nats = [], []
    for step in range(steps):
        at = np.array([each.stop for each in some]) - steps + step  # may lie before the stream's beginning
        if logits is not None:
            predictions = log_softmax(logits)
            for stream, each in enumerate(some):
                if each.target <= at[stream] and lengths[stream] > steps - step:
                    truth = ids[at[stream]]
                    likeliest.append(predictions[stream].argmax() == truth)
                    nats.append(-float(predictions[stream, truth]))
        begun = steps - step <= lengths
        state, logits = engine.step(state, np.where(begun, ids[np.maximum(at, 0)], 0))
        if not begun.all():
            keep = begun[:, None]
            state = State(tuple(type(layer)(*[part * keep for part in layer]) for layer in state.layers))
        on_read(streams)
    return float(np.mean(likeliest)) if likeliest else math.nan, float(np.mean(nats)) if nats else math.nan
