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
    from charlm.chat.conversation import Conversation, Turn
    from charlm.inference.engine import Engine, Look, State
    from charlm.inference.generate import Piece
    from charlm.insight.xray import Sight

PERIOD = 0.08  # seconds between two looks at a reply under way
LINE = 400  # characters of a line, at most, whose entropies are shown

_LN2 = math.log(2)


class Seen(NamedTuple):
    """What goes on in the model."""

    sight: Sight


class Probe:
    """Looks into the model.

    Args:
        put: takes what was seen.
        clock: seconds.

    Attributes:
        watching: whether anybody wants to see anything.
        width: into so many groups the units of a layer are folded.
        unit: layer and index of the one whose values are wanted.
    """

    def __init__(self, put: Callable[[Seen], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._put = put
        self._clock = clock
        self.watching = False
        self.width = 20
        self.unit: tuple[int, int] | None = None
        self._next_look = 0.0
        self._conversation: Conversation | None = None
        self._turn: Turn | None = None
        self._said = ""  # by the turn, when it began
        self._engine: Engine | None = None
        self._known: State | None = None  # before the pending ids; None is where the turn begins
        self._pending: list[int] = []
        self._after: State | None = None  # the pending ids, if that is known without reading them
        self._text = ""  # the last character
        self._lock = threading.Lock()
        self._asked: tuple[Conversation, Turn, int] | None = None
        self._serving = False
        self._looked: tuple[Turn, str, Engine, Look] | None = None
        self._line: list[float] = []

    # -- a reply under way --------------------------------------------------------------------------------------------

    def begin(self, conversation: Conversation, turn: Turn) -> None:
        """A turn has begun. In the worker that writes, as are the next two."""
        self._conversation, self._turn = conversation, turn
        self._said, self._text = turn.text, ""
        self._engine = self._known = self._after = None
        self._pending, self._line = [], []

    def piece(self, piece: Piece) -> None:
        """The model has written on."""
        if self._after is not None:
            self._known, self._pending = self._after, []
        self._after = piece.state if piece.batch is not None else None
        self._pending.append(piece.id)
        self._line.append(piece.entropy / _LN2)
        if piece.text:
            self._text = piece.text[-1]
        if self.watching and self._clock() >= self._next_look:
            self._look()
        if piece.text.endswith("\n"):
            self._line = []

    def finish(self) -> None:
        """The model has ended: its last character is seen in any case."""
        if self.watching and self._pending:
            self._look()
        self._conversation = self._turn = self._engine = self._known = self._after = None
        self._pending = []

    def _look(self) -> None:
        import numpy as np

        if self._engine is None:
            assert self._conversation is not None
            assert self._turn is not None
            start, self._engine = self._begin_of(self._conversation, self._turn, self._said)
            self._known = self._known or start
        assert self._known is not None
        engine, known, ids = self._engine, self._known, np.array(self._pending)
        if len(ids) > 1:
            known, _ = engine.feed(known, ids[:-1])
        self._show(engine, engine.look(known, ids[-1:]), self._text, self._line)
        if self._after is None:
            self._known, self._pending = known, self._pending[-1:]
        self._next_look = self._clock() + PERIOD

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
        from charlm.inference.reading import spell
        from charlm.insight.xray import entropies_of

        text = turn.text[: character + 1]
        if not text or conversation.busy:
            return
        if self._looked is None or self._looked[:2] != (turn, text):
            line = max(text.rfind("\n", 0, len(text) - 1) + 1, len(text) - LINE, 0)
            start, engine = self._begin_of(conversation, turn, text[:line])
            self._looked = turn, text, engine, engine.look(start, spell(engine.vocabulary, text[line:])[0])
        *_, engine, looked = self._looked
        # What may come after a character is the next one's entropy.
        self._show(engine, looked, text[-1], entropies_of(looked.logits[:-1]).tolist())

    def _begin_of(self, conversation: Conversation, turn: Turn, text: str) -> tuple[State, Engine]:
        """The model as it stands in a turn after some text of it, and what it remembers there."""
        from charlm.inference.reading import spell

        assert turn.parent is not None
        reader = conversation.reader
        before = reader.begin(conversation.snapshot(turn.parent), conversation.lead(turn), turn.lesson)
        engine = reader.engine(before)
        state, ids = before.state, spell(engine.vocabulary, text)[0]
        if len(ids):
            state, _ = engine.feed(state, ids)
        return state, engine

    def _show(self, engine: Engine, look: Look, text: str, entropies: Sequence[float]) -> None:
        from charlm.insight.xray import sight

        self._put(Seen(sight(engine, look, text, entropies[-LINE:], self.width, self.unit)))
