"""Metrics of a model's replies: length, distinct-n, echoes and repetition, for choosing defaults and comparing models.

Words are runs of letters, compared without case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from charlm.chat.conversation import Conversation
from charlm.chat.near_duplicates import are_near_duplicates, normalised
from charlm.text.conversations import Utterance

REPEAT_NGRAM: Final = 4  # words in a row that occur twice in a reply that repeats itself
MAX_MESSAGES: Final = 3  # messages sent in each conversation

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")


@dataclass(frozen=True)
class ReplyPair:
    """A message and the model's reply."""

    message: str
    reply: str
    earlier: tuple[str, ...] = ()  # the model's replies before it in the same conversation


@dataclass(frozen=True)
class ReplyMetrics:
    """Metrics of some replies. Those without a unit are shares of 1."""

    replies: int  # number of replies
    length: float  # mean, in characters
    distinct_1: float  # distinct words per word
    distinct_2: float  # distinct pairs of adjacent words per pair (Li et al. 2016)
    echoes: float  # replies that repeat the message
    repeats: float  # replies that repeat themselves, or an earlier reply of the conversation
    empty: float  # replies without text
    unknown: float | None = None  # words that are not in the known words; None without known words


def measure(pairs: Sequence[ReplyPair], known: frozenset[str] | None = None) -> ReplyMetrics:
    """Return the metrics of replies.

    Args:
        pairs: at least one.
        known: correctly spelled words.
    """
    count = len(pairs)
    words = [split_words(pair.reply) for pair in pairs]
    word_count = sum(map(len, words))

    def share(holds: Callable[[ReplyPair], bool]) -> float:
        return sum(map(holds, pairs)) / count

    def distinct(length: int) -> float:
        ngrams: Counter[tuple[str, ...]] = sum((_ngrams(reply, length) for reply in words), Counter())
        return len(ngrams) / max(1, ngrams.total())

    def repeats(pair: ReplyPair) -> bool:
        return repeats_itself(pair.reply) or any(is_near_duplicate(pair.reply, before) for before in pair.earlier)

    unknown = sum(word not in known for reply in words for word in reply) if known is not None else 0
    return ReplyMetrics(
        replies=count,
        length=sum(len(pair.reply) for pair in pairs) / count,
        distinct_1=distinct(1),
        distinct_2=distinct(2),
        echoes=share(lambda pair: is_near_duplicate(pair.message, pair.reply)),
        repeats=share(repeats),
        empty=share(lambda pair: not pair.reply.strip()),
        unknown=None if known is None else unknown / max(1, word_count),
    )


def split_words(text: str) -> list[str]:
    """Return the words of a text, in order."""
    return _WORD.findall(text.casefold().replace("\u2019", "'"))


def is_near_duplicate(one: str, other: str) -> bool:
    """Return whether two texts are nearly the same, see `charlm.chat.near_duplicates`."""
    return are_near_duplicates(normalised(one), normalised(other))


def repeats_itself(text: str) -> bool:
    """Return whether some `REPEAT_NGRAM` words in a row occur twice in a text."""
    words = split_words(text)
    return len(_ngrams(words, REPEAT_NGRAM)) < len(words) - REPEAT_NGRAM + 1


def _ngrams(words: Sequence[str], length: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + length]) for start in range(len(words) - length + 1))


def converse(conversation: Conversation, messages: Iterable[str]) -> list[ReplyPair]:
    """Send messages one after the other, and return the replies."""
    pairs: list[ReplyPair] = []
    for message in messages:
        reply = conversation.say(message).text.strip("\n")
        pairs.append(ReplyPair(message, reply, tuple(pair.reply for pair in pairs)))
    return pairs


def first_messages(turns: Sequence[Utterance], count: int = MAX_MESSAGES) -> list[str]:
    """Return the first messages of the person who begins a conversation."""
    first = turns[0].name
    messages = [turn.text for turn in turns if turn.name == first] if first else [turn.text for turn in turns[::2]]
    return messages[:count]
