"""Choosing among several texts.

Owns best-of-n, beam search and re-ranking by relevance. Text is drawn by the generation loop; only the beam, which
draws nothing, walks by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from charlm.errors import UsageError
from charlm.inference.engine import Engine
from charlm.inference.generate import Completion
from charlm.inference.scoring import log_softmax, prime
from charlm.inference.state import Array, State


def best_first(completions: Sequence[Completion]) -> list[Completion]:
    """Texts by their mean log-probability, the likeliest first; empty ones last."""
    return sorted(completions, key=lambda one: one.mean_logprob if one.pieces else -np.inf, reverse=True)


def most_relevant_first(
    engine: Engine, completions: Sequence[Completion], weight: float, nothing: tuple[State, Array] | None = None
) -> list[Completion]:
    """Texts by how much likelier the context makes them, the most first.

    The score is log p(text | context) - weight * log p(text), a mean over its ids: maximum mutual information (Li et
    al. 2016). It takes from texts that are likely anywhere.

    Args:
        engine: the model that wrote them.
        completions: their `logprob` is given the context.
        weight: lambda; 0 is `best_first`.
        nothing: a state of one stream, and logits (V,), of a model that has read no context; None for the start of
            a text.
    """
    if nothing is None:
        primed = prime(engine, "")
        nothing = primed.state, primed.logits
    alone = logprobs(engine, nothing, [[piece.id for piece in one.pieces] for one in completions])
    scores = {
        id(one): one.mean_logprob - weight * nats / max(1, len(one.pieces)) if one.pieces else -np.inf
        for one, nats in zip(completions, alone, strict=True)
    }
    return sorted(completions, key=lambda one: scores[id(one)], reverse=True)


def logprobs(engine: Engine, after: tuple[State, Array], texts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Log p of each text, (N,), nats; all texts as one batch.

    Args:
        engine: the model.
        after: a state of one stream and its logits (V,), where each text begins.
        texts: ids.
    """
    longest = max((len(text) for text in texts), default=0)
    if longest == 0:
        return np.zeros(len(texts))
    ids = np.zeros((longest, len(texts)), dtype=np.int64)
    there = np.zeros(ids.shape, dtype=np.bool_)
    for number, text in enumerate(texts):
        ids[: len(text), number] = text
        there[: len(text), number] = True
    state, before = after
    _, logits = engine.forward(state.repeat(len(texts)), ids)
    first = np.broadcast_to(before, (1, *logits.shape[1:]))
    predictions = log_softmax(np.concatenate((first, logits[:-1])))
    chosen = np.take_along_axis(predictions, ids[..., None], axis=-1)[..., 0]
    total: NDArray[np.float64] = np.where(there, chosen, 0).sum(axis=0, dtype=np.float64)
    return total


@dataclass(frozen=True)
class Hypothesis:
    """A text that the beam holds.

    Attributes:
        ids: of the text.
        text: without the stop string.
        logprob: of all ids; nats.
        reason: "stop" or "length"; empty while it grows.
    """

    ids: tuple[int, ...]
    text: str
    logprob: float
    reason: str = ""

    def score(self, length_penalty: float) -> float:
        """Log p / ((5 + n) / 6)^penalty, Wu et al. (2016): longer texts are less likely, and not worse for it."""
        return float(self.logprob / ((5 + len(self.ids)) / 6) ** length_penalty)


def beam_search(
    engine: Engine,
    state: State,
    logits: Array,
    width: int,
    *,
    max_chars: int,
    stops: Sequence[str] = (),
    length_penalty: float = 1.0,
) -> list[Hypothesis]:
    """The likeliest texts that a beam finds, the best first.

    Args:
        engine: the model.
        state: of one stream.
        logits: what may come next, (V,).
        width: how many texts are kept at each character.
        max_chars: where each ends at the latest, in ids.
        stops: strings that end a text and are not part of it.
        length_penalty: see `Hypothesis.score`; 0 compares log p as it is.

    Raises:
        UsageError: a width below 1.
    """
    if width < 1:
        raise UsageError(f"the beam's width is {width}, but must be at least 1")
    stops = [stop for stop in stops if stop]
    growing = [Hypothesis((), "", 0.0)]
    finished: list[Hypothesis] = []
    batch = logits[None]
    for _ in range(max_chars):
        rows, ids, totals = _extend(batch, [one.logprob for one in growing], width)
        state, batch = engine.step(state.rows(rows), ids)
        following = [
            _grow(engine, growing[row], int(index), float(total), stops)
            for row, index, total in zip(rows, ids, totals, strict=True)
        ]
        finished += [one for one in following if one.reason]
        alive = [number for number, one in enumerate(following) if not one.reason]
        growing = [following[number] for number in alive]
        state, batch = state.rows(alive), batch[alive]
        best = max((one.score(length_penalty) for one in finished), default=-np.inf)
        # A text only gets less likely as it grows: once none can overtake, the search is over.
        at_most = [one.logprob / ((5 + max_chars) / 6) ** length_penalty for one in growing]
        if not growing or (len(finished) >= width and best >= max(at_most)):
            break
    finished += [replace(one, reason="length") for one in growing]
    return sorted(finished, key=lambda one: one.score(length_penalty), reverse=True)[:width]


def _extend(
    logits: Array, logprobs: Sequence[float], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The `width` likeliest continuations of all hypotheses: of which, by which id, how likely in all."""
    totals = log_softmax(logits).astype(np.float64) + np.asarray(logprobs)[:, None]
    flat = totals.ravel()
    best = np.argsort(-flat, kind="stable")[:width]
    rows, ids = np.divmod(best, totals.shape[1])
    return rows, ids, flat[best]


def _grow(engine: Engine, one: Hypothesis, index: int, total: float, stops: Sequence[str]) -> Hypothesis:
    ids = (*one.ids, index)
    vocabulary = engine.vocabulary
    if all(vocabulary.byte_of(other) is None for other in ids[-2:]):
        text = one.text + vocabulary.characters[index]
    else:  # a byte goes on with what was begun before it; a character that is not whole is not shown
        decoder = vocabulary.decoder()
        text = "".join([decoder.push(other) for other in ids])
    if stop := max((stop for stop in stops if text.endswith(stop)), key=len, default=""):
        return Hypothesis(ids, text.removesuffix(stop), total, "stop")
    return Hypothesis(ids, text, total)
