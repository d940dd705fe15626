"""Choosing among several texts.

Owns best-of-n, beam search and reranking by maximum mutual information. The generation loop writes the texts; only the
beam, which draws nothing, steps the model by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from charlm.errors import UsageError
from charlm.inference.context import Context, StaticModel, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.generate import Completion
from charlm.inference.sampling import log_softmax
from charlm.inference.state import Array


def rerank_likelihood(completions: Sequence[Completion]) -> list[Completion]:
    """Sort texts by mean log-probability, the likeliest first; empty ones last."""
    return sorted(completions, key=lambda one: one.mean_logprob if one.pieces else -np.inf, reverse=True)


def rerank_mmi(
    engine: Engine,
    completions: Sequence[Completion],
    weight: float,
    unconditional: Context | None = None,
    bonus: NDArray[np.float64] | None = None,
) -> list[Completion]:
    """Sort texts by maximum mutual information with their context (Li et al. 2016), the highest first.

    The score is log p(text | context) - weight * log p(text), a mean over ids. It ranks lower the texts that are likely
    anywhere: after the context `unconditional`, by default the start of a text. `bonus`, (N,), is added to the scores.
    """
    if unconditional is None:
        unconditional, _ = read_prompt(StaticModel(engine), "")
    texts = [[piece.id for piece in one.pieces] for one in completions]
    anywhere = logprobs(engine, unconditional, texts) if weight else np.zeros(len(texts))
    added = np.zeros(len(completions)) if bonus is None else bonus
    scores = {
        id(one): one.mean_logprob - weight * logprob / max(1, len(one.pieces)) + more if one.pieces else -np.inf
        for one, logprob, more in zip(completions, anywhere, added, strict=True)
    }
    return sorted(completions, key=lambda one: scores[id(one)], reverse=True)


def logprobs(engine: Engine, context: Context, texts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return log p of each text of ids after one context, (N,), nats; all texts are one batch."""
    max_length = max((len(text) for text in texts), default=0)
    if max_length == 0:
        return np.zeros(len(texts))
    ids = np.zeros((max_length, len(texts)), dtype=np.int64)
    mask = np.zeros(ids.shape, dtype=np.bool_)
    for number, text in enumerate(texts):
        ids[: len(text), number] = text
        mask[: len(text), number] = True
    _, logits = engine.forward(context.state.repeat(len(texts)), ids)
    first = np.broadcast_to(context.logits, (1, *logits.shape[1:]))
    log_p = log_softmax(np.concatenate((first, logits[:-1])))
    chosen = np.take_along_axis(log_p, ids[..., None], axis=-1)[..., 0]
    total: NDArray[np.float64] = np.where(mask, chosen, 0).sum(axis=0, dtype=np.float64)
    return total


@dataclass(frozen=True)
class Hypothesis:
    """A text that the beam holds."""

    ids: tuple[int, ...]
    text: str  # without the stop string
    logprob: float  # of all ids; nats
    reason: str = ""  # "stop" or "length"; empty while it grows

    def score(self, length_penalty: float) -> float:
        """Return log p / ((5 + n) / 6)^penalty (Wu et al. 2016), which does not punish a text for its length."""
        return float(self.logprob / ((5 + len(self.ids)) / 6) ** length_penalty)


def beam_search(
    engine: Engine,
    context: Context,
    width: int,
    *,
    max_chars: int,
    stops: Sequence[str] = (),
    length_penalty: float = 1.0,
) -> list[Hypothesis]:
    """Return the likeliest texts after a context that a beam finds, the best first.

    The beam keeps `width` texts at each id. A text ends before one of `stops`. `Hypothesis.score` describes the length
    penalty; 0 compares log p as it is.
    """
    if width < 1:
        raise UsageError(f"the beam's width is {width}, but must be at least 1")
    stops = [stop for stop in stops if stop]
    growing = [Hypothesis((), "", 0.0)]
    finished: list[Hypothesis] = []
    state, logits = context.state, context.logits[None]
    for _ in range(max_chars):
        rows, ids, totals = _extend(logits, [one.logprob for one in growing], width)
        state, logits = engine.step(state.rows(rows), ids)
        following = [
            _grow(engine, growing[row], int(index), float(total), stops)
            for row, index, total in zip(rows, ids, totals, strict=True)
        ]
        finished += [one for one in following if one.reason]
        alive = [number for number, one in enumerate(following) if not one.reason]
        growing = [following[number] for number in alive]
        state, logits = state.rows(alive), logits[alive]
        best = max((one.score(length_penalty) for one in finished), default=-np.inf)
        # A text only gets less likely as it grows: once none can overtake the best, the search is over.
        bounds = [one.logprob / ((5 + max_chars) / 6) ** length_penalty for one in growing]
        if not growing or (len(finished) >= width and best >= max(bounds)):
            break
    finished += [replace(one, reason="length") for one in growing]
    return sorted(finished, key=lambda one: one.score(length_penalty), reverse=True)[:width]


def _extend(
    logits: Array, logprobs: Sequence[float], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows, ids and total log p of the `width` likeliest continuations of all hypotheses."""
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
    else:  # a byte continues the character before it; an incomplete character is not part of the text
        decoder = vocabulary.decoder()
        text = "".join([decoder.push(other) for other in ids])
    if stop := max((stop for stop in stops if text.endswith(stop)), key=len, default=""):
        return Hypothesis(ids, text.removesuffix(stop), total, "stop")
    return Hypothesis(ids, text, total)
