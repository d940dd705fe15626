"""A colour scale for numbers that all readers can order.

The scale is a straight line through Oklab (Ottosson 2020) from dark blue to light yellow. Equal steps look equally
large, and lightness alone orders them. Blue against yellow is clear to readers who cannot tell red from green.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]  # sRGB

_DARK, _LIGHT = (0.27, -0.02, -0.115), (0.93, -0.035, 0.155)  # lightness, green to red, blue to yellow
_STEPS = 256


@cache
def _table() -> NDArray[np.uint8]:
    """The scale, (256, 3), sRGB."""
    fraction = np.linspace(0, 1, _STEPS)[:, None]
    lightness, a, b = ((1 - fraction) * np.array(_DARK) + fraction * np.array(_LIGHT)).T
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


def colours(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Return the colours of numbers, (..., 3); a number outside the range gets the colour of that end."""
    table: NDArray[np.uint8] = _table()[(_fractions(values, low, high) * (_STEPS - 1)).round().astype(np.intp)]
    return table


def digits(values: NDArray[np.floating], low: float, high: float) -> str:
    """Return a digit a number, from 0 at the low end to 9 at the high end, for output without colours."""
    return "".join(map(str, (_fractions(values, low, high) * 9.999).astype(int).tolist()))


def _fractions(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    fractions: NDArray[np.floating] = (np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-12)
    return fractions.clip(0, 1)


def ink(colour: Colour) -> Colour:
    """Return black or white, the one with more contrast to a colour (WCAG's relative luminance)."""
    encoded = np.array(colour) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return (0, 0, 0) if luminance > 0.18 else (255, 255, 255)


def hexadecimal(colour: Colour) -> str:
    """Return a colour as #rrggbb."""
    return "#" + "".join([f"{int(part):02x}" for part in colour])
