"""The documents of answers: a text completion and a chat completion, whole or as events of a stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from charlm.inference.generate import Alternative, Piece

JsonObject = dict[str, object]

_IMPOSSIBLE: Final = -9999.0  # log p of what a model never writes, as in OpenAI's documents


class Character(NamedTuple):
    """One character of an answer."""

    text: str  # more than one only where the model writes broken bytes, or without probabilities
    logprob: float | None  # by the model; None for the first character of a prompt
    alternatives: Sequence[Alternative]


def characters(pieces: Iterable[Piece]) -> Iterator[Character]:
    """Yield the characters of pieces: the bytes of one are joined, and the alternatives are those of the first byte."""
    logprob, alternatives = 0.0, None
    for piece in pieces:
        logprob += piece.logprob
        alternatives = piece.alternatives if alternatives is None else alternatives
        if piece.text:
            yield Character(piece.text, logprob, alternatives)
            logprob, alternatives = 0.0, None


class Format:
    """The documents of /v1/completions."""

    prefix, whole, chunk = "cmpl", "text_completion", "text_completion"  # of ids; names of an answer and of an event

    def opening(self, index: int) -> list[JsonObject]:
        """Return what the stream of a choice begins with."""
        return []

    def part(self, index: int, text: str, logprobs: JsonObject | None, reason: str | None) -> JsonObject:
        """Return a choice in an event of a stream."""
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}

    def choice(self, index: int, text: str, logprobs: JsonObject | None, reason: str) -> JsonObject:
        """Return a choice of a whole answer."""
        return self.part(index, text, logprobs, reason)

    def logprobs(self, part: Sequence[Character], offset: int) -> JsonObject:
        """Return the probabilities of characters; the first is at an offset of the text."""
        ends = list(accumulate([len(one.text) for one in part], initial=offset))
        return {
            "tokens": [one.text for one in part],
            "token_logprobs": [one.logprob for one in part],
            "top_logprobs": [_top(one) for one in part],
            "text_offset": ends[:-1],
        }


class ChatFormat(Format):
    """The documents of /v1/chat/completions."""

    prefix, whole, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def opening(self, index: int) -> list[JsonObject]:
        delta = {"role": "assistant", "content": ""}
        return [{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}]

    def part(self, index: int, text: str, logprobs: JsonObject | None, reason: str | None) -> JsonObject:
        delta = {"content": text} if text else {}
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}

    def choice(self, index: int, text: str, logprobs: JsonObject | None, reason: str) -> JsonObject:
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason}

    def logprobs(self, part: Sequence[Character], offset: int) -> JsonObject:
        return {
            "content": [
                {
                    **_token(one.text, one.logprob or 0.0),
                    "top_logprobs": [_token(other.text, log(other.probability)) for other in one.alternatives],
                }
                for one in part
            ],
            "refusal": None,
        }


def _top(one: Character) -> JsonObject | None:
    """Return log p of the alternatives, and of the character itself; None if there are none."""
    top = {other.text: log(other.probability) for other in one.alternatives}
    return {**top, one.text: one.logprob} if top else None


def _token(text: str, logprob: float) -> JsonObject:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "surrogatepass"))}


def log(probability: float) -> float:
    """Return log p, a number also where p is 0."""
    return math.log(probability) if probability > 0 else _IMPOSSIBLE
