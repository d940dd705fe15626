"""Fixtures for training: a small corpus, and a trainer made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from charlm.config import ModelConfig, TrainConfig
from charlm.model.lm import CharLM, Dropout
from charlm.text.batching import Lanes
from charlm.training.loop import Trainer

VOCABULARY = 12
EVERY_ID = np.ones(VOCABULARY, dtype=np.bool_)

MakeTrainer = Callable[..., Trainer]


class Ticking:
    """A clock that goes on by the same amount each time it is read."""

    def __init__(self, tick: float = 0.01) -> None:
        self.now = 0.0
        self.tick = tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


@pytest.fixture
def make_trainer() -> MakeTrainer:
    """A trainer on a small random text: `make_trainer(cell="gru", steps=20, ...)`."""

    def make(
        *,
        cell: str = "lstm",
        ids: np.ndarray[Any, Any] | None = None,
        dropout: Dropout | None = None,
        shape: dict[str, Any] | None = None,
        clock: Callable[[], float] | None = None,
        **settings: Any,
    ) -> Trainer:
        torch.manual_seed(settings.get("seed", 1))
        if ids is None:
            ids = np.random.default_rng(0).integers(0, VOCABULARY, 3000).astype(np.uint8)
        config = ModelConfig(
            vocabulary=VOCABULARY, cell=cell, **{"embedding": 16, "hidden": 16, "layers": 2, **(shape or {})}
        )
        defaults = {"lanes": 4, "chunk": 10, "precision": "fp32", "device": "cpu", "evaluations": 5, "patience": 0}
        train = TrainConfig(**{**defaults, **settings})
        lanes = Lanes(ids[:-600], train.lanes, train.chunk, train.seed)
        return Trainer(CharLM(config, dropout), lanes, ids[-600:], EVERY_ID, train, clock or Ticking())

    return make
