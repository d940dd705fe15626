"""The traffic between the worker and the interface.

The worker puts what happens into an inbox and never touches a widget; the interface empties it thirty times a second. A
call a character would stop the one and stall the other.
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
    from charlm.chat.conversation import Conversation, Reply
    from charlm.chat.session import Session
    from charlm.chat.turns import Turn
    from charlm.inference.generate import Piece

from charlm.tui.activation_probe import ActivationProbe, ActivationsReady, UnitColours

CATCH_UP = 0.05  # seconds
SHORTEST_PAUSE = 0.002  # seconds; shorter ones cost more than they last

_LN2 = math.log(2)


class Loaded(NamedTuple):
    """A model is there, and a conversation."""

    session: Session


class Began(NamedTuple):
    """A turn has begun: yours, whole, or the model's.

    Attributes:
        turn: it.
        text: what it said then; by the time this is read it may say more.
    """

    turn: Turn
    text: str


class Wrote(NamedTuple):
    """The model wrote on.

    Attributes:
        text: what.
        bits: the surprise of each character.
    """

    text: str
    bits: list[float]


class Done(NamedTuple):
    """A reply is finished."""

    reply: Reply


class Surprises(NamedTuple):
    """How surprising each character of a turn was."""

    turn: Turn
    bits: list[float]


class Failed(NamedTuple):
    """Something went wrong."""

    error: Exception
    loading: bool


Event = Loaded | Began | Wrote | Done | Surprises | ActivationsReady | UnitColours | Failed


class EventQueue:
    """What the worker has to tell.

    Attributes:
        probe: looks into the model while it writes.
    """

    def __init__(self) -> None:
        self.probe = ActivationProbe(self.put)
        self._events: deque[Event] = deque()
        self._wake = threading.Event()
        self._stopped: Conversation | None = None
        self._closed = False

    def put(self, event: Event) -> None:
        """Called by the worker."""
        self._events.append(event)

    def take(self) -> list[Event]:
        """Everything since the last time, characters that follow one another in one piece."""
        events: list[Event] = []
        while self._events:
            event = self._events.popleft()
            last = events[-1] if events else None
            if isinstance(event, Wrote) and isinstance(last, Wrote):
                events[-1] = Wrote(last.text + event.text, last.bits + event.bits)
            else:
                events.append(event)
        return events

    def expect(self) -> None:
        """A reply is about to be asked for: from now on it can be stopped, though no worker has begun it yet."""
        self._stopped = None

    def stop(self, conversation: Conversation) -> None:
        """End the reply that is under way, or about to be. A conversation forgets what it is told between two."""
        self._stopped = conversation
        conversation.stop()
        self.hurry()

    def insist(self) -> None:
        """Say it again, to a worker that has begun meanwhile. Called by the interface now and then."""
        if self._stopped is not None:
            self._stopped.stop()

    def hurry(self) -> None:
        """End the pause that the pace dial makes."""
        self._wake.set()

    def close(self) -> None:
        """Nobody looks into it any more."""
        self._closed = True
        self.hurry()

    def write(self, conversation: Conversation, operation: Operation) -> None:
        """Let the model write, at the pace that is set. In the worker."""
        self._wake.clear()
        due = time.monotonic()  # when the next character may come, at the pace that is set

        def begin(turn: Turn) -> None:
            self.insist()  # before the first character
            self.put(Began(turn, turn.text))
            self.probe.begin(conversation, turn)

        def show(piece: Piece) -> None:
            nonlocal due
            if piece.text:
                # A piece is one character, but for what broken bytes leave.
                self.put(Wrote(piece.text, [-piece.logprob / _LN2] * len(piece.text)))
            self.probe.piece(piece)
            if pace := conversation.dials.pace:
                # What a slow step has cost is made up for, up to a frame or two.
                now = time.monotonic()
                due = max(due, now - CATCH_UP) + 1 / pace
                if due > now + SHORTEST_PAUSE and self._wake.wait(due - now):
                    self._wake.clear()  # it was stopped, or the pace was changed
                    due = time.monotonic()

        try:
            reply = operation(show, begin)
            self.probe.finish()
            self.put(Done(reply))
        except Exception as error:
            self.put(Failed(error, loading=False))

    def warm(self, conversation: Conversation, turns: Sequence[Turn]) -> None:
        """Find out how surprising turns were. In a worker; given up as soon as the conversation is busy."""
        for turn in turns:
            if conversation.busy or self._closed:
                return
            self.put(Surprises(turn, [one.surprise for one in conversation.consider(turn, 0)]))
