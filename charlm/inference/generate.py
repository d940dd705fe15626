"""The one generation loop.

Owns the order of things: draw, read, decode, hold back, show, stop. Everything that writes text (the command line, the
chat, the Python interface, the choice among several texts) uses it, so that a seed gives the same text everywhere.
Knows nothing of screens.

Each stream of a batch has its own random numbers, so it writes what it would write alone. (The last bit of a product
depends on its number of rows. So a draw at the very edge between two characters may differ.)
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from charlm.config import SamplingConfig
from charlm.errors import UsageError
from charlm.inference import fast_path, sampling
from charlm.inference.context import Context, never
from charlm.inference.engine import Engine
from charlm.inference.name_bias import NameBias, Names
from charlm.inference.pointer import Memory
from charlm.inference.state import Array, State
from charlm.text.stops import StopMatcher
from charlm.text.surprise import surprise_html
from charlm.text.vocabulary import Vocabulary


class Alternative(NamedTuple):
    """A likely id at some place."""

    text: str
    id: int
    probability: float


class Piece(NamedTuple):
    """One id, once it may be shown."""

    text: str  # the character; empty for all but the last of the bytes that encode one
    id: int
    logprob: float  # log p of the id by the model, before the sampling chain; nats
    entropy: float  # of the model's distribution; nats
    copied: float  # share of copies in the probability of the id, see `charlm.inference.pointer`
    alternatives: tuple[Alternative, ...]  # the likeliest ids at this place, if asked for
    context: Context | None  # after this id; None in a batch, where it would keep every state alive


class Sampler(NamedTuple):
    """Weights, settings and random numbers of the next draw."""

    engine: Engine
    params: SamplingConfig
    rngs: Sequence[np.random.Generator]  # one a stream

    @classmethod
    def seeded(cls, engine: Engine, params: SamplingConfig, count: int = 1) -> Sampler:
        """Return a sampler whose stream k has the seed `params.seed + k`; a seed is drawn if there is none."""
        seed = new_seed() if params.seed is None else params.seed
        return cls(engine, replace(params, seed=seed), [make_rng(seed + k) for k in range(count)])


def new_seed() -> int:
    """Draw a seed short enough to type."""
    return secrets.randbelow(1 << 32)


def make_rng(seed: int) -> np.random.Generator:
    """Return the random numbers of one stream: NumPy's PCG64."""
    return np.random.Generator(np.random.PCG64(seed))


@dataclass
class Stream:
    """The ids drawn in one stream, and the part of their text that may be shown."""

    vocabulary: Vocabulary
    max_chars: int | None  # the stream ends after these; None never ends
    stops: Sequence[str]  # strings that end the stream and are not shown
    recent: deque[int]  # ids of the repetition window
    shown_before: str = ""  # earlier text; a stop string may have begun in it
    names: Names | None = None  # that the stream may repeat
    reason: str = ""  # why the stream ended: "stop", "length" or "cancelled"; empty while it runs
    _held: deque[Piece] = field(default_factory=deque)
    _chars: int = 0

    def __post_init__(self) -> None:
        if self.max_chars is not None and self.max_chars < 0:
            raise UsageError(f"the number of characters is {self.max_chars}, but must not be negative")
        self._decoder = self.vocabulary.decoder()
        self.bias = NameBias(self.names) if self.names is not None else None
        self.stops = [stop for stop in self.stops if stop]
        self._matcher = StopMatcher(self.stops) if self.stops else None
        if self._matcher is not None:
            for character in self.shown_before[-max(map(len, self.stops)) :]:
                self._matcher.push(character)
        if self.max_chars == 0:
            self.reason = "length"

    def decode(self, index: int) -> str:
        """Return the text that an id completes."""
        self.recent.append(index)
        if self.bias is not None:
            self.bias.advance(index)
        return self._decoder.push(index)

    def accept(self, piece: Piece) -> list[Piece]:
        """Take the next decoded piece; return the pieces that may be shown now."""
        text = piece.text
        room = None if self.max_chars is None else self.max_chars - self._chars
        if self._matcher is None and not self._held and (room is None or len(text) < room) and text:
            self._chars += len(text)  # by far the most frequent case
            return [piece]
        if room is not None and len(text) > room:  # broken bytes may decode to several characters
            text = text[:room]
        hold = 0
        for place, character in enumerate(text, 1):
            if self._matcher is None:
                break
            if match := self._matcher.push(character):
                self.reason = "stop"
                text = text[:place]
                return self._release(piece._replace(text=text), match)
            hold = self._matcher.held
        self._chars += len(text)
        if self.max_chars is not None and self._chars >= self.max_chars:
            self.reason, hold = "length", 0
        if not self._held and not hold and not self._decoder.pending:
            return [piece._replace(text=text) if text != piece.text else piece]
        if self._decoder.pending and not self.reason:
            self._held.append(piece._replace(text=text))
            return []
        return self._release(piece._replace(text=text), hold)

    def _release(self, piece: Piece, hold: int) -> list[Piece]:
        """Return all held characters but the last `hold`; a piece that is cut is returned up to the cut.

        A stop string that began in text shown before is longer than the held text: then nothing may be shown. Pieces
        without text are shown with the character that they encode: the last piece shown has read nothing more.
        """
        self._held.append(piece)
        upto = max(0, sum([len(held.text) for held in self._held]) - hold)
        shown = []
        while self._held and upto and len(self._held[0].text) <= upto:
            shown.append(self._held.popleft())
            upto -= len(shown[-1].text)
        if self.reason and upto:
            shown.append(self._held[0]._replace(text=self._held[0].text[:upto]))
        return shown


