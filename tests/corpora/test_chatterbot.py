"""The YAML is read, and each question keeps a few different answers."""

from __future__ import annotations

import pytest

from charlm.corpora import chatterbot, normalise_english
from charlm.corpora.documents import CleaningReport

TEXT = """categories:
- boats
- - not this
conversations:
- - What is a boat?
  - 'A house that doesn''t stay.'
- - Tell me
    more
  - "It \\"floats\\"."
- - hello
  - hi
  - how are you?
  - fine
- - code
  - |
    def f(x):
        return {x}
- - name
  - one
  - two
"""


def test_read_returns_every_scalar_as_text() -> None:
    assert chatterbot.read("data/boats.yml", TEXT) == [
        ["What is a boat?", "A house that doesn't stay."],
        ["Tell me more", 'It "floats".'],
        ["hello", "hi", "how are you?", "fine"],
        ["code", "def f(x):\n    return {x}"],
        ["name", "one", "two"],
    ]


def test_broken_entry_stays_in_the_answer_before_it() -> None:
    text = "conversations:\n- - When?\n  - '1984'\n- In a game of bingo, what?\n  - '22'\n"
    assert chatterbot.read("trivia.yml", text) == [["When?", "1984' - In a game of bingo, what?", "22"]]


def test_clean_makes_conversations_and_pairs() -> None:
    report = CleaningReport()
    found = chatterbot.clean(chatterbot.read("boats.yml", TEXT), report, normalise_english.tidy)
    assert [turns for _, turns in found] == [
        ["What is a boat?", "A house that doesn't stay."],
        ["Tell me more.", 'It "floats".'],
        ["Hello.", "Hi.", "How are you?", "Fine."],
        ["Name.", "One."],
        ["Name.", "Two."],
    ]
    assert report.removed == {"entries with program text": [1, len("code def f(x):\n    return {x}")]}


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (["alone"], "entries without an answer"),
        (["asked", "  "], "entries without an answer"),
        (["asked", "..."], "entries without an answer"),
        (["EACH YEAR IN THE ", "A glove."], "entries whose question breaks off"),
        (["who?", "write to a@b.example"], "entries with e-mail addresses"),
        (["who?", "word " * 50], "entries of more than 200 characters a turn"),
        (["do you hate me?", "no"], "crude or hurtful entries"),
    ],
)
def test_unusable_entry_is_removed_with_a_reason(turns: list[str], reason: str) -> None:
    report = CleaningReport()
    assert chatterbot.clean([turns], report, normalise_english.tidy) == []
    assert list(report.removed) == [reason]


def test_answers_are_distinct_and_limited() -> None:
    report = CleaningReport()
    answers = ["a fish", "A fish!", "a rope", "a bell", "a net"]
    found = chatterbot.clean([["What?", one] for one in answers], report, normalise_english.tidy)
    assert [turns[1] for _, turns in found] == ["A fish.", "A rope.", "A bell."]
    assert report.removed["entries that others repeat"][0] == 1
    assert report.removed["answers beyond 3 to one question"][0] == 1
    assert len({name for name, _ in found}) == 1
