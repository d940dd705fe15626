"""Sentences are chained by shared words, in characters of one form."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.corpora import japanese
from charlm.corpora.documents import CleaningReport
from charlm.corpora.japanese import Entry, Example
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


def test_documents_are_chains_pairs_and_words() -> None:
    def entry(word: str, *sentences: str) -> dict[str, object]:
        return {"word": word, "examples": [{"ja": one, "en": "-"} for one in sentences]}

    entries = [
        entry("船", "船が来た", "船が来た!"),
        entry("来る", "船が来た"),
        entry("朝", "朝が来た", "朝が来た？", "朝だ", "朝だ。船だ！", "朝だ！", "朝？"),
        entry("よる", "夜だ", "船か"),
        entry("薔薇", "薔薇が来た"),
        entry("x", "this is a boat", "x" * 300),
        {"word": "なし"},
    ]
    yaml = "conversations:\n- - 船が来た?\n  - 朝が来た。\n- - what is 船\n  - 船だ\n- - 船が来た?\n  - 夜だ\n"
    report = CleaningReport()
    found = japanese.documents([("n.json", json.dumps(entries)), ("y.yml", yaml)], report)
    texts = [document.text for document in found]
    assert texts[0] == "船が来た。\n船が来た！"
    assert texts[-1] == "船。\n朝。", "the vocabulary follows"
    assert "船が来た？\n朝が来た。" in texts
    assert not any("夜" in text for text in texts), "nor the question that it answers"
    assert texts.count("船が来た？") == 0
    assert not any("薔" in text or "boat" in text or "what" in text for text in texts)
    assert report.removed["turns with a character seen fewer than 3 times"][0] >= 1
    assert report.removed["sentences with foreign words"][0] == 2
    assert report.removed["entries with foreign words"][0] == 1
    assert report.removed["sentences given for a second word"][0] == 1


def test_only_sentences_are_held_out() -> None:
    entries = [
        {"word": word, "examples": [{"ja": f"{word}が来た。"}]} for word in map("".join, product("船蟹朝", repeat=4))
    ]
    found = japanese.documents(
        [("n.json", json.dumps(entries)), ("book.txt", "船が見えた。\n朝だ。" * 50)], CleaningReport()
    )
    held_out = [document.text for document in found if document.last]
    assert held_out
    assert all("が来た" in text for text in held_out)


def test_word_lists_have_each_word_with_its_reading() -> None:
    entries = [Entry("船", "ふね", []), Entry("朝", "あさ", []), Entry("カニ", "", []), Entry("船", "ふね", [])]
    assert list(japanese.word_lists(entries)) == [["船（ふね）。", "朝（あさ）。", "カニ。"]]
    many = [Entry(str(number), "", []) for number in range(japanese.WORDS_PER_DOCUMENT * 2 + 1)]
    assert [len(words) for words in japanese.word_lists(many)] == [japanese.WORDS_PER_DOCUMENT] * 2 + [1]


def test_book_passages_are_never_held_out() -> None:
    lines = ["船《ふね》が来た。朝が来た。", "「船か」", "「船だ」"]
    lines += ["朝※［＃「魚＋船」］が来た。", "boats が来た。", "朝" * 201]
    book = "\n".join([*lines * 3, "底本：「船」"])
    report = CleaningReport()
    found = japanese.documents([("book.txt", book)], report)
    texts = [document.text for document in found]
    assert texts[:2] == ["船が来た。\n朝が来た。", "船か。\n船だ。"]
    assert not any(document.last for document in found)
    assert set("".join(texts)) <= set("船が来た朝だか。\n")
    for reason in ("a character that could not be typed", "foreign words", "more than 200 characters"):
        assert any(reason in given and count == 3 for given, (count, _) in report.removed.items()), reason


@pytest.mark.parametrize("text", ["{", '[{"examples": [{"ja": "x"}]}]', '[{"word": "x", "examples": [{}]}]', "[3]"])
def test_source_of_another_format_raises(text: str) -> None:
    with pytest.raises(CorpusError, match="is not that of this version"):
        japanese.read(text)
