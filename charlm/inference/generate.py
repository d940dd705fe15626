"""The one generation loop.

Owns the order of things: draw, read, decode, hold back, show, stop. Everything that writes text (the command line, the
chat, the Python interface, the search for the best of several) goes through here, so that a seed means the same text
everywhere. Knows nothing of screens.

Streams that run as one batch draw from random numbers of their own, so each writes what it would write alone. (The last
bit of a product depends on how many rows it has; a draw that falls on the very edge between two characters may differ.)
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.config import SamplingConfig
from charlm.errors import UsageError
from charlm.inference.engine import Engine
from charlm.inference.sampling import draw, relative
from charlm.inference.state import Array, State
from charlm.text.stops import StopMatcher
from charlm.text.vocabulary import Vocabulary


class Alternative(NamedTuple):
    """A character that might have come."""

    text: str
    id: int
    probability: float


class Piece(NamedTuple):
    """One id, once it may be shown.

    Attributes:
        text: the character; empty for all but the last of the bytes that spell one.
        id: what was drawn.
        logprob: log p of the id by the model itself, before the sampling chain; nats.
        entropy: of the model's distribution; nats.
        alternatives: the likeliest ids at this place, if asked for.
        state: the model's after this id; None in a batch, which would keep every state there was.
    """

    text: str
    id: int
    logprob: float
    entropy: float
    alternatives: tuple[Alternative, ...]
    state: State | None


def new_seed() -> int:
    """A seed short enough to be typed again."""
    return secrets.randbelow(1 << 32)


def make_rng(seed: int) -> np.random.Generator:
    """The random numbers of one stream: NumPy's PCG64."""
    return np.random.Generator(np.random.PCG64(seed))


@dataclass
class Stream:
    """What one stream has drawn, and what of it may be shown.

    Attributes:
        vocabulary: spells.
        rng: draws.
        max_chars: the stream ends after so many; None for no end.
        stops: strings that end it and are not shown.
        recent: ids of the repetition window.
        before: text that was shown before; a stop string may have begun in it.
        reason: why it ended: "stop", "length" or "cancelled"; empty while it runs.
    """

    vocabulary: Vocabulary
    rng: np.random.Generator
    max_chars: int | None
    stops: Sequence[str]
    recent: deque[int]
    before: str = ""
    reason: str = ""
    _held: deque[Piece] = field(default_factory=deque)
    _held_chars: int = 0
    _chars: int = 0

    def __post_init__(self) -> None:
        self._decoder = self.vocabulary.decoder()
        self._matcher = StopMatcher(self.stops) if self.stops else None
        if self._matcher is not None:
            for character in self.before[-max(map(len, self.stops)) :]:
                self._matcher.push(character)
        if self.max_chars == 0:
            self.reason = "length"

    def spell(self, index: int) -> str:
        """The text that an id completes."""
        self.recent.append(index)
        return self._decoder.push(index)

    def accept(self, piece: Piece) -> list[Piece]:
        """Take an id that was drawn and spelled; give back what may be shown now."""
        text = piece.text
        room = None if self.max_chars is None else self.max_chars - self._chars
        if self._matcher is None and not self._held and (room is None or len(text) < room) and text:
            self._chars += len(text)  # by far the most frequent case
            return [piece]
        if room is not None and len(text) > room:  # broken bytes may come to several characters
            text = text[:room]
        hold = 0
        for place, character in enumerate(text, 1):
            if self._matcher is None:
                break
            if match := self._matcher.push(character):
                self.reason = "stop"
                text = text[:place]
                return self._release(piece._replace(text=text), upto=self._held_chars + len(text) - match)
            hold = self._matcher.held
        self._chars += len(text)
        if self.max_chars is not None and self._chars >= self.max_chars:
            self.reason, hold = "length", 0
        if not self._held and not hold and not self._decoder.pending:
            return [piece._replace(text=text) if text != piece.text else piece]
        if self._decoder.pending and not self.reason:
            self._hold(piece._replace(text=text))
            return []
        return self._release(piece._replace(text=text), upto=self._held_chars + len(text) - hold)

    def _hold(self, piece: Piece) -> None:
        self._held.append(piece)
        self._held_chars += len(piece.text)

    def _release(self, piece: Piece, upto: int) -> list[Piece]:
        """Show the first `upto` of the held characters; of a piece that is cut, only its beginning.

        A stop string that began in what was shown before makes `upto` negative: then there is nothing to show.
        Pieces without text are shown with the character that they spell: the last piece shown has read nothing more.
        """
        self._hold(piece)
        upto = max(0, upto)
        shown = []
        while self._held and upto and len(self._held[0].text) <= upto:
            first = self._held.popleft()
            upto -= len(first.text)
            self._held_chars -= len(first.text)
            shown.append(first)
        if self.reason and upto:
            shown.append(self._held[0]._replace(text=self._held[0].text[:upto]))
        return shown


