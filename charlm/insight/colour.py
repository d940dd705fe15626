"""Numbers as colours that every eye can order.

The scale runs straight through Oklab (Ottosson 2020), from a dark blue to a light yellow: equal steps look equally
large, lightness alone orders them, and blue against yellow is told apart by those who cannot tell red from green.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

_DARK, _LIGHT = (0.27, -0.02, -0.115), (0.93, -0.035, 0.155)  # lightness, green to red, blue to yellow
_STEPS = 256


@cache
def _table() -> NDArray[np.uint8]:
    """The scale, (256, 3), sRGB."""
    share = np.linspace(0, 1, _STEPS)[:, None]
    lightness, a, b = ((1 - share) * np.array(_DARK) + share * np.array(_LIGHT)).T
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        (
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ),
        axis=-1,
    ).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    table: NDArray[np.uint8] = (255 * encoded).round().astype(np.uint8)
    return table


def colours(values: NDArray[np.floating[Any]], low: float, high: float) -> NDArray[np.uint8]:
    """The colours of numbers, (..., 3); what lies outside the range gets the colour of its end."""
    span = max(high - low, 1e-12)
    places = ((np.nan_to_num(values, nan=low) - low) / span).clip(0, 1) * (_STEPS - 1)
    found: NDArray[np.uint8] = _table()[places.round().astype(np.intp)]
    return found


def ink(colour: Colour) -> Colour:
    """Black or white, whichever is easier to read on a colour (WCAG's relative luminance)."""
    encoded = np.array(colour) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return (0, 0, 0) if luminance > 0.18 else (255, 255, 255)


def hexadecimal(colour: Colour) -> str:
    """As #rrggbb."""
    return "#" + "".join([f"{int(part):02x}" for part in colour])


def levels(values: NDArray[np.floating[Any]], low: float, high: float) -> str:
    """A digit a number, 0 for the low end and 9 for the high: for where there is no colour."""
    span = max(high - low, 1e-12)
    places = (((np.nan_to_num(values, nan=low) - low) / span).clip(0, 1) * 9.999).astype(int)
    return "".join(map(str, places.tolist()))
