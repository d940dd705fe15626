"""Events from the worker threads to the interface.

A worker adds events and never touches a widget. The interface drains the queue 30 times a second: a call for each
character would block the worker and stall the interface.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from charlm.chat.commands import Operation
    from charlm.chat.conversation import Conversation
    from charlm.chat.reply import Reply
    from charlm.chat.session import Session
    from charlm.chat.turns import Turn
    from charlm.inference.generate import Piece

from charlm.tui.activation_probe import ActivationProbe, ActivationsReady, UnitColours

MAX_LAG_SECONDS = 0.05  # a slow step's delay that the next characters make up for, at a set pace
MIN_PAUSE_SECONDS = 0.002  # a shorter pause costs more than it lasts

_LN2 = math.log(2)


class Loaded(NamedTuple):
    """The model and the conversation are loaded."""

    session: Session


class TurnBegan(NamedTuple):
    """A turn began: a person's, complete, or the model's."""

    turn: Turn
    text: str  # at that time; the turn may be longer when the event is read


class TextWritten(NamedTuple):
    """The model wrote more of the last turn."""

    text: str
    bits: list[float]  # surprisal of each character


class ReplyFinished(NamedTuple):
    """A reply is complete."""

    reply: Reply


class TurnScored(NamedTuple):
    """The surprisals of a turn's characters are known."""

    turn: Turn
    bits: list[float]


class Failed(NamedTuple):
    """A worker raised an error."""

    error: Exception
    loading: bool


Event = Loaded | TurnBegan | TextWritten | ReplyFinished | TurnScored | ActivationsReady | UnitColours | Failed


class EventQueue:
    """Queue of events, and the functions that worker threads run."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self.put = self._events.append
        self.probe = ActivationProbe(self.put)
        self._wake = threading.Event()
        self.stopping: Conversation | None = None  # the current request was asked to stop
        self._closed = False
        self._scored: Sequence[Turn] = ()  # turns that are scored

    def __len__(self) -> int:
        return len(self._events)

    def drain(self) -> list[Event]:
        """Remove all events and return them, with consecutive texts joined."""
        events: list[Event] = []
        while self._events:
            event = self._events.popleft()
            last = events[-1] if events else None
            if isinstance(event, TextWritten) and isinstance(last, TextWritten):
                events[-1] = TextWritten(last.text + event.text, last.bits + event.bits)
            else:
                events.append(event)
        return events

    # -- in the interface thread --------------------------------------------------------------------------------------

    def stop(self, conversation: Conversation) -> None:
        """Stop the current reply, or the requested one, even before a worker has begun it.

        A conversation ignores a stop between two replies.
        """
        self.stopping = conversation
        conversation.stop()
        self.skip_pause()

    def resend_stop(self) -> None:
        """Repeat the stop, for a worker that has begun since."""
        if self.stopping is not None:
            self.stopping.stop()

    def skip_pause(self) -> None:
        """End the current pause between two characters."""
        self._wake.set()

    def close(self) -> None:
        """Let the workers end early: no events will be read."""
        self._closed = True
        self.skip_pause()

    # -- in worker threads --------------------------------------------------------------------------------------------

    def generate(self, conversation: Conversation, operation: Operation) -> None:
        """Run an operation that draws a reply, at the pace that is set."""
        from charlm.chat.reply import Observer

        self._wake.clear()
        due = time.monotonic()  # earliest time of the next character

        def begin(turn: Turn) -> None:
            self.resend_stop()  # before the first character
            self.put(TurnBegan(turn, turn.text))
            self.probe.begin(conversation, turn)

        def show(piece: Piece) -> None:
            nonlocal due
            if piece.text:
                # A piece is one character, except where broken bytes were decoded.
                self.put(TextWritten(piece.text, [-piece.logprob / _LN2] * len(piece.text)))
            self.probe.add_piece(piece)
            if pace := conversation.dials.pace:
                now = time.monotonic()
                due = max(due, now - MAX_LAG_SECONDS) + 1 / pace
                if due > now + MIN_PAUSE_SECONDS and self._wake.wait(due - now):
                    self._wake.clear()  # the reply was stopped, or the pace changed
                    due = time.monotonic()

        try:
            reply = operation(Observer(show, begin))
            self.probe.finish()
            self.put(ReplyFinished(reply))
        except Exception as error:
            self.put(Failed(error, loading=False))

    def score_turns(self, conversation: Conversation, turns: Sequence[Turn]) -> None:
        """Compute the surprisals of turns, until the conversation is busy or others are to be scored."""
        self._scored = turns
        for turn in turns:
            if conversation.busy or self._closed or self._scored is not turns:
                return
            self.put(TurnScored(turn, [one.surprisal for one in conversation.contexts.score_chars(turn, 0)]))
