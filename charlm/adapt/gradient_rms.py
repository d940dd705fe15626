"""How large a model's gradients are, weight by weight: what a step of learning is measured in.

Owns the mean squares of gradients: from training's optimizer, from a text, or from what the model itself writes. They
are kept factored, as Adafactor does (Shazeer and Stern 2018): a matrix has the means of its rows and of its columns,
and each entry is estimated as row mean times column mean over the mean of all. Measured, this costs dynamic evaluation
nothing, and takes a hundredth of the room.

A mean over many characters has a smaller gradient than a mean over few. All statistics here are those of a loss
averaged over `REFERENCE` characters, a step of training by default, whatever they were taken from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.checkpoint import Tensors
from charlm.config import ModelConfig
from charlm.inference import tape
from charlm.inference.context import StaticModel, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.state import Array, Ids, State
from charlm.tensor_shapes import statistic_shapes, tensor_shapes

REFERENCE = 2048  # characters
SEGMENT = 50  # characters a gradient is taken over, when it is estimated
STREAMS, WRITTEN = 8, 250  # texts that a model writes to learn of its own gradients, and their length

_PREFIX = "statistics."


def factor(squares: Mapping[str, NDArray[np.floating[Any]]], characters: float = REFERENCE) -> Tensors:
    """The row and column means of every tensor's mean squares, under the names of `ModelConfig.statistics`.

    Args:
        squares: mean squared gradients by tensor name, each in its tensor's shape.
        characters: how many each gradient is a mean over; they are brought to those of `REFERENCE`.
    """
    statistics = {}
    for name, square in squares.items():
        # The mean of n gradients that have little to do with each other has a square of one n-th.
        wide = square.astype(np.float64) * (characters / REFERENCE)
        if wide.ndim == 2:
            statistics[f"{_PREFIX}{name}.rows"] = wide.mean(axis=1).astype(np.float32)
            statistics[f"{_PREFIX}{name}.columns"] = wide.mean(axis=0).astype(np.float32)
        else:
            statistics[f"{_PREFIX}{name}"] = wide.astype(np.float32)
    return statistics


def of_text(engine: Engine, ids: Ids) -> Tensors:
    """The statistics of a text.

    Args:
        engine: the model.
        ids: (N,), at least two; some thousand are enough.
    """
    return _of_streams(engine, [(engine.start(), ids)])


def of_itself(engine: Engine, seed: int = 0) -> Tensors:
    """The statistics of texts that the model writes, for when there is nothing else: its Fisher information.

    They serve as well as training's, by measurement; it takes about a second.
    """
    start, ids = read_prompt(StaticModel(engine), "")
    rng = np.random.default_rng(seed)
    state, logits = start.state.repeat(STREAMS), np.repeat(start.logits[None], STREAMS, axis=0)
    written = [np.full(STREAMS, ids[-1])]
    for _ in range(WRITTEN):
        p = np.exp(logits - logits.max(axis=-1, keepdims=True)).cumsum(axis=-1)
        drawn = (p < rng.random((STREAMS, 1)) * p[:, -1:]).sum(axis=-1)
        written.append(drawn)
        state, logits = engine.step(state, drawn)
    before = engine.start()
    return _of_streams(engine, [(before, stream) for stream in np.stack(written, axis=1)])


def _of_streams(engine: Engine, streams: Iterable[tuple[State, Ids]]) -> Tensors:
    config, weights = engine.config, engine.checkpoint.tensors
    sums = {name: np.zeros(shape) for name, shape in statistic_shapes(config).items()}
    characters = 0
    for state, ids in streams:
        for first in range(0, len(ids) - 1, SEGMENT):
            targets = ids[first + 1 : first + 1 + SEGMENT]
            recorded = tape.forward(config, weights, ids[first : first + len(targets)], state)
            d_logits = tape.d_cross_entropy(recorded.logits, targets)  # of the sum, not the mean
            gradients = tape.backward(config, weights, recorded, d_logits)
            for name, square in factor({name: _square(one) for name, one in gradients.items()}, 1).items():
                sums[name] += square
            characters += len(targets)
            state = recorded.state
    # The sum of n gradients has a square of n times that of one, which `factor` was told of.
    return {name: (one / max(1, characters)).astype(np.float32) for name, one in sums.items()}


def _square(gradient: tape.Outer | Array) -> Array:
    dense: Array = gradient.dense() if isinstance(gradient, tape.Outer) else gradient
    return dense * dense


class TensorRms(NamedTuple):
    """What the factors of a matrix's gradient are multiplied by, so that their product is in units of its usual size.

    Attributes:
        rows: (R,)
        columns: (C,)
    """

    rows: Array
    columns: Array


def scales(config: ModelConfig, statistics: Tensors, epsilon: float) -> dict[str, TensorRms | Array]:
    """One over the usual size, the root mean square, of every weight's gradient; for a matrix as factors.

    Args:
        config: the model's shape.
        statistics: see `ModelConfig.statistics`.
        epsilon: no gradient counts as smaller than this, so that weights that training hardly touched stay in reach.
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


def pulls(scales: Mapping[str, TensorRms | Array], decay: float) -> Tensors:
    """The share of what each weight has learned that a segment gives up: the more, the larger its usual gradient.

    Weights with large gradients carry most of the trained model, and learn again soonest (Krause et al. 2018, the decay
    weighted by RMS). What it is worth: docs/experiments.md.

    Args:
        scales: see `scales`.
        decay: the mean share, over all weights; none gives up more than all.
    """
    sizes = {
        name: 1 / (np.outer(scale.rows, scale.columns) if isinstance(scale, TensorRms) else scale)
        for name, scale in scales.items()
    }
    count = sum(size.size for size in sizes.values())
    mean = sum(float(size.sum(dtype=np.float64)) for size in sizes.values()) / count
    return {name: np.minimum(size * np.float32(decay / mean), np.float32(1)) for name, size in sizes.items()}
