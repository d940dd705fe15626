"""What replies are like: figures of a handful of conversations, for choosing defaults and for telling models apart.

Owns the measures and how conversations are held for them. Words are runs of letters, case put aside.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from charlm.chat.conversation import Conversation
from charlm.chat.near_duplicates import near, normalised
from charlm.text.conversations import Utterance

AGAIN: Final = 4  # words in a row that come twice in a reply make it one that repeats itself
LINES: Final = 3  # that are said in each conversation

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    return _WORD.findall(text.casefold().replace("\u2019", "'"))


def is_alike(one: str, other: str) -> bool:
    """Whether two texts say nearly the same, see `charlm.chat.near_duplicates`."""
    return near(normalised(one), normalised(other))


def repeats_itself(text: str) -> bool:
    """Whether some words in a row come twice in a text."""
    words = words_of(text)
    return len(_runs(words, AGAIN)) < len(words) - AGAIN + 1


def _runs(words: Sequence[str], length: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + length]) for at in range(len(words) - length + 1))


@dataclass(frozen=True)
class ReplyPair:
    """What was said, and the reply.

    Attributes:
        said: by the person.
        reply: by the model.
        earlier: the model's replies before it in the same conversation.
    """

    said: str
    reply: str
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReplyMetrics:
    """What some replies are like; shares are of 1.

    Attributes:
        replies: how many there were.
        length: characters, on average.
        distinct_1: different words, a word.
        distinct_2: different pairs of words in a row, a pair (Li et al. 2016).
        echoes: replies that say what the person said.
        repeats: replies that repeat themselves, or an earlier one of the conversation.
        empty: replies that say nothing.
        unknown: words that are not among those given; None if none were given.
    """

    replies: int
    length: float
    distinct_1: float
    distinct_2: float
    echoes: float
    repeats: float
    empty: float
    unknown: float | None = None


def measure(exchanges: Sequence[ReplyPair], known: frozenset[str] | None = None) -> ReplyMetrics:
    """What the replies of some exchanges are like.

    Args:
        exchanges: at least one.
        known: the words that are spelled right.
    """
    count = len(exchanges)
    words = [words_of(one.reply) for one in exchanges]

    def share(holds: Callable[[ReplyPair], bool]) -> float:
        return sum(map(holds, exchanges)) / count

    def distinct(length: int) -> float:
        runs: Counter[tuple[str, ...]] = sum((_runs(one, length) for one in words), Counter())
        return len(runs) / max(1, runs.total())

    total = sum(map(len, words))
    strange = sum(word not in known for one in words for word in one) if known is not None else 0
    return ReplyMetrics(
        replies=count,
        length=sum(len(one.reply) for one in exchanges) / count,
        distinct_1=distinct(1),
        distinct_2=distinct(2),
        echoes=share(lambda one: is_alike(one.said, one.reply)),
        repeats=share(
            lambda one: repeats_itself(one.reply) or any(is_alike(one.reply, before) for before in one.earlier)
        ),
        empty=share(lambda one: not one.reply.strip()),
        unknown=None if known is None else strange / max(1, total),
    )


def hold(conversation: Conversation, lines: Iterable[str]) -> list[ReplyPair]:
    """Say line after line, whatever is replied."""
    exchanges: list[ReplyPair] = []
    for line in lines:
        reply = conversation.say(line).text.strip("\n")
        exchanges.append(ReplyPair(line, reply, tuple(one.reply for one in exchanges)))
    return exchanges


def lines_of(turns: Sequence[Utterance], count: int = LINES) -> list[str]:
    """What the one who begins a conversation says in it first."""
    first = turns[0].name
    mine = [one.text for one in turns if one.name == first] if first else [one.text for one in turns[::2]]
    return mine[:count]
