"""The chat in line mode: for screen readers, pipes and scripts.

It uses the same session as the app. A line is a message, or a slash command; the reply streams. With a pipe as input,
standard output holds only the replies, or the messages too, or JSON. A reply ends with a line end, and with a blank
line in formats whose turns may have several lines.
"""

from __future__ import annotations

import contextlib
import io
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

import click

from charlm.chat.commands import COMMANDS, ChatUI, Command, Operation, find_command
from charlm.chat.reply import Observer, Reply
from charlm.chat.session import Session
from charlm.chat.turns import BOT, Turn
from charlm.cli.output import is_live, print_json, print_note, print_text
from charlm.errors import CharlmError
from charlm.inference.generate import Piece

PROMPT = "you> "
PASTE_SECONDS = 0.02  # between two lines of a paste
_END_SIGNALS: Final = [one for one in (signal.SIGTERM, getattr(signal, "SIGHUP", None)) if one is not None]


class PlainChat:
    """A chat in line mode.

    Args:
        session: the chat.
        prompts: show a prompt: a person types.
        echoes: print messages before their replies. A terminal does that by itself.
        as_json: print each finished reply as a line of JSON, instead of its text as it comes.
    """

    def __init__(self, session: Session, *, prompts: bool, echoes: bool = False, as_json: bool = False) -> None:
        self.session = session
        self._prompts = prompts
        self._echoes = echoes and not prompts
        self._as_json = as_json
        self._generating = False
        self._interrupted = False
        self._wake = threading.Event()  # ends the pause between two characters
        self._code: int | None = None  # the exit code, when the chat is to end
        self._commands = (*COMMANDS, Command("help", "[COMMAND]", "this list", _help))

    def run(self) -> int:
        """Read and reply until the input ends. Returns the exit code."""
        with self._handled_signals():
            self._show_news()
            if self._prompts:
                self.show_note(self.session.introduction)
                self.show_note("/help lists commands, Ctrl-C stops a reply, Ctrl-D ends the chat")
            self.show_conversation()
            for line in self._lines():
                try:
                    self._take(line)
                except CharlmError as error:
                    self.show_note(f"error: {error.message}" + (f" ({error.hint})" if error.hint else ""))
                self._show_news()
                if self._code is not None:
                    return self._code
        return 0

    def _lines(self) -> Iterator[str]:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # a wrong byte must not end the chat
        if not self._prompts:
            for line in iter(sys.stdin.readline, ""):
                yield line.removesuffix("\n")
            return
        with contextlib.suppress(ImportError):
            import readline  # gives input() a history and an editor

            if is_live():
                readline.parse_and_bind("set enable-bracketed-paste on")
        lines: list[str] = []
        with contextlib.suppress(EOFError):
            while True:
                lines = [input(PROMPT)]
                # A terminal without bracketed paste sends the rest of a paste as lines that are there at once.
                while not lines[0].startswith("/") and select.select([sys.stdin], [], [], PASTE_SECONDS)[0]:
                    lines.append(input())
                yield "\n".join(lines)
                lines = []
        if lines:  # the input ended in a paste
            yield "\n".join(lines)
        click.echo(err=True)

    def _take(self, line: str) -> None:
        if line.startswith("/"):
            command, argument = find_command(self._commands, line)
            command.run(self, argument)
        else:
            conversation = self.session.conversation
            if self._echoes:
                print_text(f"{PROMPT}{line}")
            self.generate(lambda observer: conversation.say(line, observer))

    def _show_news(self) -> None:
        for message in self.session.news():
            self.show_note(f"note: {message}")

    # -- signals ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _handled_signals(self) -> Iterator[None]:
        """Handle signals: Ctrl-C stops a reply, and between replies ends the chat. SIGTERM and SIGHUP end it.

        A reply is stopped before the chat ends, so that its text is saved.
        """
        numbers = [number for number in _END_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._end) for number in numbers}
        before[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._generating or self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        self._stop()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._code = 128 + number
        if not self._generating:
            raise SystemExit(self._code)
        self._stop()

    def _stop(self) -> None:
        self.session.conversation.stop()
        self._wake.set()

    # -- ChatUI -------------------------------------------------------------------------------------------------------

    def show_note(self, text: str) -> None:
        """Print a message to stderr: it is not part of the conversation."""
        print_note(text)

    def generate(self, operation: Operation) -> None:
        conversation = self.session.conversation
        end = "\n" if self._prompts or self.session.dialogue.closing == "\n" else "\n\n"
        written = False

        def write(text: str) -> None:
            nonlocal written
            if not self._as_json:
                print_text(text, end="")
                written = True

        def show(piece: Piece) -> None:
            write(piece.text)
            if pace := conversation.dials.pace:
                self._wake.wait(1 / pace)

        def begin(turn: Turn) -> None:
            if self._interrupted or self._code is not None:  # a signal came before the reply began
                conversation.stop()
            if turn.author == BOT and turn.text:  # the start of an older reply
                write(turn.text)

        self._interrupted = False
        self._wake.clear()
        self._generating = True
        try:
            reply = operation(Observer(show, begin))
        except BaseException:
            if written:
                print_text(end, end="")
            raise
        finally:
            self._generating = False
        if self._as_json:
            print_json(self._document(reply))
        else:
            print_text(end, end="")

    def _document(self, reply: Reply) -> dict[str, object]:
        conversation = self.session.conversation
        return {
            "text": reply.text if reply.reason == "cancelled" and not reply.text else reply.turn.text,
            "reason": reply.reason,
            "logprob": reply.logprob,
            "seconds": reply.seconds,
            "conversation": conversation.data.number,
            "turn": len(conversation.path),
        }

    def show_conversation(self) -> None:
        """Print the last two turns."""
        if not self._prompts:
            return
        for turn in self.session.conversation.path[-2:]:
            label = self.session.label(turn)
            print_text(f"{label}: {turn.text}" if label else turn.text)

    def show_dials(self) -> None:
        """Do nothing: the command that changed them prints a message."""

    def leave(self) -> None:
        """End the chat after this command."""
        self._code = 0


def _help(ui: ChatUI, argument: str) -> None:
    rows = [(f"/{one.name} {one.argument}".rstrip(), one.help) for one in COMMANDS if one.name.startswith(argument)]
    ui.show_note("\n".join(f"{left:32} {right}" for left, right in rows))
