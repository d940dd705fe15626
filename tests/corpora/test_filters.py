"""Turns with personal data, and other unsuitable turns, are found; ordinary talk is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import pytest

from charlm.corpora import filters, normalise_english, pii

COMMON = Counter(
    dict.fromkeys(normalise_english.words("did you see the boat and its bell how are so what is that over there"), 100)
)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("e-mail addresses", ["at f.m@harbour.example.org", "ferryman @ harbour . org", "ferryman at harbour dot org"]),
        ("links", ["on https://harbour.example/crabs?x=1", "WWW.HARBOUR.ORG has it", "it is on harbour.com somewhere"]),
        ("phone numbers", ["ring 555-010-9999", "my line: (555) 010 9999", "+44 20 7946 0000"]),
        ("handles", ["i am @harbour_boy there"]),
        ("street addresses", ["come to 12 north harbour", "it is 4711 ferry street", "apt 12, third floor"]),
        ("talk of last names, numbers and accounts", ["what's your last name?", "add me on it", "my insta is on"]),
        ("full names", ["Her name is Ann Crabtree."]),
    ],
)
def test_personal_data_is_found(kind: str, texts: list[str]) -> None:
    assert {text: pii.found(text) for text in texts} == dict.fromkeys(texts, kind)


@pytest.mark.parametrize(
    "text",
    [
        "I was there at 10:30, for 1,000 of us, in 1999.",
        "it costs 12.50 or 100000",
        "a 30 minute drive to the road",
        "What is your name? My name is Ann.",
        "That is what I mean... me too.",
        "He is at home, dot your i.",
        "50 people came.",
    ],
)
def test_ordinary_talk_has_no_personal_data(text: str) -> None:
    assert pii.found(text) is None


def rejection_reason(raw: str, earlier: Collection[str] = ()) -> str | None:
    turn = normalise_english.normalise(raw, COMMON)
    return filters.rejection_reason(turn, raw, normalise_english.words(turn), False, COMMON, earlier)


@pytest.mark.parametrize(
    ("reason", "turns"),
    [
        ("turns with phone numbers", ["call me at 555-010-9999"]),
        ("turns without words", ["!!! ???"]),
        ("turns that are crude or about groups of people", ["what the hell"]),
        ("turns that ask if the other is there", ["Are you still there?", "hello?"]),
        ("turns in other languages", ["hola como estas", "boat bell boat bell boat bell boat bell"]),
        ("nonsense", ["asdfg hjklq the", "blorptious", "1 2 3 4 5 6 and 7 8 9"]),
        ("nonsense", ["that is the the the the the the the the the the boat", "that ~~~~~ is ##### the ^^^^^ boat"]),
        (None, ["how are you", "did you see that?", "The boat is over there.", "so what!", "is that you"]),
    ],
)
def test_unusable_turn_is_rejected(reason: str | None, turns: list[str]) -> None:
    assert {turn: rejection_reason(turn) for turn in turns} == dict.fromkeys(turns, reason)


def test_turns_nearby_decide_about_the_website() -> None:
    talk = ["who won", "the boat", "see the leaderboard", "my score is low"]
    talk += ["so is the tide", "a good win", "the win", "win"]
    assert filters.about_website(talk) == [False, False, True, True, False, True, False, False]
    assert filters.about_website(["my score", "a win", "points"]) == [False] * 3
    assert filters.about_website(["my score", "the leaderboard", "the boat"]) == [True, True, False]
    assert filters.about_website([]) == []


def test_only_long_repeated_turn_is_rejected() -> None:
    earlier = ["Did you see the boat over there?", "How are you?"]
    assert rejection_reason("did you see the boat over there", earlier) == "turns that repeat an earlier one"
    assert rejection_reason("how are you", earlier) is None


def test_patterns_are_in_lower_case() -> None:
    for pattern in (filters.WEBSITE, filters.NUDGE, filters.CRUDE, filters.FOREIGN, *pii.KINDS.values()):
        letters = pattern.pattern.replace(r"\S", "").replace(r"\W", "")
        assert letters == letters.lower()
