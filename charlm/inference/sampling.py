"""From logits to an id.

Owns the samplers. Knows nothing of models, states or text: the generation loop passes the logits of all streams.

The steps of the chain act in this order, each on the result of the one before.

    1. Banned characters        can never be drawn.
    2. Repetition penalty       log p of every id in the last `repetition_window` ids is multiplied by the penalty.
                                Keskar et al. (2019) scale logits instead, whose zero is arbitrary.
    3. Temperature              log p / temperature; 0 takes the likeliest id, the lowest of equals.
    4. Top-k                    the k likeliest (Fan et al. 2018).
    5. Typical                  the ids whose surprisal is nearest to the entropy, up to a mass (Meister et al. 2022).
    6. Top-p                    the likeliest ids up to a mass, the nucleus (Holtzman et al. 2019).
    7. Min-p                    ids at least this share as likely as the likeliest (Nguyen et al. 2024).

The rest is normalised and drawn from. Ids exactly as likely as the last one kept are kept too, so that the result never
depends on the order of ids. Temperature comes before the filters, which act on the probabilities that are drawn from.

These are the plain versions, for any number of streams. `charlm.inference.fast_path` has the ones for a single stream.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.config import SamplingConfig
from charlm.errors import CheckpointError, UsageError

Logits = NDArray[np.floating]
Weights = NDArray[np.float64]  # (B, V) of each id in each stream
MIN_TEMPERATURE = 0.01  # below it the likeliest id is taken, because the division would overflow


class Sample(NamedTuple):
    """One id drawn for each stream.

    The logprob and entropy are the model's own, before the sampling chain, in nats.
    """

    ids: NDArray[np.int64]  # (B,)
    logprobs: list[float]  # (B,)
    entropies: list[float]  # (B,)


def sample(
    logits: Logits,
    params: SamplingConfig,
    banned_ids: Sequence[int],
    recent: Sequence[Sequence[int]] | None,
    uniforms: Sequence[float],
) -> Sample:
    """Draw one id for each stream.

    Args:
        logits: (B, V); infinities are allowed.
        params: the sampling chain.
        banned_ids: ids of the characters in `params.banned`.
        recent: ids in the repetition window of each stream; needed only with a repetition penalty.
        uniforms: (B,) random numbers in [0, 1).
    """
    ids = draw(filtered_weights(logits, params, banned_ids, recent), uniforms)
    shifted = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    likelihoods = np.exp(shifted)
    total = np.add.reduce(likelihoods, axis=-1)
    log_total = np.log(total)
    logprobs = shifted[np.arange(len(ids)), ids] - log_total
    entropies = log_total - np.vecdot(likelihoods, shifted) / total
    return Sample(ids, logprobs.tolist(), entropies.tolist())


def log_softmax(logits: Logits) -> Logits:
    """Return log p of every id, over the last axis."""
    shifted: Logits = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def filtered_weights(
    logits: Logits,
    params: SamplingConfig,
    banned_ids: Sequence[int] | NDArray[np.integer] = (),
    recent: Sequence[Sequence[int]] | None = None,
) -> Weights:
    """Apply the sampling chain; arguments as in `sample`. Each row of the result is proportional to a distribution.

    Raises UsageError if everything is banned, CheckpointError if a logit is not a number.
    """
    weights = logits.astype(np.float64)
    if len(banned_ids):
        weights[:, banned_ids] = -math.inf
    weights = shift_to_zero(weights)
    if params.repetition_penalty != 1 and recent is not None:
        penalise_repetition(weights, recent, params.repetition_penalty)
    if params.temperature < MIN_TEMPERATURE:
        greedy = np.zeros_like(weights)
        greedy[np.arange(len(weights)), weights.argmax(axis=-1)] = 1
        return greedy
    weights /= params.temperature
    np.exp(weights, out=weights)  # from here on proportional to probabilities
    if 0 < params.top_k < weights.shape[-1]:
        keep_top_k(weights, params.top_k)
    if params.typical < 1:
        keep_typical(weights, params.typical)
    if params.top_p < 1:
        keep_nucleus(weights, params.top_p)
    if params.min_p > 0:
        weights[weights < params.min_p * weights.max(axis=-1, keepdims=True)] = 0
    return weights


def shift_to_zero(weights: Weights) -> Weights:
    """Return logits whose largest is 0 in every row; an infinite one leaves only itself."""
    peaks = np.maximum.reduce(weights, axis=-1, keepdims=True)
    if not np.isfinite(peaks).all():
        if np.isnan(peaks).any():
            raise CheckpointError("the model's weights are so large that its arithmetic overflows")
        if (peaks == -math.inf).any():
            raise UsageError("no character is left to draw: all are banned")
        certain = peaks == math.inf
        weights = np.where(certain, np.where(weights == math.inf, 0.0, -math.inf), weights)
        peaks[certain] = 0
    weights -= peaks
    return weights


def penalise_repetition(weights: Weights, recent: Sequence[Sequence[int]], penalty: float) -> None:
    """Multiply log p of the recent ids of each row by the penalty."""
    weights -= np.log(np.exp(weights).sum(axis=-1, keepdims=True))  # log p
    for row, ids in zip(weights, recent, strict=True):
        row[np.unique(np.asarray(ids, dtype=np.int64))] *= penalty
    weights -= weights.max(axis=-1, keepdims=True)


def keep_top_k(weights: Weights, k: int) -> None:
    """Zero all but the k largest weights of each row, and those equal to the last of them."""
    kth = np.partition(weights, -k, axis=-1)[:, -k, None]
    weights[weights < kth] = 0


def keep_nucleus(weights: Weights, mass: float) -> None:
    """Zero the smallest weights of each row that together weigh at most 1 - mass; the largest always stays."""
    ascending = np.sort(weights, axis=-1)
    summed = np.add.accumulate(ascending, axis=-1)
    kept = summed > (1 - mass) * summed[:, -1:]
    kept[:, -1] = True
    smallest = ascending[np.arange(len(ascending)), kept.argmax(axis=-1)]
    weights *= weights >= smallest[:, None]


def keep_typical(weights: Weights, mass: float) -> None:
    """Keep the ids of each row whose surprisal is nearest to the entropy, up to a mass; zero the others."""
    p = weights / weights.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        surprisal = -np.log(p)
    entropy = (p * np.where(p > 0, surprisal, 0.0)).sum(axis=-1, keepdims=True)
    distance = np.abs(surprisal - entropy)
    order = np.argsort(distance, axis=-1, kind="stable")
    summed = np.add.accumulate(np.take_along_axis(p, order, axis=-1), axis=-1)
    reached = (summed >= mass * summed[:, -1:]).argmax(axis=-1)
    limit = np.take_along_axis(distance, np.take_along_axis(order, reached[:, None], axis=-1), axis=-1)
    weights[distance > limit] = 0


def draw(weights: Weights, uniforms: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Return one id a row, (B,), for random numbers in [0, 1): invert the row's cumulative distribution.

    An id of weight zero is never drawn.
    """
    summed = np.add.accumulate(weights, axis=-1)
    targets = np.asarray(uniforms)[:, None] * summed[:, -1:]
    ids: NDArray[np.int64] = (summed > targets).argmax(axis=-1)
    return ids
