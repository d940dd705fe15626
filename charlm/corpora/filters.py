"""Rejects turns of a conversation, with the reason.

Three kinds are rejected. Turns that belong to the website of these conversations: about the website, its contest and
prizes, or asking if the other is still there. Turns that a small model must not learn from: personal data, crude words,
remarks about groups of people. And turns that it cannot learn from: other languages, nonsense, repetition.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from charlm.corpora import pii
from charlm.corpora.documents import read_table


def any_of(alternatives: str) -> re.Pattern[str]:
    """Return a pattern for whole words in lower case; alternatives are separated by | or line ends."""
    return re.compile(rf"\b(?:{'|'.join(alternatives.splitlines())})\b")


_WORDS = read_table("filters.toml")
WEBSITE: Final = any_of(_WORDS["website"])
MAYBE_WEBSITE: Final = any_of(_WORDS["maybe_website"])
WEBSITE_REACH_TURNS: Final = 3  # a turn that may be about the website is, if one this near is
NUDGE: Final = any_of(_WORDS["nudge"])
CRUDE: Final = any_of(_WORDS["crude"])
FOREIGN: Final = any_of(_WORDS["foreign"])
ENGLISH: Final = frozenset(_WORDS["english"].split())

_SIGN = re.compile(r"[^\w\s.,?!'\"()]")
_MAX_WORD_CHARS = 22


def rejection_reason(
    turn: str, raw: str, words: Sequence[str], website: bool, counts: Mapping[str, int], earlier: Collection[str]
) -> str | None:
    """Return the reason to reject a turn, for the report, or None.

    Args:
        turn: normalised.
        raw: as typed.
        words: of the turn, in lower case.
        website: `about_website` found the turn.
        counts: of each word in the corpus.
        earlier: turns of the conversation.
    """
    if kind := pii.found(raw) or pii.found(turn):
        return f"turns with {kind}"
    raw = raw.lower()
    if not words:
        return "turns without words"
    if CRUDE.search(raw):
        return "turns that are crude or about groups of people"
    if website:
        return "turns about the website and its contest"
    if NUDGE.search(raw) or raw.startswith("hello?"):
        return "turns that ask if the other is there"
    if is_foreign(raw, words):
        return "turns in other languages"
    if is_nonsense(raw, words, counts):
        return "nonsense"
    if len(turn) > 20 and turn in earlier:
        return "turns that repeat an earlier one"
    return None


def about_website(turns: Sequence[str]) -> list[bool]:
    """Return for each turn as typed if it is about the website: by its words, or by doubtful words near such a turn."""
    is_surely = [WEBSITE.search(turn.lower()) is not None for turn in turns]
    found = []
    for at, turn in enumerate(turns):
        near = is_surely[max(0, at - WEBSITE_REACH_TURNS) : at + 1 + WEBSITE_REACH_TURNS]
        found.append(is_surely[at] or (any(near) and MAYBE_WEBSITE.search(turn.lower()) is not None))
    return found


def is_foreign(raw: str, words: Sequence[str]) -> bool:
    """Return whether a turn is not in English."""
    foreign = len(FOREIGN.findall(raw))
    english = sum(word in ENGLISH for word in words)
    return (foreign >= 2 and foreign >= english) or foreign == len(words) or (len(words) >= 8 and english == 0)


def is_nonsense(raw: str, words: Sequence[str], counts: Mapping[str, int]) -> bool:
    """Return whether a turn is mostly rare words, signs, digits or repetition."""
    rare = sum(counts.get(word, 0) <= 2 for word in words)
    return (
        (rare >= 2 and rare > 0.3 * len(words))
        or (rare == len(words) and len(words[0]) > 3)
        or len(_SIGN.findall(raw)) > max(6, 0.15 * len(raw))
        or sum(map(str.isdigit, raw)) > max(4, 0.3 * len(raw))
        or (len(words) >= 10 and len(set(words)) < 0.5 * len(words))
        or any(len(word) > _MAX_WORD_CHARS for word in words)
    )