def _run(
    vocabulary: Vocabulary,
    step: Callable[[State, NDArray[np.int64]], tuple[State, Array]],
    state: State,
    logits: Array,
    steer: Callable[[], SamplingConfig],
    streams: Sequence[Stream],
    *,
    cancel: Callable[[], bool] | None,
    alternatives: int,
) -> Iterator[tuple[int, Piece]]:
    """The loop: for every stream that runs, draw, read, show.

    Args:
        vocabulary: the model's.
        step: reads an id in each stream, see `Engine.step`.
        state: of B streams.
        logits: what may come next in each, (B, V).
        steer: asked for the sampling chain before every character.
        streams: B of them.
        cancel: asked before every character; true ends all streams.
        alternatives: how many a piece names.

    Yields:
        The number of a stream, and a piece of it that may be shown.
    """
    params: SamplingConfig | None = None
    banned: list[int] = []
    running = [number for number, stream in enumerate(streams) if not stream.reason]
    if len(running) < len(streams):
        state, logits = state.rows(running), logits[running]
    while running:
        if cancel is not None and cancel():
            for number in running:
                streams[number].reason = "cancelled"
            return
        if (now := steer()) is not params:
            params, banned = now, _banned_ids(vocabulary, now.banned)
            for number in running:
                streams[number].recent = deque(streams[number].recent, maxlen=params.repetition_window)
        recent = [streams[number].recent for number in running] if params.repetition_penalty != 1 else None
        weights = relative(logits, params, banned, recent)
        ids = draw(weights, [streams[number].rng.random() for number in running])
        logprobs, entropies = _surprise(logits, ids)
        choices = _alternatives(vocabulary, logits, alternatives)
        state, logits = step(state, ids)
        shown_state = state if len(streams) == 1 else None
        has_ended = False
        for row, (number, index) in enumerate(zip(running, ids.tolist(), strict=True)):
            stream = streams[number]
            alternative = choices[row] if choices else ()
            piece = Piece(stream.spell(index), index, logprobs[row], entropies[row], alternative, shown_state)
            for shown in stream.accept(piece):
                yield number, shown
            has_ended = has_ended or bool(stream.reason)
        if has_ended:
            rows = [row for row, number in enumerate(running) if not streams[number].reason]
            running = [running[row] for row in rows]
            state, logits = state.rows(rows), logits[rows]


def _banned_ids(vocabulary: Vocabulary, characters: str) -> list[int]:
    for character in vocabulary.unknown(characters) if vocabulary.has_bytes else ():
        raise UsageError(f"{character!r} cannot be banned: this model has no id for it and spells it in bytes")
    return [int(vocabulary.encode(character)[0]) for character in characters if character in vocabulary]


