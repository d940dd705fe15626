"""Sentences are chained by shared words, in characters of one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.corpora import japanese
from charlm.corpora.japanese import Example
from charlm.errors import CorpusError


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("船が来た", "船が来た。"),
        ("船は９時に出る．", "船は9時に出る。"),
        ("本当?", "本当？"),
        ("船 が 来た!", "船が来た！"),
        ("ｶﾆだ", "カニだ。"),
        ("ええと・・・", "ええと…"),
        ("そう、", "そう。"),
        ("「船だ」", "「船だ」"),
        ("船\u200bだ", "船だ。"),
        ("Tシャツ と C++ だ", "TシャツとC++だ。"),
    ],
)
def test_tidy_gives_one_form_and_is_stable(sentence: str, expected: str) -> None:
    assert japanese.tidy(sentence) == expected
    assert japanese.tidy(expected) == expected


def test_chain_continues_with_a_shared_word() -> None:
    examples = [
        Example("船", "船が来た。"),
        Example("朝", "朝は寒い。"),
        Example("船", "船は大きい。"),
        Example("大きい", "大きい蟹だ。"),
        Example("蟹", "大きい蟹だ。"),
        Example("蟹", "蟹を食べた。"),
        Example("蟹", "「蟹か？」「蟹だ。」"),
        Example("大きい", "船は大きい。"),
    ]
    assert japanese.chain_by_words(examples) == [
        ["船が来た。", "船は大きい。", "大きい蟹だ。", "蟹を食べた。", "蟹か？", "蟹だ。"],
        ["朝は寒い。"],
    ]


@given(
    st.lists(
        st.builds(Example, st.text("船蟹朝", min_size=1, max_size=2), st.text("船蟹朝が来た", min_size=1, max_size=6))
    )
)
def test_chains_are_short_and_have_each_sentence_once(examples: list[Example]) -> None:
    chains = japanese.chain_by_words(examples)
    assert sorted(sentence for chain in chains for sentence in chain) == sorted({sentence for _, sentence in examples})
    assert all(1 <= len(chain) <= japanese.MAX_CHAIN_TURNS for chain in chains)
    assert japanese.chain_by_words(examples) == chains


@pytest.mark.parametrize("text", ["{", '[{"examples": [{"ja": "x"}]}]', '[{"word": "x", "examples": [{}]}]', "[3]"])
def test_source_of_another_format_raises(text: str) -> None:
    with pytest.raises(CorpusError, match="is not that of this version"):
        japanese.read(text)
