"""Activations for the X-ray: how often the model is read again, from where, and what is sent to the interface.

All of it runs in worker threads. The interface sets what is wanted, and gets small plain values.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from charlm.chat.conversation import Conversation
    from charlm.chat.turns import Turn
    from charlm.inference.engine import Activations, Engine
    from charlm.inference.generate import Piece
    from charlm.inference.state import State
    from charlm.insight.xray import ActivationSummary
    from charlm.tui.widgets.rendering import ColourScale

PERIOD_SECONDS = 0.08  # between two summaries of a reply in progress
MAX_ENTROPIES = 400  # characters of a line

_LN2 = math.log(2)


class Pin(NamedTuple):
    """A unit whose signal colours the transcript."""

    layer: int
    unit: int
    signal: str


class ActivationsReady(NamedTuple):
    """A summary of a reply in progress."""

    summary: ActivationSummary


class UnitColours(NamedTuple):
    """Values of a pinned unit at consecutive characters of a turn."""

    pin: Pin
    turn: Turn
    first: int  # place of the first character in the turn
    values: list[float]
    scale: ColourScale


@dataclass
class _ReplyInProgress:
    """A reply, and its ids after the last known state."""

    conversation: Conversation
    turn: Turn
    kept: str  # text of the turn when it began
    engine: Engine | None = None
    state: State | None = None  # before the pending ids; None is where the turn begins
    next_state: State | None = None  # after the pending ids
    pending: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)  # characters that each pending id completes
    coloured: bool = False  # the pinned unit's values at the pending ids were sent
    first: int = 0  # place in the turn of the first pending character
    character: str = ""  # the last one
    entropies: list[float] = field(default_factory=list)  # bits, of the current line

    def add(self, piece: Piece, *, pinned: bool) -> None:
        if self.next_state is not None and (self.coloured or not pinned):
            self.first += sum(self.lengths)
            self.state, self.pending, self.lengths = self.next_state, [], []
        self.next_state = piece.context.state if piece.context is not None else None
        self.pending.append(piece.id)
        self.lengths.append(len(piece.text))
        self.coloured = False
        self.entropies.append(piece.entropy / _LN2)
        self.character = piece.text[-1:] or self.character


class ActivationProbe:
    """Reads the model's activations, and puts events."""

    def __init__(
        self, put: Callable[[ActivationsReady | UnitColours], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.watching = False  # the X-ray is open
        self.width = 20  # groups that the units of a layer are folded into
        self.pin: Pin | None = None
        self._put = put
        self._clock = clock
        self._next_summary = 0.0
        self._reply: _ReplyInProgress | None = None
        self._reach: tuple[Pin | None, float] = (None, 0.0)  # largest distance from 0 of a pinned unit
        self._last_read: tuple[Turn, str, Engine, Activations] | None = None

    # -- a reply in progress; in the thread that draws it -------------------------------------------------------------

    def begin(self, conversation: Conversation, turn: Turn) -> None:
        self._reply = _ReplyInProgress(conversation, turn, turn.text, first=len(turn.text))

    def add_piece(self, piece: Piece) -> None:
        """Follow the reply; send a summary if one is due."""
        reply = self._reply
        assert reply is not None
        reply.add(piece, pinned=self.pin is not None)
        if self._clock() >= self._next_summary:
            self._probe(reply)
        if piece.text.endswith("\n"):
            reply.entropies = []

    def finish(self) -> None:
        """Send a summary of the last character."""
        if self._reply is not None and self._reply.pending:
            self._probe(self._reply)
        self._reply = None

    def _probe(self, reply: _ReplyInProgress) -> None:
        pin = self.pin  # another thread may change it
        if not self.watching and pin is None:
            return
        import numpy as np

        from charlm.insight.xray import summarise_activations

        if reply.engine is None:
            start, reply.engine = _read_turn(reply.conversation, reply.turn, reply.kept)
            reply.state = reply.state or start
        assert reply.state is not None
        engine = reply.engine.with_clamps(reply.conversation.dials.clamps)  # as for the next character
        state, ids = reply.state, np.array(reply.pending)
        values: list[float] = []
        if len(ids) > 1:
            if pin is None:
                state, _ = engine.prefill(state, ids[:-1])
            else:
                before = engine.forward_with_activations(state, ids[:-1])
                state = before.state
                values += _values_of(pin, before)
        activations = engine.forward_with_activations(state, ids[-1:])
        if pin is not None:
            values += _values_of(pin, activations)
            by_character = [value for value, length in zip(values, reply.lengths, strict=True) for _ in range(length)]
            self._send_colours(engine, pin, reply.turn, reply.first, by_character)
        if self.watching:
            entropies = reply.entropies[-MAX_ENTROPIES:]
            summary = summarise_activations(engine, activations, reply.character, entropies, self.width)
            self._put(ActivationsReady(summary))
        reply.first += sum(reply.lengths[:-1])
        reply.state, reply.pending, reply.lengths = state, reply.pending[-1:], reply.lengths[-1:]
        reply.coloured = True
        self._next_summary = self._clock() + PERIOD_SECONDS

    # -- finished turns; in other threads -----------------------------------------------------------------------------

    def colour_turns(self, conversation: Conversation, turns: Sequence[Turn]) -> None:
        """Send the pinned unit's values in finished turns, until a reply begins or the pin changes."""
        from charlm.inference.context import encode_lossy
        from charlm.inference.engine import SEGMENT

        pin = self.pin
        for turn in turns:
            if pin is None or pin != self.pin or conversation.busy or not has_unit(conversation.engine, pin):
                return
            state, engine = _read_turn(conversation, turn, "")
            ids = encode_lossy(engine.vocabulary, turn.text)
            values: list[float] = []
            for first in range(0, len(ids), SEGMENT):
                activations = engine.forward_with_activations(state, ids[first : first + SEGMENT])
                state = activations.state
                values += _values_of(pin, activations)
            # A character that is spelled in bytes is read when its last byte is.
            ends = [*engine.vocabulary.begins[ids][1:].tolist(), True]
            by_character = [value for value, end in zip(values, ends, strict=False) if end]
            self._send_colours(engine, pin, turn, 0, by_character)

    def summary_at(self, conversation: Conversation, turn: Turn, character: int) -> ActivationSummary | None:
        """Return the activations at a character of a finished turn; None while a reply is drawn."""
        from charlm.inference.context import encode_lossy
        from charlm.inference.sampling import log_softmax
        from charlm.insight.activations import entropy_bits
        from charlm.insight.xray import summarise_activations

        text = turn.text[: character + 1]
        if not text or conversation.busy:
            return None
        found = self._last_read  # the interface may forget it
        if found is None or found[:2] != (turn, text):
            line = max(text.rfind("\n", 0, len(text) - 1) + 1, len(text) - MAX_ENTROPIES, 0)
            state, engine = _read_turn(conversation, turn, text[:line])
            ids = encode_lossy(engine.vocabulary, text[line:])
            found = self._last_read = turn, text, engine, engine.forward_with_activations(state, ids)
        *_, engine, activations = found
        # The distribution after a character is the next character's entropy.
        entropies = entropy_bits(log_softmax(activations.logits[:-1])).tolist()
        return summarise_activations(engine, activations, text[-1], entropies[-MAX_ENTROPIES:], self.width)

    def forget(self) -> None:
        """Free the activations of a finished turn, and the weights that computed them."""
        self._last_read = None

    def _send_colours(self, engine: Engine, pin: Pin, turn: Turn, first: int, values: list[float]) -> None:
        from charlm.cells import CELLS
        from charlm.insight.xray import colour_range, inks, palette
        from charlm.tui.widgets.rendering import ColourScale

        known = self._reach[1] if self._reach[0] == pin else 0.0
        self._reach = pin, max([known, *map(abs, values)])
        title = f"unit {pin.layer}:{pin.unit} {pin.signal}"
        low, high = colour_range(CELLS[engine.config.cell].SIGNALS[pin.signal], self._reach[1])
        if pin == self.pin:
            self._put(UnitColours(pin, turn, first, values, ColourScale(title, low, high, palette(), inks())))


def has_unit(engine: Engine, pin: Pin) -> bool:
    """Return whether the model has a pinned unit."""
    from charlm.cells import CELLS

    config = engine.config
    return pin.layer < config.layers and pin.unit < config.hidden and pin.signal in CELLS[config.cell].SIGNALS


def _values_of(pin: Pin, activations: Activations) -> list[float]:
    values: list[float] = activations.signals[pin.layer][pin.signal][:, pin.unit].tolist()
    return values


def _read_turn(conversation: Conversation, turn: Turn, text: str) -> tuple[State, Engine]:
    """Return the state after the first `text` of a turn, and the model with the units clamped as at the turn's end."""
    from charlm.inference.context import StaticModel, encode_lossy

    assert turn.parent is not None
    before = conversation.contexts.begin_turn(conversation.context(turn.parent), turn)
    engine = conversation.model.engine(before)
    settings = [setting for segment in turn.segments for setting in segment.settings]
    clamps = settings[-1].dials.clamps if settings else {}
    config = engine.config
    known = {at: value for at, value in clamps.items() if at[0] < config.layers and at[1] < config.hidden}
    engine = engine.with_clamps(known) if known else engine
    return StaticModel(engine).read(before, encode_lossy(engine.vocabulary, text)).state, engine
