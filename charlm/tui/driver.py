"""A terminal driver that survives its terminal.

When a window is closed in the middle of a frame, Textual's writing thread dies of the error. Its queue fills up, and
the app waits for room in it for ever. The signal does not help: it may arrive too late, and `nohup` ignores it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TextIO, cast

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver


class BrokenPipeTolerantFile(io.TextIOBase):
    """Drops what is written once the file behind it has failed. Then it calls `lost`, once, in the writing thread."""

    def __init__(self, file: TextIO, lost: Callable[[], object]) -> None:
        self._file = file
        self._lost = lost
        self._failed = False

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, text: str) -> int:
        self._try(lambda: self._file.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._file.flush)

    def _try(self, send: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            send()
        except OSError:
            self._failed = True
            self._lost()


class BrokenPipeTolerantDriver(LinuxDriver):
    """Ends the app when its terminal is gone."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        file = BrokenPipeTolerantFile(cast(TextIO, self._file), lambda: app.call_later(app.action_quit))
        self._file = cast(io.TextIOWrapper, file)
