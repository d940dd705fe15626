"""Shared fixtures: tiny models with random weights, and the profiles of hypothesis.

repeat     The default: the same examples at every run.
campaign   `make test-all`: five times as many examples.
explore    --hypothesis-profile=explore draws new examples at every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from charlm.checkpoint import TrainingRecord
from charlm.cli.main import run
from charlm.inference.engine import Engine
from charlm.inference.state import Array, State

from .chat import models

settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", settings.get_profile("explore"), derandomize=True)
settings.register_profile("campaign", settings.get_profile("repeat"), max_examples=500)
settings.load_profile("repeat")

HARBOUR = Path(__file__).parent.parent / "corpora" / "harbour.txt"
PATIENCE = 300.0
"""Seconds until a process that does not answer counts as hung, on a busy machine, too."""
ALPHABET = "\n !,.?abcdefghijklmnopqrstuvwxyz"
TINY = ("--hidden", "16", "--layers", "1", "--lanes", "8", "--chunk", "16", "--precision", "fp32", "--threads", "1")
"""Options of a training that takes no time."""
RECORD = TrainingRecord(
    created="2026-05-01T12:00:00+00:00",
    sources=[{"name": f"part{number}.txt", "sha256": "ab" * 32, "bytes": 1234 + number} for number in range(12)],
    notices=["the harbourmaster (CC0): Letters"],
    train_characters=9000,
    validation_characters=1000,
    characters_seen=45_000,
    steps=321,
    epochs=5.0,
    seconds=61.0,
    validation=1.5 * math.log(2),
    base="older",
    settings={"lanes": 8, "chunk": 16, "learning_rate": 0.004, "seed": 3},
    matching_pairs=20_000,
    pointer_characters=30_000,
    precision="fp32",
    device="cpu",
    threads=2,
    versions={"torch": "2.13.0"},
)
"""Every field has another value than by default."""


@dataclass
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Charlm = Callable[..., Result]


def examples(count: int) -> int:
    """Return the number of examples of a costly property: `count` by default, five times that in a campaign."""
    return count * settings.default.max_examples // 100


random_checkpoint = partial(models.random_checkpoint, characters=ALPHABET)
random_matching = models.random_matching
random_pointer = models.random_pointer


def assert_states_close(one: State, other: State, atol: float = 1e-5) -> None:
    """Compare two states of a model."""
    for part, expected in zip(one.arrays(), other.arrays(), strict=True):
        np.testing.assert_allclose(part, expected, rtol=0, atol=atol)


def nats_by_steps(engine: Engine, state: State, logits: Array, ids: Iterable[int]) -> list[float]:
    """Return the surprisal of each id, read one at a time, in float64."""
    nats = []
    for index in ids:
        wide = logits.astype(np.float64)
        nats.append(float(np.log(np.exp(wide).sum()) - wide[index]))
        state, logits = engine.step(state, int(index))
    return nats


@pytest.fixture
def charlm(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Charlm:
    """Run a command in this process, in an empty folder: `charlm("sample", "m")`."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Result:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture(autouse=True)
def _empty_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the bundled models, and the user's own models and data folder."""
    monkeypatch.setenv("CHARLM_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr("charlm.registry.bundled_folder", lambda: tmp_path_factory.getbasetemp() / "no-models")
