"""Sampling for a single stream, where the time of a NumPy call exceeds that of its arithmetic.

The specification is `charlm.inference.sampling.sample`; a test holds this to it. Rows of V numbers replace (B, V)
arrays, and scalars replace (B, 1) arrays. Of two equivalent calls the faster one is used: `row[row.argmax()]` is twice
as fast as `row.max()`, and `searchsorted` replaces a comparison of the whole row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charlm.config import SamplingConfig
from charlm.inference import sampling
from charlm.inference.sampling import Logits, Sample

Row = NDArray[np.float64]


def sample(
    logits: Logits,
    params: SamplingConfig,
    banned_ids: Sequence[int],
    recent: Sequence[Sequence[int]] | None,
    uniforms: Sequence[float],
) -> Sample:
    """Draw one id for a single stream; arguments as for `sampling.sample`, with B = 1."""
    row = logits[0]
    summed = np.add.accumulate(filtered_row(row, params, banned_ids, recent))
    index = int(summed.searchsorted(uniforms[0] * float(summed[-1]), "right"))
    shifted = row - row[row.argmax()]
    likelihoods = np.exp(shifted)
    total = float(np.add.reduce(likelihoods))
    log_total = math.log(total)
    entropy = log_total - float(np.dot(likelihoods, shifted)) / total
    return Sample(np.array((index,)), [float(shifted[index]) - log_total], [entropy])


def filtered_row(
    logits: Logits, params: SamplingConfig, banned_ids: Sequence[int], recent: Sequence[Sequence[int]] | None
) -> Row:
    """Apply the sampling chain to one row of logits, (V,)."""
    row: Row = logits.astype(np.float64)
    if banned_ids:
        row[banned_ids] = -math.inf
    peak = float(row[row.argmax()])
    if math.isfinite(peak):
        row -= peak
    else:
        row = sampling.shift_to_zero(row[None])[0]
    if params.repetition_penalty != 1 and recent is not None:
        sampling.penalise_repetition(row[None], recent, params.repetition_penalty)
    if params.temperature < sampling.MIN_TEMPERATURE:
        greedy = np.zeros_like(row)
        greedy[row.argmax()] = 1
        return greedy
    if params.temperature != 1:
        row /= params.temperature
    np.exp(row, out=row)
    if 0 < params.top_k < len(row):
        sampling.keep_top_k(row[None], params.top_k)
    if params.typical < 1:
        sampling.keep_typical(row[None], params.typical)
    if params.top_p < 1:
        ascending = row.copy()
        ascending.sort()
        summed = np.add.accumulate(ascending)
        smallest = summed[:-1].searchsorted((1 - params.top_p) * float(summed[-1]), "right")
        row *= row >= ascending[smallest]
    if params.min_p > 0:
        row[row < params.min_p * row[row.argmax()]] = 0
    return row
