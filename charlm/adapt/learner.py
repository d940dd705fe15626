"""Learning while reading: dynamic evaluation (Krause, Kahembwe, Murray and Renals 2018).

Owns the order of things: predict a segment, be told what came, then take a small step towards it and a small pull back
to the trained weights. Every character is predicted before any step that has seen it.

What a model remembers is a value, a `AdaptiveState`, and reading makes a new one: going back is keeping a reference,
as it is
with a `State`. A memory holds what was learned as an overlay on weights that are shared and never change. Overlays are
as large as the model, so whoever keeps many memories keeps the overlays of the last few and lets the model read again
from there: the same text read in the same pieces gives the same memory, to the bit.

Beside the learning model the trained one reads too. The difference says what learning is worth, and guards it: where
the text was predicted worse than without, by a margin, half of what was learned is forgotten.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.adapt.gradient_rms import of_itself, pulls, scales
from charlm.adapt.weight_delta import WeightDelta, WorkingWeights, adapted, nothing
from charlm.checkpoint import Checkpoint, Tensors
from charlm.config import LearnConfig
from charlm.errors import CheckpointError
from charlm.inference import tape
from charlm.inference.context import encode_lossy
from charlm.inference.engine import Engine
from charlm.inference.sampling import log_softmax
from charlm.inference.state import Array, Ids, State

GUARD_WINDOW = 200  # characters over which learning is compared with not learning
GUARD_SHARE = 0.5  # of what was learned that stays when it did harm
HOPELESS = 10.0  # nats/char worse than without learning, above which nothing of it stays

_MAGIC = b"charlmM1"  # the last character is the version of the layout below
# Magic, the overlay's digest, the last id, learned, shrinks, drift, gain, bytes of a state; then two states.
_HEADER = struct.Struct("<8s16sqQQddQ")


class Trail(NamedTuple):
    """Where a model stands in a text.

    Attributes:
        before: the state before the last id, from which that id is read again when what follows is learned.
        state: after it.
        logits: of what may come next, (V,).
    """

    before: State
    state: State
    logits: Array


@dataclass(frozen=True, slots=True)
class AdaptiveState:
    """Everything that a learning model remembers at one place of a text. A value: nobody changes it.

    Attributes:
        last: the last id that was read.
        now: where the model stands, with what it has learned.
        base: where the trained model would stand.
        overlay: what was learned.
        learned: characters that were learned from.
        shrinks: how often the guard has shrunk the overlay.
        drift: nats/char by which recent text was predicted worse than without learning; what the guard watches.
        gain: nats/char that learning has saved of late on what was learned, each before it was.
    """

    last: int
    now: Trail
    base: Trail
    overlay: WeightDelta
    learned: int = 0
    shrinks: int = 0
    drift: float = 0.0
    gain: float = 0.0

    @property
    def state(self) -> State:
        """Of the model with what it has learned; for `Learner.engine`."""
        return self.now.state

    @property
    def logits(self) -> Array:
        """Of what may come next, (V,), with what was learned."""
        return self.now.logits


class Read(NamedTuple):
    """What reading has given.

    Attributes:
        memory: after it.
        nats: the surprise of each id when it came, (N,).
        base_nats: what it would have been without learning, (N,).
    """

    memory: AdaptiveState
    nats: NDArray[np.float64]
    base_nats: NDArray[np.float64]


class Learner:
    """A model that learns from what it reads. One thread at a time.

    Args:
        model: its engine, or what `charlm.checkpoint.load` gave.
        settings: how it learns.
        statistics: how large gradients usually are, see `charlm.adapt.gradient_rms`; None takes those of the model
            file, or if it has none lets the model find them out from what it writes itself, which takes a second.

    Attributes:
        base: the trained model.
        settings: how it learns.
        statistics: how large its gradients usually are.
    """

    def __init__(
        self, model: Engine | Checkpoint, settings: LearnConfig | None = None, statistics: Tensors | None = None
    ) -> None:
        self.base = Engine(model) if isinstance(model, Checkpoint) else model
        self.settings = settings or LearnConfig()
        self.statistics = statistics or self.base.checkpoint.statistics or of_itself(self.base)
        self._scales = scales(self.base.config, self.statistics, self.settings.epsilon)
        self._keeps = {name: 1 - pull for name, pull in pulls(self._scales, self.settings.decay).items()}
        self._bench = WorkingWeights(self.base.checkpoint)
        self._nothing = nothing(self.base.checkpoint)
        self._engines: dict[int, tuple[WeightDelta, Engine]] = {}

    @property
    def fingerprint(self) -> str:
        """16 hex digits of everything that decides what is learned from a text: model, settings, statistics."""
        digest = hashlib.sha256(json.dumps([self.base.fingerprint, self.settings.to_dict()]).encode())
        for name in sorted(self.statistics):
            digest.update(self.statistics[name].tobytes())
        return digest.hexdigest()[:16]

    def start(self, text: str | Ids = "\n") -> AdaptiveState:
        """The memory after a beginning that is read but not learned, at least one character."""
        ids = self._spell(text)
        state, last = self.base.start(), int(ids[-1])
        if len(ids) > 1:
            state, _ = self.base.prefill(state, ids[:-1])
        return self.begin(state, last)

    def begin(self, state: State, first: int) -> AdaptiveState:
        """The memory of a model that begins to learn where the trained one stands, once it has read an id."""
        trail = Trail(state, *self.base.step(state, first))
        return AdaptiveState(first, trail, trail, self._nothing)

    def read(
        self,
        memory: AdaptiveState,
        text: str | Ids,
        *,
        learn: bool = True,
        then: int | None = None,
        rate: float | None = None,
    ) -> Read:
        """Read on.

        The text is cut into segments; its end always ends one. A short segment counts for as much less.

        Args:
            memory: what came before.
            text: characters that the model cannot spell are replaced; or ids.
            learn: False only reads.
            then: the id that comes after the text, if that is known: it is learned that the text ends so, but it is not
                read yet.
            rate: another one than the settings'.
        """
        ids = self._spell(text)
        nats, base_nats = np.empty(len(ids)), np.empty(len(ids))
        if not len(ids):
            return Read(memory, nats, base_nats)
        self._bench.put(memory.overlay)
        before, base_before = memory.now.before, memory.base.before
        inputs = np.concatenate(([memory.last], ids[:-1]))
        drift, gain, shrinks = memory.drift, memory.gain, memory.shrinks
        for first in range(0, len(ids), self.settings.segment):
            part = slice(first, first + self.settings.segment)
            x, y = inputs[part], ids[part]
            base_before, logits = self.base.forward(base_before, x)
            base_nats[part] = _surprise(logits, y)
            recorded = tape.forward(self.base.config, self._bench.weights, x, before)
            nats[part] = _surprise(recorded.logits, y)
            if learn:
                stays = math.exp(-len(y) / GUARD_WINDOW)
                worse = float((nats[part] - base_nats[part]).mean())
                drift = stays * drift + (1 - stays) * worse
                gain = stays * gain - (1 - stays) * worse if math.isfinite(worse) else 0.0
                drift = max(drift, -self.settings.margin)  # what learning was worth before excuses nothing for long
                if not drift < HOPELESS:  # nor is it if something is no number
                    before, drift, shrinks = base_before, 0.0, shrinks + 1
                    self._bench.shrink(0)
                    continue
                if drift > self.settings.margin:
                    self._bench.shrink(GUARD_SHARE)
                    drift, shrinks = 0.0, shrinks + 1
                elif not self._learn(recorded, y, before, then if part.stop >= len(ids) else None, rate):
                    self._bench.shrink(0)
                    shrinks += 1
            before = recorded.state
        overlay, last = self._bench.take() if learn else memory.overlay, int(ids[-1])
        return Read(
            AdaptiveState(
                last,
                self._trail(before, last),
                Trail(base_before, *self.base.step(base_before, last)),
                overlay,
                memory.learned + (len(ids) if learn else 0),
                shrinks,
                drift,
                gain,
            ),
            nats,
            base_nats,
        )

    def _learn(self, recorded: tape.Tape, targets: Ids, before: State, then: int | None, rate: float | None) -> bool:
        """The steps on one segment, and what comes after it; False if they went wrong."""
        settings, config = self.settings, self.base.config
        rate = settings.rate if rate is None else rate
        share = len(targets) / settings.segment
        x = recorded.ids
        if then is not None:
            x, targets = np.append(x, targets[-1]), np.append(targets, then)
        for again in range(settings.passes):
            if again or then is not None:
                recorded = tape.forward(config, self._bench.weights, x, before)
            d_logits = tape.d_cross_entropy(recorded.logits, targets)
            d_logits /= settings.segment
            gradients = tape.backward(config, self._bench.weights, recorded, d_logits)
            if not self._bench.step(gradients, self._scales, self._keeps, rate=rate, share=share, clip=settings.clip):
                return False
        return True

    def _trail(self, before: State, last: int) -> Trail:
        """Read the last id once more, with all that was learned from what led up to it."""
        recorded = tape.forward(self.base.config, self._bench.weights, np.array([last]), before)
        return Trail(before, recorded.state, recorded.logits[0])

    def _spell(self, text: str | Ids) -> Ids:
        return encode_lossy(self.base.vocabulary, text) if isinstance(text, str) else text

    def engine(self, memory: AdaptiveState) -> Engine:
        """The model with what it has learned, for sampling and search: it goes on from `memory.state` and `logits`.

        Without anything learned it is the trained model itself. Its states are the trained model's by their
        fingerprint. The last one made is kept.
        """
        overlay = memory.overlay
        if not overlay:
            return self.base
        if id(overlay) not in self._engines:
            engine = Engine(self.checkpoint(memory), self.base.fingerprint)
            self._engines = {id(overlay): (overlay, engine)}
        return self._engines[id(overlay)][1]

    def checkpoint(self, memory: AdaptiveState) -> Checkpoint:
        """The model with what it has learned, as it can be saved."""
        trained = self.base.checkpoint
        return replace(trained, tensors=adapted(trained, memory.overlay))

    def forget(self, memory: AdaptiveState) -> AdaptiveState:
        """The memory of a model that has read the same and learned nothing."""
        return AdaptiveState(memory.last, memory.base, memory.base, self._nothing)

    def to_bytes(self, memory: AdaptiveState) -> bytes:
        """A memory without its overlay: some KiB. The overlay has its own `to_bytes`, and is as large as the model."""
        parts = [self.base.to_bytes(trail.before) for trail in (memory.now, memory.base)]
        digest = memory.overlay.digest.encode()
        numbers = (memory.last, memory.learned, memory.shrinks, memory.drift, memory.gain, len(parts[0]))
        return _HEADER.pack(_MAGIC, digest, *numbers) + b"".join(parts)

    def from_bytes(self, data: bytes, overlay: WeightDelta) -> AdaptiveState:
        """Read back what `to_bytes` wrote.

        Args:
            data: all of it.
            overlay: the one that the memory had.

        Raises:
            CheckpointError: it is no memory, a damaged one, another model's, or one with another overlay.
        """
        if len(data) < _HEADER.size:
            raise CheckpointError("not a learning model's memory: it is too short")
        magic, digest, last, learned, shrinks, drift, gain, size = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise CheckpointError("not a learning model's memory, or one of another version of charlm")
        if digest != overlay.digest.encode():
            raise CheckpointError("this memory belongs to something else that the model has learned")
        states = data[_HEADER.size :]
        if len(states) != 2 * size or not 0 <= last < len(self.base.vocabulary):
            raise CheckpointError("a learning model's memory, but a damaged one")
        before, base_before = self.base.from_bytes(states[:size]), self.base.from_bytes(states[size:])
        if before.batch != 1 or base_before.batch != 1 or not math.isfinite(drift) or not math.isfinite(gain):
            raise CheckpointError("a learning model's memory, but a damaged one")
        self._bench.put(overlay)
        base = Trail(base_before, *self.base.step(base_before, last))
        return AdaptiveState(last, self._trail(before, last), base, overlay, learned, shrinks, drift, gain)


def _surprise(logits: Array, targets: Ids) -> NDArray[np.float64]:
    """-log p of what came, (T,), nats."""
    return -log_softmax(logits)[np.arange(len(targets)), targets].astype(np.float64)
