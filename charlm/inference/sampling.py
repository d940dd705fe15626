"""From logits to an id.

Owns the samplers. Knows nothing of models, states or text; the generation loop calls it with the logits of all streams.

The chain, in this order, each step acting on what the one before left:

    1. banned characters        can never be drawn
    2. repetition penalty       log p of every id seen in the last `repetition_window` ids is multiplied by the penalty
                                (Keskar et al. 2019 scale logits, whose zero is arbitrary; log p has none to choose)
    3. temperature              log p / temperature; 0 takes the likeliest id, the lowest of equals
    4. top-k                    the k likeliest (Fan et al. 2018)
    5. typical                  the ids whose surprise is nearest to the entropy, up to a mass (Meister et al. 2022)
    6. top-p                    the likeliest ids up to a mass, the nucleus (Holtzman et al. 2019)
    7. min-p                    ids at least this share as likely as the likeliest (Nguyen et al. 2024)

What is left is normalised and drawn from. Ids exactly as likely as the last one kept are kept too, so that the outcome
never depends on the order of ids. Temperature comes before the filters: they act on the probabilities that are drawn
from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.config import SamplingConfig
from charlm.errors import CheckpointError, UsageError

Probabilities = NDArray[np.float64]
MIN_TEMPERATURE = 0.01  # below it the likeliest id is taken, because the division would overflow


def relative(
    logits: NDArray[np.floating[Any]],
    params: SamplingConfig,
    banned_ids: Sequence[int] | NDArray[np.integer[Any]] = (),
    recent: Sequence[Sequence[int]] | None = None,
) -> Probabilities:
    """What the chain leaves, up to a factor.

    Args:
        logits: (B, V); infinities are allowed.
        params: the chain.
        banned_ids: what `params.banned` comes to.
        recent: for each stream the ids of the repetition window; needed only with a repetition penalty.

    Returns:
        (B, V), each row proportional to a distribution.

    Raises:
        UsageError: everything is banned.
        CheckpointError: a logit is not a number.
    """
    weights = logits.astype(np.float64)
    if len(banned_ids):
        weights[:, banned_ids] = -math.inf
    # One stream: a row, and calls that cost more than their arithmetic are chosen for how long they are under way.
    single = weights[0] if len(weights) == 1 else None
    if single is not None and math.isfinite(most := float(single[single.argmax()])):
        single -= most
    else:
        peaks = np.maximum.reduce(weights, axis=-1, keepdims=True)
        if not np.isfinite(peaks).all():
            weights, peaks = _without_infinities(weights, peaks)
        weights -= peaks
    if params.repetition_penalty != 1 and recent is not None:
        _penalise(weights, recent, params.repetition_penalty)
    if params.temperature < MIN_TEMPERATURE:
        greedy = np.zeros_like(weights)
        greedy[np.arange(len(weights)), weights.argmax(axis=-1)] = 1
        return greedy
    if params.temperature != 1:
        weights /= params.temperature
    np.exp(weights, out=weights)  # from here on proportional to probabilities
    if 0 < params.top_k < weights.shape[-1]:
        kth = np.partition(weights, -params.top_k, axis=-1)[:, -params.top_k, None]
        weights[weights < kth] = 0
    if params.typical < 1:
        _keep_typical(weights, params.typical)
    if params.top_p < 1:
        _keep_nucleus(weights, params.top_p)
    if params.min_p > 0:
        weights[weights < params.min_p * np.maximum.reduce(weights, axis=-1, keepdims=True)] = 0
    return weights


def distribution(
    logits: NDArray[np.floating[Any]],
    params: SamplingConfig,
    banned_ids: Sequence[int] | NDArray[np.integer[Any]] = (),
    recent: Sequence[Sequence[int]] | None = None,
) -> Probabilities:
    """The probabilities that the chain leaves: `relative`, each row divided by its sum."""
    weights = relative(logits, params, banned_ids, recent)
    weights /= np.add.reduce(weights, axis=-1, keepdims=True)
    return weights


def _without_infinities(weights: Probabilities, most: Probabilities) -> tuple[Probabilities, Probabilities]:
    if np.isnan(most).any():
        raise CheckpointError("the model's weights are so large that its arithmetic overflows")
    if (most == -math.inf).any():
        raise UsageError("no character is left to draw: all are banned")
    certain = most == math.inf
    return np.where(certain, np.where(weights == math.inf, 0.0, -math.inf), weights), np.where(certain, 0.0, most)


def _penalise(weights: Probabilities, recent: Sequence[Sequence[int]], penalty: float) -> None:
    weights -= np.log(np.exp(weights).sum(axis=-1, keepdims=True))  # log p
    for row, ids in zip(weights, recent, strict=True):
        seen = np.unique(np.asarray(ids, dtype=np.int64))
        row[seen] *= penalty
    weights -= weights.max(axis=-1, keepdims=True)


def _keep_nucleus(weights: Probabilities, mass: float) -> None:
    # From the least likely up: what may be left out is the longest run that weighs at most 1 - mass.
    if len(weights) == 1:
        row = weights[0]
        rising = row.copy()
        rising.sort()
        upto = np.add.accumulate(rising)
        least = upto[:-1].searchsorted((1 - mass) * float(upto[-1]), "right")  # the likeliest stays at any mass
        row *= row >= rising[least]
        return
    ordered = np.sort(weights, axis=-1)
    summed = np.add.accumulate(ordered, axis=-1)
    kept = summed > (1 - mass) * summed[:, -1:]
    kept[:, -1] = True
    least = ordered[np.arange(len(ordered)), kept.argmax(axis=-1)]
    weights *= weights >= least[:, None]


def _keep_typical(weights: Probabilities, mass: float) -> None:
    p = weights / weights.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        surprise = -np.log(p)
    entropy = (p * np.where(p > 0, surprise, 0.0)).sum(axis=-1, keepdims=True)
    strangeness = np.abs(surprise - entropy)
    order = np.argsort(strangeness, axis=-1, kind="stable")
    summed = np.add.accumulate(np.take_along_axis(p, order, axis=-1), axis=-1)
    reached = (summed >= mass * summed[:, -1:]).argmax(axis=-1)
    limit = np.take_along_axis(strangeness, np.take_along_axis(order, reached[:, None], axis=-1), axis=-1)
    weights[strangeness > limit] = 0


def draw(probabilities: Probabilities, uniforms: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Invert the cumulative distribution.

    Args:
        probabilities: (B, V), each row proportional to a distribution.
        uniforms: (B,) in [0, 1).

    Returns:
        One id a row, (B,), never one of probability zero.
    """
    if len(probabilities) == 1:
        row = np.add.accumulate(probabilities[0])
        return np.array((row.searchsorted(float(uniforms[0]) * float(row[-1]), "right"),))
    summed = np.add.accumulate(probabilities, axis=-1)
    targets = np.asarray(uniforms)[:, None] * summed[:, -1:]
    ids: NDArray[np.int64] = (summed > targets).argmax(axis=-1)
    return ids
