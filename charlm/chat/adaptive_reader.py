"""How a conversation's model reads: as it was trained, or learning from what a person says.

Owns what a turn's lesson is, and that the same reading calls give the same memory, to the bit. They are: what stands
before a turn's text, then each of its passages; one that a person wrote may be learned from as it is read. So a turn's
passages and its lesson are all that must be kept for what was learned to be learned again.

As long as nothing was learned, the model reads by its engine, and remembers a state. From the first lesson on it
remembers a `AdaptiveState`, until it is told to forget: two states, and what was learned. Of those in a conversation
only a few are kept, since what was learned is as large as the model (`charlm.chat.context_cache`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.adapt.gradient_rms import of_itself
from charlm.adapt.learner import AdaptiveState, Learner
from charlm.adapt.weight_delta import overlay_from_bytes
from charlm.chat.reply_sampler import Snapshot
from charlm.checkpoint import Tensors
from charlm.config import LearnConfig
from charlm.errors import CharlmError, CheckpointError, UsageError
from charlm.inference.context import encode_lossy
from charlm.inference.engine import Engine
from charlm.inference.sampling import log_softmax
from charlm.text.dialogue import Dialogue

BLOCK: Final = 16  # segments between two looks at whether reading is to stop; whole segments, so that it changes no bit


def default_rate(dialogue: Dialogue) -> float:
    """At which rate a chat learns unless somebody says otherwise: where it pays, by measurement (docs/experiments.md).

    A format with turns tells who says what. In a plain text there is no such thing, and learning is off.
    """
    return LearnConfig().rate if dialogue.has_turns else 0.0


@dataclass(frozen=True)
class LearnPolicy:
    """What is learned with a turn. Recorded with it.

    Attributes:
        forget: before the turn, everything that was learned is forgotten.
        settings: how its text is learned from; None if it is not.
    """

    forget: bool = False
    settings: LearnConfig | None = None

    def to_dict(self) -> dict[str, Any]:
        """For the database; empty if there is nothing to say."""
        document: dict[str, Any] = {"forget": True} if self.forget else {}
        return document | ({"learn": self.settings.to_dict()} if self.settings is not None else {})

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> LearnPolicy:
        """Read back what `to_dict` made.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            forget, learn = document.get("forget", False), document.get("learn")
            if document.keys() - {"forget", "learn"} or not isinstance(forget, bool):
                raise TypeError("lesson")
            return cls(forget, None if learn is None else LearnConfig.from_dict(learn))
        except (AttributeError, TypeError, CharlmError) as error:
            raise CheckpointError("what was learned with a turn is damaged") from error


NO_LESSON: Final = LearnPolicy()


class ReadResult(NamedTuple):
    """What reading has given.

    Attributes:
        snapshot: after it.
        nats: the surprise of each id, (N,), by the model as it stood when it was read; None where reading does not say.
    """

    snapshot: Snapshot
    nats: NDArray[np.float64] | None


@lru_cache(maxsize=2)
def _statistics(engine: Engine) -> Tensors:
    """How large its gradients usually are. A model that does not know takes a second to find out, but only once."""
    return engine.checkpoint.statistics or of_itself(engine)


class Reader:
    """Reads for a conversation. Any thread may use it.

    Args:
        engine: the trained model.

    Attributes:
        base: the trained model.
    """

    def __init__(self, engine: Engine) -> None:
        self.base = engine
        self._lock = threading.Lock()
        self._learner: Learner | None = None

    def _learner_by(self, settings: LearnConfig) -> Learner:
        """One that learns so, at whatever rate; the last one made is kept."""
        settings = replace(settings, rate=LearnConfig().rate)
        if self._learner is None or self._learner.settings != settings:
            self._learner = Learner(self.base, settings, _statistics(self.base))
        return self._learner

    def engine(self, snapshot: Snapshot) -> Engine:
        """The model as it stands there, for drawing."""
        if snapshot.memory is None:
            return self.base
        with self._lock:
            return self._learner_by(LearnConfig()).engine(snapshot.memory)

    def forget(self, snapshot: Snapshot) -> Snapshot:
        """The model as it was trained, having read the same."""
        memory = snapshot.memory
        return snapshot if memory is None else Snapshot(memory.base.state, memory.base.logits)

    def begin(self, snapshot: Snapshot, lead: str, lesson: LearnPolicy) -> Snapshot:
        """After what stands before a turn's own text, in which nothing is learned."""
        if lesson.forget:
            snapshot = self.forget(snapshot)
        return self._read(snapshot, lead, begins=lesson.settings is not None).snapshot

    def read(
        self,
        snapshot: Snapshot,
        text: str,
        lesson: LearnPolicy = NO_LESSON,
        closing: str = "",
        cancel: Callable[[], bool] = lambda: False,
    ) -> ReadResult:
        """After a passage of a turn.

        Args:
            snapshot: before it.
            text: of it.
            lesson: the turn's; with settings the passage is learned from, as it is read.
            closing: what ends the turn. It is not read, but how the turn ends is learned too.
            cancel: asked every few hundred characters.

        Raises:
            UsageError: `cancel` said so.
        """
        if lesson.settings is None:
            return self._read(snapshot, text, cancel=cancel)
        then = encode_lossy(self.base.vocabulary, closing)
        return self._read(
            snapshot, text, lesson.settings, begins=True, then=int(then[0]) if len(then) else None, cancel=cancel
        )

    def _read(
        self,
        snapshot: Snapshot,
        text: str,
        settings: LearnConfig | None = None,
        *,
        begins: bool = False,
        then: int | None = None,
        cancel: Callable[[], bool] = lambda: False,
    ) -> ReadResult:
        memory = snapshot.memory
        if memory is None and not begins:
            return ReadResult(snapshot.read(self.base, text, cancel), None)
        ids = encode_lossy(self.base.vocabulary, text)
        if not len(ids):
            return ReadResult(snapshot, np.empty(0))
        nats = []
        with self._lock:
            if memory is None:
                memory = self._learner_by(settings or LearnConfig()).begin(snapshot.state, int(ids[0]))
                nats.append(-log_softmax(snapshot.logits)[ids[:1]].astype(np.float64))
                ids = ids[1:]
        block = BLOCK * (settings or LearnConfig()).segment
        for first in range(0, len(ids), block):
            if first and cancel():
                raise UsageError(f"stopped after reading {first:,} of {len(ids):,}; nothing was said")
            part, last = ids[first : first + block], first + block >= len(ids)
            with self._lock:
                learner = self._learner_by(settings or LearnConfig())
                memory, surprises, _ = learner.read(
                    memory,
                    part,
                    learn=settings is not None,
                    then=then if last else None,
                    rate=None if settings is None else settings.rate,
                )
            nats.append(surprises)
        return ReadResult(Snapshot(memory.state, memory.logits, memory), np.concatenate(nats))

    # -- for the database ---------------------------------------------------------------------------------------------

    def to_bytes(self, memory: AdaptiveState) -> tuple[bytes, bytes]:
        """A memory without what was learned, some KiB; and what was learned, as large as the model."""
        with self._lock:
            return self._learner_by(LearnConfig()).to_bytes(memory), memory.overlay.to_bytes()

    def from_bytes(self, memory: bytes, overlay: bytes) -> Snapshot:
        """Read back what `to_bytes` made.

        Raises:
            CheckpointError: it is damaged, or another model's.
        """
        learned = overlay_from_bytes(self.base.checkpoint, overlay)
        with self._lock:
            found = self._learner_by(LearnConfig()).from_bytes(memory, learned)
        return Snapshot(found.state, found.logits, found)
