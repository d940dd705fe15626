"""Response selection: can a model tell the true reply from distractors? Chance is one in their number.

Replies are ranked by log p(reply | context) - log p(reply), over the whole reply (Li et al. 2016, with lambda 1).
Log p(reply) is a mean over conversations that the model samples. The beginning of a text would favour greetings.
`charlm chat` ranks its candidates by means over characters instead: it wants well written replies too.
"""

from __future__ import annotations

import math
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
from charlm.inference.matching import CONTEXT_TURNS as MATCHED_TURNS
from charlm.inference.matching import PREVIOUS_WEIGHT, Matcher, values
from charlm.inference.search import logprobs
from charlm.text.conversations import Utterance
from charlm.text.dialogue import Dialogue

CONTEXT_TURNS = 8  # before the reply
DISTRACTORS = 9  # replies from elsewhere
MAX_REPLY_CHARS = 400  # longer replies are cut
MATCHING_NATS = 200.0  # of the matcher's similarity next to log p, whose error grows with the length; measured
SHARED_WORDS_NATS = 150.0  # of the cosine of the words of context and reply; measured
SAMPLED_CONTEXTS, SAMPLED_CONTEXT_CHARS = 8, 400  # conversations that the model samples, and their length


@dataclass(frozen=True)
class Case:
    """A context and possible replies."""

    context: tuple[Utterance, ...]
    name: str  # of the next speaker, if the format has names
    replies: tuple[str, ...]  # the true one, then the distractors

    def turns(self, dialogue: Dialogue) -> list[str]:
        """Return the turns of the context in the format of the text."""
        return [dialogue.opening(one.name) + one.text + dialogue.closing for one in self.context]


class ResponseScores(NamedTuple):
    """Scores of each reply of a case, (N,): log p of the reply and its end in nats, unless stated otherwise."""

    in_context: NDArray[np.float64]
    out_of_context: NDArray[np.float64]  # mean over sampled contexts
    adapted: NDArray[np.float64]  # in context, by a model adapted to it; `in_context` without a learner
    matching: NDArray[np.float64]  # MATCHING_NATS times the similarity by the model's matcher; zeros without one
    shared_words: NDArray[np.float64]  # SHARED_WORDS_NATS times the cosine of `shared_words`; knows no model
    lengths: NDArray[np.int64]  # ids of a reply and its end


def make_cases(conversations: Sequence[Sequence[Utterance]], count: int, seed: int = 1) -> list[Case]:
    """Draw at most `count` cases and their distractors; raise CorpusError if the text has too few turns."""
    places = [(turns, place) for turns in conversations for place in range(1, len(turns))]
    texts = [turns[place].text[:MAX_REPLY_CHARS] for turns, place in places]
    if len(set(texts)) < 2 * DISTRACTORS:
        raise CorpusError(
            f"the text has {len(set(texts))} different replies, too few to choose among",
            "use a conversation in the format of the model's training text",
        )
    rng = np.random.default_rng(seed)
    cases = []
    for number in rng.choice(len(places), min(count, len(places)), replace=False):
        turns, place = places[number]
        replies = [texts[number]]
        while len(replies) <= DISTRACTORS:
            other = texts[rng.integers(len(texts))]
            if other not in replies:
                replies.append(other)
        cases.append(Case(tuple(turns[max(0, place - CONTEXT_TURNS) : place]), turns[place].name, tuple(replies)))
    return cases


def sample_contexts(engine: Engine, dialogue: Dialogue, seed: int = 1) -> list[Context]:
    """Return the contexts after conversations that the model samples, at the beginning of a turn."""
    beginning, closing = _read(engine, dialogue.beginning), dialogue.closing
    params = SamplingConfig(temperature=1, top_p=1, seed=seed)
    samples = generate_batch(beginning, engine, params, SAMPLED_CONTEXTS, max_chars=SAMPLED_CONTEXT_CHARS)
    turns = [one.text.rpartition(closing)[0].rstrip("\n") for one in samples]  # without the cut last turn
    return [_read(engine, dialogue.beginning + one + closing) for one in turns]


def after_context(engine: Engine, dialogue: Dialogue, case: Case) -> Context:
    """Return the context of a case, at the beginning of the reply."""
    return _read(engine, dialogue.beginning + "".join(case.turns(dialogue)) + dialogue.opening(case.name))


def score(
    engine: Engine, dialogue: Dialogue, case: Case, contexts: Sequence[Context], learner: Learner | None = None
) -> ResponseScores:
    """Score the replies of a case, in its context and in those of `sample_contexts`.

    A learner of the same model adapts to the context turn by turn.
    """
    ids = [encode_lossy(engine.vocabulary, reply + dialogue.closing).tolist() for reply in case.replies]
    lengths = np.array([len(one) for one in ids])
    opening = dialogue.opening(case.name)
    named = encode_lossy(engine.vocabulary, opening)
    others = [StaticModel(engine).read(context, named) for context in contexts]
    out_of_context = np.mean([logprobs(engine, context, ids) for context in others], axis=0)
    in_context = logprobs(engine, after_context(engine, dialogue, case), ids)
    turns, matching = [one.text for one in case.context], np.zeros(len(ids))
    if matcher := Matcher.of(engine.checkpoint):
        matching = MATCHING_NATS * matcher.similarity(turns, case.replies)
    shared = SHARED_WORDS_NATS * np.array([shared_words(turns, reply) for reply in case.replies])
    if learner is None:
        return ResponseScores(in_context, out_of_context, in_context, matching, shared, lengths)
    context = learner.start(dialogue.beginning)
    for turn in case.turns(dialogue):
        context = learner.read(context, turn).context
    if opening:
        context = learner.read(context, opening, learn=False).context
    adapted = logprobs(learner.engine(context), context, ids)
    return ResponseScores(in_context, out_of_context, adapted, matching, shared, lengths)


def shared_words(turns: Sequence[str], reply: str) -> float:
    """Return the cosine between the words of the last turns and of a reply, each weighted by its length.

    Long words are rare ones. It knows words that were in no training text.
    """
    context: dict[str, float] = {}
    for age, turn in enumerate(reversed(turns[-MATCHED_TURNS:])):
        context = dict.fromkeys(values(turn), PREVIOUS_WEIGHT**age) | context
    words = values(reply)
    shared = sum(context.get(word, 0) * len(word) ** 2 for word in words)
    norms = math.hypot(*map(len, words)), math.hypot(*(share * len(word) for word, share in context.items()))
    return shared / math.prod(norms) if shared else 0.0


def _read(engine: Engine, text: str) -> Context:
    model = StaticModel(engine)
    return model.read(model.start(), encode_lossy(engine.vocabulary, text))


class RankedScore(NamedTuple):
    """Ranks of the true replies."""

    hits_at_1: float  # share of true replies that rank first
    mrr: float  # mean reciprocal rank
    cases: int

    @property
    def error(self) -> float:
        """Standard error of `hits_at_1`."""
        return float(np.sqrt(self.hits_at_1 * (1 - self.hits_at_1) / max(1, self.cases)))


def rank_true_replies(scores: Iterable[NDArray[np.float64]]) -> RankedScore:
    """Rank the true reply of each case by the scores of its replies, (N,); among equal scores it ranks last."""
    ranks = np.array([1 + int((one[1:] >= one[0]).sum()) for one in scores])
    return RankedScore(float((ranks == 1).mean()), float((1 / ranks).mean()), len(ranks))