def _surprise(logits: Array, ids: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Log p of the ids and the entropies, (B,) each, in nats."""
    if len(logits) == 1:  # the same, with scalars where calls on tiny arrays would cost more than the arithmetic
        row = logits[0]
        row = row - row[row.argmax()]  # half as long under way as a maximum
        likely = np.exp(row)
        mass = float(np.add.reduce(likely))
        return [float(row[ids[0]]) - math.log(mass)], [math.log(mass) - float(np.dot(likely, row)) / mass]
    shifted = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    weights = np.exp(shifted)
    total = np.add.reduce(weights, axis=-1)
    log_total = np.log(total)
    logprobs = shifted[np.arange(len(ids)), ids] - log_total
    entropies = log_total - np.vecdot(weights, shifted) / total
    return logprobs.tolist(), entropies.tolist()


def _alternatives(vocabulary: Vocabulary, logits: Array, count: int) -> list[tuple[Alternative, ...]]:
    if not count:
        return []
    order = np.argsort(-logits, axis=-1, kind="stable")[:, :count]
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p = weights / weights.sum(axis=-1, keepdims=True)
    return [
        tuple(Alternative(vocabulary.label(index), index, float(p[row, index])) for index in ids)
        for row, ids in enumerate(order.tolist())
    ]


class Generation:
    """Text as it is written: iterate over its pieces.

    Args:
        engine: the model.
        state: of one stream.
        logits: what may come next, (V,).
        params: the sampling chain, or a function that is asked for it before every character, so that it may change.
        max_chars: where to end; None for never.
        stops: strings that end the text and are not shown.
        cancel: asked before every character.
        alternatives: how many likeliest ids each piece names.
        rng: goes on from where it stands; None begins with `params.seed`.
        recent: ids already read, for the repetition penalty.
        before: text shown before this, in which a stop string may have begun.

    Attributes:
        reason: why it ended, empty before it has: "stop", "length" or "cancelled".
        engine: the model; another that has the same states may take its place at any time.
        rng: the random numbers; its `bit_generator.state` can be saved, and others may take its place at any time.
    """

    def __init__(
        self,
        engine: Engine,
        state: State,
        logits: Array,
        params: SamplingConfig | Callable[[], SamplingConfig],
        *,
        max_chars: int | None = None,
        stops: Sequence[str] = (),
        cancel: Callable[[], bool] | None = None,
        alternatives: int = 0,
        rng: np.random.Generator | None = None,
        recent: Sequence[int] = (),
        before: str = "",
    ) -> None:
        steer = _always(params) if isinstance(params, SamplingConfig) else params
        if rng is None:
            seed = steer().seed
            rng = make_rng(new_seed() if seed is None else seed)
        self._stream = _new_stream(engine, rng, max_chars, stops, recent, before)
        self.engine = engine
        self._pieces = _run(
            engine.vocabulary,
            self._step,
            state,
            logits[None],
            steer,
            [self._stream],
            cancel=cancel,
            alternatives=alternatives,
        )

    def _step(self, state: State, ids: NDArray[np.int64]) -> tuple[State, Array]:
        return self.engine.step(state, ids)

    @property
    def rng(self) -> np.random.Generator:
        """What draws."""
        return self._stream.rng

    @rng.setter
    def rng(self, rng: np.random.Generator) -> None:
        self._stream.rng = rng

    @property
    def reason(self) -> str:
        """Why the text ended; empty while it has not."""
        return self._stream.reason

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        return next(self._pieces)[1]


@dataclass(frozen=True)
class Completion:
    """One finished text.

    Attributes:
        text: what was written, without prompt or stop string.
        logprob: log p of everything shown, by the model itself; nats.
        reason: "stop", "length" or "cancelled".
        seed: makes it again.
        pieces: id by id.
    """

    text: str
    logprob: float
    reason: str
    seed: int
    pieces: tuple[Piece, ...]

    @property
    def mean_logprob(self) -> float:
        """Nats per id; 0 for an empty text."""
        return self.logprob / max(1, len(self.pieces))


def generate_batch(
    engine: Engine,
    state: State,
    logits: Array,
    params: SamplingConfig,
    count: int,
    *,
    max_chars: int,
    stops: Sequence[str] = (),
    cancel: Callable[[], bool] | None = None,
    alternatives: int = 0,
    recent: Sequence[int] = (),
    before: str = "",
) -> list[Completion]:
    """Several texts from one state, as one batch. Text k has the seed `params.seed + k`.

    Args:
        engine: the model.
        state: of one stream.
        logits: what may come next, (V,).
        params: the sampling chain.
        count: how many.
        max_chars: where each ends at the latest.
        stops: strings that end a text and are not shown.
        cancel: asked before every character.
        alternatives: how many likeliest ids each piece names.
        recent: ids already read, for the repetition penalty.
        before: text shown before this, in which a stop string may have begun.
    """
    if count < 1:
        raise UsageError(f"count is {count}, but must be at least 1")
    seed = new_seed() if params.seed is None else params.seed
    streams = [_new_stream(engine, make_rng(seed + k), max_chars, stops, recent, before) for k in range(count)]
    pieces: list[list[Piece]] = [[] for _ in streams]
    batch = np.repeat(logits[None], count, axis=0)
    for number, piece in _run(
        engine.vocabulary,
        engine.step,
        state.repeat(count),
        batch,
        _always(params),
        streams,
        cancel=cancel,
        alternatives=alternatives,
    ):
        pieces[number].append(piece)
    return [
        Completion(
            text="".join([piece.text for piece in written]),
            logprob=sum(piece.logprob for piece in written),
            reason=stream.reason,
            seed=seed + k,
            pieces=tuple(written),
        )
        for k, (stream, written) in enumerate(zip(streams, pieces, strict=True))
    ]


def _always(params: SamplingConfig) -> Callable[[], SamplingConfig]:
    return lambda: params


def _new_stream(
    engine: Engine,
    rng: np.random.Generator,
    max_chars: int | None,
    stops: Sequence[str],
    recent: Sequence[int],
    before: str,
) -> Stream:
    if max_chars is not None and max_chars < 0:
        raise UsageError(f"the number of characters is {max_chars}, but must not be negative")
    return Stream(engine.vocabulary, rng, max_chars, [stop for stop in stops if stop], deque(recent), before)
