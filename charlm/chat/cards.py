"""Short descriptions of the models there are, to choose from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from charlm.checkpoint import read_card
from charlm.errors import CharlmError
from charlm.library import models


@dataclass(frozen=True)
class ModelCard:
    """A model on one line.

    Attributes:
        name: to load it by.
        path: its file.
        shape: cell, layers and width.
        megabytes: of the file.
        validation: bits per character, or None if it was not measured.
        dialogue: how its text writes turns.
        error: why it cannot be read; empty if it can.
    """

    name: str
    path: Path
    shape: str = ""
    megabytes: float = 0.0
    validation: float | None = None
    dialogue: str = ""
    error: str = ""


def cards() -> list[ModelCard]:
    """Every model that has a name."""
    return [_card(path) for path in models()]


def _card(path: Path) -> ModelCard:
    try:
        config, _, record, dialogue = read_card(path)
    except CharlmError as error:
        return ModelCard(path.stem, path, error=error.message)
    return ModelCard(
        name=path.stem,
        path=path,
        shape=f"{config.cell} {config.layers}x{config.hidden}",
        megabytes=path.stat().st_size / 1e6,
        validation=None if record.validation is None else record.validation / math.log(2),
        dialogue=dialogue.format,
    )
