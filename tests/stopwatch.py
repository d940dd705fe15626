"""Seconds of a process on a machine that is busy with others."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path


def waited_for_processor(process: int | str = "self") -> float:
    """Return the seconds that all threads of a process were ready, but not running. Linux only; elsewhere 0."""
    nanoseconds = 0
    for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with suppress(OSError):  # the thread has just ended
            nanoseconds += int(path.read_text().split()[1])
    return nanoseconds / 1e9


class Stopwatch:
    """Measures time without the waits of some processes for a processor."""

    def __init__(self, *processes: int | str) -> None:
        self._processes = processes
        self._began, self._waited = time.monotonic(), self._waits()

    def _waits(self) -> float:
        return sum(map(waited_for_processor, self._processes))

    def seconds(self) -> float:
        return max(0.0, time.monotonic() - self._began - self._waits() + self._waited)
