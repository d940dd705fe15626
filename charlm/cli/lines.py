"""The chat as lines: for screen readers, pipes and scripts.

A face of the same session that the app shows. What is typed is said, what begins with a slash is a command, the reply
streams. Where input comes from a pipe, standard output holds the replies alone.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import click

from charlm.chat.commands import COMMANDS, Command, Face, Operation, find
from charlm.chat.conversation import BOT, Turn
from charlm.chat.session import Session
from charlm.errors import CharlmError
from charlm.inference.generate import Piece
from charlm.text.visible import visible

PROMPT = "you> "


class Lines:
    """A conversation in lines.

    Args:
        session: the chat.
        asks: whether a person types, who is to be shown where.
        sleep: waits, to set a pace.
    """

    def __init__(self, session: Session, *, asks: bool, sleep: Callable[[float], None] = time.sleep) -> None:
        self.session = session
        self._asks = asks
        self._sleep = sleep
        self._over = False
        self._commands = (*COMMANDS, Command("help", "[COMMAND]", "this list", _help))

    def run(self) -> None:
        """Read and reply until the input ends."""
        self._tell_news()
        if self._asks:
            self.tell(f"{self.session.name}: /help lists commands, Ctrl-C stops a reply, Ctrl-D leaves")
        self.show_conversation()
        for line in self._lines():
            try:
                self._take(line)
            except CharlmError as error:
                self.tell(f"error: {error.message}" + (f" ({error.hint})" if error.hint else ""))
            self._tell_news()
            if self._over:
                return

    def _lines(self) -> Iterator[str]:
        while True:
            try:
                if self._asks:
                    with contextlib.suppress(ImportError):
                        import readline  # noqa: F401  # gives input() a history and an editor
                    yield input(PROMPT)
                else:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    yield line.removesuffix("\n")
            except EOFError:
                click.echo(err=True)
                return

    def _take(self, line: str) -> None:
        if line.startswith("/"):
            command, argument = find(self._commands, line)
            command.run(self, argument)
        else:
            conversation = self.session.conversation
            self.draw(lambda piece, turn: conversation.say(line, piece, turn))

    def _tell_news(self) -> None:
        for sentence in self.session.news():
            self.tell(f"note: {sentence}")

    # -- a face -------------------------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """Onto stderr: it is no part of the conversation."""
        click.echo(visible(text), err=True)

    def draw(self, operation: Operation) -> None:
        """Stream a reply; Ctrl-C stops it."""
        conversation = self.session.conversation
        live = sys.stdout.isatty()

        def show(piece: Piece) -> None:
            self._write(visible(piece.text) if live else piece.text)
            if pace := conversation.dials.pace:
                self._sleep(1 / pace)

        def begin(turn: Turn) -> None:
            if turn.author == BOT and turn.text:  # kept of an older reply
                self._write(visible(turn.text) if live else turn.text)

        with _interrupts(conversation.stop):
            operation(show, begin)
        self._write("\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def show_conversation(self) -> None:
        """Show where the conversation stands: its last two turns."""
        if not self._asks:
            return
        for turn in self.session.conversation.path[-2:]:
            label = self.session.label(turn)
            click.echo(visible(f"{label}: {turn.text}" if label else turn.text))

    def show_dials(self) -> None:
        """The command that turned them says so."""

    def leave(self) -> None:
        """End after this command."""
        self._over = True


def _help(face: Face, argument: str) -> None:
    rows = [(f"/{one.name} {one.argument}".rstrip(), one.help) for one in COMMANDS if one.name.startswith(argument)]
    face.tell("\n".join(f"{left:32} {right}" for left, right in rows))


@contextlib.contextmanager
def _interrupts(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C stops what is under way; a second one ends the program."""
    pressed = False

    def handle(number: int, frame: FrameType | None) -> Any:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
