"""A driver that outlives its terminal.

A window may be closed in the middle of a frame. Textual's thread that writes then dies of the error, what it was to
write fills its queue, and the app waits for ever to add to it; the thread that reads is told "nothing yet", for ever.
The signal for it is not enough: it may come when the app already waits, and `nohup` has it ignored.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TextIO, cast

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver


class BrokenPipeTolerantFile(io.TextIOBase):
    """Takes whatever it is given, even when the file behind it no longer does.

    Args:
        file: where text goes as long as it can.
        lost: called once, in the thread that writes, when it no longer can.
    """

    def __init__(self, file: TextIO, lost: Callable[[], object]) -> None:
        self._file = file
        self._lost = lost
        self._gone = False

    def fileno(self) -> int:
        """The file's number."""
        return self._file.fileno()

    def write(self, text: str) -> int:
        """Write a text, or let it go."""
        self._try(lambda: self._file.write(text))
        return len(text)

    def flush(self) -> None:
        """Send what was written, or let it go."""
        self._try(self._file.flush)

    def _try(self, send: Callable[[], object]) -> None:
        if self._gone:
            return
        try:
            send()
        except OSError:
            self._gone = True
            self._lost()


class BrokenPipeTolerantDriver(LinuxDriver):
    """Has the app quit when its terminal is gone."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        lasting = BrokenPipeTolerantFile(cast(TextIO, self._file), lambda: app.call_later(app.action_quit))
        self._file = cast(io.TextIOWrapper, lasting)
