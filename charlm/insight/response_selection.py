"""Whether a model can tell the reply that was given from replies that were given elsewhere.

Owns the cases, made of a text, and the scores by which replies are ranked. Chance is one in as many replies as a case
has.

The other replies are drawn from the same text, so what tells the true one is how much likelier the context makes it: by
Bayes' rule log p(reply | context) - log p(reply), over the whole reply (Li et al. 2016, with lambda 1). Log p(reply) is
a mean over conversations that the model made up itself, since at the beginning of one hardly anything but a greeting is
likely. (`charlm chat` chooses among its own candidates by means over characters: it wants a well written one too.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.adapt.learner import Learner
from charlm.config import SamplingConfig
from charlm.errors import CorpusError
from charlm.inference.context import Context, StaticModel, encode_lossy
from charlm.inference.engine import Engine
from charlm.inference.generate import generate_batch
from charlm.inference.search import logprobs
from charlm.text.conversations import Utterance
from charlm.text.dialogue import Dialogue

CONTEXT = 8  # turns before the reply
OTHERS = 9  # replies from elsewhere
LONGEST = 400  # characters of a reply; what is longer is cut
IMAGINED, WRITTEN = 8, 400  # conversations that the model makes up, and characters of each


@dataclass(frozen=True)
class Case:
    """A place in a conversation.

    Attributes:
        context: the turns before.
        name: who speaks next, where the format has names.
        replies: the true one, then those from elsewhere.
    """

    context: tuple[Utterance, ...]
    name: str
    replies: tuple[str, ...]

    def turns(self, dialogue: Dialogue) -> list[str]:
        """The context, turn by turn, as the text writes it."""
        return [dialogue.opening(one.name) + one.text + dialogue.closing for one in self.context]


class ResponseScores(NamedTuple):
    """How likely each reply of a case is, (N,): log p of a reply and its end, nats.

    Attributes:
        given: after the context.
        anyway: after other contexts, the mean.
        learned: after the context, by a model that has learned from it; as `given` if it has not.
        lengths: how many ids a reply and its end have.
    """

    given: NDArray[np.float64]
    anyway: NDArray[np.float64]
    learned: NDArray[np.float64]
    lengths: NDArray[np.int64]


def make_cases(conversations: Sequence[Sequence[Utterance]], count: int, seed: int = 1) -> list[Case]:
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


def imagine(engine: Engine, dialogue: Dialogue, seed: int = 1) -> list[Context]:
    """Where the model stands after each of some conversations that it makes up, when somebody is about to speak."""
    beginning, closing = dialogue.beginning, dialogue.closing
    params = SamplingConfig(temperature=1, top_p=1, seed=seed)
    made_up = generate_batch(_read(engine, beginning), engine, params, IMAGINED, max_chars=WRITTEN)
    turns = [one.text.rpartition(closing)[0].rstrip("\n") for one in made_up]  # the last is not whole
    return [_read(engine, beginning + one + closing) for one in turns]


def after_context(engine: Engine, dialogue: Dialogue, case: Case) -> Context:
    """Where the model stands when the reply of a case is to come."""
    return _read(engine, dialogue.beginning + "".join(case.turns(dialogue)) + dialogue.opening(case.name))


def score(
    engine: Engine, dialogue: Dialogue, case: Case, elsewhere: Sequence[Context], learner: Learner | None = None
) -> ResponseScores:
    """How likely a case's replies are.

    Args:
        engine: the model.
        dialogue: how its text writes turns.
        case: what to look at.
        elsewhere: what `imagine` gave.
        learner: of the same model; learns from the context, turn by turn. None learns nothing.
    """
    ids = [encode_lossy(engine.vocabulary, reply + dialogue.closing).tolist() for reply in case.replies]
    lengths = np.array([len(one) for one in ids])
    opening = dialogue.opening(case.name)
    named = encode_lossy(engine.vocabulary, opening)
    turns = case.turns(dialogue)
    others = [StaticModel(engine).read(context, named) for context in elsewhere]
    anyway = np.mean([logprobs(engine, context, ids) for context in others], axis=0)
    given = logprobs(engine, after_context(engine, dialogue, case), ids)
    if learner is None:
        return ResponseScores(given, anyway, given, lengths)
    memory = learner.start(dialogue.beginning)
    for turn in turns:
        memory = learner.read(memory, turn).memory
    if opening:
        memory = learner.read(memory, opening, learn=False).memory
    learned = logprobs(learner.engine(memory), Context(memory.state, memory.logits), ids)
    return ResponseScores(given, anyway, learned, lengths)


def _read(engine: Engine, text: str) -> Context:
    model = StaticModel(engine)
    return model.read(model.start(), encode_lossy(engine.vocabulary, text))


class RankedScore(NamedTuple):
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


def ranked(scores: Iterable[NDArray[np.float64]]) -> RankedScore:
    """How well the first of each case was found among the others; of equals the true one comes last.

    Args:
        scores: of each case's replies, (N,), the highest the best.
    """
    ranks = np.array([1 + int((one[1:] >= one[0]).sum()) for one in scores])
    return RankedScore(float((ranks == 1).mean()), float((1 / ranks).mean()), len(ranks))
