"""The matcher scores replies by their words."""

from __future__ import annotations

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


def test_features_ignore_case_and_know_the_order_of_words() -> None:
    assert features("A dog bites") == features("a DOG bites")
    assert features("a dog bites") != features("bites a dog")
    assert features("猫が")[0] == features("猫")[0]


def test_model_without_vectors_has_no_matcher() -> None:
    assert Matcher.of(random_checkpoint()) is None
    assert list(random_matching()) == list(matching_shapes())
