"""Fixtures for the command line: run it here, and a small trained model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from charlm.checkpoint import save
from charlm.cli.main import run
from tests.conftest import HARBOUR, MakeCheckpoint


@dataclass
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


Charlm = Callable[..., Result]


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


@pytest.fixture
def model(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> str:
    """The name of a model with random weights in ./checkpoints."""
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


TINY = ("--hidden", "16", "--layers", "1", "--lanes", "8", "--chunk", "16", "--precision", "fp32", "--threads", "1")
"""Options of a training that takes no time."""

__all__ = ["HARBOUR", "TINY", "Charlm", "Result", "spawn"]
