"""Summary of a model's activations at one step, as plain values for a screen.

The result holds no arrays: another thread may take it, and so may code without NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells import CELLS
from charlm.cells.base import Array, Signal
from charlm.inference.engine import Activations, Engine
from charlm.inference.sampling import log_softmax
from charlm.insight.activations import saturation_bounds
from charlm.insight.colour import colours, hexadecimal, ink

COLOUR_LEVELS: Final = 64
MAX_CHOICES: Final = 24  # most probable next characters in a summary


class SignalBand(NamedTuple):
    """A signal of a layer, over its units."""

    name: str
    levels: tuple[int, ...]  # of the colour scale, for the mean of each group of neighbouring units
    mean: float  # over all units
    saturated: float | None  # share of units near an end; None for a signal without ends
    values: tuple[float, ...]  # of each unit


class LayerSummary(NamedTuple):
    """A layer."""

    norm: float  # of the vector of all units' memory
    bands: tuple[SignalBand, ...]  # one per signal, in the cell's order


class ActivationSummary(NamedTuple):
    """A step: the character read, and the model's prediction of the next."""

    text: str  # the character read last
    memory: str  # the signal that the cell carries from step to step
    hidden: int  # units per layer
    layers: tuple[LayerSummary, ...]  # from the lowest
    choices: tuple[tuple[str, float], ...]  # next characters and their probabilities, the most probable first
    entropies: tuple[float, ...]  # bits, of the predictions of each character of the line
    palette: tuple[str, ...]  # colour scale, COLOUR_LEVELS of #rrggbb


def summarise_activations(
    engine: Engine, activations: Activations, text: str, entropies: Sequence[float], width: int
) -> ActivationSummary:
    """Summarise the last step of a reading, with units in at most `width` groups.

    Text and entropies are those of the result.
    """
    cell = CELLS[engine.config.cell]
    layers = []
    for signals in activations.signals:
        bands = tuple(_band(name, signal, signals[name][-1], width) for name, signal in cell.SIGNALS.items())
        layers.append(LayerSummary(float(np.linalg.norm(signals[cell.MEMORY][-1])), bands))
    p = np.exp(log_softmax(activations.logits[-1]))
    order = np.argsort(-p, kind="stable")[:MAX_CHOICES]
    choices = tuple((engine.vocabulary.label(index), float(p[index])) for index in order.tolist())
    return ActivationSummary(
        text, cell.MEMORY, engine.config.hidden, tuple(layers), choices, tuple(entropies), palette()
    )


def _band(name: str, signal: Signal, values: Array, width: int) -> SignalBand:
    low, high = colour_range(signal, float(np.abs(values).max()))
    below, above = saturation_bounds(signal)
    has_ends = math.isfinite(signal.low) and math.isfinite(signal.high)
    return SignalBand(
        name=name,
        levels=tuple(colour_levels(bin_means(values, width), low, high)),
        mean=float(values.mean()),
        saturated=float(((values < below) | (values > above)).mean()) if has_ends else None,
        values=tuple(values.tolist()),
    )


def bin_means(values: Array, width: int) -> NDArray[np.float64]:
    """Return the means of neighbouring values in `width` groups of nearly equal size; at most one group per value."""
    width = max(1, min(width, len(values)))
    edges = np.arange(width + 1) * len(values) // width
    means: NDArray[np.float64] = np.add.reduceat(values, edges[:-1], dtype=np.float64) / np.diff(edges)
    return means


def colour_range(signal: Signal, max_magnitude: float) -> tuple[float, float]:
    """Return the ends of a signal's colour scale: its own, or else the largest magnitude seen, at least 1."""
    reach = max(1.0, max_magnitude)
    return max(signal.low, -reach), min(signal.high, reach)


def colour_levels(values: Array, low: float, high: float) -> list[int]:
    """Return the level of each value on the colour scale, 0 to COLOUR_LEVELS - 1."""
    levels: list[int] = ((values - low) / (high - low) * COLOUR_LEVELS).clip(0, COLOUR_LEVELS - 1).astype(int).tolist()
    return levels


@cache
def palette() -> tuple[str, ...]:
    """Return the colour scale, from low to high."""
    return tuple(hexadecimal(tuple(one)) for one in colours(np.linspace(0, 1, COLOUR_LEVELS), 0, 1).tolist())


@cache
def inks() -> tuple[str, ...]:
    """Return a text colour that is legible on each colour of the scale."""
    return tuple(hexadecimal(ink(tuple(one))) for one in colours(np.linspace(0, 1, COLOUR_LEVELS), 0, 1).tolist())
