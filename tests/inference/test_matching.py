"""The matcher scores replies by their words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlm.inference.matching import CONTEXT_TURNS, Matcher, features
from charlm.tensor_shapes import matching_shapes

from ..conftest import random_checkpoint, random_matching

MATCHER = Matcher(*random_matching().values())


def test_similarity_is_a_cosine() -> None:
    replies = ["Yes, a dog!", "I don't know.", "yes yes yes", "いいえ、猫です。"]
    similarity = MATCHER.similarity(["Hello", "Do you have a pet?"], replies)
    assert similarity.shape == (len(replies),)
    assert (np.abs(similarity) <= 1).all()
    assert len(set(similarity.tolist())) == len(replies)
    for number, reply in enumerate(replies):
        assert MATCHER.similarity(["Hello", "Do you have a pet?"], [reply]) == pytest.approx(similarity[number])
    same = Matcher(MATCHER.reply, MATCHER.reply)
    assert same.similarity(["a dog"], ["a dog"]) == pytest.approx(1, abs=1e-5)


def test_similarity_reads_the_last_turns_only() -> None:
    turns = [f"turn {number}" for number in range(CONTEXT_TURNS + 2)]
    scores = [float(MATCHER.similarity(turns[-count:], ["well"])[0]) for count in range(1, len(turns) + 1)]
    assert len(set(scores[:CONTEXT_TURNS])) == CONTEXT_TURNS
    assert set(scores[CONTEXT_TURNS:]) == {scores[CONTEXT_TURNS - 1]}


@pytest.mark.parametrize("empty", ["", " \n", "\ud800"])
def test_similarity_of_texts_without_words_is_finite(empty: str) -> None:
    assert np.isfinite(MATCHER.similarity([empty], [empty, "a dog"])).all()
    assert np.isfinite(MATCHER.similarity([], ["a dog"])).all()


def support(reply: str, turns: list[str], question: str = "Who?", share: float = 1.0) -> float | None:
    matcher = Matcher(*random_matching().values(), has_statements=True)
    return matcher.support(reply, [share] * len(reply), turns, question)


def test_support_does_not_depend_on_the_copied_word() -> None:
    found = [
        support(f"It is {name}, I think.", [f"My cat {name} sleeps."])
        for name in ("Anna", "Zbur", "\u30df\u30e9\u30fc")
    ]
    assert found[0] is not None
    assert found[1:] == pytest.approx(found[:1] * 2)
    assert abs(found[0]) < 1
    assert found[0] != support("It is Anna, I think.", ["My dog Anna sleeps."])


def test_support_is_that_of_the_best_source_of_the_longest_copied_word() -> None:
    turns = ["My cat Milo sleeps.", "Say Milo!", "Berta barks."]
    each = [support("Milo, not Berta.", [turn]) for turn in turns]
    assert support("Milo, not Berta.", turns[:2]) == max(one for one in each[:2] if one is not None)
    assert support("Milo, not Berta.", turns) == each[2]


@pytest.mark.parametrize(
    "case",
    [
        ("It is Milo.", ["My dog Rex sleeps."]),
        ("It is Milo.", ["My cat Milo sleeps."], "Is it Milo?"),
        ("It is Milo.", ["My cat Milo sleeps."], "Who?", 0.4),
        ("", ["My cat Milo sleeps."]),
        ("It is Milo.", []),
    ],
    ids=["elsewhere", "asked", "written", "empty", "nothing said"],
)
def test_reply_that_copies_no_word_has_no_support(case: tuple[Any, ...]) -> None:
    assert support(*case) is None


def test_matcher_without_statements_supports_nothing() -> None:
    assert MATCHER.support("It is Milo.", [1.0] * 11, ["My cat Milo sleeps."], "Who?") is None


def test_features_ignore_case_and_know_the_order_of_words() -> None:
    assert features("A dog bites") == features("a DOG bites")
    assert features("a dog bites") != features("bites a dog")
    assert features("猫が")[0] == features("猫")[0]


def test_model_without_vectors_has_no_matcher() -> None:
    assert Matcher.of(random_checkpoint()) is None
    assert list(random_matching()) == list(matching_shapes())
