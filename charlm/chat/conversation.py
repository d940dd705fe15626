"""A conversation with a model: a tree of turns, and the model's context after each.

Owns the operations: say, continue, stop, regenerate, undo, redo, edit, branch. Knows nothing of screens or databases; a
`Journal` saves what happens.

The text of a finished turn never changes. Another reply, an edit, a branch or more text makes a sibling, and the head
moves to it. So the tree only grows, undo and redo move the head along its earlier places, and going anywhere costs
nothing: every turn keeps its context (`charlm.chat.context_cache`). Only new text is ever read.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice

from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.chat.context_cache import ContextCache
from charlm.chat.conversation_data import ConversationData
from charlm.chat.learning import Learned, LearnPolicy
from charlm.chat.near_duplicates import MAX_AVOIDED_REPLIES
from charlm.chat.recall import Recall
from charlm.chat.reply import NO_OBSERVER, Journal, Observer, Reply
from charlm.chat.reply_sampler import ReplySampler, SamplerControls, SegmentStart
from charlm.chat.turns import BOT, YOU, Segment, Turn, last_visited, upwards
from charlm.config import ChatConfig, LearnConfig, check_seed
from charlm.errors import UsageError
from charlm.inference.context import Context, encode_lossy, never
from charlm.inference.engine import Engine
from charlm.inference.generate import make_rng
from charlm.inference.matching import CONTEXT_TURNS
from charlm.inference.name_bias import Names
from charlm.text.dialogue import Dialogue
from charlm.text.sanitize import replace_lone_surrogates

DRAFT_SECONDS = 0.4  # between two savings of a reply that grows


class Conversation:
    """A conversation with a model: a new one (`ConversationData.start`), or one to continue."""

    def __init__(
        self,
        engine: Engine,
        data: ConversationData,
        *,
        journal: Callable[[ConversationData, AdaptiveModel], Journal] | None = None,
        clock: Callable[[], float] = time.monotonic,  # seconds
    ) -> None:
        self.data = data
        try:
            engine.with_clamps(self.dials.clamps)
        except UsageError:  # another model, which lacks one of the units
            self.data.controls.dials = replace(self.dials, clamp="")
        model = AdaptiveModel(engine)
        self._journal = Journal() if journal is None else journal(self.data, model)
        self.contexts = ContextCache(model, self.data, self._journal)
        self._clock = clock
        self._busy = threading.Lock()
        self._cancelled = threading.Event()
        self._ending = threading.RLock()  # a signal may arrive while it is held, and its handler may call `stop`

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def dialogue(self) -> Dialogue:
        return self.data.dialogue

    @property
    def head(self) -> Turn:
        return self.data.head

    @property
    def path(self) -> list[Turn]:
        return self.data.path

    @property
    def model(self) -> AdaptiveModel:
        return self.contexts.model

    @property
    def engine(self) -> Engine:
        """The trained model."""
        return self.model.base

    @property
    def dials(self) -> ChatConfig:
        """Settings of the next draw; they may be set at any time, also while a reply is drawn."""
        return self.data.controls.dials

    @dials.setter
    def dials(self, dials: ChatConfig) -> None:
        if dials.clamp != self.data.controls.dials.clamp:
            self.engine.with_clamps(dials.clamps)  # raises if there is no such unit
        self.data.controls.dials = dials

    def reseed(self, seed: int) -> None:
        """Start new random numbers from the next draw on; raise UsageError if the seed is out of range."""
        check_seed(seed)
        self.data.seed = seed
        self.data.controls.rng = make_rng(seed)

    @cached_property
    def _recall(self) -> Recall | None:
        return Recall.of(self.engine)

    @property
    def busy(self) -> bool:
        """True while an operation is running."""
        return self._busy.locked()

    def fit(self, text: str) -> str:
        """Return a person's text as the model reads it: known characters, without what would end the turn."""
        # Fitted again, because a replacement may be white space. A model that does not know the end of a turn may use
        # it as a replacement.
        text = self._replace_unknown(self.dialogue.fit(self._replace_unknown(self.dialogue.fit(text))))
        return text.replace(self.dialogue.closing, "") if self.dialogue.closing else text

    def _replace_unknown(self, text: str) -> str:
        return self.engine.vocabulary.replace_unknown(replace_lone_surrogates(text))

    @property
    def learned(self) -> Learned | None:
        """Summary of the weights learned up to the head; None without any, or if they are not in memory."""
        return None if self.data.forgets else Learned.of(self.head.context)

    @property
    def memory(self) -> str:
        """Summary of what the model keeps besides its state, for a status line."""
        learned = self.learned
        count = len(self.data.your_names(self.head)) if self.dials.names and not self.data.forgets else 0
        parts = [learned.meter if learned else "", f"{count} {'name' if count == 1 else 'names'}" if count else ""]
        return "  ".join(filter(None, parts))

    def text(self, turn: Turn | None = None) -> str:
        """Return all that the model has read up to the end of a turn, by default the head."""
        return self.dialogue.beginning + self.data.text_up_to(turn or self.head)

    def context(self, turn: Turn) -> Context:
        return self.contexts.context(turn)

    # -- operations ---------------------------------------------------------------------------------------------------

    def say(self, text: str, observer: Observer = NO_OBSERVER) -> Reply:
        """Say something, and let the model reply. Without text the model continues by itself."""
        text = self.fit(text)
        with self._alone():
            if text:
                turn = self._type(self.head, YOU, self.data.you, text, self._policy(YOU))
                self._move(turn)
                observer.on_turn(turn)
            return self._reply(self._new_reply(self.head), observer, joins=bool(text))

    def continue_(self, observer: Observer = NO_OBSERVER) -> Reply:
        """Let the model continue: after your turn with a reply; after its own with more of it.

        In a format with turns, more of a reply is a sibling that begins as the old one did. In a plain text it is
        another turn.
        """
        with self._alone():
            head = self.head
            if head.author != BOT or not self.dialogue.has_turns:
                return self._reply(self._new_reply(head), observer)
            assert head.parent is not None
            turn, context = self._new_reply(head.parent, like=head), None
            turn.segments = head.segments
            if turn.policy == head.policy:
                context = self.context(head)
            elif turn.segments:  # the model forgets: it did not draw these words in the context that it reads them in
                turn.segments = (Segment(head.text),)
            return self._reply(turn, observer, context=context)

    def regenerate(self, observer: Observer = NO_OBSERVER) -> Reply:
        """Let the model reply once more; the old reply stays as a sibling."""
        with self._alone():
            head = self.head
            if head.author != BOT:
                return self._reply(self._new_reply(head), observer)
            assert head.parent is not None
            turn = self._new_reply(head.parent)
            turn.policy = self._policy(like=head)
            return self._reply(turn, observer)

    def branch_at(self, turn: Turn, character: int, instead: str = "", observer: Observer = NO_OBSERVER) -> Reply:
        """Keep the first characters of a reply, put other text after them or none, and let the model continue."""
        if turn.author != BOT or turn.parent is None:
            raise UsageError("only a reply of the model's can branch", "edit a turn of your own")
        if not 0 <= character <= len(turn.text):
            raise UsageError(f"the reply has no character {character}", f"it is {len(turn.text)} characters long")
        text, closing = turn.text[:character] + self._replace_unknown(instead), self.dialogue.closing
        with self._alone():
            branch = self._new_reply(turn.parent, like=turn)
            if closing and closing in text:  # the reply ends here
                ended = self._type(turn.parent, BOT, turn.name, text.partition(closing)[0], branch.policy)
                self._move(ended)
                return Reply(ended, "", 0.0, 0.0, "stop")
            branch.segments = (Segment(text),) if text else ()
            return self._reply(branch, observer)

    def _new_reply(self, parent: Turn, like: Turn | None = None) -> Turn:
        """Return an empty turn of the model's, which may take another's place."""
        name = self.data.bot if like is None else like.name
        return Turn(0, parent, BOT, name, reason="draft", policy=self._policy(like=like))

    def edit(self, turn: Turn, text: str) -> Turn:
        """Put other text in a turn's place, yours or the model's; the old turn stays as a sibling.

        Turns after the old one stay with it. Only the new text is read.
        """
        if turn.parent is None:
            raise UsageError("there is nothing to edit")
        text = self.fit(text)
        if not text:
            raise UsageError("a turn cannot be empty", "undo takes turns back")
        with self._alone():
            edited = self._type(turn.parent, turn.author, turn.name, text, self._policy(turn.author, like=turn))
            self._move(edited)
            return edited

    def undo(self) -> bool:
        """Move the head to where it was before the last operation; return false if there was none."""
        if self.data.forgets:
            with self._alone():
                self.data.forgets = False
                self._journal.commit(None)
            return True
        return self._go(self.data.cursor - 1)

    def redo(self) -> bool:
        """Take an undo back; return false if there is none."""
        return self._go(self.data.cursor + 1)

    def forget(self) -> None:
        """Drop the learned weights and your names from the next turn on. Undo takes it back."""
        with self._alone():
            if not any(turn.author == YOU for turn in upwards(self.head)):
                raise UsageError("there is nothing to forget: you have said nothing yet")
            self.data.forgets = True
            self._journal.commit(None)

    def choose(self, turn: Turn) -> None:
        """Show a turn, and the turns that were last visible after it."""
        with self._alone():
            self.data.move(last_visited(turn))
            self._journal.commit(None)

    def stop(self) -> None:
        """End the running operation within one character; what was shown stays. For another thread."""
        with self._ending:
            if self.busy:
                self._cancelled.set()

    # -- how they work ------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise UsageError("a reply is being written", "stop it first")
        try:
            yield
        finally:
            with self._ending:  # a `stop` from now on is for the next operation
                self._busy.release()
                self._cancelled.clear()

    def _policy(self, author: str = BOT, like: Turn | None = None) -> LearnPolicy:
        """Return the policy of a new turn, which may take another's place. Only a person's text is learned from."""
        forget = self.data.forgets or (like is not None and like.policy.forget)
        rate = self.dials.learn if author == YOU else 0.0
        return LearnPolicy(forget, LearnConfig(rate=rate) if rate else None)

    def _type(self, parent: Turn, author: str, name: str, text: str, policy: LearnPolicy) -> Turn:
        """Add a turn that a person wrote."""
        # Read before it is attached: if reading fails, nothing has changed.
        turn = Turn(0, parent, author, name, (Segment(text),), "typed", policy=policy)
        context, turn.nats = self.contexts.read_turn(self.context(parent), turn, self._cancelled.is_set)
        self.data.attach(turn)
        self.contexts.keep(turn, context)
        return turn

    def _reply(self, turn: Turn, observer: Observer, *, context: Context | None = None, joins: bool = False) -> Reply:
        """Draw a turn of the model's, and move the head to it.

        A reply that is stopped before anything of it was shown leaves nothing: the head stays where it was.

        Args:
            turn: not yet in the tree; its segments are kept of an older turn.
            observer: called while the reply is drawn.
            context: after the segments; None if they are still to be read.
            joins: undo it together with the last operation.
        """
        began, last_draft = self._clock(), -math.inf
        kept = turn.segments
        has_new_text = bool(kept) and context is None  # before anything is drawn: not only that of an older turn
        if context is None:
            assert turn.parent is not None
            context = self.contexts.begin_turn(self.context(turn.parent), turn)
            for segment in kept:
                context = self.model.read(context, encode_lossy(self.engine.vocabulary, segment.text))
        self.data.attach(turn)
        self._journal.begin(turn)
        sampler = self.sampler(turn, context, self.data.controls, self._cancelled.is_set)
        logprob = 0.0
        try:
            observer.on_turn(turn)
            for piece in sampler:
                logprob += piece.logprob
                # Saved before it is shown: showing may take long, to set a slow pace.
                if self._clock() - last_draft >= DRAFT_SECONDS:
                    turn.segments = (*kept, sampler.segment)
                    self._journal.draft(turn)
                    last_draft = self._clock()
                observer.on_piece(piece)
        except BaseException:
            # The shown text stays; it will be read again in one go, as after a crash.
            if not (sampler.text or has_new_text):
                self._withdraw(turn)
                raise
            shown = "".join([segment.text for segment in kept]) + sampler.text
            turn.segments, turn.reason = ((Segment(shown),) if shown else ()), "cancelled"
            self._move(turn, joins=joins)
            raise
        seconds = self._clock() - began
        if sampler.reason == "cancelled" and not (sampler.text or has_new_text):
            self._withdraw(turn)
            return Reply(self.head, "", 0.0, seconds, sampler.reason)
        assert sampler.context is not None
        turn.segments, turn.reason = (*kept, sampler.segment), sampler.reason
        self.contexts.keep(turn, sampler.context)
        self._move(turn, joins=joins)
        scores = partial(self.contexts.score_chars, turn)
        return Reply(turn, sampler.text, logprob, seconds, sampler.reason, scores)

    def _withdraw(self, turn: Turn) -> None:
        self.data.detach(turn)
        self._journal.withdraw(turn)

    def sampler(
        self,
        turn: Turn,
        context: Context,
        controls: SamplerControls,
        cancel: Callable[[], bool] = never,
        *,
        stops: Sequence[str] = (),
        alternatives: int = 0,
    ) -> ReplySampler:
        """Return a sampler of the next segment of a turn of the model's; `charlm.chat.replay` draws it again.

        `stops` end the segment as the end of the turn does; each piece names as many `alternatives`.
        """
        dials, vocabulary = controls.dials, self.engine.vocabulary
        has_candidates = self.dialogue.has_turns and dials.candidates > 1
        opening, unconditional = self.dialogue.opening(turn.name), None
        if has_candidates:
            unconditional = self.model.read(self.context(self.data.root), encode_lossy(vocabulary, opening))
        names = Names(self.data.your_names(turn), dials.names, vocabulary) if dials.names else None
        recall = self._recall if dials.recall else None
        sources = self.data.remembered_turns(turn) if recall else []
        memory = recall.memory(sources, dials.recall) if recall else None
        start = SegmentStart(
            replace(context, names=names, memory=memory),
            kept=turn.text,
            opening=opening,
            stops=(*self.dialogue.stops, *stops),
            recent=self.contexts.recent_ids(turn, dials.sampling.repetition_window),
            avoid=self.texts_to_avoid(turn) if has_candidates else (),
            unconditional=unconditional,
            turns=[one.text for one in islice(upwards(turn), 1, CONTEXT_TURNS + 1)][::-1] if has_candidates else (),
            sources=[one.text for one in sources],
            alternatives=alternatives,
        )
        return ReplySampler(self.model, start, controls, cancel)

    def texts_to_avoid(self, turn: Turn) -> list[str]:
        """Return what a reply is not to repeat: what a person said just before, and the last replies, newest first."""
        assert turn.parent is not None
        asked = [turn.parent.text] if turn.parent.author == YOU else []
        replies = (one.text for one in upwards(turn.parent) if one.author == BOT)
        return [*asked, *islice(replies, MAX_AVOIDED_REPLIES + 1 - len(asked))]

    def _move(self, head: Turn, *, joins: bool = False) -> None:
        self.data.count(head)
        self.data.move(head, joins=joins)
        if head.policy.forget:
            self.data.forgets = False
        self._journal.commit(head)

    def _go(self, cursor: int) -> bool:
        if not 0 <= cursor < len(self.data.moves):
            return False
        with self._alone():
            self.data.cursor = cursor
            self.data.show(self.data.moves[cursor])
            self._journal.commit(None)
        return True
