"""Short descriptions of the models there are, to list and to choose from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from charlm.checkpoint import ModelHeader, read_card
from charlm.config import ModelConfig
from charlm.errors import CharlmError
from charlm.registry import models


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
        whole: everything that its file says of it; None if it cannot be read.
    """

    name: str
    path: Path
    shape: str = ""
    megabytes: float = 0.0
    validation: float | None = None
    dialogue: str = ""
    error: str = ""
    whole: ModelHeader | None = None

    @property
    def loss(self) -> str:
        """The validation in words."""
        return "not measured" if self.validation is None else f"{self.validation:.3f} bits/char"

    @property
    def size(self) -> str:
        """Of the file, in words."""
        return f"{self.megabytes:.1f} MB"


def shape(config: ModelConfig) -> str:
    """Cell, layers and width."""
    return f"{config.cell} {config.layers}x{config.hidden}"


def cards() -> list[ModelCard]:
    """Every model that has a name."""
    return [model_card(path) for path in models()]


def model_card(path: Path) -> ModelCard:
    """What a model file says of itself; whatever is wrong with it is said in the card."""
    try:
        card = read_card(path)
    except CharlmError as error:
        return ModelCard(path.stem, path, error=error.message)
    config, validation = card.config, card.record.validation
    return ModelCard(
        name=path.stem,
        path=path,
        shape=shape(config),
        megabytes=path.stat().st_size / 1e6,
        validation=None if validation is None else validation / math.log(2),
        dialogue=card.dialogue.format,
        whole=card,
    )
