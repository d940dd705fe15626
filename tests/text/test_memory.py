"""Memory does not grow with the text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import HARBOUR

MEGABYTE = 1 << 20
PEAK = """
import sys
from pathlib import Path
from charlm.config import DataConfig
from charlm.text.dataset import load_corpus
from charlm.text.batching import Lanes
corpus = load_corpus(DataConfig((sys.argv[1],)), Path(sys.argv[2]))
lanes = Lanes(corpus.train, 2, 64, 1)  # few, since the system maps megabytes around each
for _ in range(200):
    next(lanes)
# Not ru_maxrss, which begins at what the parent had.
print(len(corpus.train), Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def peak(path: Path) -> float:
    """The most memory that a process has while it reads a text and begins with its lanes, in bytes."""
    command = [sys.executable, "-c", PEAK, str(path), str(path.with_suffix(".run"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    characters, kibibytes = map(int, done.stdout.split())
    assert characters > 0.8 * path.stat().st_size
    return kibibytes * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_memory_stays_flat_for_a_large_text(tmp_path: Path) -> None:
    text = HARBOUR.read_bytes()
    peaks = []
    for size in (8 * MEGABYTE, 48 * MEGABYTE):
        path = tmp_path / f"{size}.txt"
        path.write_bytes(text * (size // len(text)))
        peaks.append(peak(path))
    assert peaks[1] - peaks[0] < 20 * MEGABYTE, "much less than the text has grown by"


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_memory_stays_flat_for_many_files(tmp_path: Path) -> None:
    peaks = []
    for count in (100, 3000):
        folder = tmp_path / f"{count}.files"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.txt").write_bytes(b"The ferry is late, number %d.\n" % number)
        command = [sys.executable, "-c", PEAK, str(folder), str(tmp_path / "run")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        peaks.append(int(done.stdout.split()[1]) * 1024)
    assert peaks[1] - peaks[0] < 16 * MEGABYTE
