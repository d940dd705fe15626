"""Turns with personal data, and other unsuitable turns, are found; ordinary talk is not."""

from __future__ import annotations

from collections import Counter

import pytest

from charlm.corpora import filters, normalise_english, pii

COMMON = Counter(
    dict.fromkeys(normalise_english.words("did you see the boat and its bell how are so what is that over there"), 100)
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ferry.man@harbour.example.org", "e-mail addresses"),
        ("ferryman @ harbour . org", "e-mail addresses"),
        ("ferryman at harbour dot org", "e-mail addresses"),
        ("look at https://harbour.example/crabs?x=1", "links"),
        ("WWW.HARBOUR.ORG has it", "links"),
        ("it is on harbour.com somewhere", "links"),
        ("ring 555-010-9999", "phone numbers"),
        ("my line: (555) 010 9999", "phone numbers"),
        ("+44 20 7946 0000", "phone numbers"),
        ("i am @harbour_boy there", "handles"),
        ("come to 12 north harbour", "street addresses"),
        ("it is 4711 ferry street", "street addresses"),
        ("apt 12, third floor", "street addresses"),
        ("what's your last name?", "talk of last names, numbers and accounts"),
        ("add me on anything", "talk of last names, numbers and accounts"),
        ("my insta is full of boats", "talk of last names, numbers and accounts"),
        ("Her name is Ann Crabtree.", "full names"),
    ],
)
def test_personal_data_is_found(text: str, kind: str) -> None:
    assert pii.found(text) == kind


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


def rejection_reason(raw: str, said: set[str] | None = None, counts: Counter[str] = COMMON) -> str | None:
    turn = normalise_english.normalise(raw, counts)
    return filters.rejection_reason(turn, raw, normalise_english.words(turn), False, counts, said or set())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("call me at 555-010-9999", "turns with phone numbers"),
        ("!!! ???", "turns without words"),
        ("what the hell", "turns that are crude or about groups of people"),
        ("Are you still there?", "turns that ask if the other is there"),
        ("hello?", "turns that ask if the other is there"),
        ("hola como estas", "turns in other languages"),
        ("boat bell boat bell boat bell boat bell", "turns in other languages"),
        ("asdfg hjklq the", "nonsense"),
        ("blorptious", "nonsense"),
        ("that is the the the the the the the the the the boat", "nonsense"),
        ("1 2 3 4 5 6 and 7 8 9", "nonsense"),
        ("that ~~~~~ is ##### the ^^^^^ boat", "nonsense"),
    ],
)
def test_unusable_turn_is_rejected(raw: str, reason: str) -> None:
    assert rejection_reason(raw) == reason


def test_turns_nearby_decide_about_the_website() -> None:
    talk = ["who won", "the boat", "see the leaderboard", "my score is low"]
    talk += ["so is the tide", "a good win", "the win", "win"]
    assert filters.about_website(talk) == [False, False, True, True, False, True, False, False]
    assert filters.about_website(["my score", "a win", "points"]) == [False] * 3
    assert filters.about_website(["my score", "the leaderboard", "the boat"]) == [True, True, False]
    assert filters.about_website([]) == []


@pytest.mark.parametrize(
    "raw",
    ["how are you", "did you see that?", "The boat is over there.", "so what!", "is that you"],
)
def test_ordinary_turn_is_kept(raw: str) -> None:
    assert rejection_reason(raw) is None


def test_only_long_repeated_turn_is_rejected() -> None:
    assert (
        rejection_reason("did you see the boat over there", {"Did you see the boat over there?"})
        == "turns that repeat an earlier one"
    )
    assert rejection_reason("how are you", {"How are you?"}) is None


def test_patterns_are_in_lower_case() -> None:
    for pattern in (filters.WEBSITE, filters.NUDGE, filters.CRUDE, filters.FOREIGN, *pii.KINDS.values()):
        letters = pattern.pattern.replace(r"\S", "").replace(r"\W", "")
        assert letters == letters.lower()
