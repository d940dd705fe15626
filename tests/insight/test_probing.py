"""Features of a text, and probing for units that track them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from charlm.errors import UsageError
from charlm.inference.state import State
from charlm.insight.activations import Recording
from charlm.insight.features import FEATURES, matching, speakers
from charlm.insight.probing import find, ranks
from charlm.text.dialogue import Dialogue

CASES = {
    "inside quotes": ('a "b c" d\n\n"e\n\nf\u201cg\u201d', "..####.....###..##."),
    "inside brackets": ("a (b [c] d) e(\n\nf", "..########...##.."),
    "start of a word": ("It's 12 o'clock", "#..#.#..#.#...."),
    "upper case": ("Ab CD \u00c9", "#..##.#"),
    "inside a comment": ("a = '#' # b\nc\n// d", "........###...####"),
    "after a full stop": ("Hi. Yes! no, \n", "..##...##....."),
}


def marks(feature: str, text: str) -> str:
    return "".join("#" if value else "." for value in FEATURES[feature](text))


@pytest.mark.parametrize("feature", CASES)
def test_feature_marks_the_expected_characters(feature: str) -> None:
    text, expected = CASES[feature]
    assert marks(feature, text) == expected


def test_count_features_of_lines() -> None:
    assert FEATURES["position in the line"]("ab\n\nc").tolist() == [1, 2, 0, 0, 1]
    assert FEATURES["indentation"]("  a b\n\tc\n").tolist() == [1, 2, 2, 2, 2, 0, 4, 4, 0]


def test_speakers_of_each_dialogue_format() -> None:
    play = "ROMEO:\nHello.\n\nJULIET:\nOh:\nwhat?\n\n"
    expected = speakers(play, Dialogue("play", ("ROMEO", "JULIET")))
    assert "".join("#" if one else "." for one in expected["JULIET is speaking"]) == "." * 23 + "#" * 11
    assert list(expected) == ["JULIET is speaking", "ROMEO is speaking"]
    transcript = speakers("Anna: hi\nBob: yo\n", Dialogue("transcript", ("Anna", "Bob")))
    assert transcript["Bob is speaking"].tolist() == [0] * 14 + [1] * 3
    assert speakers(play, Dialogue()) == {}
    assert speakers("nobody speaks", Dialogue("play", ("ROMEO",))) == {}


def test_matching_marks_regular_expression_matches() -> None:
    assert matching("a12\nb3", "[0-9]+$").tolist() == [0, 1, 1, 0, 0, 1]
    with pytest.raises(UsageError, match="no regular expression"):
        matching("a", "(")


@given(st.text(alphabet="aB \n\"'()[]{}#./\u201c\u201d", max_size=60))
def test_every_feature_has_a_number_a_character(text: str) -> None:
    for tell in FEATURES.values():
        column = tell(text)
        assert column.shape == (len(text),)
        assert (column >= 0).all()


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_ranks_equal_scipy_rankdata(values: list[int]) -> None:
    np.testing.assert_allclose(ranks(np.array(values, dtype=np.float32)), rankdata(values))


def made_up(text: str, units: np.ndarray) -> Recording:
    nothing = np.zeros(len(text))
    return Recording(text, "lstm", {(0, "c"): units.astype(np.float32)}, nothing, nothing, State(()))


def test_find_returns_the_tracking_unit_and_a_low_control() -> None:
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("abcDE \n"), 6000))
    columns = {"upper case": FEATURES["upper case"](text), "place": FEATURES["position in the line"](text)}
    units = rng.normal(size=(6000, 50))
    units[:, 7] -= 3 * columns["upper case"]
    units[:, 3] = np.exp(0.2 * columns["place"]) + 0.1 * units[:, 3]
    upper, place = sorted(find(made_up(text, units), columns), key=lambda each: each.feature, reverse=True)
    assert [upper.matches[0].unit.number, place.matches[0].unit.number] == [7, 3]
    assert (upper.kind, place.kind) == ("point-biserial", "rank")
    for found, held_out in (
        (upper, pearsonr(units[3000:, 7], columns["upper case"][3000:])[0]),
        (place, spearmanr(units[3000:, 3], columns["place"][3000:])[0]),
    ):
        assert found.matches[0].held_out == pytest.approx(held_out, abs=2e-4)
        assert found.control is not None
        assert abs(found.control.held_out) < 0.1
        assert found.score > 0.7


def test_find_skips_a_rare_feature() -> None:
    text = "a" * 1000
    (found,) = find(made_up(text, np.random.default_rng(0).normal(size=(1000, 3))), {"x": np.zeros(1000)})
    assert found.skip_reason
    assert not found.matches
