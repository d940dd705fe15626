"""Seconds of a process on a machine that is busy with others."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path


def waits(process: int | str) -> dict[str, float]:
    """Return the seconds that each thread of a process was ready, but not running. Linux only; elsewhere none."""
    found = {}
    for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with suppress(OSError):  # the thread has just ended
            found[path.parent.name] = int(path.read_text().split()[1]) / 1e9
    return found


class Stopwatch:
    """Measures time without the waits of some processes for a processor: that of the thread that waited longest."""

    def __init__(self, *processes: int | str) -> None:
        self._before = {process: waits(process) for process in processes}
        self._began = time.monotonic()

    def seconds(self) -> float:
        elapsed = time.monotonic() - self._began
        for process, before in self._before.items():
            elapsed -= max((wait - before.get(thread, 0.0) for thread, wait in waits(process).items()), default=0.0)
        return max(0.0, elapsed)
