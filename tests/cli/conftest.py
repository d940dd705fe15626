"""Fixtures for the command line: a model with random weights, and commands as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.checkpoint import save
from tests.conftest import HARBOUR, TINY, Charlm, MakeCheckpoint, Result


@pytest.fixture
def model(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> str:
    """Name of a model with random weights in ./checkpoints."""
    (tmp_path / "checkpoints").mkdir()
    save(make_checkpoint(scale=1.0), tmp_path / "checkpoints" / "noise.safetensors")
    return "noise"


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


__all__ = ["HARBOUR", "TINY", "Charlm", "Result", "spawn"]
