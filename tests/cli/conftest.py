"""Fixtures for the command line: a model with random weights, and commands as processes of their own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from charlm.checkpoint import save
from tests.conftest import HARBOUR, TINY, Charlm, Result, random_checkpoint

SaveModel = Callable[..., str]
Pipe = Callable[[bytes], None]


@pytest.fixture
def save_model(tmp_path: Path) -> SaveModel:
    """Save a model with random weights in ./checkpoints: `save_model("m", scale=0.4)`. Returns its name."""

    def save_random(name: str, **options: object) -> str:
        save(random_checkpoint(**options), tmp_path / "checkpoints" / f"{name}.safetensors")
        return name

    return save_random


@pytest.fixture
def model(save_model: SaveModel) -> str:
    """Name of a model with random weights in ./checkpoints."""
    return save_model("noise", scale=1.0)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """Give the next commands a standard input: `pipe(b"text")`."""
    return lambda data: monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def assert_refused(result: Result, code: int, says: str) -> None:
    """Check that a command failed with a message of its own, and printed nothing else."""
    assert (result.code, result.out) == (code, ""), result.err
    assert says.lower() in result.err.lower()
    assert "Traceback" not in result.err
    assert "inside charlm" not in result.err


def spawn(*arguments: str | Path, cwd: Path, **options: object) -> subprocess.Popen[str]:
    """Start the command as a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "charlm", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        text=True,
        encoding="utf-8",
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )


__all__ = ["HARBOUR", "TINY", "Charlm", "Result", "assert_refused", "spawn"]
