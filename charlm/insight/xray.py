"""One moment of a model at work, as a small plain value that a screen can show.

Owns what is folded, averaged and counted, and which step of the colour scale a number gets. Which signals there are,
the cell declares itself. What comes out holds no arrays: it may be handed to another thread, and to code without NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.cells.base import Signal
from charlm.inference.engine import Activations, Engine
from charlm.inference.sampling import log_softmax
from charlm.insight.activations import FLAT, OPEN, SHUT, memory_of, signals_of
from charlm.insight.colour import colours, hexadecimal, ink

STEPS: Final = 64  # of the colour scale
CHOICES: Final = 24  # next characters that are handed on, the likeliest first


class SignalBand(NamedTuple):
    """A signal of a layer, over its units.

    Attributes:
        name: the signal's.
        steps: of the colour scale, 0 to STEPS - 1, for the mean of each group of neighbouring units.
        mean: over all units; of a gate its openness.
        saturated: the share of units that are near an end; None for what has no ends.
        values: of each unit.
    """

    name: str
    steps: tuple[int, ...]
    mean: float
    saturated: float | None
    values: tuple[float, ...]


class LayerSummary(NamedTuple):
    """A layer.

    Attributes:
        norm: the length of the vector of all units' memory.
        bands: a signal each, as the cell names them.
    """

    norm: float
    bands: tuple[SignalBand, ...]


class ActivationSummary(NamedTuple):
    """A moment: what was read last, and what the model makes of it.

    Attributes:
        text: the character that was read last.
        memory: the signal that the cell carries on and on.
        hidden: units a layer has.
        layers: from the lowest.
        choices: what may come next by the model itself, and how probable that is; the likeliest first.
        entropies: bits of what might have come, at each character of the line.
        palette: the colour scale, #rrggbb each, STEPS of them.
    """

    text: str
    memory: str
    hidden: int
    layers: tuple[LayerSummary, ...]
    choices: tuple[tuple[str, float], ...]
    entropies: tuple[float, ...]
    palette: tuple[str, ...]


def summarise_activations(
    engine: Engine, activations: Activations, text: str, entropies: Sequence[float], width: int
) -> ActivationSummary:
    """Summarise the last step of a reading.

    Args:
        engine: the model.
        activations: of the reading.
        text: the character that was read last.
        entropies: see `ActivationSummary`.
        width: number of groups that units are folded into; fewer if there are fewer units.
    """
    cell = engine.config.cell
    signals, memory = signals_of(cell), memory_of(cell)
    layers = []
    for seen in activations.signals:
        bands = tuple(_band(name, signals[name], seen[name][-1], width) for name in signals)
        layers.append(LayerSummary(float(np.linalg.norm(seen[memory][-1])), bands))
    p = np.exp(log_softmax(activations.logits[-1]))
    order = np.argsort(-p, kind="stable")[:CHOICES]
    choices = tuple((engine.vocabulary.label(index), float(p[index])) for index in order.tolist())
    return ActivationSummary(text, memory, engine.config.hidden, tuple(layers), choices, tuple(entropies), palette())


def _band(name: str, signal: Signal, values: NDArray[Any], width: int) -> SignalBand:
    low, high = span(signal, float(np.abs(values).max()))
    below, above = (SHUT, OPEN) if signal.is_gate else (-FLAT, FLAT)
    ended = math.isfinite(signal.low) and math.isfinite(signal.high)
    return SignalBand(
        name=name,
        steps=tuple(steps(fold(values, width), low, high)),
        mean=float(values.mean()),
        saturated=float(((values < below) | (values > above)).mean()) if ended else None,
        values=tuple(values.tolist()),
    )


def fold(values: NDArray[Any], width: int) -> NDArray[np.float64]:
    """The means of neighbouring values, in `width` groups as equal as can be; of fewer values, the values."""
    width = max(1, min(width, len(values)))
    edges = np.arange(width + 1) * len(values) // width
    means: NDArray[np.float64] = np.add.reduceat(values, edges[:-1], dtype=np.float64) / np.diff(edges)
    return means


def span(signal: Signal, greatest: float) -> tuple[float, float]:
    """The ends of a signal's scale: its own, or where it has none as far as it reaches, and at least to 1."""
    reach = max(1.0, greatest)
    return (
        signal.low if math.isfinite(signal.low) else -reach,
        signal.high if math.isfinite(signal.high) else reach,
    )


def steps(values: NDArray[Any], low: float, high: float) -> list[int]:
    """Which step of the colour scale each value gets."""
    places = ((values - low) / (high - low) * STEPS).clip(0, STEPS - 1)
    found: list[int] = places.astype(int).tolist()
    return found


@cache
def palette() -> tuple[str, ...]:
    """The colour scale, from low to high."""
    return tuple(hexadecimal(tuple(one)) for one in colours(np.linspace(0, 1, STEPS), 0, 1).tolist())


@cache
def inks() -> tuple[str, ...]:
    """What can be read on each colour of the scale."""
    return tuple(hexadecimal(ink(tuple(one))) for one in colours(np.linspace(0, 1, STEPS), 0, 1).tolist())


def entropies_of(logits: NDArray[Any]) -> NDArray[np.float64]:
    """In bits, (T,), of distributions given as logits, (T, V)."""
    log_p = log_softmax(logits).astype(np.float64)
    bits: NDArray[np.float64] = -(np.exp(log_p) * log_p).sum(axis=-1) / math.log(2)
    return bits
