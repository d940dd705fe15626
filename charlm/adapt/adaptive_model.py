"""A model that can learn from what it reads: the `charlm.inference.context.LanguageModel` of a conversation.

Until something is learned, the trained model reads, and contexts are small. From the first read that learns on, every
context is an `AdaptedContext`, until `forget`. The same calls give the same context, to the bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from charlm.adapt.gradient_rms import estimate_from_samples
from charlm.adapt.learner import AdaptedContext, Learner, adapted_to_bytes
from charlm.adapt.weight_delta import delta_from_bytes
from charlm.checkpoint import Tensors
from charlm.config import LearnConfig
from charlm.inference.context import Context, StaticModel, cancelled_error, never
from charlm.inference.engine import Engine
from charlm.inference.scoring import Nats, surprisals
from charlm.inference.state import Ids

BLOCK_SEGMENTS: Final = 16  # between two calls of `cancel`; whole segments, so that blocks change no bit


_estimates: WeakKeyDictionary[Engine, Tensors] = WeakKeyDictionary()  # of models in use: one takes a second


def _statistics(engine: Engine) -> Tensors:
    """Return the usual size of the model's gradients."""
    if engine.checkpoint.statistics:
        return engine.checkpoint.statistics
    if engine not in _estimates:
        _estimates[engine] = estimate_from_samples(engine)
    return _estimates[engine]


class ReadResult(NamedTuple):
    """The context after some ids."""

    context: Context
    nats: Nats | None  # surprisal of each id when it was read, (N,); None where the trained model reads alone


class AdaptiveModel:
    """A `LanguageModel` that can learn, on the trained weights of `base`. Threads may share it."""

    def __init__(self, base: Engine) -> None:
        self.base = base
        self._static = StaticModel(base)
        self._lock = threading.Lock()
        self._learner: Learner | None = None

    def _learner_with(self, settings: LearnConfig) -> Learner:
        """Return a learner with these settings apart from the learning rate; the last one is kept."""
        settings = replace(settings, rate=LearnConfig().rate)
        learner = self._learner  # another thread may release it
        if learner is None or learner.settings != settings:
            learner = self._learner = Learner(self.base, settings, _statistics(self.base))
        return learner

    def release(self) -> None:
        """Free the working weights, which are several times as large as the model, until they are needed again.

        It takes no lock: another thread may read a long text.
        """
        self._learner = None

    def start(self) -> Context:
        return self._static.start()

    def engine(self, context: Context) -> Engine:
        """Return the adapted weights at a context."""
        if not isinstance(context, AdaptedContext):
            return self.base
        with self._lock:
            return self._learner_with(LearnConfig()).engine(context)

    def forget(self, context: Context) -> Context:
        """Return the context of the trained model that has read the same."""
        return context.base if isinstance(context, AdaptedContext) else context

    def read(
        self, context: Context, ids: Ids, cancel: Callable[[], bool] = never, *, will_learn: bool = False
    ) -> Context:
        """Return the context after ids, (N,), without learning from them.

        With `will_learn` the ids that follow are learned from, so the context must be able to. Raises UsageError once
        `cancel`, called every few hundred ids, is true.
        """
        return self.learn(context, ids, None, cancel=cancel, will_learn=will_learn).context

    def learn(
        self,
        context: Context,
        ids: Ids,
        settings: LearnConfig | None,
        next_id: int | None = None,
        cancel: Callable[[], bool] = never,
        *,
        will_learn: bool = False,
    ) -> ReadResult:
        """Return the context after ids, (N,), and how surprising they were; `cancel` and `will_learn` as for `read`.

        Settings of None only read. `next_id` follows the ids, if known; that it does is learned, but it is not read.
        """
        if not (isinstance(context, AdaptedContext) or settings is not None or will_learn):
            return ReadResult(self._static.read(context, ids, cancel), None)
        if not len(ids):
            return ReadResult(context, np.empty(0))
        nats, how = [], settings or LearnConfig()
        if not isinstance(context, AdaptedContext):
            nats.append(surprisals(context.logits[None], ids[:1]))
            with self._lock:
                context = self._learner_with(how).begin(context.state, int(ids[0]))
            ids = ids[1:]
        block = BLOCK_SEGMENTS * how.segment
        for first in range(0, len(ids), block):
            if first and cancel():
                raise cancelled_error(first, len(ids))
            with self._lock:
                context, surprisal, _ = self._learner_with(how).read(
                    context,
                    ids[first : first + block],
                    learn=settings is not None,
                    next_id=next_id if first + block >= len(ids) else None,
                    lr=how.rate,
                )
            nats.append(surprisal)
        return ReadResult(context, np.concatenate(nats))

    def to_bytes(self, context: AdaptedContext) -> tuple[bytes, bytes]:
        """Return a context without its delta, some KiB; and the delta, as large as the model."""
        return adapted_to_bytes(context, self.base), context.delta.to_bytes()

    def from_bytes(self, data: bytes, delta: bytes) -> AdaptedContext:
        """Read the output of `to_bytes`; raise CheckpointError if it is damaged or another model's."""
        learned = delta_from_bytes(self.base.checkpoint, delta)
        with self._lock:
            return self._learner_with(LearnConfig()).from_bytes(data, learned)
