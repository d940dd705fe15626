"""A clock without the time while the process was stopped, by Ctrl-Z or SIGSTOP."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class AwakeClock:
    """Seconds of another clock, less stops.

    SIGCONT shows that the process was stopped, not for how long. So the time since the last reading is left out.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._left_out = 0.0
        self._was_stopped = False

    def __call__(self) -> float:
        now = self._clock()
        if self._was_stopped:
            self._left_out += now - self._last
            self._was_stopped = False
        self._last = now
        return now - self._left_out

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Notice stops, where Python allows it: in the main thread of a system that has them."""
        if not hasattr(signal, "SIGCONT") or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGCONT, lambda number, frame: setattr(self, "_was_stopped", True))
        try:
            yield
        finally:
            signal.signal(signal.SIGCONT, before)
