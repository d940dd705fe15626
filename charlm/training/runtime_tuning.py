"""Settings of the process that make training faster: how threads wait, and how freed memory is kept.

docs/experiments.md has their effects. No torch: `set_spin_count` must run before torch is imported.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

# torch's threads meet thousands of times a second. A waiting thread spins this many times before it sleeps. Waking
# takes longer than the wait, so spinning pays on an idle machine. On a busy one it takes the processor from the thread
# that is waited for, and training nearly stops.
SPIN_IDLE, SPIN_BUSY = 30_000, 1_000
MIN_IDLE_SHARE = 0.8  # of the processors' time, for SPIN_IDLE
SAMPLE_SECONDS = 0.15

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # mallopt(3)


def idle_share(stat: Path = Path("/proc/stat")) -> float:
    """Return the idle share of all processors' time while this process sleeps; 0 if it is unknown."""
    try:
        before = _ticks(stat)
        time.sleep(SAMPLE_SECONDS)
        passed = [after - first for after, first in zip(_ticks(stat), before, strict=True)]
    except (OSError, ValueError):
        return 0.0
    return passed[3] / max(1, sum(passed))


def _ticks(stat: Path) -> list[int]:
    with stat.open() as file:
        return [int(word) for word in file.readline().split()[1:9]]  # user nice system idle iowait irq softirq steal


def set_spin_count(measure_idle: Callable[[], float] = idle_share) -> None:
    """Choose how long OpenMP's threads spin, by the machine's load now. Variables that the user has set win."""
    if "OMP_WAIT_POLICY" not in os.environ and "GOMP_SPINCOUNT" not in os.environ:
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_IDLE if measure_idle() > MIN_IDLE_SHARE else SPIN_BUSY)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step.

    A step allocates and frees hundreds of megabytes in large pieces. By default glibc returns them to the system, which
    clears every page before it gives it out again.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # no glibc
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 1 << 26)
