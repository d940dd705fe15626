"""Turns of the requests at the one processor.

Each request computes in its own thread, but only while it holds the turnstile. After a few characters it goes to the
end of the queue, so all requests advance at the same pace. Output waits in a short queue; a request whose client reads
slowly leaves the turnstile to the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from charlm.errors import CharlmError
from charlm.serve.errors import ApiError

STEPS_PER_TURN: Final = 8  # of the model
STEPS_OF_FIRST_TURN: Final = 3  # reading a short prompt, and the first character
MAX_QUEUED_CHUNKS: Final = 32  # of output, for a client that reads slowly

Cancel = Callable[[], bool]
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Turnstile:
    """A lock that is passed on in the order of arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """Number of threads that wait."""
        return len(self._waiting)

    def acquire(self) -> None:
        with self._lock:
            if not self._is_held:
                self._is_held = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False

    def pass_on(self) -> None:
        """Let all others who wait go first."""
        if self.waiting:
            self.release()
            self.acquire()


class Job:
    """One request: computes chunks of output in a worker thread, for the event loop.

    Args:
        turnstile: held while computing.
        work: yields chunks; it calls its argument before each step of the model, and ends once that returns true.
    """

    def __init__(self, turnstile: Turnstile, work: Callable[[Cancel], Iterable[bytes]]) -> None:
        self._turnstile = turnstile
        self._work = work
        self._steps = 0
        self._is_cancelled = False
        self._room = threading.Semaphore(MAX_QUEUED_CHUNKS)
        self._loop = asyncio.get_running_loop()
        self._wakeup = asyncio.Event()
        self._ready: list[bytes] = []
        self._error: ApiError | None = None
        self._has_ended = False

    # -- in the worker thread -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Compute."""
        error: ApiError | None = None
        self._turnstile.acquire()
        try:
            for chunk in self._work(self._step):
                if self._is_cancelled:
                    break
                self._wait_for_room()
                self._call(self._add, chunk)
        except Exception as problem:
            if not isinstance(problem, CharlmError | ApiError):
                _log.exception("a request failed")
            error = ApiError.of(problem)
        finally:
            self._turnstile.release()
            self._call(self._end, error)

    def _step(self) -> bool:
        self._steps += 1
        if self._steps % STEPS_PER_TURN == STEPS_OF_FIRST_TURN:
            self._turnstile.pass_on()
        return self._is_cancelled

    def _wait_for_room(self) -> None:
        if not self._room.acquire(blocking=False):
            self._turnstile.release()
            self._room.acquire()
            self._turnstile.acquire()

    def _call(self, function: Callable[[_T], None], argument: _T) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, argument)

    # -- in the event loop --------------------------------------------------------------------------------------------

    def _add(self, chunk: bytes) -> None:
        self._ready.append(chunk)
        self._wakeup.set()

    def _end(self, error: ApiError | None) -> None:
        self._error, self._has_ended = error, True
        self._wakeup.set()

    async def take(self) -> bytes:
        """Wait for output, and return all that is ready; empty at the end. Raises ApiError if the work failed."""
        while not self._ready and not self._has_ended:
            self._wakeup.clear()
            await self._wakeup.wait()
        if not self._ready and self._error is not None:
            error, self._error = self._error, None
            raise error
        chunks, self._ready = self._ready, []
        if chunks:
            self._room.release(len(chunks))
        return b"".join(chunks)

    def cancel(self) -> None:
        """End the work before its next step."""
        self._is_cancelled = True
        self._room.release()  # it may wait for room
