"""Memory does not grow with the text, whether it is one large file or many small ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import HARBOUR, PATIENCE

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
    """Return the most memory, in bytes, of a process that reads a text and begins with its lanes."""
    command = [sys.executable, "-c", PEAK, str(path), str(path.with_suffix(".run"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    characters, kibibytes = map(int, done.stdout.split())
    assert characters > 80_000
    return kibibytes * 1024


def make_large_file(path: Path, size: int) -> None:
    text = HARBOUR.read_bytes()
    path.write_bytes(text * (size // len(text)))


def make_many_files(path: Path, count: int) -> None:
    path.mkdir()
    for number in range(count):
        (path / f"{number}.txt").write_bytes(b"The ferry is late, number %d.\n" % number * 30)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
@pytest.mark.parametrize(
    ("make", "small", "large"), [(make_large_file, 8 * MEGABYTE, 48 * MEGABYTE), (make_many_files, 100, 3000)]
)
def test_memory_stays_flat(tmp_path: Path, make: Callable[[Path, int], None], small: int, large: int) -> None:
    peaks = []
    for size in (small, large):
        make(tmp_path / f"{size}.txt", size)
        peaks.append(peak(tmp_path / f"{size}.txt"))
    assert peaks[1] - peaks[0] < 20 * MEGABYTE, "grows with the text"
