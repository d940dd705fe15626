"""A chat session: the model, the open conversation and the store.

The Textual app and the line mode are thin layers over a session. Neither loads a model or opens a database itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from charlm import checkpoint
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.export import export
from charlm.chat.learning import default_dials, usual_learn_rate
from charlm.chat.presets import with_preset
from charlm.chat.storage.listing import ConversationSummary
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import Turn
from charlm.config import ChatConfig
from charlm.errors import CharlmError, NotFoundError, OutputError, UsageError
from charlm.files import write_bytes
from charlm.inference.engine import Engine
from charlm.registry import default_model, find_model
from charlm.text.dialogue import Dialogue

_PATH_KEY = "model "  # followed by a model's name: the setting with its path


@dataclass(frozen=True)
class ChatOptions:
    """Options of the command line."""

    model: str | None = None  # name or path; None takes that of the conversation to resume, or the default model
    resume: bool = False  # go on with the last conversation
    number: int | None = None  # go on with this one
    you: str | None = None  # the speaker that the person plays, where the model's text names its speakers
    bot: str | None = None  # the speaker that the model plays
    seed: int | None = None
    preset: str | None = None
    learn: bool | None = None  # at the model's usual rate; else as the dials or the conversation say
    dials: tuple[tuple[str, Any], ...] = ()  # settings that differ from their defaults
    keep: bool = True  # save conversations


class Session:
    """An open chat.

    Raises:
        CharlmError: there is no such model or conversation, or it cannot be read.
    """

    name: str  # of the model
    path: Path
    engine: Engine
    dialogue: Dialogue

    def __init__(self, options: ChatOptions) -> None:
        self.store = ConversationStore() if options.keep else None
        self._news: list[str] = []
        self._options = options
        self._conversation: Conversation | None = None
        summary = self._find_resumed()
        # A conversation goes on with its own model, unless another one is asked for.
        name = options.model or (summary.model if summary is not None else None)
        self._load(default_model() if name is None else self._find(name))
        if summary is None:
            dials = self._with_options(default_dials(self.engine.checkpoint))
            self._go_to(self._create(options.you, options.bot, dials, options.seed))
            return
        self.open(summary.number)
        if options.dials or options.preset or options.learn:
            self.conversation.dials = self._with_options(self.conversation.dials)
        if options.seed is not None:
            self.conversation.reseed(options.seed)
        if options.you or options.bot:
            self._news.append("a conversation keeps its speakers; /you and /bot start a new one with others")

    @property
    def introduction(self) -> str:
        """A line for the beginning of a conversation: name of the model, and the use of the person's words."""
        if not self.dialogue.has_turns:
            return f"{self.name} continues what you write, one character at a time, on this computer alone."
        learns = ", and learns from yours" if self.conversation.dials.learn else ""
        return f"{self.name} writes its replies one character at a time{learns}. All of it stays on this computer."

    def _find_resumed(self) -> ConversationSummary | None:
        options = self._options
        if not options.resume and options.number is None:
            return None
        if self.store is None:
            raise UsageError("a conversation that is not saved cannot be resumed", "leave --no-save out")
        if options.number is not None:
            return self.store.summary(options.number)
        latest = self.store.latest(options.model and Path(options.model).stem)
        if latest is None:
            self._news.append("there is no conversation to resume yet; this is a new one")
        return latest

    def _with_options(self, dials: ChatConfig) -> ChatConfig:
        if self._options.preset is not None:
            dials = with_preset(dials, self._options.preset)
        if self._options.learn:
            dials = replace(dials, learn=usual_learn_rate(self.engine.vocabulary))
        dials = replace(dials, **dict(self._options.dials))
        self.engine.with_clamps(dials.clamps)  # raises if there are no such units
        return dials

    def _find(self, name: str) -> Path:
        """Return the file of a model, by its name or by the path that it was last loaded from."""
        try:
            return find_model(name)
        except NotFoundError:
            path = Path(self.store.setting(_PATH_KEY + name)) if self.store is not None else Path()
            if path.is_file():
                return path
            raise

    def _remember_path(self, path: Path) -> None:
        with suppress(CharlmError):
            find_model(path.stem)
            return
        if self.store is not None:
            with suppress(OutputError):  # the session works without it
                self.store.set_setting(_PATH_KEY + path.stem, str(path.resolve()))

    def _load(self, path: Path) -> None:
        loaded = checkpoint.load(path)
        self._remember_path(path)
        self.name, self.path = path.stem, path
        self.engine, self.dialogue = Engine(loaded), loaded.dialogue

    def _create(self, you: str | None, bot: str | None, dials: ChatConfig, seed: int | None) -> Conversation:
        data = ConversationData.start(self.dialogue, you, bot, dials, seed)
        known = self.dialogue.names
        for name in (data.you, data.bot) if self.dialogue.has_names and known else ():
            if name not in known:
                self._news.append(f"{self.name} knows no speaker named {name}; /you lists the speakers")
        if self.store is None:
            return Conversation(self.engine, data)
        return self.store.create(self.name, self.engine, data)

    def news(self) -> list[str]:
        """Return the messages for the person since the last call, a sentence each."""
        news = self._news + (self.store.news() if self.store is not None else [])
        self._news = []
        return news

    # -- conversations ------------------------------------------------------------------------------------------------

    @property
    def number(self) -> int | None:
        """Number of the conversation in the database; None before its first turn, or without a store."""
        return self.conversation.data.number

    @property
    def conversation(self) -> Conversation:
        """The open conversation."""
        assert self._conversation is not None
        return self._conversation

    def _go_to(self, conversation: Conversation) -> None:
        """Make a conversation the open one."""
        if self._conversation is not None:
            self._conversation.contexts.release()
        self._conversation = conversation

    def new(self) -> None:
        """Start a new conversation, with the speakers and settings of the open one."""
        old = self.conversation.data
        you, bot = (old.you, old.bot) if self.dialogue.has_names else (None, None)
        self._go_to(self._create(you, bot, self.conversation.dials, None))

    def open(self, number: int) -> None:
        """Open a saved conversation, with its own model if that still exists."""
        store = self._require_store()
        summary = store.summary(number)
        if summary.model != self.name and self._options.model is None:
            try:
                self._load(self._find(summary.model))
            except NotFoundError:
                self._news.append(f"the model {summary.model} no longer exists; {self.name} reads the text instead")
        self._go_to(store.open(number, self.name, self.engine, self.dialogue))
        self.conversation.contexts.fetch(self.conversation.head)  # shows the learned weights before the next turn
        if self.conversation.data.fingerprint != self.engine.fingerprint:
            self._news.append(f"{self.name} has changed since this conversation; it reads the text again")

    def remove(self, number: int) -> None:
        """Hide a conversation; for a day it can be restored. If it is the open one, a new one starts."""
        self._require_store().delete(number)
        if number == self.number:
            self.new()

    def restore(self, number: int) -> None:
        """Bring back a conversation that `remove` has hidden, and open it."""
        self._require_store().restore(number)
        self.open(number)

    def rename(self, title: str) -> None:
        self.conversation.data.title = title
        if self.number is not None:
            self._require_store().rename(self.number, title)

    def search(self, query: str = "") -> list[ConversationSummary]:
        """Return the newest conversations, or those that contain a text."""
        return self._require_store().search(query)

    def export(self, format: str, path: Path | None = None) -> Path:  # noqa: A002
        """Write the conversation into a file; see `charlm.chat.export`."""
        data = copy(self.conversation.data)
        data.model, data.fingerprint = self.name, self.engine.fingerprint
        text = export(data, format)
        if path is None:
            title = "".join(one if one.isalnum() else "-" for one in data.title.lower()).strip("-")
            path = Path(f"{title or self.name}.{format}")
        if path.exists():
            raise UsageError(f"{path} already exists", "give another name")
        write_bytes(path, text.encode())
        return path

    def _require_store(self) -> ConversationStore:
        if self.store is None:
            raise UsageError("conversations are not saved in this chat", "start it without --no-save")
        return self.store

    # -- models and settings ------------------------------------------------------------------------------------------

    def switch_model(self, name: str) -> None:
        """Load another model, and start a new conversation with it."""
        path, dials, old = find_model(name), self.conversation.dials, default_dials(self.engine.checkpoint)
        self._load(path)
        new = default_dials(self.engine.checkpoint)
        if dials.learn == old.learn:  # the person has not changed it
            dials = replace(dials, learn=new.learn)
        if dials.candidates == old.candidates:
            dials = replace(dials, candidates=new.candidates)
        self._go_to(self._create(None, None, dials, None))

    def change_speakers(self, you: str | None, bot: str | None) -> None:
        """Start a new conversation with other speakers. None leaves a speaker as it is."""
        if not self.dialogue.has_names:
            hint = "train on a text in format transcript or play"
            raise UsageError(f"the text of {self.name} names no speakers", hint)
        old = self.conversation.data
        self._go_to(self._create(you or old.you, bot or old.bot, self.conversation.dials, None))

    def substitute(self, character: str) -> str | None:
        """Return the text that the model reads for an unknown character, possibly empty; None for a known one."""
        vocabulary = self.engine.vocabulary
        if character in vocabulary or vocabulary.has_bytes:
            return None
        reading = vocabulary.replace_unknown(character)
        return "" if reading == self.dialogue.closing else reading  # see `Conversation.fit`

    def label(self, turn: Turn) -> str:
        """Return the speaker of a turn, its number among its versions, and whether it was stopped."""
        parts = [turn.name if self.dialogue.has_turns else "", turn.version]
        if turn.reason == "cancelled":
            parts.append("stopped")
        return "  ".join(part for part in parts if part)

    def close(self, on_wait: Callable[[str], object] = lambda message: None) -> bool:
        """Save what is not saved yet, and close the database; see `ConversationStore.close`."""
        return self.store is None or self.store.close(on_wait)
