"""Dynamic evaluation: learning while reading (Krause, Kahembwe, Murray and Renals 2018).

Predict a segment, compare with the text, then take a small step down the gradient and a small step back towards the
trained weights. Every character is predicted before any step that has seen it. The same text read in the same pieces
gives the same context, to the bit.

The trained model reads along. The difference in surprisal is the gain of learning, and guards it: once the adapted
model predicts worse by a margin, half of the delta is dropped.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from charlm.adapt.gradient_rms import decay_rates, estimate_from_samples, inverse_rms
from charlm.adapt.weight_delta import WeightDelta, WorkingWeights, adapted_tensors, empty_delta
from charlm.checkpoint import Checkpoint, Tensors
from charlm.config import LearnConfig
from charlm.errors import CheckpointError
from charlm.inference import tape
from charlm.inference.context import Context, encode_lossy
from charlm.inference.engine import Engine
from charlm.inference.scoring import Nats, surprisals
from charlm.inference.state import Ids, State, unpack_header

GUARD_WINDOW_CHARS = 200  # over which learning is compared with not learning
GUARD_SHARE = 0.5  # of the delta that stays once it did harm
MAX_DRIFT = 10.0  # nats/char; the adapted model predicts that much worse: the whole delta is dropped

_MAGIC = b"charlmM1"  # the last character is the version of the layout
# Magic, digest of the delta, last id, learned, shrinks, drift, gain, bytes of a state; then two states.
_HEADER = struct.Struct("<8s16sqQQddQ")


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedContext(Context):
    """A context of a model that learns. Its state and logits are those of the adapted weights."""

    last_id: int  # is read again once the weights have learned from what follows it
    before: State  # before the last id
    base: Context  # of the trained model, which has read the same
    base_before: State  # of the trained model before the last id
    delta: WeightDelta
    learned: int = 0  # ids that were learned from
    shrinks: int = 0  # times that the guard has reduced the delta
    drift: float = 0.0  # running mean of the loss in nats/char, less that of the trained model; the guard watches it
    gain: float = 0.0  # running mean of the improvement over the trained model, nats/char


def adapted_to_bytes(context: AdaptedContext, trained: Engine) -> bytes:
    """Return a context without its delta, some KiB, for `Learner.from_bytes`. The delta has its own `to_bytes`."""
    parts = [trained.to_bytes(state) for state in (context.before, context.base_before)]
    numbers = (context.last_id, context.learned, context.shrinks, context.drift, context.gain, len(parts[0]))
    return _HEADER.pack(_MAGIC, context.delta.digest.encode(), *numbers) + b"".join(parts)


class LearnResult(NamedTuple):
    """The context after some ids, and how surprising each was, (N,), in nats."""

    context: AdaptedContext
    nats: Nats
    base_nats: Nats  # of the trained model


class Learner:
    """Learns from text in one way. One thread at a time.

    `statistics` are the usual sizes of the gradients, see `charlm.adapt.gradient_rms`; None takes those of the model
    file, or estimates them, which takes a second.
    """

    def __init__(
        self, model: Engine | Checkpoint, settings: LearnConfig | None = None, statistics: Tensors | None = None
    ) -> None:
        self.base = Engine(model) if isinstance(model, Checkpoint) else model
        self.settings = settings or LearnConfig()
        self.statistics = statistics or self.base.checkpoint.statistics or estimate_from_samples(self.base)
        self._inv_rms = inverse_rms(self.base.config, self.statistics, self.settings.epsilon)
        rates = decay_rates(self._inv_rms, self.settings.decay)
        self._decay_factors = {name: 1 - rate for name, rate in rates.items()}
        self._working = WorkingWeights(self.base.checkpoint)
        self._empty = empty_delta(self.base.checkpoint)
        self._engine: tuple[WeightDelta, Engine] | None = None

    def start(self, text: str | Ids = "\n") -> AdaptedContext:
        """Return the context after a beginning of at least one character, which is read but not learned."""
        ids = self._encode(text)
        state = self.base.start()
        if len(ids) > 1:
            state, _ = self.base.prefill(state, ids[:-1])
        return self.begin(state, int(ids[-1]))

    def begin(self, state: State, first_id: int) -> AdaptedContext:
        """Return the context of a model that begins to learn: the trained model in `state`, after one more id."""
        base = Context(*self.base.step(state, first_id))
        return AdaptedContext(base.state, base.logits, first_id, state, base, state, self._empty)

    def read(
        self,
        context: AdaptedContext,
        text: str | Ids,
        *,
        learn: bool = True,
        next_id: int | None = None,
        lr: float | None = None,
    ) -> LearnResult:
        """Read on, and learn segment by segment. The end of the text ends a segment; a short one counts for less.

        Args:
            context: the text follows it.
            text: ids, or characters; unknown ones are replaced.
            learn: False only reads.
            next_id: follows the text, if known; that it does is learned, but it is not read yet.
            lr: learning rate in place of that of the settings.
        """
        ids = self._encode(text)
        nats, base_nats = np.empty(len(ids)), np.empty(len(ids))
        if not len(ids):
            return LearnResult(context, nats, base_nats)
        self._working.load(context.delta)
        before, base_before = context.before, context.base_before
        inputs = np.concatenate(([context.last_id], ids[:-1]))
        drift, gain, shrinks = context.drift, context.gain, context.shrinks
        for first in range(0, len(ids), self.settings.segment):
            part = slice(first, first + self.settings.segment)
            x, y = inputs[part], ids[part]
            base_before, logits = self.base.forward(base_before, x)
            base_nats[part] = surprisals(logits, y)
            recorded = tape.forward(self.base.config, self._working.weights, x, before)
            nats[part] = surprisals(recorded.logits, y)
            if learn:
                memory = math.exp(-len(y) / GUARD_WINDOW_CHARS)  # of the running means
                worse = float((nats[part] - base_nats[part]).mean())
                drift = memory * drift + (1 - memory) * worse
                gain = memory * gain - (1 - memory) * worse if math.isfinite(worse) else 0.0
                drift = max(drift, -self.settings.margin)  # earlier gains do not excuse later harm for long
                if not drift < MAX_DRIFT:  # true of NaN too
                    before, drift, shrinks = base_before, 0.0, shrinks + 1
                    self._working.shrink(0)
                    continue
                if drift > self.settings.margin:
                    self._working.shrink(GUARD_SHARE)
                    drift, shrinks = 0.0, shrinks + 1
                elif not self._learn(recorded, y, before, next_id if part.stop >= len(ids) else None, lr):
                    self._working.shrink(0)
                    shrinks += 1
            before = recorded.state
        delta, last_id = self._working.delta() if learn else context.delta, int(ids[-1])
        learned = context.learned + (len(ids) if learn else 0)
        after = self._context(last_id, before, base_before, delta)
        after = replace(after, learned=learned, shrinks=shrinks, drift=drift, gain=gain)
        return LearnResult(after, nats, base_nats)

    def _learn(self, recorded: tape.Tape, targets: Ids, before: State, next_id: int | None, lr: float | None) -> bool:
        """Take the steps on one segment, and on the id after it; return False if a gradient is not finite."""
        settings, config = self.settings, self.base.config
        segment_fraction = len(targets) / settings.segment
        x = recorded.ids
        if next_id is not None:
            x, targets = np.append(x, targets[-1]), np.append(targets, next_id)
        for again in range(settings.passes):
            if again or next_id is not None:
                recorded = tape.forward(config, self._working.weights, x, before)
            d_logits = tape.d_cross_entropy(recorded.logits, targets)
            d_logits /= settings.segment
            gradients = tape.backward(recorded, d_logits)
            if not self._working.step(
                gradients,
                self._inv_rms,
                self._decay_factors,
                lr=settings.rate if lr is None else lr,
                segment_fraction=segment_fraction,
                clip=settings.clip,
            ):
                return False
        return True

    def _context(self, last_id: int, before: State, base_before: State, delta: WeightDelta) -> AdaptedContext:
        """Read the last id with all that was learned from the text up to it."""
        recorded = tape.forward(self.base.config, self._working.weights, np.array([last_id]), before)
        base = Context(*self.base.step(base_before, last_id))
        return AdaptedContext(recorded.state, recorded.logits[0], last_id, before, base, base_before, delta)

    def _encode(self, text: str | Ids) -> Ids:
        return encode_lossy(self.base.vocabulary, text) if isinstance(text, str) else text

    def engine(self, context: AdaptedContext) -> Engine:
        """Return the adapted weights, to sample or search with; the trained model itself if nothing was learned.

        Its states have the fingerprint of the trained model. The last one is kept.
        """
        delta = context.delta
        if not delta:
            return self.base
        if self._engine is None or self._engine[0] is not delta:
            self._engine = delta, Engine(self.checkpoint(context), self.base.fingerprint)
        return self._engine[1]

    def checkpoint(self, context: AdaptedContext) -> Checkpoint:
        """Return the adapted model, ready to be saved."""
        trained = self.base.checkpoint
        return replace(trained, tensors=adapted_tensors(trained, context.delta))

    def from_bytes(self, data: bytes, delta: WeightDelta) -> AdaptedContext:
        """Read the output of `adapted_to_bytes`; raise CheckpointError if it is damaged or of another model."""
        name = "the context of a model that learns"
        digest, last_id, learned, shrinks, drift, gain, size = unpack_header(data, _HEADER, _MAGIC, name)
        if digest != delta.digest.encode():
            raise CheckpointError("this context belongs to other learned weights")
        states = data[_HEADER.size :]
        if len(states) != 2 * size or not 0 <= last_id < len(self.base.vocabulary):
            raise CheckpointError(f"{name} is damaged")
        before, base_before = self.base.from_bytes(states[:size]), self.base.from_bytes(states[size:])
        if before.batch != 1 or base_before.batch != 1 or not math.isfinite(drift) or not math.isfinite(gain):
            raise CheckpointError(f"{name} is damaged")
        self._working.load(delta)
        context = self._context(last_id, before, base_before, delta)
        return replace(context, learned=learned, shrinks=shrinks, drift=drift, gain=gain)
