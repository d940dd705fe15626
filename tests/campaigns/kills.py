"""SIGKILL at random moments of trainings, and of building a corpus: the result is that of a run without kills.

python -m tests.campaigns.kills 100    # kills of each
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from charlm import checkpoint

from ..cli.terminal import environment
from ..conftest import HARBOUR, TINY

KILLS_OF_A_RUN = 10
RECIPE = """
[letters]
title = "Letters"
language = "English"
format = "plain"
cleaning = "prose"
[[letters.sources]]
url = "https://harbour.example/letters.txt"
sha256 = "{digest}"
bytes = {size}
path = "letters.txt"
licence = "CC0"
attribution = "nobody"
"""


def charlm(folder: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "charlm", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment(CHARLM_HOME=str(folder / "home")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(folder: Path, *arguments: str | Path) -> float:
    """Run a command to its end; return the seconds that it took."""
    begun = time.monotonic()
    assert charlm(folder, *arguments).wait() == 0, arguments
    return time.monotonic() - begun


def kill(process: subprocess.Popen[bytes], after: float) -> bool:
    """Kill a process after some seconds; return whether it still ran."""
    try:
        assert process.wait(after) in (0, 1)  # 1 if the run was already finished
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def train(folder: Path, rng: random.Random) -> int:
    """Kill one training several times; return the number of kills."""
    options = [*TINY, "--steps", "500", "--evaluations", "8", "--dropout", "0.1", "--save-every", "0.05", "--quiet"]
    seconds = finish(folder, "train", HARBOUR, "-o", "whole", *options)
    model, kills = folder / "checkpoints" / "m.safetensors", 0

    def begin() -> subprocess.Popen[bytes]:
        resumes = model.with_suffix(".run").joinpath("resume.safetensors").exists()
        given = ["--resume", "m"] if resumes else [HARBOUR, "-o", "m", "--force", *options]
        return charlm(folder, "train", *given, "--quiet")

    while kills < KILLS_OF_A_RUN and kill(begin(), rng.uniform(0, seconds)):
        kills += 1
        if model.exists():
            checkpoint.load(model)
    assert begin().wait() in (0, 1)  # 1 if the run is finished; then it must be whole
    assert checkpoint.load(model).fingerprint == checkpoint.load(model.with_name("whole.safetensors")).fingerprint
    assert not [path for path in folder.rglob("*.ids") if path.stat().st_size == 0]
    return kills


def build(folder: Path, rng: random.Random) -> int:
    """Kill one build of a corpus several times; return the number of kills."""
    corpora, files = folder / "home" / "corpora", folder / "files"
    corpora.mkdir(parents=True)
    files.mkdir()
    letters = HARBOUR.read_bytes() * 40
    (files / "letters.txt").write_bytes(letters)
    digest = hashlib.sha256(letters).hexdigest()
    (corpora / "sources.toml").write_text(RECIPE.format(digest=digest, size=len(letters)), encoding="utf-8")
    command = ("corpora", "build", "letters", "--from", files)
    seconds, text = finish(folder, *command), corpora / "letters.txt"
    expected, kills = text.read_bytes(), 0
    for _ in range(KILLS_OF_A_RUN):
        text.unlink(missing_ok=True)
        kills += kill(charlm(folder, *command), rng.uniform(0, seconds))
        assert not text.exists() or text.read_bytes() == expected
    finish(folder, *command)
    assert text.read_bytes() == expected
    return kills


def main(count: int) -> None:
    rng = random.Random(1)
    for once in (train, build):
        kills = runs = 0
        while kills < count:
            with tempfile.TemporaryDirectory() as name:
                kills += once(Path(name), rng)
                runs += 1
        print(f"| {once.__name__} | {runs} | {kills} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
