"""How this process should use the machine while it trains: how its threads wait, and what it does with freed memory.

Both are settings of the C library and of OpenMP that Python has no names for; where they are others, nothing happens.
`docs/experiments.md` has what each is worth. No torch: `wait_well` must come before it is imported.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

# torch's threads meet thousands of times a second. Who comes first waits in a busy loop, so many turns long, before it
# sleeps. Waking takes longer than the wait, so an idle machine should spin; but on a busy one the loop takes the very
# processor from the thread that is waited for, and everything all but halts.
SPIN_IDLE, SPIN_BUSY = 30_000, 1_000
IDLE = 0.8  # of the processors' time
LOOK = 0.15  # seconds

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # mallopt(3)


def wait_well() -> None:
    """Choose how long OpenMP's threads spin, by what else the machine does now; what the environment says stands."""
    if "OMP_WAIT_POLICY" not in os.environ and "GOMP_SPINCOUNT" not in os.environ:
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_IDLE if _idle_share() > IDLE else SPIN_BUSY)


def _idle_share() -> float:
    """The share of all processors' time that nobody uses, while this process sleeps; 0 where it cannot be known."""
    try:
        before = _ticks()
        time.sleep(LOOK)
        passed = [after - first for after, first in zip(_ticks(), before, strict=True)]
    except (OSError, ValueError):
        return 0.0
    return passed[3] / max(1, sum(passed))


def _ticks() -> list[int]:
    with Path("/proc/stat").open() as file:
        return [int(word) for word in file.readline().split()[1:9]]  # user nice system idle iowait irq softirq steal


def keep_memory() -> None:
    """Keep what is freed for the next step, instead of giving it back and asking for it again.

    A step takes and frees hundreds of megabytes in large pieces. glibc takes such pieces from the system one by one,
    which clears every page anew each time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # no glibc
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 1 << 26)
