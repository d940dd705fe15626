"""Presets: named sets of chat settings, built in or the user's own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from charlm.config import ChatConfig, SamplerConfig
from charlm.errors import CharlmError, UsageError
from charlm.files import home

Preset = Mapping[str, float]  # values by the name of the setting

# A built-in preset sets every field of the sampler: a filter that it does not name is off.
PRESETS: Final[dict[str, Preset]] = {
    "precise": asdict(SamplerConfig(temperature=0.5, top_p=0.9)),
    "balanced": asdict(SamplerConfig(temperature=0.65, top_p=0.95)),
    "wild": asdict(SamplerConfig(temperature=1.2, top_p=1, min_p=0.02)),
}


def presets() -> dict[str, Preset]:
    """Return the built-in presets and the user's own, by name.

    The user's own are tables in `config.toml` in the data folder:

        [presets.drunk]
        temperature = 1.5

    Raises:
        UsageError: the file is not TOML, or a preset has an unknown setting or a value out of range.
    """
    path = home() / "config.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return dict(PRESETS)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}", f"fix or delete {path.name}") from error
    own = document.get("presets", {})
    for name, values in own.items() if isinstance(own, dict) else [("presets", None)]:
        if not isinstance(values, dict):
            raise UsageError(f"{path}: {name} must be a table", "write [presets.NAME], then one setting per line")
        try:
            apply_preset(ChatConfig(), values)
        except CharlmError as error:
            raise UsageError(f"{path}: preset {name}: {error.message}", error.hint) from error
    return {**PRESETS, **own}


def with_preset(dials: ChatConfig, name: str) -> ChatConfig:
    """Return the settings with the values of a preset; raise UsageError if there is none of this name."""
    known = presets()
    if name not in known:
        raise UsageError(f"unknown preset {name!r}", f"choose one of {', '.join(known)}")
    return apply_preset(dials, known[name])


def apply_preset(dials: ChatConfig, values: Preset) -> ChatConfig:
    """Return the settings with some of them replaced; raise UsageError for an unknown or invalid one."""
    for name, value in values.items():
        dials = dials.with_text(name, str(value))
    return dials
