"""A terminal driver that survives the end of its terminal, and any bytes that the terminal sends.

When a window is closed in the middle of a frame, Textual's writing thread dies of the error. Its queue fills up, and
the app waits for room in it for ever. The signal does not help: it may arrive too late, and `nohup` ignores it.
"""

from __future__ import annotations

import io
import os
import re
import selectors
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO, cast

from textual import events
from textual._parser import Parser
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from charlm.text.sanitize import HIDDEN
from charlm.tui.graphemes import clean_input

POLL_SECONDS: Final = 0.1  # between two looks whether the app has ended

_HIDDEN: Final = re.compile(f"[{HIDDEN}]")  # every input field would write them to the terminal

# CSI, with parameters; OSC and the like, up to their end; a character set; else only the ESC.
_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[]P^_X][^\x07\x1b\r\n]*(?:\x07|\x1b\\)|[()][0-9A-Z])?")


class InputParser(XTermParser):
    """Parses what a terminal sends.

    A paste is text up to its end, without escape sequences. Textual would take them for keys. It would also fail at
    sequences with impossible numbers; here they are dropped, as are characters that would control the terminal.
    """

    max_pause_seconds = 5.0  # within a paste; after a longer one its end was lost

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._pasting = False
        self._last_input = 0.0  # when it came
        self._seen = ""  # of a paste; outside of one the last characters, which may begin one

    def feed(self, data: str) -> Iterator[Message]:
        """Yield the messages of more input. An empty text ends it."""
        if not data:
            yield from super().feed(data)
        data = _HIDDEN.sub("", data)
        self._last_input = time.monotonic()
        while data:
            seen, mark, after = (self._seen + data).partition(
                BRACKETED_PASTE_END if self._pasting else BRACKETED_PASTE_START
            )
            if self._pasting and mark:
                yield from (one for one in self._parse(mark) if not isinstance(one, events.Paste))
                yield events.Paste(clean_input(_SEQUENCE.sub("", seen)))
            elif not self._pasting:
                yield from self._parse(data[: len(data) - len(after)])
                seen = seen[1 - len(BRACKETED_PASTE_START) :]
            self._seen = "" if mark else seen
            self._pasting ^= bool(mark)
            data = after

    def tick(self) -> Iterator[Message]:
        """Yield the messages of input that was waited for in vain."""
        if self._pasting and time.monotonic() - self._last_input > self.max_pause_seconds:
            yield from self.feed(BRACKETED_PASTE_END)
        yield from super().tick()

    def _parse(self, data: str) -> Iterator[Message]:
        try:
            yield from super().feed(data)
        except (ValueError, OverflowError):
            Parser.__init__(self)


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


class TolerantDriver(LinuxDriver):
    """Ends the app when its terminal is gone, and never because of a byte that the terminal sends."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self._file = cast(io.TextIOWrapper, BrokenPipeTolerantFile(cast(TextIO, self._file), self._leave))

    def _sigcont_application(self, *_: object) -> None:
        """Set the terminal up again after a SIGSTOP; Textual expects that it was left before."""
        if self._auto_restart:
            self._app.call_later(self._set_up_again)

    def _set_up_again(self) -> None:
        with self._app.suspend():
            pass

    def _leave(self) -> None:
        self._app.call_later(self._app.action_quit)

    def run_input_thread(self) -> None:
        """Handle input until the app ends. Bytes that are not UTF-8 become symbols."""
        parser = InputParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(POLL_SECONDS):
                    try:
                        data = os.read(self.fileno, 1 << 16)
                    except OSError:  # the terminal is gone
                        data = b""
                    if not data:
                        self._leave()
                        return
                    for message in parser.feed(decode(data)):
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)
