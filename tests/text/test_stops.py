"""Stop strings are found, and what may become one is held back, exactly as a search through all that was read says."""

from __future__ import annotations

import random

from charlm.text.stops import StopMatcher


def longest_match(stops: list[str], text: str) -> int:
    return max((len(stop) for stop in stops if text.endswith(stop)), default=0)


def longest_beginning(stops: list[str], text: str) -> int:
    beginnings = {stop[:length] for stop in stops for length in range(len(stop) + 1)}
    return max((len(beginning) for beginning in beginnings if text.endswith(beginning)), default=0)


def test_push_agrees_with_a_full_search() -> None:
    rng = random.Random(1975)
    for _ in range(20_000):
        alphabet = "ab" if rng.random() < 0.8 else "ab\n日"
        stops = ["".join(rng.choices(alphabet, k=rng.randint(0, 5))) for _ in range(rng.randint(0, 4))]
        text = "".join(rng.choices(alphabet, k=8))
        matcher = StopMatcher(stops)
        for end in range(1, len(text) + 1):
            read = text[:end]
            assert matcher.push(read[-1]) == longest_match(stops, read), (stops, read)
            assert matcher.held == longest_beginning(stops, read), (stops, read)


def test_released_text_is_never_part_of_a_stop_string() -> None:
    rng = random.Random(1)
    stops = ["\nYou:", "\nYou: yes", "ou", "::"]
    matcher, text, shown = StopMatcher(stops), "", 0
    for _ in range(5_000):
        character = rng.choice("\nYou: yes")
        text += character
        match = matcher.push(character)
        assert match <= matcher.held
        assert len(text) - match >= shown, "part of a stop string was let go before it was found"
        shown = len(text) - matcher.held


def test_matcher_without_stop_strings_holds_nothing() -> None:
    for matcher in (StopMatcher([]), StopMatcher([""])):
        assert [(matcher.push(character), matcher.held) for character in "any text"] == [(0, 0)] * 8
