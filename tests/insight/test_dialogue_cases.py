"""Recall cases and questions: the scripts, and what counts as right. No model is measured."""

from __future__ import annotations

from functools import partial

import pytest

from charlm.insight.dialogue_cases import DISTANCES, KINDS, chance, questions, recall_cases
from charlm.insight.dialogue_cases import CheckedReply as Checked

from ..chat.talkers import CHOSEN, converse

LANGUAGES = pytest.mark.parametrize("language", ["en", "ja"])


@LANGUAGES
def test_recall_cases_are_seeded_and_of_each_kind(language: str) -> None:
    cases = recall_cases(language, 20)
    assert [one.kind for one in cases] == [kind for kind in KINDS for _ in range(20)]
    assert cases == recall_cases(language, 20)
    assert cases != recall_cases(language, 20, seed=2)


@LANGUAGES
def test_recall_case_accepts_only_what_was_stated(language: str) -> None:
    for one in recall_cases(language, 300):
        stated = one.right.search(one.tell)
        assert (stated is None) == (one.kind == "never stated")
        assert not any(one.right.search(text) for text in (one.ask, *one.fillers))


@pytest.mark.parametrize(
    ("reply", "is_right"),
    [
        ("You haven't told me yet.", True),
        ("I don't know, what is it?", True),
        ("Hmm, you never mentioned that.", True),
        ("I'm not sure, what is it?", True),
        ("Your name is Anna.", False),
        ("That's a nice name!", False),
        ("I know, it is blue.", False),
    ],
)
def test_never_stated_fact_is_right_if_the_reply_admits_it(reply: str, is_right: bool) -> None:
    case = recall_cases("en", 1)[-1]
    assert (case.right.search(reply) is not None) == is_right


def test_value_counts_as_a_whole_word() -> None:
    case = next(one for one in recall_cases("en", 300) if one.kind == "listed" and "Anna" in one.tell)
    assert case.right.search("It's anna!")
    assert not case.right.search("I live in Savannah.")


def test_recall_asks_at_each_distance_and_keeps_the_talk() -> None:
    conversation = converse("lines", dials=CHOSEN)
    case = recall_cases("en", 1)[0]
    replies = list(case.run(lambda seed: conversation, 1))
    assert [one.distance for one in replies] == list(DISTANCES)
    assert {one.message for one in replies} == {case.ask}
    said = [turn.text for turn in conversation.path if turn.author == "you"]
    assert said == [conversation.fit(one) for one in (case.tell, *case.fillers[: DISTANCES[-1] - 1])]


def test_questions_are_sixty_in_five_wordings() -> None:
    wordings = [wording for one in questions() for wording in one.wordings]
    assert len(questions()) == 60
    assert len(set(wordings)) == 300


@pytest.mark.parametrize(
    ("name", "reply", "is_right"),
    [
        ("five", "That makes five.", True),
        ("five", "That makes six.", False),
        ("sad", "Oh no, what happened?", True),
        ("sad", "I like pizza.", False),
        ("food", "I'm a program, I don't eat.", True),
        ("joke", "Why did the hen cross the road?", True),
        ("joke", "I like the sea.", False),
        ("name", "I'm Charlie.", True),
        ("name", "I'm from Boston.", False),
        ("impossible", "Sorry, I can only talk.", True),
        ("impossible", "Yes, it was great!", False),
    ],
)
def test_question_accepts_replies_that_fit(name: str, reply: str, is_right: bool) -> None:
    question = next(one for one in questions() if one.name == name)
    assert (question.right.search(reply) is not None) == is_right


def test_questions_reject_most_replies_to_other_questions() -> None:
    replies = ["It is five.", "Oh no, I'm so sorry.", "Paris.", "My favourite is blue.", "Once there was a fox."]
    assert chance([Checked("", 0, "", one, True) for one in replies]) < 0.25


def test_run_of_a_question_begins_a_conversation_each() -> None:
    seeds = []

    def new(seed: int):  # type: ignore[no-untyped-def]
        seeds.append(seed)
        return converse("lines", dials=CHOSEN, seed=seed)

    question = questions()[0]
    assert [one.message for one in question.run(partial(new), 7)] == list(question.wordings)
    assert seeds == [7, 8, 9, 10, 11]