def _run(
    state: State,
    logits: Array,  # (B, V) of the next id in each stream
    sampler: Sampler,
    streams: Sequence[Stream],
    *,
    memory: Memory | None = None,  # that every stream may copy
    update: Callable[[Sampler], Sampler] | None = None,
    cancel: Callable[[], bool] = never,
    alternatives: int = 0,
) -> Iterator[tuple[int, Piece]]:
    """Draw, read and show in every stream until all have ended; options as for `Generation`.

    Yields the number of a stream, and a piece of it that may be shown.
    """
    params: SamplingConfig | None = None
    banned: list[int] = []
    running = [number for number, stream in enumerate(streams) if not stream.reason]
    if len(running) < len(streams):
        state, logits = state.rows(running), logits[running]
    while running:
        if cancel():
            for number in running:
                streams[number].reason = "cancelled"
            return
        if update is not None:
            sampler = update(sampler)
        if sampler.params is not params:
            params, banned = sampler.params, _banned_ids(sampler)
            for number in running:
                streams[number].recent = deque(streams[number].recent, maxlen=params.repetition_window)
        recent = [streams[number].recent for number in running] if params.repetition_penalty != 1 else None
        uniforms = [sampler.rngs[number].random() for number in running]
        copied = None
        if memory is not None:
            logits, copied = memory.mix(state.hidden, logits)
        biased = _with_biases(logits, [streams[number].bias for number in running])
        sample = fast_path.sample if len(running) == 1 else sampling.sample
        ids, logprobs, entropies = sample(biased, params, banned, recent, uniforms)
        if biased is not logits:  # log p is the model's, as with a temperature: a bias makes no reply more likely
            logprobs = np.take_along_axis(sampling.log_softmax(logits), ids[:, None], axis=1)[:, 0].tolist()
        choices = _alternatives(sampler.engine.vocabulary, logits, alternatives) if alternatives else None
        state, logits = sampler.engine.step(state, ids)
        context = Context(state, logits[0]) if len(streams) == 1 else None
        has_ended = False
        for row, (number, index) in enumerate(zip(running, ids.tolist(), strict=True)):
            stream = streams[number]
            named = choices[row] if choices else ()
            share = 0.0 if copied is None else float(copied[row, index])
            piece = Piece(stream.decode(index), index, logprobs[row], entropies[row], share, named, context)
            for shown in stream.accept(piece):
                yield number, shown
            has_ended = has_ended or bool(stream.reason)
        if has_ended:
            rows = [row for row, number in enumerate(running) if not streams[number].reason]
            running = [running[row] for row in rows]
            state, logits = state.rows(rows), logits[rows]


def _with_biases(logits: Array, biases: Sequence[NameBias | None]) -> Array:
    """Return the logits of each stream with its bias added."""
    mixed = logits
    for number, bias in enumerate(biases):
        if bias is not None and (row := bias.mix(logits[number])) is not None:
            mixed = mixed.copy() if mixed is logits else mixed
            mixed[number] = row
    return mixed


def _banned_ids(sampler: Sampler) -> list[int]:
    vocabulary, characters = sampler.engine.vocabulary, sampler.params.banned
    for character in vocabulary.unknown(characters) if vocabulary.has_bytes else ():
        raise UsageError(f"{character!r} cannot be banned: this model has no id for it and encodes it in bytes")
    return [int(vocabulary.encode(character)[0]) for character in characters if character in vocabulary]


