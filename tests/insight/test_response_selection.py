"""Response selection: cases, scores and ranks."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from charlm.adapt.learner import Learner
from charlm.errors import CorpusError
from charlm.inference.context import Context, StaticModel, encode_lossy
from charlm.inference.engine import Engine
from charlm.insight import response_selection
from charlm.insight.response_selection import (
    DISTRACTORS,
    SAMPLED_CONTEXTS,
    make_cases,
    rank_true_replies,
    sample_contexts,
    score,
    shared_words,
)
from charlm.text.conversations import Utterance
from charlm.text.dialogue import Dialogue

from ..conftest import nats_by_steps, random_checkpoint

LINES = Dialogue("lines")
TURNS = [tuple(Utterance("", f"{letter}{other} goes on") for other in "abcdef") for letter in "ghijkl"]


def test_make_cases_puts_the_true_reply_first() -> None:
    cases = make_cases(TURNS, 25)
    assert len(cases) == 25
    expected = {turns[place].text: turns[:place] for turns in TURNS for place in range(1, len(turns))}
    for case in cases:
        assert case.context == expected[case.replies[0]]
        assert len(set(case.replies)) == len(case.replies) == 1 + DISTRACTORS
    assert cases == make_cases(TURNS, 25)
    assert cases != make_cases(TURNS, 25, seed=2)
    assert len(make_cases(TURNS, 10_000)) == len(expected)


def test_make_cases_cuts_a_long_context() -> None:
    turns = tuple(Utterance("", f"{number} and so on") for number in range(40))
    for case in make_cases([turns], 39):
        place = turns.index(Utterance("", case.replies[0]))
        assert case.context == turns[max(0, place - response_selection.CONTEXT_TURNS) : place]


def test_make_cases_with_too_few_replies_is_refused() -> None:
    with pytest.raises(CorpusError, match="too few"):
        make_cases([(Utterance("", "yes"), Utterance("", "no")) * 30], 10)


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("form", ["lines", "play"])
def test_score_equals_reading_each_reply(form: str, learns: bool) -> None:
    engine = Engine(random_checkpoint(characters="\n :abcdefghijklmnopqrstuvwxyz"))
    dialogue = LINES if form == "lines" else Dialogue("play", ("anna", "bob"))
    names = dialogue.names or ("",)
    turns = [Utterance(names[n % len(names)], one.text) for n, one in enumerate(chain.from_iterable(TURNS))]
    (case,) = make_cases([turns], 1)
    learner = Learner(engine) if learns else None
    elsewhere = sample_contexts(engine, dialogue)
    assert len(elsewhere) == SAMPLED_CONTEXTS
    scores = score(engine, dialogue, case, elsewhere, learner)
    context = [dialogue.opening(one.name) + one.text + dialogue.closing for one in case.context]
    opening = dialogue.opening(case.name)
    prompt = dialogue.beginning + "".join(context) + opening
    model = StaticModel(engine)

    def surprise(place: Context, before: str, text: str) -> float:
        place = model.read(place, encode_lossy(engine.vocabulary, before))
        return sum(nats_by_steps(engine, place.state, place.logits, encode_lossy(engine.vocabulary, text)))

    for number, reply in enumerate(case.replies):
        end = reply + dialogue.closing
        assert scores.lengths[number] == len(end)
        assert scores.in_context[number] == pytest.approx(-surprise(model.start(), prompt, end), rel=1e-5)
        anyway = [surprise(place, opening, end) for place in elsewhere]
        assert scores.out_of_context[number] == pytest.approx(-np.mean(anyway), rel=1e-5)
    if learner is None:
        assert (scores.adapted == scores.in_context).all()
        return
    memory = learner.start(dialogue.beginning)
    for turn in context:
        memory = learner.read(memory, turn).context
    if opening:
        memory = learner.read(memory, opening, learn=False).context
    expected = [learner.read(memory, reply + dialogue.closing, learn=False).nats.sum() for reply in case.replies]
    np.testing.assert_allclose(scores.adapted, [-one for one in expected], rtol=1e-4)
    assert (scores.adapted != scores.in_context).all()


def test_shared_words_count_long_words_of_the_last_turns() -> None:
    assert shared_words(["the big umbrella"], "The BIG umbrella!") == pytest.approx(1)
    assert shared_words(["the big umbrella"], "No umbrella.") > shared_words(["the big umbrella"], "How big?") > 0
    assert 0 < shared_words(["umbrella", "yes"], "big umbrella") < shared_words(["yes", "umbrella"], "big umbrella")
    for turns in ([], ["umbrella", "yes", "no"], [""]):
        assert shared_words(turns, "umbrella") == 0


def test_sample_contexts_differ_and_are_reproducible() -> None:
    engine = Engine(random_checkpoint(characters="\n abcdefghij"))
    places = [engine.to_bytes(place.state) for place in sample_contexts(engine, LINES)]
    assert len(set(places)) == SAMPLED_CONTEXTS
    assert places == [engine.to_bytes(place.state) for place in sample_contexts(engine, LINES)]
    assert not set(places) & {engine.to_bytes(place.state) for place in sample_contexts(engine, LINES, seed=9)}


def test_rank_true_replies_counts_ties_as_misses() -> None:
    best, second, last = np.array([3.0, 1, 2]), np.array([2.0, 3, 1]), np.array([1.0, 1, 1])
    assert rank_true_replies([best, best]) == (1, 1, 2)
    assert rank_true_replies([best, second]) == (0.5, 0.75, 2)
    assert rank_true_replies([last]) == (0, pytest.approx(1 / 3), 1)  # a model that cannot tell gets no credit
    assert rank_true_replies([best, second]).error == pytest.approx(0.5 / 2**0.5)
