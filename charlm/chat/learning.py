"""Learning in a conversation: the policy of a turn, and a summary for a person."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from charlm.adapt.learner import AdaptedContext
from charlm.checkpoint import Checkpoint
from charlm.config import CHAT_LEARN_RATE, JAPANESE_LEARN_RATE, ChatConfig, LearnConfig
from charlm.errors import CharlmError, CheckpointError
from charlm.inference.context import Context
from charlm.text.vocabulary import Vocabulary

CANDIDATES_WITH_MATCHER: Final = 16
# Copies of a candidate count by themselves. With more of these, a copied name wins where no name was stated.
RELEVANCE_WITH_POINTER: Final = 0.1
MATCHING_WITH_POINTER: Final = 0.5


def usual_learn_rate(vocabulary: Vocabulary) -> float:
    """Return the rate at which a model with this vocabulary learns in a chat, unless the person gives another one."""
    return JAPANESE_LEARN_RATE if vocabulary.language == "ja" else CHAT_LEARN_RATE


def default_dials(model: Checkpoint) -> ChatConfig:
    """Return the dials of a new chat; docs/experiments.md has the measurements.

    A format with turns separates what a person says from what the model says. In a plain text, learning is off. A
    matcher chooses well among many candidates.
    """
    rate = usual_learn_rate(model.vocabulary) if model.dialogue.has_turns else 0.0
    candidates = CANDIDATES_WITH_MATCHER if model.matching else ChatConfig.candidates
    dials = ChatConfig(learn=rate, candidates=candidates)
    if model.pointer:
        dials = dials.changed(relevance=RELEVANCE_WITH_POINTER, matching=MATCHING_WITH_POINTER)
    return dials


@dataclass(frozen=True)
class LearnPolicy:
    """Policy of learning with a turn. Recorded with it."""

    forget: bool = False  # drop the learned weights before the turn
    settings: LearnConfig | None = None  # how its text is learned from; None if it is not

    def to_dict(self) -> dict[str, object]:
        """As plain data; empty for the default."""
        document: dict[str, object] = {"forget": True} if self.forget else {}
        return document | ({"learn": self.settings.to_dict()} if self.settings is not None else {})

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> LearnPolicy:
        """Read the output of `to_dict`; raise CheckpointError if it is damaged."""
        try:
            forget, learn = document.get("forget", False), document.get("learn")
            if document.keys() - {"forget", "learn"} or not isinstance(forget, bool):
                raise TypeError("policy")
            return cls(forget, None if learn is None else LearnConfig.from_dict(learn))
        except (AttributeError, TypeError, CharlmError) as error:
            raise CheckpointError("the record of what was learned with a turn is damaged") from error


NO_LEARNING: Final = LearnPolicy()


class Learned(NamedTuple):
    """Summary of the weights learned in a conversation."""

    movement: float  # |moved| / |trained weights|
    saved: float  # bits/char that learning has recently saved on a person's text
    characters: int  # that were learned from
    shrinks: int  # times that the guard has reduced the learned weights

    @classmethod
    def of(cls, context: Context | None) -> Learned | None:
        """Return what was learned up to a context; None if that is nothing."""
        if not isinstance(context, AdaptedContext) or not context.delta:
            return None
        return cls(context.delta.movement, context.gain / math.log(2), context.learned, context.shrinks)

    @property
    def meter(self) -> str:
        """The numbers, for a status line."""
        shrunk = f" shrunk {self.shrinks}\u00d7" if self.shrinks else ""
        return f"moved {self.movement:.1%} {self.saved:+.2f} bits{shrunk}"

    @property
    def sentence(self) -> str:
        """The numbers in a sentence."""
        better = f"{abs(self.saved):.2f} bits/char {'better' if self.saved >= 0 else 'worse'}"
        shrunk = f"; learned weights that did harm were reduced {self.shrinks} times" if self.shrinks else ""
        return (
            f"its weights have moved by {self.movement:.1%}, learning from {self.characters:,} characters;"
            f" lately it has predicted what you said {better} than without{shrunk}"
        )
