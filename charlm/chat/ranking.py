"""Whether a model can tell the reply that was given from replies that were given elsewhere.

Owns the cases, made of a text, and the score by which replies are ranked: that of `charlm chat` for its candidates.
Chance is one in as many replies as a case has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError
from charlm.inference.engine import Array, Engine, State
from charlm.inference.learner import Learner
from charlm.inference.reading import spell
from charlm.inference.search import logprobs
from charlm.text.dialogue import Dialogue
from charlm.text.turns import Said

CONTEXT = 8  # turns before the reply
OTHERS = 9  # replies from elsewhere
LONGEST = 400  # characters of a reply; what is longer is cut


@dataclass(frozen=True)
class Case:
    """A place in a conversation.

    Attributes:
        context: the turns before.
        name: who speaks next, where the format has names.
        replies: the true one, then those from elsewhere.
    """

    context: tuple[Said, ...]
    name: str
    replies: tuple[str, ...]


class Scores(NamedTuple):
    """How likely each reply of a case is, (N,); nats per character, the mean over a reply and its end.

    Attributes:
        given: after the context.
        anyway: after nothing but the speaker's name.
        learned: after the context, by a model that has learned from it; as `given` if it has not.
    """

    given: NDArray[np.float64]
    anyway: NDArray[np.float64]
    learned: NDArray[np.float64]


def make_cases(conversations: Sequence[Sequence[Said]], count: int, seed: int = 1) -> list[Case]:
    """Places of a text, drawn by chance, each with the replies of others.

    Args:
        conversations: the text's.
        count: how many places at most.
        seed: of places and of the other replies.

    Raises:
        CorpusError: the text has too few turns.
    """
    places = [(turns, place) for turns in conversations for place in range(1, len(turns))]
    texts = [turns[place].text[:LONGEST] for turns, place in places]
    if len(set(texts)) < 2 * OTHERS:
        raise CorpusError(
            f"the text has {len(set(texts))} different replies, too few to choose among",
            "is it a conversation, in the format of the text that the model was trained on?",
        )
    rng = np.random.default_rng(seed)
    found = []
    for number in rng.choice(len(places), min(count, len(places)), replace=False):
        turns, place = places[number]
        replies = [texts[number]]
        while len(replies) <= OTHERS:
            other = texts[rng.integers(len(texts))]
            if other not in replies:
                replies.append(other)
        found.append(Case(tuple(turns[max(0, place - CONTEXT) : place]), turns[place].name, tuple(replies)))
    return found


def score(engine: Engine, dialogue: Dialogue, case: Case, learner: Learner | None = None) -> Scores:
    """How likely a case's replies are.

    Args:
        engine: the model.
        dialogue: how its text writes turns.
        case: what to look at.
        learner: of the same model; learns from the context, turn by turn. None learns nothing.
    """
    ids = [spell(engine.vocabulary, reply + dialogue.closing)[0].tolist() for reply in case.replies]
    lengths = np.array([len(one) for one in ids])

    def likely(model: Engine, after: tuple[State, Array]) -> NDArray[np.float64]:
        means: NDArray[np.float64] = logprobs(model, after, ids) / lengths
        return means

    opening = dialogue.opening(case.name)
    turns = [dialogue.opening(one.name) + one.text + dialogue.closing for one in case.context]
    anyway = likely(engine, _read(engine, dialogue.beginning + opening))
    given = likely(engine, _read(engine, dialogue.beginning + "".join(turns) + opening))
    if learner is None:
        return Scores(given, anyway, given)
    memory = learner.start(dialogue.beginning)
    for turn in turns:
        memory = learner.read(memory, turn).memory
    if opening:
        memory = learner.read(memory, opening, learn=False).memory
    return Scores(given, anyway, likely(learner.engine(memory), (memory.state, memory.logits)))


def _read(engine: Engine, text: str) -> tuple[State, Array]:
    return engine.feed(engine.start(), spell(engine.vocabulary, text)[0])


class Ranked(NamedTuple):
    """How well true replies were found.

    Attributes:
        hits: the share that came first.
        reciprocal: the mean of 1 / rank.
        cases: how many there were.
    """

    hits: float
    reciprocal: float
    cases: int

    @property
    def error(self) -> float:
        """One standard error of `hits`."""
        return float(np.sqrt(self.hits * (1 - self.hits) / max(1, self.cases)))


def ranked(scores: Iterable[NDArray[np.float64]]) -> Ranked:
    """How well the first of each case was found among the others; of equals the true one comes last.

    Args:
        scores: of each case's replies, (N,), the highest the best.
    """
    ranks = np.array([1 + int((one[1:] >= one[0]).sum()) for one in scores])
    return Ranked(float((ranks == 1).mean()), float((1 / ranks).mean()), len(ranks))
