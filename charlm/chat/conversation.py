"""A conversation: turns as a tree, and what the model remembers at each.

Owns the operations: say, continue, stop, regenerate, undo, redo, edit, branch. Knows nothing of screens or databases; a
`Journal` may be told what happens.

The text of a turn never changes once it is finished. Whatever would change one (another reply, an edit, a branch, more
text) makes a sibling, and the head moves to it. So the tree only grows, undo and redo move the head back and forth
along the places where it was, and going anywhere costs nothing: every turn keeps a snapshot of what the model
remembered after it (`charlm.chat.context_cache`). Only new text is ever read.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple, Protocol

from charlm.chat.adaptive_reader import NO_LESSON, LearnPolicy, Reader
from charlm.chat.context_cache import CharScore, ContextCache, ContextSource
from charlm.chat.conversation_data import ConversationData
from charlm.chat.near_duplicates import REMEMBERED
from charlm.chat.reply_sampler import ReplySampler, SamplerControls, Segment, Snapshot
from charlm.chat.turns import BOT, YOU, Turn, last_visited, upwards
from charlm.config import ChatConfig, LearnConfig, check_seed
from charlm.errors import UsageError
from charlm.inference.engine import Engine
from charlm.inference.generate import Piece, make_rng
from charlm.text.dialogue import Dialogue

DRAFT_SECONDS = 0.4  # between two savings of a reply that is under way


class Reply(NamedTuple):
    """What an operation that draws has made.

    Attributes:
        turn: where it stands in the tree; the head as it was if it was stopped before it said anything.
        text: what was drawn, without what was kept of an older turn.
        logprob: log p of what was drawn, by the model itself; nats.
        seconds: it took.
        reason: see `Turn.reason`.
    """

    turn: Turn
    text: str
    logprob: float
    seconds: float
    reason: str


class Learned(NamedTuple):
    """What a model has learned in a conversation.

    Attributes:
        movement: how far its weights have moved, as a share of their own size.
        saved: bits/char that learning has saved of late on what a person said.
        characters: that were learned from.
        shrinks: how often what was learned did harm, and was shrunk.
    """

    movement: float
    saved: float
    characters: int
    shrinks: int

    @property
    def meter(self) -> str:
        """As short as can be."""
        shrunk = f" shrunk {self.shrinks}\u00d7" if self.shrinks else ""
        return f"moved {self.movement:.1%} {self.saved:+.2f} bits{shrunk}"

    @property
    def told(self) -> str:
        """In a sentence."""
        better = f"{abs(self.saved):.2f} bits/char {'better' if self.saved >= 0 else 'worse'}"
        shrunk = f"; what did harm was shrunk, {self.shrinks} times" if self.shrinks else ""
        return (
            f"its weights have moved by {self.movement:.1%}, learning from {self.characters:,} characters;"
            f" of late it has foreseen what you said {better} than without{shrunk}"
        )


class Journal(ContextSource, Protocol):
    """Saves a conversation as it happens, see `charlm.chat.storage.autosave`. Without one it is only in memory.

    No method raises. What cannot be written is written later.
    """

    def begin(self, turn: Turn) -> None:
        """Save a reply that begins, as a draft."""

    def draft(self, turn: Turn) -> None:
        """Save a draft that has grown."""

    def commit(self, turn: Turn | None) -> None:
        """Save a finished turn with its snapshot, or only a move of the head. One transaction."""

    def withdraw(self, turn: Turn) -> None:
        """Delete a draft without text."""


class Conversation:
    """A conversation with a model.

    Args:
        engine: the model.
        dialogue: how its text writes turns.
        you: the speaker that a person plays, in formats with names; None takes a frequent one.
        bot: the speaker that the model plays.
        dials: how replies are drawn.
        seed: of the random numbers; None draws one.
        data: a conversation to go on with, in place of the last five.
        journal: makes the journal from the data and the reader.
        clock: seconds.

    Attributes:
        data: the turns, the head and the settings.
    """

    def __init__(
        self,
        engine: Engine,
        dialogue: Dialogue | None = None,
        *,
        you: str | None = None,
        bot: str | None = None,
        dials: ChatConfig | None = None,
        seed: int | None = None,
        data: ConversationData | None = None,
        journal: Callable[[ConversationData, Reader], Journal] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.data = data or ConversationData.start(dialogue or Dialogue(), you, bot, dials or ChatConfig(), seed)
        self.data.controls.dials = _fitting(self.data.controls.dials, engine)
        reader = Reader(engine)
        self._journal = None if journal is None else journal(self.data, reader)
        self._recall = ContextCache(reader, self.data.dialogue, self._journal)
        self._clock = clock
        self._busy = threading.Lock()
        self._cancelled = threading.Event()
        self._ending = threading.RLock()  # a signal may come while it is held, and its handler stop

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def dialogue(self) -> Dialogue:
        return self.data.dialogue

    @property
    def you(self) -> str:
        return self.data.you

    @property
    def bot(self) -> str:
        return self.data.bot

    @property
    def seed(self) -> int:
        return self.data.seed

    @property
    def root(self) -> Turn:
        return self.data.root

    @property
    def head(self) -> Turn:
        """The last visible turn."""
        return self.data.head

    @property
    def path(self) -> list[Turn]:
        """The visible turns, from the first to the head."""
        return self.data.path

    @property
    def reader(self) -> Reader:
        """The model as it reads, and learns."""
        return self._recall.reader

    @property
    def engine(self) -> Engine:
        """The trained model."""
        return self.reader.base

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._recall.reader = Reader(engine)

    @property
    def dials(self) -> ChatConfig:
        """How the next character is drawn; may be set at any time, also while a reply is under way."""
        return self.data.controls.dials

    @dials.setter
    def dials(self, dials: ChatConfig) -> None:
        if dials.clamp != self.data.controls.dials.clamp:
            self.engine.with_clamps(dials.clamps)  # which checks that there are such units
        self.data.controls.dials = dials

    def reseed(self, seed: int) -> None:
        """Begin the random numbers anew, from the very next character.

        Raises:
            UsageError: the seed is out of range.
        """
        check_seed(seed)
        rng = make_rng(seed)
        self.data.seed = seed
        self.data.controls.rng = rng

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self._busy.locked()

    def fit(self, text: str) -> str:
        """A person's words as the model will read them, and as they will be shown.

        Without what would end the turn, and with a substitute for each character that the model cannot spell.
        """
        # Fitted again, since a substitute may be white space; and a model that cannot spell what ends a turn might take
        # that for a substitute.
        text = self._spellable(self.dialogue.fit(self._spellable(self.dialogue.fit(text))))
        return text.replace(self.dialogue.closing, "") if self.dialogue.closing else text

    def _spellable(self, text: str) -> str:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half characters from a terminal
        return self.engine.vocabulary.replace_unknown(whole)

    @property
    def learned(self) -> Learned | None:
        """What the model has learned up to the head; None if that is nothing, or is to be forgotten, or not at hand."""
        snapshot = self.head.snapshot
        if self.data.forgets or snapshot is None or snapshot.memory is None or not snapshot.memory.overlay:
            return None
        memory = snapshot.memory
        return Learned(memory.overlay.movement, memory.gain / math.log(2), memory.learned, memory.shrinks)

    def text(self, turn: Turn | None = None) -> str:
        """Everything that the model has read up to the end of a turn, by default the head."""
        return self._recall.text(turn or self.head)

    def lead(self, turn: Turn) -> str:
        """What is read before a turn's own text: the end of the turn before it, and the speaker."""
        return self.data.lead(turn)

    def snapshot(self, turn: Turn) -> Snapshot:
        """What the model remembers after a turn; see `charlm.chat.context_cache`."""
        return self._recall.snapshot(turn)

    def recall(self) -> None:
        """Have at hand what the model remembers after the head, if the journal has it; nothing is read again."""
        self._recall.have_at_hand(self.head)

    def consider(self, turn: Turn, alternatives: int = 5) -> list[CharScore]:
        """How the model saw each character of a turn coming."""
        return self._recall.consider(turn, alternatives)

    # -- what can be done ---------------------------------------------------------------------------------------------

    def say(
        self,
        text: str,
        on_piece: Callable[[Piece], None] | None = None,
        on_turn: Callable[[Turn], None] | None = None,
    ) -> Reply:
        """Say something, and let the model reply.

        Args:
            text: what you say; it is fitted to the dialogue's format. Nothing said lets the model go on by itself.
            on_piece: given each piece of the reply as it comes, in this thread; it may wait, to set a pace.
            on_turn: given your turn, then the model's as it begins.
        """
        text = self.fit(text)
        with self._alone():
            if text:
                turn = self._type(self.head, YOU, self.you, text, self._lesson(YOU))
                self._move(turn)
                if on_turn is not None:
                    on_turn(turn)
            return self._reply(self.head, on_piece, on_turn, joins=bool(text))

    def continue_(
        self, on_piece: Callable[[Piece], None] | None = None, on_turn: Callable[[Turn], None] | None = None
    ) -> Reply:
        """Let the model write on: after your turn a reply; after its own, more of it.

        More of a reply is a sibling that begins as the old one did, where the format has turns; in a plain text it is
        one turn more.
        """
        with self._alone():
            head = self.head
            if head.author != BOT or not self.dialogue.has_turns:
                return self._reply(head, on_piece, on_turn)
            assert head.parent is not None
            lesson = self._lesson(like=head)
            start, kept = None, head.passages
            if lesson == head.lesson:
                start = self.snapshot(head)
            elif kept:  # it reads its own words with another memory than it drew them from
                kept = (Segment(head.text),)
            return self._reply(head.parent, on_piece, on_turn, name=head.name, kept=kept, start=start, lesson=lesson)

    def regenerate(
        self, on_piece: Callable[[Piece], None] | None = None, on_turn: Callable[[Turn], None] | None = None
    ) -> Reply:
        """Let the model reply once more; the old reply stays as a sibling."""
        with self._alone():
            head = self.head
            parent = head.parent if head.author == BOT else head
            assert parent is not None
            return self._reply(
                parent, on_piece, on_turn, lesson=self._lesson(like=head if head.author == BOT else None)
            )

    def branch_at(
        self,
        turn: Turn,
        character: int,
        instead: str = "",
        on_piece: Callable[[Piece], None] | None = None,
        on_turn: Callable[[Turn], None] | None = None,
    ) -> Reply:
        """Keep a reply up to a character, put another in its place or none, and let the model go on from there.

        Args:
            turn: one of the model's.
            character: how many characters are kept.
            instead: what comes after them.
            on_piece: as in `say`.
            on_turn: as in `say`.

        Raises:
            UsageError: the turn is not the model's, or not so long.
        """
        if turn.author != BOT or turn.parent is None:
            raise UsageError("only a reply of the model's can branch", "edit a turn of your own")
        if not 0 <= character <= len(turn.text):
            raise UsageError(f"the reply has no character {character}", f"it is {len(turn.text)} characters long")
        text, closing = turn.text[:character] + self._spellable(instead), self.dialogue.closing
        with self._alone():
            if closing and closing in text:  # the reply is to end here
                lesson = self._lesson(like=turn)
                ended = self._type(turn.parent, BOT, turn.name, text.partition(closing)[0], lesson)
                self._move(ended)
                return Reply(ended, "", 0.0, 0.0, "stop")
            kept = (Segment(text),) if text else ()
            lesson = self._lesson(like=turn)
            return self._reply(turn.parent, on_piece, on_turn, name=turn.name, kept=kept, lesson=lesson)

    def edit(self, turn: Turn, text: str) -> Turn:
        """Put other words in a turn's place, yours or the model's; the old ones stay as a sibling.

        What came after the old turn stays with it. Read again is only the new text, from the turn before it.
        """
        if turn.parent is None:
            raise UsageError("there is nothing to edit")
        text = self.fit(text)
        if not text:
            raise UsageError("a turn cannot be empty", "undo takes turns back")
        with self._alone():
            edited = self._type(turn.parent, turn.author, turn.name, text, self._lesson(turn.author, like=turn))
            self._move(edited)
            return edited

    def undo(self) -> bool:
        """Go back to where the head was before the last operation; false if there was none."""
        if self.data.forgets:
            self.remember()
            return True
        return self._go(self.data.cursor - 1)

    def redo(self) -> bool:
        """Take an undo back; false if there is none."""
        return self._go(self.data.cursor + 1)

    def forget(self) -> None:
        """Let the model forget what it has learned, from the next turn on, whatever that is. Undo takes it back.

        Raises:
            UsageError: it has learned nothing.
        """
        with self._alone():
            if not any(turn.lesson.settings is not None for turn in upwards(self.head)):
                raise UsageError("nothing was learned yet", "/learn on lets it learn from what you say")
            self.data.forgets = True
            self._commit(None)

    def remember(self) -> None:
        """Take `forget` back, as long as no turn has followed it."""
        with self._alone():
            self.data.forgets = False
            self._commit(None)

    def siblings(self, turn: Turn) -> list[Turn]:
        """A turn and what else was said in its place, in the order in which it came about."""
        return list(turn.siblings)

    def choose(self, turn: Turn) -> None:
        """Show a turn, and what last followed it."""
        with self._alone():
            self.data.move(last_visited(turn))
            self._commit(None)

    def stop(self) -> None:
        """End the operation that is under way within one character; what was shown stays. For another thread."""
        with self._ending:
            if self.busy:
                self._cancelled.set()

    # -- how it is done -----------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise UsageError("a reply is under way", "stop it first")
        try:
            yield
        finally:
            with self._ending:  # whoever stops now means this operation, or else the next
                self._busy.release()
                self._cancelled.clear()

    def _lesson(self, author: str = BOT, like: Turn | None = None) -> LearnPolicy:
        """Of a turn that is about to be; it may take another's place. Only what a person says is learned from."""
        forget = self.data.forgets or (like is not None and like.lesson.forget)
        rate = self.dials.learn if author == YOU else 0.0
        return LearnPolicy(forget, LearnConfig(rate=rate) if rate else None)

    def _type(self, parent: Turn, author: str, name: str, text: str, lesson: LearnPolicy = NO_LESSON) -> Turn:
        """Add a turn that a person wrote."""
        # Read before it is attached: if reading fails, nothing has changed.
        turn = Turn(0, parent, author, name, (Segment(text),), "typed", lesson=lesson)
        snapshot = self._recall.take_in(self.snapshot(parent), turn, self._cancelled.is_set)
        self.data.attach(turn)
        self._recall.keep(turn, snapshot)
        return turn

    def _reply(
        self,
        parent: Turn,
        on_piece: Callable[[Piece], None] | None,
        on_turn: Callable[[Turn], None] | None,
        *,
        name: str | None = None,
        kept: tuple[Segment, ...] = (),
        start: Snapshot | None = None,
        lesson: LearnPolicy | None = None,
        joins: bool = False,
    ) -> Reply:
        """Draw a turn of the model's after `parent`, beginning with what is kept, and move the head to it.

        With `joins` it is one operation with the last, and undone with it. A reply that is stopped before anything of
        it was shown leaves nothing: the head stays where it was.
        """
        began, last_draft = self._clock(), -math.inf
        name = name or self.bot
        says_something = bool(kept) and start is None  # already: what is kept is not just what an older turn says
        lesson = lesson or self._lesson()
        if start is None:
            start = self.reader.begin(self.snapshot(parent), self._recall.lead_of(parent, name), lesson)
            for passage in kept:
                start = self.reader.read(start, passage.text).snapshot
        turn = Turn(0, parent, BOT, name, reason="draft", lesson=lesson)
        self.data.attach(turn)
        if self._journal is not None:
            self._journal.begin(turn)
        turn.passages = kept
        drawing = self.drawing(turn, start, self.data.controls, self._cancelled.is_set)
        logprob = 0.0
        try:
            if on_turn is not None:
                on_turn(turn)
            for piece in drawing:
                logprob += piece.logprob
                # Kept before it is shown: whoever shows it may then wait for long, to set a slow pace.
                if self._journal is not None and self._clock() - last_draft >= DRAFT_SECONDS:
                    turn.passages = (*kept, drawing.passage)
                    self._journal.draft(turn)
                    last_draft = self._clock()
                if on_piece is not None:
                    on_piece(piece)
        except BaseException:
            # What was shown stays, whatever went wrong: it will be read from the text, in one go, as after a crash.
            if not (drawing.text or says_something):
                self._withdraw(turn)
                raise
            shown = "".join([passage.text for passage in kept]) + drawing.text
            turn.passages, turn.reason = ((Segment(shown),) if shown else ()), "cancelled"
            self._move(turn, joins=joins)
            raise
        if drawing.reason == "cancelled" and not (drawing.text or says_something):
            self._withdraw(turn)
            return Reply(self.head, "", 0.0, self._clock() - began, drawing.reason)
        assert drawing.snapshot is not None
        turn.passages, turn.reason = (*kept, drawing.passage), drawing.reason
        self._recall.keep(turn, drawing.snapshot)
        self._move(turn, joins=joins)
        return Reply(turn, drawing.text, logprob, self._clock() - began, drawing.reason)

    def _withdraw(self, turn: Turn) -> None:
        self.data.detach(turn)
        if self._journal is not None:
            self._journal.withdraw(turn)

    def drawing(self, turn: Turn, start: Snapshot, hand: SamplerControls, cancel: Callable[[], bool]) -> ReplySampler:
        """A passage of a turn of the model's, ready to be drawn; see `charlm.chat.replay`, which draws it again."""
        chooses = self.dialogue.has_turns and hand.dials.candidates > 1
        return ReplySampler(
            self.reader.engine(start),
            start,
            hand,
            stops=self.dialogue.stops,
            nothing=self._nothing(turn.name) if chooses else None,
            base=self.engine,
            read=lambda snapshot, text: self.reader.read(snapshot, text).snapshot,
            said=self._said(turn) if chooses else (),
            kept=turn.text,
            recent=self._recall.recent(turn, hand.dials.sampling.repetition_window),
            before=self.dialogue.opening(turn.name) + turn.text,
            cancel=cancel,
        )

    def _said(self, turn: Turn) -> list[str]:
        """What a reply is not to say again: the last thing a person said, and the last replies; the newest first."""
        said = []
        assert turn.parent is not None
        if turn.parent.author == YOU:
            said.append(turn.parent.text)
        for one in upwards(turn.parent):
            if one.author == BOT:
                said.append(one.text)
                if len(said) > REMEMBERED:
                    break
        return said

    def _nothing(self, name: str) -> Snapshot:
        """What the model remembers where a conversation begins with this speaker's words."""
        return self.snapshot(self.root).read(self.engine, self.dialogue.opening(name))

    def _move(self, head: Turn, *, joins: bool = False) -> None:
        """Move the head to a new turn; see `ConversationData.move`."""
        self.data.count(head)
        self.data.move(head, joins=joins)
        if head.lesson.forget:
            self.data.forgets = False
        self._commit(head)

    def _go(self, cursor: int) -> bool:
        if not 0 <= cursor < len(self.data.moves):
            return False
        with self._alone():
            self.data.cursor = cursor
            self.data.show(self.data.moves[cursor])
            self._commit(None)
        return True

    def _commit(self, turn: Turn | None) -> None:
        if self._journal is not None:
            self._journal.commit(turn)


def _fitting(dials: ChatConfig, engine: Engine) -> ChatConfig:
    """The dials with no units held that this model has not."""
    try:
        engine.with_clamps(dials.clamps)
    except UsageError:
        return replace(dials, clamp="")
    return dials
