"""A reply to a list of messages, for clients that send the whole conversation each time.

Nothing is kept but contexts in a prefix cache, so that a turn costs what is new. The model does not learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply_sampler import ReplySampler, SamplerControls
from charlm.chat.turns import BOT, YOU, Segment, Turn
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.inference.context import never
from charlm.inference.generate import Piece, make_rng
from charlm.inference.prefix_cache import Prefix, PrefixCache


class Message(NamedTuple):
    """A turn of one side."""

    author: str  # `YOU` or `BOT`
    text: str


class MessageThread:
    """The messages of a conversation, ready for a reply. If the last one is the model's, the reply continues it."""

    def __init__(self, cache: PrefixCache, messages: Sequence[Message], dials: ChatConfig) -> None:
        engine = cache.model.base
        self._cache = cache
        self._dials = dials.changed(learn=0.0)
        self._conversation = Conversation(engine, ConversationData.start(engine.checkpoint.dialogue, dials=self._dials))
        data = self._conversation.data
        turns = [Message(author, self._conversation.fit(text)) for author, text in _joined(messages)]
        turns = [one for one in turns if one.text]
        if not turns:
            raise UsageError("no message has text", "send a message of the user")
        begun = turns.pop().text if turns[-1].author == BOT else ""
        begun += " " if begun and messages[-1].text.endswith(" ") else ""  # the model continues after it
        for author, text in turns:
            turn = Turn(0, data.head, author, data.you if author == YOU else data.bot, (Segment(text),), "typed")
            data.attach(turn)
            data.head = turn
        self._reply = Turn(0, data.head, BOT, data.bot, (Segment(begun),) if begun else ())
        self.text = self._conversation.text() + data.lead(self._reply) + begun  # that the model reads

    def sampler(
        self, seed: int, cancel: Callable[[], bool] = never, *, stops: Sequence[str] = (), alternatives: int = 0
    ) -> ReplySampler:
        """Read the messages, and return a sampler of a reply; see `Conversation.sampler`."""
        context = self._cache.read(self.text, cancel)
        controls = SamplerControls(self._dials, make_rng(seed))
        return self._conversation.sampler(
            self._reply, context, controls, cancel, stops=stops, alternatives=alternatives
        )

    def pieces(self, sampler: ReplySampler) -> Iterator[Piece]:
        """Yield the pieces of a reply, and keep the context after it for the next message."""
        yield from sampler
        if sampler.context is not None:
            self._cache.store(Prefix(self.text + sampler.text), sampler.context)


def _joined(messages: Sequence[Message]) -> Iterator[Message]:
    """Join messages of the same side that follow each other."""
    for author, same in groupby(messages, lambda one: one.author):
        yield Message(author, "\n".join([one.text for one in same]))
