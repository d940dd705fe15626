"""Metrics of a model's replies: length, distinct-n, echoes and repetition, for choosing defaults and comparing models.

Words are runs of letters, compared without case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
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
    """Return the metrics of at least one reply; `known` has correctly spelled words."""
    replies = [split_words(pair.reply) for pair in pairs]
    words = list(chain.from_iterable(replies))

    def share(holds: Callable[[ReplyPair], bool]) -> float:
        return sum(map(holds, pairs)) / len(pairs)

    def distinct(length: int) -> float:
        ngrams = [ngram for reply in replies for ngram in _ngrams(reply, length)]
        return len(set(ngrams)) / max(1, len(ngrams))

    def repeats(pair: ReplyPair) -> bool:
        return repeats_itself(pair.reply) or any(is_near_duplicate(pair.reply, before) for before in pair.earlier)

    return ReplyMetrics(
        replies=len(pairs),
        length=sum(len(pair.reply) for pair in pairs) / len(pairs),
        distinct_1=distinct(1),
        distinct_2=distinct(2),
        echoes=share(lambda pair: is_near_duplicate(pair.message, pair.reply)),
        repeats=share(repeats),
        empty=share(lambda pair: not pair.reply.strip()),
        unknown=None if known is None else sum(word not in known for word in words) / max(1, len(words)),
    )


def split_words(text: str) -> list[str]:
    """Return the words of a text, in order."""
    return _WORD.findall(text.casefold().replace("\u2019", "'"))


def is_near_duplicate(one: str, other: str) -> bool:
    """Return whether two texts are nearly the same, see `charlm.chat.near_duplicates`."""
    return are_near_duplicates(normalised(one), normalised(other))


def repeats_itself(text: str) -> bool:
    """Return whether some `REPEAT_NGRAM` words in a row occur twice in a text."""
    ngrams = _ngrams(split_words(text), REPEAT_NGRAM)
    return len(set(ngrams)) < len(ngrams)


def _ngrams(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]


def converse(conversation: Conversation, messages: Iterable[str]) -> list[ReplyPair]:
    """Send messages one after the other, and return the replies."""
    pairs: list[ReplyPair] = []
    for message in messages:
        reply = conversation.say(message).text.strip("\n")
        pairs.append(ReplyPair(message, reply, tuple(pair.reply for pair in pairs)))
    return pairs


def first_messages(turns: Sequence[Utterance]) -> list[str]:
    """Return the first messages of the person who begins a conversation."""
    first = turns[0].name
    messages = [turn.text for turn in turns if turn.name == first] if first else [turn.text for turn in turns[::2]]
    return messages[:MAX_MESSAGES]
