"""The chat as lines: for screen readers, pipes and scripts.

A face of the same session that the app shows. What is typed is said, what begins with a slash is a command, the reply
streams. Where input comes from a pipe, standard output holds the replies, alone or with what was said: a line each, or
with a blank line after each where the format lets it have several lines; or it holds them as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import click

from charlm.chat.commands import COMMANDS, ChatUI, Command, Operation, find_command
from charlm.chat.conversation import Reply
from charlm.chat.session import Session
from charlm.chat.turns import BOT, Turn
from charlm.errors import CharlmError
from charlm.inference.generate import Piece
from charlm.text.sanitize import visible

PROMPT = "you> "
_ENDINGS: Final = [one for one in (signal.SIGTERM, getattr(signal, "SIGHUP", None)) if one is not None]


class PlainChat:
    """A conversation in lines.

    Args:
        session: the chat.
        asks: whether a person types, who is to be shown where.
        echoes: whether what is said is shown before its reply, which a terminal does by itself.
        as_json: write each reply as a line of JSON when it is finished, instead of its text as it comes.
    """

    def __init__(self, session: Session, *, asks: bool, echoes: bool = False, as_json: bool = False) -> None:
        self.session = session
        self._asks = asks
        self._echoes = echoes and not asks
        self._as_json = as_json
        self._drawing = False
        self._interrupted = False
        self._wake = threading.Event()
        self._code: int | None = None  # to leave with
        self._commands = (*COMMANDS, Command("help", "[COMMAND]", "this list", _help))

    def run(self) -> int:
        """Read and reply until the input ends.

        Returns:
            The exit code.
        """
        with self._signals():
            self._tell_news()
            if self._asks:
                self.show_note(f"{self.session.name}: /help lists commands, Ctrl-C stops a reply, Ctrl-D leaves")
            self.show_conversation()
            for line in self._lines():
                try:
                    self._take(line)
                except CharlmError as error:
                    self.show_note(f"error: {error.message}" + (f" ({error.hint})" if error.hint else ""))
                self._tell_news()
                if self._code is not None:
                    return self._code
        return 0

    def _lines(self) -> Iterator[str]:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # what is no UTF-8 must not end a conversation
        if self._asks:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  # gives input() a history and an editor
        while True:
            try:
                if self._asks:
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
            command, argument = find_command(self._commands, line)
            command.run(self, argument)
        else:
            conversation = self.session.conversation
            if self._echoes:
                self._write(f"{PROMPT}{line}\n")
            self.generate(lambda piece, turn: conversation.say(line, piece, turn))

    def _tell_news(self) -> None:
        for sentence in self.session.news():
            self.show_note(f"note: {sentence}")

    # -- signals ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C stops a reply, a second one or one between replies ends the chat; so does whoever ends the process.

        A reply under way is stopped, never torn off: what was shown is kept.
        """
        heeded = {number: self._end for number in _ENDINGS if signal.getsignal(number) != signal.SIG_IGN}
        before = {number: signal.signal(number, act) for number, act in heeded.items()}
        before[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._drawing or self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        self._stop()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._code = 128 + number
        if not self._drawing:
            raise SystemExit(self._code)
        self._stop()

    def _stop(self) -> None:
        self.session.conversation.stop()
        self._wake.set()

    # -- a face -------------------------------------------------------------------------------------------------------

    def show_note(self, text: str) -> None:
        """Onto stderr: it is no part of the conversation."""
        click.echo(visible(text), err=True)

    def generate(self, operation: Operation) -> None:
        """Stream a reply."""
        conversation = self.session.conversation
        live = sys.stdout.isatty()
        end = "\n" if self._asks or self.session.dialogue.closing == "\n" else "\n\n"
        written = False

        def write(text: str) -> None:
            nonlocal written
            if not self._as_json:
                self._write(visible(text) if live else text)
                written = True

        def show(piece: Piece) -> None:
            write(piece.text)
            if pace := conversation.dials.pace:
                self._wake.wait(1 / pace)

        def begin(turn: Turn) -> None:
            if self._interrupted or self._code is not None:  # before the conversation had begun, which forgot it
                conversation.stop()
            if turn.author == BOT and turn.text:  # kept of an older reply
                write(turn.text)

        self._interrupted = False
        self._wake.clear()
        self._drawing = True
        try:
            reply = operation(show, begin)
        except BaseException:
            if written:
                self._write(end)
            raise
        finally:
            self._drawing = False
        self._write(json.dumps(self._document(reply), ensure_ascii=live) + "\n" if self._as_json else end)

    def _document(self, reply: Reply) -> dict[str, Any]:
        conversation = self.session.conversation
        return {
            "text": reply.text if reply.reason == "cancelled" and not reply.text else reply.turn.text,
            "reason": reply.reason,
            "logprob": reply.logprob,
            "seconds": reply.seconds,
            "conversation": conversation.data.number,
            "turn": len(conversation.path),
        }

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
        self._code = 0


def _help(face: ChatUI, argument: str) -> None:
    rows = [(f"/{one.name} {one.argument}".rstrip(), one.help) for one in COMMANDS if one.name.startswith(argument)]
    face.show_note("\n".join(f"{left:32} {right}" for left, right in rows))
