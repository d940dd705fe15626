"""Looks into the model while it writes, for the X-ray pane.

Owns how often, and from where the model is read once more with everything that its cells do being kept. All of it runs
in a worker; the interface sets what is wanted, and gets small plain values through the inbox.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from charlm.chat.conversation import Conversation
    from charlm.chat.turns import Turn
    from charlm.inference.engine import Activations, Engine, State
    from charlm.inference.generate import Piece
    from charlm.insight.xray import ActivationSummary
    from charlm.tui.widgets.rendering import ColourScale

PERIOD = 0.08  # seconds between two looks at a reply under way
LINE = 400  # characters of a line, at most, whose entropies are shown

_LN2 = math.log(2)


class ActivationsReady(NamedTuple):
    """What goes on in the model."""

    sight: ActivationSummary


class Pin(NamedTuple):
    """A unit that is followed through everything that is said.

    Attributes:
        layer: from 0, the lowest.
        unit: from 0.
        signal: of the cell.
    """

    layer: int
    unit: int
    signal: str


class UnitColours(NamedTuple):
    """What a pinned unit did.

    Attributes:
        pin: it.
        turn: the number of the turn.
        first: place of the first character in it.
        values: one a character.
        scale: colours of the values.
    """

    pin: Pin
    turn: int
    first: int
    values: list[float]
    scale: ColourScale


class ActivationProbe:
    """Looks into the model.

    Args:
        put: takes what was seen.
        clock: seconds.

    Attributes:
        watching: whether anybody wants to see anything.
        width: into so many groups the units of a layer are folded.
        unit: layer and index of the one whose values are wanted.
        pin: the unit that is followed.
    """

    def __init__(
        self, put: Callable[[ActivationsReady | UnitColours], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._put = put
        self._clock = clock
        self.watching = False
        self.width = 20
        self.unit: tuple[int, int] | None = None
        self._pin: Pin | None = None
        self._reach = 0.0  # how far from 0 the pinned unit has been
        self._next_look = 0.0
        self._conversation: Conversation | None = None
        self._turn: Turn | None = None
        self._said = ""  # by the turn, when it began
        self._engine: Engine | None = None
        self._known: State | None = None  # before the pending ids; None is where the turn begins
        self._pending: list[int] = []
        self._lengths: list[int] = []  # characters that each of them completes
        self._told = False  # whether what a pinned unit did at them is known
        self._place = 0  # in the turn, of the first of those
        self._after: State | None = None  # the pending ids, if that is known without reading them
        self._text = ""  # the last character
        self._lock = threading.Lock()
        self._asked: tuple[Conversation, Turn, int] | None = None
        self._serving = False
        self._looked: tuple[Turn, str, Engine, Activations] | None = None
        self._line: list[float] = []

    @property
    def pin(self) -> Pin | None:
        """The unit that is followed; in any thread."""
        return self._pin

    @pin.setter
    def pin(self, pin: Pin | None) -> None:
        self._pin, self._reach = pin, 0.0

    # -- a reply under way --------------------------------------------------------------------------------------------

    def begin(self, conversation: Conversation, turn: Turn) -> None:
        """A turn has begun. In the worker that writes, as are the next two."""
        self._conversation, self._turn = conversation, turn
        self._said, self._text = turn.text, ""
        self._engine = self._known = self._after = None
        self._pending, self._lengths, self._line = [], [], []
        self._place = len(turn.text)

    def piece(self, piece: Piece) -> None:
        """The model has written on."""
        if self._after is not None and (self._pin is None or self._told):
            self._place += sum(self._lengths)
            self._known, self._pending, self._lengths = self._after, [], []
        self._after = piece.state
        self._pending.append(piece.id)
        self._lengths.append(len(piece.text))
        self._told = False
        self._line.append(piece.entropy / _LN2)
        if piece.text:
            self._text = piece.text[-1]
        if (self.watching or self._pin is not None) and self._clock() >= self._next_look:
            self._look()
        if piece.text.endswith("\n"):
            self._line = []

    def finish(self) -> None:
        """The model has ended: its last character is seen in any case."""
        if (self.watching or self._pin is not None) and self._pending:
            self._look()
        self._conversation = self._turn = self._engine = self._known = self._after = None
        self._pending, self._lengths = [], []

    def _look(self) -> None:
        import numpy as np

        assert self._conversation is not None
        assert self._turn is not None
        if self._engine is None:
            start, self._engine = self._begin_of(self._conversation, self._turn, self._said)
            self._known = self._known or start
        assert self._known is not None
        engine = self._engine.with_clamps(self._conversation.dials.clamps)  # as it draws now
        known, pin, ids = self._known, self._pin, np.array(self._pending)
        values: list[float] = []
        if len(ids) > 1:
            if pin is None:
                known, _ = engine.prefill(known, ids[:-1])
            else:
                before = engine.forward_with_activations(known, ids[:-1])
                known = before.state
                values += before.signals[pin.layer][pin.signal][:, pin.unit].tolist()
        look = engine.forward_with_activations(known, ids[-1:])
        if pin is not None:
            values += look.signals[pin.layer][pin.signal][:, pin.unit].tolist()
            of_characters = [value for value, length in zip(values, self._lengths, strict=True) for _ in range(length)]
            self._tell(engine, pin, self._turn, self._place, of_characters)
        if self.watching:
            self._show(engine, look, self._text, self._line)
        self._place += sum(self._lengths[:-1])
        self._known, self._pending, self._lengths = known, self._pending[-1:], self._lengths[-1:]
        self._told = True
        self._next_look = self._clock() + PERIOD

    def _tell(self, engine: Engine, pin: Pin, turn: Turn, first: int, values: list[float]) -> None:
        from charlm.insight.activations import signals_of
        from charlm.insight.xray import inks, palette, span
        from charlm.tui.widgets.rendering import ColourScale

        self._reach = max([self._reach, *map(abs, values)])
        title = f"unit {pin.layer}:{pin.unit} {pin.signal}"
        scale = ColourScale(title, *span(signals_of(engine.config.cell)[pin.signal], self._reach), palette(), inks())
        if pin == self._pin:
            self._put(UnitColours(pin, turn.id, first, values, scale))

    # -- everything that was said -------------------------------------------------------------------------------------

    def fits(self, engine: Engine) -> bool:
        """Whether the model has the pinned unit."""
        from charlm.insight.activations import signals_of

        config, pin = engine.config, self._pin
        return pin is None or (
            pin.layer < config.layers and pin.unit < config.hidden and pin.signal in signals_of(config.cell)
        )

    def follow(self, conversation: Conversation, turns: Sequence[Turn]) -> None:
        """Find out what the pinned unit did in turns. In a worker; given up as soon as a reply is under way."""
        from charlm.inference.engine import SEGMENT
        from charlm.inference.scoring import spell

        pin = self._pin
        for turn in turns:
            if pin is None or pin is not self._pin or conversation.busy or not self.fits(conversation.engine):
                return
            state, engine = self._begin_of(conversation, turn, "")
            ids = spell(engine.vocabulary, turn.text)[0]
            values: list[float] = []
            for first in range(0, len(ids), SEGMENT):
                look = engine.forward_with_activations(state, ids[first : first + SEGMENT])
                state = look.state
                values += look.signals[pin.layer][pin.signal][:, pin.unit].tolist()
            # A character spelled in bytes is read when its last byte is.
            ends = [*engine.vocabulary.begins[ids][1:].tolist(), True]
            self._tell(engine, pin, turn, 0, [value for value, end in zip(values, ends, strict=False) if end])

    # -- a place in what was said -------------------------------------------------------------------------------------

    def ask(self, conversation: Conversation, turn: Turn, character: int) -> bool:
        """Want to see what went on at a character of a finished turn; whether a worker is needed that serves."""
        with self._lock:
            self._asked = conversation, turn, character
            needed, self._serving = not self._serving, True
            return needed

    def serve(self) -> None:
        """See what was asked for last, until nothing more is. In a worker."""
        try:
            while True:
                with self._lock:
                    asked, self._asked = self._asked, None
                    if asked is None:
                        self._serving = False
                        return
                self._look_at(*asked)
        except BaseException:
            self._serving = False
            raise

    def _look_at(self, conversation: Conversation, turn: Turn, character: int) -> None:
        from charlm.inference.scoring import spell
        from charlm.insight.xray import entropies_of

        text = turn.text[: character + 1]
        if not text or conversation.busy:
            return
        if self._looked is None or self._looked[:2] != (turn, text):
            line = max(text.rfind("\n", 0, len(text) - 1) + 1, len(text) - LINE, 0)
            start, engine = self._begin_of(conversation, turn, text[:line])
            self._looked = (
                turn,
                text,
                engine,
                engine.forward_with_activations(start, spell(engine.vocabulary, text[line:])[0]),
            )
        *_, engine, looked = self._looked
        # What may come after a character is the next one's entropy.
        self._show(engine, looked, text[-1], entropies_of(looked.logits[:-1]).tolist())

    def _begin_of(self, conversation: Conversation, turn: Turn, text: str) -> tuple[State, Engine]:
        """The model as it stands in a turn after some text of it, and what it remembers there.

        Where units were held while the turn was drawn they are held here too.
        """
        from charlm.inference.scoring import spell

        assert turn.parent is not None
        reader = conversation.reader
        before = reader.begin(conversation.snapshot(turn.parent), conversation.lead(turn), turn.lesson)
        engine = _as_drawn(reader.engine(before), turn)
        state, ids = before.state, spell(engine.vocabulary, text)[0]
        if len(ids):
            state, _ = engine.prefill(state, ids)
        return state, engine

    def _show(self, engine: Engine, look: Activations, text: str, entropies: Sequence[float]) -> None:
        from charlm.insight.xray import sight

        self._put(ActivationsReady(sight(engine, look, text, entropies[-LINE:], self.width, self.unit)))


def _as_drawn(engine: Engine, turn: Turn) -> Engine:
    """The model with the units held that were held last while a turn was drawn, as far as it has them."""
    settings = [setting for passage in turn.passages for setting in passage.settings]
    held = settings[-1].dials.clamps if settings else {}
    config = engine.config
    known = {at: value for at, value in held.items() if at[0] < config.layers and at[1] < config.hidden}
    return engine.with_clamps(known) if known else engine
