"""Measures a chat partner: recall of stated facts, and replies to the point.

A scripted person talks to it. The wordings are in the folder `dialogue_cases`, written only for this measurement.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

import numpy as np

from charlm.chat.conversation import Conversation

DISTANCES: Final = (1, 3, 5, 10)  # turns of the person from stating a fact to asking for it
KINDS: Final = ("listed", "made up", "never stated")

NewConversation = Callable[[int], Conversation]  # with a seed


class CheckedReply(NamedTuple):
    """A reply, and whether it is right."""

    name: str  # kind of the fact, or name of the question
    distance: int  # turns since the fact was stated; 0 for a question
    message: str
    reply: str
    is_right: bool


@dataclass(frozen=True)
class RecallCase:
    """Lines of a person who states a fact, talks of other things and asks for the fact."""

    kind: str  # one of KINDS
    tell: str
    fillers: tuple[str, ...]
    ask: str
    right: re.Pattern[str]  # matches a reply with the value, or one that admits not to know it

    def run(self, new: NewConversation, seed: int) -> Iterator[CheckedReply]:
        """Ask at each distance in one conversation; each question is undone before the next turn.

        A fact that was never stated is asked for once.
        """
        conversation = new(seed)
        conversation.say(self.tell)
        turn = 1
        for distance in DISTANCES[1:2] if self.kind == "never stated" else DISTANCES:
            for filler in self.fillers[turn - 1 : distance - 1]:
                conversation.say(filler)
            turn = distance
            reply = conversation.say(self.ask).text
            yield CheckedReply(self.kind, distance, self.ask, reply, self.right.search(reply) is not None)
            conversation.undo()


@dataclass(frozen=True)
class Question:
    """A question or an opening in several wordings."""

    name: str
    wordings: tuple[str, ...]
    right: re.Pattern[str]  # matches a reply that fits

    def run(self, new: NewConversation, seed: int) -> Iterator[CheckedReply]:
        """Begin a conversation with each wording."""
        for number, wording in enumerate(self.wordings):
            reply = new(seed + number).say(wording).text
            yield CheckedReply(self.name, 0, wording, reply, self.right.search(reply) is not None)


def recall_cases(language: str, count: int, seed: int = 1) -> list[RecallCase]:
    """Draw `count` cases of each kind, in "en" or "ja"."""
    table, rng = _read(f"recall.{language}"), np.random.default_rng(seed)
    unknown = re.compile(table["unknown"], re.IGNORECASE)
    cases = []
    for kind in KINDS:
        facts = [one for one in table["fact"] if kind != "made up" or one.get("made_up")]
        for _ in range(count):
            fact, other = (facts[k] for k in rng.choice(len(facts), 2, replace=False))
            stated, right = (other, unknown) if kind == "never stated" else (fact, None)
            value = _made_up(table, rng) if kind == "made up" else _one(stated["values"], rng)
            tell, ask = _one(stated["tell"], rng).format(value), _one(fact["ask"], rng)
            fillers = tuple(map(str, rng.permutation(table["fillers"])))
            right = right or re.compile(rf"(?<![a-z]){re.escape(value)}(?![a-z])", re.IGNORECASE)
            cases.append(RecallCase(kind, tell, fillers, ask, right))
    return cases


def questions() -> list[Question]:
    """Return the questions, which are in English."""
    table = _read("answers")
    found = []
    for one in table["question"]:
        answers = [one["answer"], *([table["program_answer"]] if one.get("program") else [])]
        found.append(Question(one["name"], tuple(one["wordings"]), re.compile("|".join(answers), re.IGNORECASE)))
    return found


def chance(replies: Sequence[CheckedReply]) -> float:
    """Return the share of replies that fit a question other than their own."""
    fits = [
        one.right.search(reply.reply) is not None for one in questions() for reply in replies if one.name != reply.name
    ]
    return fmean(fits)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((Path(__file__).with_suffix("") / f"{name}.toml").read_text(encoding="utf-8"))


def _one(texts: list[str], rng: np.random.Generator) -> str:
    return texts[rng.integers(len(texts))]


def _made_up(table: dict[str, list[str]], rng: np.random.Generator) -> str:
    syllables = [_one(table["onsets"], rng) + _one(table["vowels"], rng) for _ in range(rng.integers(2, 4))]
    return ("".join(syllables) + _one(table["codas"], rng)).capitalize()
