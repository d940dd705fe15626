"""Ranking: a model that knows what follows what finds the true reply; one that does not finds it by chance."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.adapt.learner import Learner
from charlm.errors import CorpusError
from charlm.inference.context import encode_lossy
from charlm.inference.engine import Engine
from charlm.inference.sampling import log_softmax
from charlm.inference.state import Array, State
from charlm.insight import response_selection
from charlm.insight.response_selection import IMAGINED, OTHERS, imagine, make_cases, ranked, score
from charlm.text.conversations import Utterance
from charlm.text.dialogue import Dialogue

from ..conftest import MakeCheckpoint

LINES = Dialogue("lines")
TURNS = [tuple(Utterance("", f"{letter}{other} goes on") for other in "abcdef") for letter in "ghijkl"]


def test_every_case_has_its_own_reply_first_and_others_from_elsewhere() -> None:
    cases = make_cases(TURNS, 25)
    assert len(cases) == 25
    told = {turns[place].text: turns[:place] for turns in TURNS for place in range(1, len(turns))}
    for case in cases:
        assert case.context == told[case.replies[0]]
        assert len(set(case.replies)) == len(case.replies) == 1 + OTHERS
    assert cases == make_cases(TURNS, 25)
    assert cases != make_cases(TURNS, 25, seed=2)
    assert len(make_cases(TURNS, 10_000)) == len(told)


def test_a_long_context_is_cut_to_its_last_turns() -> None:
    turns = tuple(Utterance("", f"{number} and so on") for number in range(40))
    for case in make_cases([turns], 39):
        place = turns.index(Utterance("", case.replies[0]))
        assert case.context == turns[max(0, place - response_selection.CONTEXT) : place]


def test_too_few_replies_are_refused() -> None:
    with pytest.raises(CorpusError, match="too few"):
        make_cases([(Utterance("", "yes"), Utterance("", "no")) * 30], 10)


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("form", ["lines", "play"])
def test_scores_are_what_reading_one_reply_after_the_other_costs(
    make_checkpoint: MakeCheckpoint, form: str, learns: bool
) -> None:
    engine = Engine(make_checkpoint(characters="\n :abcdefghijklmnopqrstuvwxyz"))
    dialogue = LINES if form == "lines" else Dialogue("play", ("anna", "bob"))
    case = make_cases(
        [
            tuple(
                Utterance(dialogue.names[n % 2] if dialogue.names else "", one.text)
                for n, one in enumerate([one for turns in TURNS for one in turns])
            )
        ],
        1,
    )[0]
    learner = Learner(engine) if learns else None
    elsewhere = imagine(engine, dialogue)
    assert len(elsewhere) == IMAGINED
    scores = score(engine, dialogue, case, elsewhere, learner)
    turns = [dialogue.opening(one.name) + one.text + dialogue.closing for one in case.context]
    opening = dialogue.opening(case.name)
    told = dialogue.beginning + "".join(turns) + opening
    for number, reply in enumerate(case.replies):
        end = reply + dialogue.closing
        assert scores.lengths[number] == len(end)
        given = surprise(engine, engine.start(), told, end)
        assert scores.given[number] == pytest.approx(-given, rel=1e-5)
        anyway = [surprise(engine, place.state, opening, end, place.logits) for place in elsewhere]
        assert scores.anyway[number] == pytest.approx(-np.mean(anyway), rel=1e-5)
    if learner is None:
        assert (scores.learned == scores.given).all()
        return
    memory = learner.start(dialogue.beginning)
    for turn in turns:
        memory = learner.read(memory, turn).memory
    if opening:
        memory = learner.read(memory, opening, learn=False).memory
    expected = [learner.read(memory, reply + dialogue.closing, learn=False).nats.sum() for reply in case.replies]
    np.testing.assert_allclose(scores.learned, [-one for one in expected], rtol=1e-4)
    assert (scores.learned != scores.given).all()


def surprise(engine: Engine, state: State, before: str, text: str, logits: Array | None = None) -> float:
    if before:
        state, logits = engine.prefill(state, encode_lossy(engine.vocabulary, before))
    nats = 0.0
    for index in encode_lossy(engine.vocabulary, text):
        assert logits is not None
        nats -= float(log_softmax(logits)[index])
        state, logits = engine.step(state, int(index))
    return nats


def test_what_is_made_up_is_several_conversations_and_always_the_same(make_checkpoint: MakeCheckpoint) -> None:
    engine = Engine(make_checkpoint(characters="\n abcdefghij"))
    places = [engine.to_bytes(place.state) for place in imagine(engine, LINES)]
    assert len(set(places)) == IMAGINED
    assert places == [engine.to_bytes(place.state) for place in imagine(engine, LINES)]
    assert not set(places) & {engine.to_bytes(place.state) for place in imagine(engine, LINES, seed=9)}


def test_ranks() -> None:
    best, second, last = np.array([3.0, 1, 2]), np.array([2.0, 3, 1]), np.array([1.0, 1, 1])
    assert ranked([best, best]) == (1, 1, 2)
    assert ranked([best, second]) == (0.5, 0.75, 2)
    assert ranked([last]) == (0, pytest.approx(1 / 3), 1)  # who cannot tell is given no credit
    assert ranked([best, second]).error == pytest.approx(0.5 / 2**0.5)
