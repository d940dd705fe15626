"""Sampling one segment of a reply, so that it can be sampled again.

Owns how a segment comes about: from a context, with the settings at each character, out of the conversation's random
numbers. Knows nothing of the tree of turns or of storage.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.adapt.learner import AdaptedContext
from charlm.chat.near_duplicates import first_new
from charlm.chat.turns import SamplerCheckpoint, Segment, restored_rng
from charlm.config import ChatConfig
from charlm.inference.context import Context, StaticModel, never
from charlm.inference.engine import Engine
from charlm.inference.generate import Completion, Generation, Piece, Sampler, generate_batch, with_alternatives
from charlm.inference.matching import Matcher
from charlm.inference.search import rerank_mmi

COPY_WEIGHT = 0.4  # nats that a candidate of nothing but copies gains; measured
SUPPORT_WEIGHT = 1.0  # nats of the cosine between a candidate and the turn that it copies from; measured
MIN_SUPPORT = 0.4  # cosine; with less of it a candidate loses
LEARNED_MMI_WEIGHT = 0.9  # of the trained model's log p of a candidate, once the model has learned; measured
MAX_EMPTY_TRIES = 8  # a reply that ends before it begins is drawn again


class SamplerControls:
    """The settings of the next draw. A person may change them at any time, also while a segment is drawn."""

    def __init__(self, dials: ChatConfig, rng: np.random.Generator) -> None:
        self.dials = dials
        self.rng = rng

    def before_draw(self, draw: int) -> None:
        """Called before each draw with the number of draws so far."""


class RecordedControls(SamplerControls):
    """Controls that change as they did when a segment was drawn."""

    def __init__(self, segment: Segment) -> None:
        first, *self._rest = segment.settings
        super().__init__(first.dials, restored_rng(first.rng))

    def before_draw(self, draw: int) -> None:
        while self._rest and self._rest[0].draw <= draw:
            setting = self._rest.pop(0)
            self.dials, self.rng = setting.dials, restored_rng(setting.rng)


@dataclass(frozen=True)
class SegmentStart:
    """Start of a segment, and the limits on its text."""

    context: Context
    kept: str = ""  # text of the turn before the segment
    opening: str = ""  # text before that; a stop string may have begun in it
    stops: Sequence[str] = ()  # strings that end the segment and are not shown
    recent: Sequence[int] = ()  # ids already read, for the repetition penalty
    avoid: Sequence[str] = ()  # texts that a candidate is not to repeat, the newest first
    unconditional: Context | None = None  # of the speaker without a conversation; None if there are no candidates
    turns: Sequence[str] = ()  # texts of the last turns, which a candidate has to match
    sources: Sequence[str] = ()  # texts that a candidate may copy from
    alternatives: int = 0  # how many likeliest ids each piece names


class ReplySampler:
    """Draws a segment, unless `cancel` returns true before a draw.

    It is an iterator of the segment's pieces; afterwards the attributes are complete.
    """

    def __init__(
        self,
        model: AdaptiveModel,
        start: SegmentStart,
        controls: SamplerControls,
        cancel: Callable[[], bool] = never,
    ) -> None:
        self.text = ""  # what was shown
        self.draws = 0
        self.reason = ""  # why it ended: "stop", "length" or "cancelled"
        self.context: Context | None = None  # after what was shown; None until the end
        self._model = model
        self._engine = model.engine(start.context)
        self._start = start
        self._controls = controls
        self._cancel = cancel
        self._ids: list[int] = []  # that were shown
        self._settings: list[SamplerCheckpoint] = []

    @property
    def segment(self) -> Segment:
        """The text so far, and what it was drawn with."""
        return Segment(self.text, tuple(self._settings), self.draws)

    def __iter__(self) -> Iterator[Piece]:
        self._record()
        context = self._start.context
        if self._dials.candidates > 1 and self._start.unconditional is not None:
            yield from self._show_best(self._start.unconditional)
            context = self._read_shown(self._sampler.engine)
        for _ in range(MAX_EMPTY_TRIES):
            if not self.reason or (self.reason == "stop" and not self.text):
                context = yield from self._stream(context)
        # The context is that of reading the text, without clamps: a model may have written a known character in bytes,
        # or left one incomplete.
        ids = self._engine.vocabulary.encode(self.text)
        if not np.array_equal(ids, self._ids) or any(setting.dials.clamp for setting in self._settings):
            self._ids = ids.tolist()
            context = self._read_shown(self._engine)
        if isinstance(self._start.context, AdaptedContext):
            context = self._model.read(self._start.context, ids)
        # Each turn makes its own; kept with every turn, the memories would be megabytes each.
        self.context = replace(context, names=None, memory=None)

    def _record(self) -> None:
        """Take over the controls, and record them."""
        self._dials, rng = self._controls.dials, self._controls.rng
        engine = self._engine.with_clamps(self._dials.clamps) if self._dials.clamp else self._engine
        self._sampler = Sampler(engine, self._dials.sampling, [rng])
        self._settings.append(SamplerCheckpoint(self.draws, self._dials, rng.bit_generator.state))

    def _has_changed(self) -> bool:
        """Return whether the next draw has other settings; if so they are recorded."""
        self._controls.before_draw(self.draws)
        dials, is_reseeded = self._controls.dials, self._controls.rng is not self._sampler.rngs[0]
        if dials is self._dials and not is_reseeded:
            return False
        changed = is_reseeded or dials.sampling != self._dials.sampling or dials.clamp != self._dials.clamp
        if changed:
            self._record()
        return changed

    def _read_shown(self, engine: Engine) -> Context:
        """Read the ids that were shown from the start, in one go."""
        context = StaticModel(engine).read(self._start.context, np.array(self._ids, dtype=np.int64))
        return replace(context, names=self._start.context.names, memory=self._start.context.memory)

    def _show(self, piece: Piece) -> Piece:
        self.text += piece.text
        self._ids.append(piece.id)
        return piece

    def _show_best(self, unconditional: Context) -> Iterator[Piece]:
        """Draw the candidates as one batch, and show the best until it is stopped or the settings change."""
        start = self._start
        candidates = generate_batch(
            start.context,
            self._sampler.engine,
            replace(self._sampler.params, seed=int(self._sampler.rngs[0].integers(1 << 62))),
            self._dials.candidates,
            max_chars=self._dials.length,
            stops=start.stops,
            cancel=self._cancel,
            recent=start.recent,
            shown_before=start.opening + start.kept,
        )
        if any(one.reason == "cancelled" for one in candidates):
            self.reason = "cancelled"
            return
        # Once something was learned, what counts is how much likelier that makes a reply at the same place. A weight
        # far from 1 hides it behind how likely the reply is anyway. With a memory, copies matter more.
        weight = self._dials.relevance
        context = start.context
        if weight and context.memory is None and isinstance(context, AdaptedContext) and context.delta:
            weight, unconditional = LEARNED_MMI_WEIGHT, context.base
        copied = [fmean([piece.copied for piece in one.pieces] or [0]) for one in candidates]
        bonus = COPY_WEIGHT * self._dials.recall * np.array(copied)
        if self._dials.matching and (matcher := Matcher.of(self._model.base.checkpoint)):
            texts = [start.kept + one.text for one in candidates]
            bonus += self._dials.matching * matcher.similarity(start.turns, texts)
            bonus += [self._support(matcher, one) for one in candidates]
        ranked = rerank_mmi(self._model.base, candidates, weight, unconditional, bonus)
        best = first_new(ranked, lambda one: start.kept + one.text, start.avoid)
        for piece in with_alternatives(self._sampler.engine, start.context, best.pieces, start.alternatives):
            if self._cancel():
                self.reason = "cancelled"
                return
            if self._has_changed():
                return  # the rest is drawn with the new settings
            self.draws += 1
            yield self._show(piece)
        self.reason = best.reason

    def _support(self, matcher: Matcher, candidate: Completion) -> float:
        """Return the nats that a candidate gains or loses by what it copies."""
        text = "".join([piece.text for piece in candidate.pieces])
        copied = [piece.copied for piece in candidate.pieces for _ in piece.text]
        question = "".join(self._start.turns[-1:])  # empty if the model speaks first
        support = matcher.support(text, copied, self._start.sources, question)
        return 0.0 if support is None else SUPPORT_WEIGHT * (support - MIN_SUPPORT)

    def _stream(self, context: Context) -> Generator[Piece, None, Context]:
        """Draw character by character; return the context after the last one shown."""

        def update(_: Sampler) -> Sampler:
            self._has_changed()
            self.draws += 1
            return self._sampler

        start = self._start
        generation = Generation(
            context,
            self._sampler,
            update=update,
            max_chars=max(0, self._dials.length - len(self.text)),
            stops=start.stops,
            cancel=self._cancel,
            alternatives=start.alternatives,
            recent=[*start.recent, *self._ids],
            shown_before=start.opening + start.kept + self.text,
        )
        for piece in generation:
            assert piece.context is not None
            context = piece.context
            yield self._show(piece)
        self.reason = generation.reason
        return context
