"""The usual size of a model's gradients, weight by weight: the unit of a step of learning.

Owns the mean squares of gradients: from training's optimizer, or from texts that the model writes. They are factored,
as in Adafactor (Shazeer and Stern 2018): an entry of a matrix is row mean times column mean over the mean of all. By
measurement this costs dynamic evaluation nothing. All are those of a loss averaged over `REFERENCE_CHARS` characters,
by default a step of training: a mean over fewer has a larger gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.checkpoint import Tensors
from charlm.config import ModelConfig, SamplingConfig
from charlm.inference import tape
from charlm.inference.context import StaticModel, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.generate import generate_batch
from charlm.inference.state import Array
from charlm.tensor_shapes import statistic_shapes, tensor_shapes

REFERENCE_CHARS = 2048
SEGMENT_CHARS = 50  # of a gradient that is estimated
SAMPLES, SAMPLE_CHARS = 8, 250  # texts to estimate gradients from, and their length

_PREFIX = "statistics."


def factor(squares: Mapping[str, NDArray[np.floating]], characters: float = REFERENCE_CHARS) -> Tensors:
    """Return the row and column means of every tensor's mean squares, under the names of `statistic_shapes`.

    The mean squared gradients have their tensor's name and shape. Each gradient is a mean over `characters`; the result
    is scaled to `REFERENCE_CHARS`.
    """
    statistics = {}
    for name, square in squares.items():
        # The mean of n nearly independent gradients has 1 / n of the square of one.
        wide = square.astype(np.float64) * (characters / REFERENCE_CHARS)
        if wide.ndim == 2:
            statistics[f"{_PREFIX}{name}.rows"] = wide.mean(axis=1).astype(np.float32)
            statistics[f"{_PREFIX}{name}.columns"] = wide.mean(axis=0).astype(np.float32)
        else:
            statistics[f"{_PREFIX}{name}"] = wide.astype(np.float32)
    return statistics


def estimate_from_samples(engine: Engine, seed: int = 0) -> Tensors:
    """Estimate the statistics from texts that the model writes: its Fisher information.

    By measurement they serve as well as those of training. It takes about a second.
    """
    config, weights = engine.config, engine.checkpoint.tensors
    context, prompt = read_prompt(StaticModel(engine), "")
    params = SamplingConfig(temperature=1, top_p=1, seed=seed)
    sums = {name: np.zeros(shape) for name, shape in statistic_shapes(config).items()}
    characters = 0
    for text in generate_batch(context, engine, params, SAMPLES, max_chars=SAMPLE_CHARS):
        ids = np.array([prompt[-1], *[piece.id for piece in text.pieces]])
        state = engine.start()
        for first in range(0, len(ids) - 1, SEGMENT_CHARS):
            targets = ids[first + 1 : first + 1 + SEGMENT_CHARS]
            recorded = tape.forward(config, weights, ids[first : first + len(targets)], state)
            d_logits = tape.d_cross_entropy(recorded.logits, targets)  # of the sum, not the mean
            gradients = tape.backward(recorded, d_logits)
            for name, square in factor({name: _square(one) for name, one in gradients.items()}, 1).items():
                sums[name] += square
            characters += len(targets)
            state = recorded.state
    # The gradient of a sum over n characters has n times the square that `factor` assumes.
    return {name: (one / max(1, characters)).astype(np.float32) for name, one in sums.items()}


def _square(gradient: tape.Outer | Array) -> Array:
    dense: Array = gradient.dense() if isinstance(gradient, tape.Outer) else gradient
    return dense * dense


class TensorRms(NamedTuple):
    """Row and column factors that scale the gradient of a matrix to units of its usual size."""

    rows: Array  # (R,)
    columns: Array  # (C,)


def inverse_rms(config: ModelConfig, statistics: Tensors, epsilon: float) -> dict[str, TensorRms | Array]:
    """Return one over the root mean square of every weight's gradient; for a matrix as factors.

    The least root mean square is `epsilon`, so that weights that training hardly touched can still learn.
    """
    floor = epsilon**2
    found: dict[str, TensorRms | Array] = {}
    for name, shape in tensor_shapes(config).items():
        if len(shape) == 2:
            rows, columns = (
                statistics[f"{_PREFIX}{name}.{part}"].astype(np.float64) + floor for part in ("rows", "columns")
            )
            mean = (rows.mean() + columns.mean()) / 2
            found[name] = TensorRms((rows**-0.5).astype(np.float32), ((columns / mean) ** -0.5).astype(np.float32))
        else:
            found[name] = ((statistics[_PREFIX + name].astype(np.float64) + floor) ** -0.5).astype(np.float32)
    return found


def decay_rates(inv_rms: Mapping[str, TensorRms | Array], decay: float) -> Tensors:
    """Return the share of each weight's delta that one segment takes back: the more, the larger its usual gradient.

    Weights with large gradients carry most of the trained model, and learn again soonest (Krause et al. 2018, decay
    weighted by RMS). docs/experiments.md has what this gains. The mean share is `decay`; no share exceeds 1.
    """
    rms = {
        name: 1 / (np.outer(scale.rows, scale.columns) if isinstance(scale, TensorRms) else scale)
        for name, scale in inv_rms.items()
    }
    count = sum(one.size for one in rms.values())
    mean = sum(float(one.sum(dtype=np.float64)) for one in rms.values()) / count
    return {name: np.minimum(one * np.float32(decay / mean), np.float32(1)) for name, one in rms.items()}
