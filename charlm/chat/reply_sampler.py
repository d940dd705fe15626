"""Drawing one passage of a reply, so that it can be drawn again.

Owns what a passage is and how it comes about: from a snapshot, by the dials as they stand at each character, out of the
conversation's random numbers. Knows nothing of turns or of where anything is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from charlm.adapt.learner import AdaptiveState
from charlm.chat import near_duplicates
from charlm.config import ChatConfig
from charlm.errors import CheckpointError, UsageError
from charlm.inference.context import Context, encode_lossy
from charlm.inference.engine import SEGMENT, Engine
from charlm.inference.generate import Generation, Piece, Sampler, generate_batch
from charlm.inference.search import rerank_mmi
from charlm.inference.state import Array, State

BLOCK = 16 * SEGMENT  # ids between two looks at whether reading is to stop; whole segments, so that it changes no bit
LEARNED_WEIGHT = 0.9  # of what the trained model thinks of a candidate, once the model has learned; measured
EMPTY_TRIES = 8  # a reply that ends before it begins is drawn again, so many times


class Snapshot(NamedTuple):
    """Everything that a model remembers at one place of a conversation. A value: nobody changes it.

    Attributes:
        state: of one stream.
        logits: what may come next, (V,).
        memory: the same and what was learned; None if nothing was, see `charlm.chat.adaptive_reader`.
    """

    state: State
    logits: Array
    memory: AdaptiveState | None = None

    def read(self, engine: Engine, text: str, cancel: Callable[[], bool] = lambda: False) -> Snapshot:
        """The snapshot after a text, if nothing was learned; characters that the model cannot spell are replaced.

        Raises:
            UsageError: `cancel`, asked every few thousand characters, said so.
        """
        ids = encode_lossy(engine.vocabulary, text)
        snapshot = self
        for first in range(0, len(ids), BLOCK):
            if first and cancel():
                raise UsageError(f"stopped after reading {first:,} of {len(ids):,}; nothing was said")
            snapshot = Snapshot(*engine.prefill(snapshot.state, ids[first : first + BLOCK]))
        return snapshot

    def to_bytes(self, engine: Engine) -> bytes:
        """For the database. Without what was learned."""
        return self.logits.astype("<f4").tobytes() + engine.to_bytes(self.state)

    @classmethod
    def from_bytes(cls, engine: Engine, data: bytes) -> Snapshot:
        """Read back what `to_bytes` wrote.

        Raises:
            CheckpointError: it is damaged, or another model's.
        """
        size = 4 * engine.config.vocabulary
        state = engine.from_bytes(data[size:])
        logits = np.frombuffer(data[:size], "<f4").astype(np.float32)
        if state.batch != 1 or not np.isfinite(logits).all():
            raise CheckpointError("a snapshot of the model's memory is damaged")
        return cls(state, logits)


@dataclass(frozen=True)
class SamplerCheckpoint:
    """The dials from one draw on.

    Attributes:
        draw: how many ids of the passage were drawn before.
        dials: as they stood.
        rng: the state of the random numbers, as NumPy's bit generator tells it.
    """

    draw: int
    dials: ChatConfig
    rng: Mapping[str, Any]


@dataclass(frozen=True)
class Segment:
    """A stretch of a turn, and where it came from.

    Attributes:
        text: what it says.
        settings: what it was drawn with, in order; empty if a person wrote it.
        draws: how many ids were drawn, shown or not.
    """

    text: str
    settings: tuple[SamplerCheckpoint, ...] = ()
    draws: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For the database."""
        settings = [[one.draw, one.dials.to_dict(), dict(one.rng)] for one in self.settings]
        return {"text": self.text, "settings": settings, "draws": self.draws}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Segment:
        """Read back what `to_dict` made.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            settings = tuple(
                SamplerCheckpoint(int(draw), ChatConfig.from_dict(dials), rng)
                for draw, dials, rng in document["settings"]
            )
            for one in settings:
                restored(one.rng)
            return cls(str(document["text"]), settings, int(document["draws"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError("a turn of a conversation is damaged") from error


def restored(state: Mapping[str, Any]) -> np.random.Generator:
    """Random numbers that go on from a state.

    Raises:
        ValueError: it is no state of PCG64.
    """
    generator = np.random.PCG64(0)
    try:
        generator.state = state  # type: ignore[assignment]  # NumPy checks it
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError("not a state of PCG64") from error
    return np.random.Generator(generator)


class SamplerControls:
    """What holds the dials while a passage is drawn: the person, or a record of what the person did.

    Attributes:
        dials: as they stand now.
        rng: what draws next; setting another takes effect with the next character.
    """

    def __init__(self, dials: ChatConfig, rng: np.random.Generator) -> None:
        self.dials = dials
        self.rng = rng

    def at(self, draw: int) -> None:
        """Called before each draw with the number of draws so far."""


class RecordedControls(SamplerControls):
    """Turns the dials as they were turned when a passage was drawn.

    Args:
        passage: a drawn one.
    """

    def __init__(self, passage: Segment) -> None:
        first, *self._rest = passage.settings
        super().__init__(first.dials, restored(first.rng))

    def at(self, draw: int) -> None:
        """Turn what was turned at this draw."""
        while self._rest and self._rest[0].draw <= draw:
            setting = self._rest.pop(0)
            self.dials, self.rng = setting.dials, restored(setting.rng)


class ReplySampler:
    """A passage as it is drawn: iterate over its pieces; afterwards the rest can be read.

    Args:
        engine: the model, with what it has learned.
        start: what it remembers.
        hand: turns the dials and draws.
        stops: strings that end the passage and are not shown.
        nothing: what the model remembers before any conversation, where the speaker would begin; for relevance. None
            for formats that do not say where a reply ends, which have no candidates. Once the model has learned
            something its candidates are compared with what the trained model makes of them in the same place instead.
        base: the trained model; None is `engine`.
        read: how a model that has learned something reads what was shown, once it is whole.
        said: what was said before and is not to be said again, while there are other candidates; newest first.
        kept: what the turn said before this.
        recent: ids already read, for the repetition penalty.
        before: what the turn begins with; a stop string may have begun in it.
        cancel: asked before every character.

    Attributes:
        text: what was shown.
        settings: what it was drawn with.
        draws: ids drawn.
        reason: why it ended: "stop", "length" or "cancelled".
        snapshot: what the model remembers after what was shown; None until the end.
    """

    def __init__(
        self,
        engine: Engine,
        start: Snapshot,
        hand: SamplerControls,
        *,
        stops: Sequence[str] = (),
        nothing: Snapshot | None = None,
        base: Engine | None = None,
        read: Callable[[Snapshot, str], Snapshot] | None = None,
        said: Sequence[str] = (),
        kept: str = "",
        recent: Sequence[int] = (),
        before: str = "",
        cancel: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine = engine
        self._start = start
        self._hand = hand
        self._stops = stops
        self._nothing = nothing
        self._base = base or engine
        self._read = read
        self._said = said
        self._kept = kept
        self._recent = recent
        self._before = before
        self._cancel = cancel
        self._held = engine  # the model with the units held that are to be
        self._dials, self._rng = hand.dials, hand.rng  # that the last draw was made with
        self._ids: list[int] = []
        self.text = ""
        self.settings: list[SamplerCheckpoint] = []
        self.draws = 0
        self.reason = ""
        self.snapshot: Snapshot | None = None

    @property
    def passage(self) -> Segment:
        """What was drawn, and how."""
        return Segment(self.text, tuple(self.settings), self.draws)

    def __iter__(self) -> Iterator[Piece]:
        self._note()
        after = self._start
        if self._dials.candidates > 1 and self._nothing is not None:
            yield from self._show_best(self._nothing)
            after = self._read_again(self._held)
        for _ in range(EMPTY_TRIES):
            if not self.reason or (self.reason == "stop" and not self.text):
                after = yield from self._stream(after)
        # A model may spell a known character in bytes, or leave one half spelled: it must remember what is seen. And
        # what was drawn with units held it must remember as it reads it by itself.
        spelled = self._engine.vocabulary.encode(self.text)
        if not np.array_equal(spelled, self._ids) or any(setting.dials.clamp for setting in self.settings):
            self._ids = spelled.tolist()
            after = self._read_again(self._engine)
        if self._start.memory is None:
            self.snapshot = after
        else:
            assert self._read is not None
            self.snapshot = self._read(self._start, self.text)

    def _note(self) -> None:
        self._dials, self._rng = self._hand.dials, self._hand.rng
        self._held = self._engine.with_clamps(self._dials.clamps) if self._dials.clamp else self._engine
        self.settings.append(SamplerCheckpoint(self.draws, self._dials, self._rng.bit_generator.state))

    def _turned(self) -> bool:
        """Whether what draws has been changed since the last draw; notes it if so."""
        self._hand.at(self.draws)
        if self._hand.dials is self._dials and self._hand.rng is self._rng:
            return False
        dials = self._hand.dials
        turned = (
            self._hand.rng is not self._rng
            or dials.sampling != self._dials.sampling
            or dials.clamp != self._dials.clamp
        )
        if turned:
            self._note()
        return turned

    def _read_again(self, engine: Engine) -> Snapshot:
        """The snapshot after what was shown, read from the start in one go."""
        if not self._ids:
            return self._start
        return Snapshot(*engine.prefill(self._start.state, np.array(self._ids)))

    def _show(self, piece: Piece) -> Piece:
        self.text += piece.text
        self._ids.append(piece.id)
        return piece

    def _show_best(self, nothing: Snapshot) -> Iterator[Piece]:
        """Draw the candidates as one batch and show the best of them, as far as nobody stops it or turns the dials."""
        candidates = generate_batch(
            Context(self._start.state, self._start.logits),
            self._held,
            replace(self._dials.sampling, seed=int(self._rng.integers(1 << 62))),
            self._dials.candidates,
            max_chars=self._dials.length,
            stops=self._stops,
            cancel=self._cancel,
            recent=self._recent,
            shown_before=self._before,
        )
        if any(one.reason == "cancelled" for one in candidates):
            self.reason = "cancelled"
            return
        # Where something was learned, what counts is how much likelier that has made a reply, in the same place. No
        # weight far from 1 shows it: it is little beside what makes one reply likelier than another anywhere.
        memory, weight, after = self._start.memory, self._dials.relevance, Context(nothing.state, nothing.logits)
        if weight and memory is not None and memory.overlay:
            weight, after = LEARNED_WEIGHT, Context(memory.base.state, memory.base.logits)
        ranked = rerank_mmi(self._base, candidates, weight, after)
        best = near_duplicates.first_new(ranked, lambda one: self._kept + one.text, self._said)
        for piece in best.pieces:
            if self._cancel():
                self.reason = "cancelled"
                return
            if self._turned():
                return  # from here on it is drawn with the new dials
            self.draws += 1
            yield self._show(piece)
        self.reason = best.reason

    def _stream(self, start: Snapshot) -> Generator[Piece, None, Snapshot]:
        """Draw character by character; the snapshot after the last one shown."""

        def update(sampler: Sampler) -> Sampler:
            if self._turned():
                sampler = Sampler(self._held, self._dials.sampling, [self._rng])
            self.draws += 1
            return sampler

        generation = Generation(
            Context(start.state, start.logits),
            Sampler(self._held, self._dials.sampling, [self._rng]),
            update=update,
            max_chars=max(0, self._dials.length - len(self.text)),
            stops=self._stops,
            cancel=self._cancel,
            recent=[*self._recent, *self._ids],
            shown_before=self._before + self.text,
        )
        context = None
        for piece in generation:
            context = piece.context
            yield self._show(piece)
        self.reason = generation.reason
        return start if context is None else Snapshot(context.state, context.logits)