def _alternatives(vocabulary: Vocabulary, logits: Array, count: int) -> list[tuple[Alternative, ...]]:
    order = np.argsort(-logits, axis=-1, kind="stable")[:, :count]
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p = weights / weights.sum(axis=-1, keepdims=True)
    return [
        tuple(Alternative(vocabulary.label(index), index, float(p[row, index])) for index in ids)
        for row, ids in enumerate(order.tolist())
    ]


def with_alternatives(engine: Engine, context: Context, pieces: Sequence[Piece], count: int) -> Sequence[Piece]:
    """Return the pieces of a text after a context, each with its likeliest ids."""
    if not count or not pieces:
        return pieces
    _, logits = engine.forward(context.state, np.array([piece.id for piece in pieces]))
    choices = _alternatives(engine.vocabulary, np.concatenate((context.logits[None], logits[:-1])), count)
    return [piece._replace(alternatives=named) for piece, named in zip(pieces, choices, strict=True)]


class Generation:
    """A text while it is written: an iterator of its pieces.

    Args:
        context: the text follows it.
        sampler: draws the first id.
        update: called before every draw; returns the sampler to draw with, so that it may change at any character.
        max_chars: the length of the text; None never ends.
        stops: strings that end the text and are not shown.
        cancel: called before every draw; true ends the text.
        alternatives: how many likeliest ids each piece names.
        recent: ids already read, for the repetition penalty.
        shown_before: earlier text; a stop string may have begun in it.
    """

    def __init__(
        self,
        context: Context,
        sampler: Sampler,
        *,
        update: Callable[[Sampler], Sampler] | None = None,
        max_chars: int | None = None,
        stops: Sequence[str] = (),
        cancel: Callable[[], bool] = never,
        alternatives: int = 0,
        recent: Sequence[int] = (),
        shown_before: str = "",
    ) -> None:
        self._stream = Stream(sampler.engine.vocabulary, max_chars, stops, deque(recent), shown_before, context.names)
        self._pieces = _run(
            context.state,
            context.logits[None],
            sampler,
            [self._stream],
            memory=context.memory,
            update=update,
            cancel=cancel,
            alternatives=alternatives,
        )

    @property
    def reason(self) -> str:
        """Why the text ended: "stop", "length" or "cancelled"; empty before."""
        return self._stream.reason

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        return next(self._pieces)[1]


@dataclass(frozen=True)
class Completion:
    """One finished text."""

    text: str  # without prompt or stop string
    logprob: float  # log p of everything shown, by the model; nats
    reason: str  # "stop", "length" or "cancelled"
    seed: int  # gives the same text again
    pieces: tuple[Piece, ...]

    @property
    def mean_logprob(self) -> float:
        """Nats per id; 0 for an empty text."""
        return self.logprob / max(1, len(self.pieces))

    def _repr_html_(self) -> str:
        return surprise_html(self._characters())

    def _characters(self) -> Iterator[tuple[str, float, Sequence[Alternative]]]:
        """Yield text, bits and alternatives of each character; one in bytes has the bits of all its bytes."""
        logprob, choices = 0.0, None
        for piece in self.pieces:
            logprob += piece.logprob
            choices = piece.alternatives if choices is None else choices
            if piece.text:
                yield piece.text, -logprob / math.log(2), choices
                logprob, choices = 0.0, None


def generate_batch(
    context: Context,
    engine: Engine,
    params: SamplingConfig,
    count: int,
    *,
    max_chars: int,
    stops: Sequence[str] = (),
    cancel: Callable[[], bool] = never,
    recent: Sequence[int] = (),
    shown_before: str = "",
) -> list[Completion]:
    """Write several texts after one context, as one batch; options as for `Generation`.

    Text k has the seed `params.seed + k`.
    """
    if count < 1:
        raise UsageError(f"count is {count}, but must be at least 1")
    sampler = Sampler.seeded(engine, params, count)
    streams = [
        Stream(engine.vocabulary, max_chars, stops, deque(recent), shown_before, context.names) for _ in range(count)
    ]
    pieces: list[list[Piece]] = [[] for _ in streams]
    logits = np.repeat(context.logits[None], count, axis=0)
    for number, piece in _run(
        context.state.repeat(count), logits, sampler, streams, memory=context.memory, cancel=cancel
    ):
        pieces[number].append(piece)
    seed = sampler.params.seed
    assert seed is not None
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
