"""Shared fixtures: tiny models made on the spot, and profiles for hypothesis, which never time examples.

What passed once passes again: by default hypothesis draws the same examples at every run. CHARLM_EXPLORE=1 makes it
look for new ones, which is how to test a change to what the properties are about.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from charlm.checkpoint import Checkpoint
from charlm.config import ModelConfig
from charlm.text.vocabulary import Vocabulary

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", settings.get_profile("explore"), derandomize=True)
settings.load_profile("explore" if os.environ.get("CHARLM_EXPLORE") else "repeat")

HARBOUR = Path(__file__).parent.parent / "corpora" / "harbour.txt"
ALPHABET = "\n !,.?abcdefghijklmnopqrstuvwxyz"

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture
def make_checkpoint() -> MakeCheckpoint:
    """A model with random weights: `make_checkpoint(cell="gru", layers=3, seed=1, characters="abc")`."""

    def make(
        *, characters: str = ALPHABET, has_bytes: bool = False, seed: int = 0, scale: float = 0.3, **shape: object
    ) -> Checkpoint:
        vocabulary = Vocabulary(characters, has_bytes=has_bytes)
        defaults = {"embedding": 16, "hidden": 16, "layers": 2}
        config = ModelConfig(vocabulary=len(vocabulary), **{**defaults, **shape})  # type: ignore[arg-type]
        rng = np.random.default_rng(seed)
        tensors = {name: rng.normal(0, scale, shape).astype(np.float32) for name, shape in config.tensors().items()}
        return Checkpoint(config, vocabulary, tensors)

    return make


@pytest.fixture(autouse=True)
def _at_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's own models or leaves anything in their data folder."""
    monkeypatch.setenv("CHARLM_HOME", str(tmp_path_factory.mktemp("home")))
