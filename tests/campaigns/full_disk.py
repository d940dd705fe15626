"""Commands whose files may not grow beyond a size, as on a full disk: one sentence, and no older file is harmed.

python -m tests.campaigns.full_disk 20    # sizes for each command
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from charlm.checkpoint import load, save
from charlm.errors import CharlmError

from ..chat.models import random_checkpoint
from ..cli.terminal import environment
from ..conftest import HARBOUR, TINY

COMMANDS = (
    ("train", "text.txt", "--from", "none", "-o", "m", "--force", *TINY, "--steps", "4", "--evaluations", "2"),
    ("adapt", "./m.safetensors", "text.txt", "-o", "./m", "--force"),
    ("models", "export", "./m.safetensors", "-o", "m.safetensors", "--force"),
    ("memory", "./m.safetensors", "text.txt", "--max-context", "64", "--blocks", "2", "--plot", "plot.svg"),
    ("chat", "./m.safetensors", "--length", "2000", "--candidates", "1"),
    ("compare", "text.txt", "--cells", "gru,rnn", "--steps", "4", "-o", "compared"),
)
MAX_BYTES = 3e8  # enough for success


def prepare(folder: Path) -> None:
    save(random_checkpoint(), folder / "m.safetensors")
    (folder / "text.txt").write_bytes(HARBOUR.read_bytes()[:6000])
    (folder / "home").mkdir()


def run(arguments: tuple[str, ...], folder: Path, size: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "charlm", *arguments],
        cwd=folder,
        env=environment(CHARLM_HOME=str(folder / "home")),
        input="hello\n" * 20,
        capture_output=True,
        timeout=300,
        check=False,
        encoding="utf-8",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


def check(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert done.returncode in (0, 1), done.stderr
    assert "inside charlm" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0 or "error: " in done.stderr or "not saved" in done.stderr, done.stderr
    load(folder / "m.safetensors")  # the old one or the new one
    assert not list(folder.rglob("*.tmp")), "no half of a file is left"


def main(sizes: int) -> None:
    failures = 0
    for arguments in COMMANDS:
        codes = []
        for size in np.geomspace(1, MAX_BYTES, sizes).astype(int):
            with tempfile.TemporaryDirectory() as name:
                prepare(Path(name))
                done = run(arguments, Path(name), int(size))
                codes.append(done.returncode)
                try:
                    check(done, Path(name))
                except (AssertionError, CharlmError) as error:
                    failures += 1
                    print(f"{' '.join(arguments)} with files of at most {size} bytes: {error}"[-1500:], flush=True)
        print(f"| {arguments[0]} | {len(codes)} | {codes.count(1)} |", flush=True)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
