"""What every face of the chat shares: a model, the conversation that is open, and where it is kept.

Owns which model and which conversation are current. The Textual app and the line mode are thin layers over a session;
neither of them loads a model or opens a database itself.
"""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from charlm import checkpoint
from charlm.chat.adaptive_reader import default_rate
from charlm.chat.conversation import Conversation
from charlm.chat.export import export
from charlm.chat.presets import apply_preset, presets
from charlm.chat.storage.store import ConversationStore, ConversationSummary
from charlm.chat.turns import Turn
from charlm.config import ChatConfig
from charlm.errors import CharlmError, NotFoundError, OutputError, UsageError
from charlm.files import write_bytes
from charlm.inference.engine import Engine
from charlm.registry import default_model, find_model

_PATH = "model "  # before a model's name: the setting that holds where it is


@dataclass(frozen=True)
class ChatOptions:
    """What a person asked for on the command line.

    Attributes:
        model: a name or path; None takes that of the conversation to go on with, or the one that `default_model` finds.
        resume: go on with the last conversation.
        number: go on with this one.
        you: who the person plays, where the model's text names its speakers.
        bot: who the model plays.
        seed: of the random numbers.
        preset: dials by name.
        dials: dials that are not to have their defaults.
        keep: whether conversations are written to the database.
    """

    model: str | None = None
    resume: bool = False
    number: int | None = None
    you: str | None = None
    bot: str | None = None
    seed: int | None = None
    preset: str | None = None
    dials: tuple[tuple[str, Any], ...] = ()
    keep: bool = True


class Session:
    """A chat that is open.

    Args:
        wish: what was asked for.

    Attributes:
        name: the model's.
        engine: the model.
        dialogue: how its text writes turns.
        conversation: the one that is open.
        store: where conversations are kept; None if they are not.

    Raises:
        CharlmError: there is no such model or conversation, or it cannot be read.
    """

    def __init__(self, wish: ChatOptions) -> None:
        self.store = ConversationStore() if wish.keep else None
        self._news = [self.store.notice] if self.store is not None and self.store.notice else []
        self._wish = wish
        summary = self._summary_wished()
        # One that is continued is continued with its own model, unless another is asked for.
        name = wish.model or (summary.model if summary is not None else None)
        self._load(default_model() if name is None else self._find(name))
        self.conversation: Conversation
        if summary is not None:
            self.open(summary.number)
            if wish.dials or wish.preset:
                self.conversation.dials = self._dials(self.conversation.dials)
            if wish.seed is not None:
                self.conversation.reseed(wish.seed)
            if wish.you or wish.bot:
                self._news.append("a conversation keeps its speakers; /you and /bot begin a new one with others")
        else:
            dials = self._dials(ChatConfig(learn=default_rate(self.dialogue)))
            self.conversation = self._create(wish.you, wish.bot, dials, wish.seed)

    def _summary_wished(self) -> ConversationSummary | None:
        wish = self._wish
        if not wish.resume and wish.number is None:
            return None
        if self.store is None:
            raise UsageError("a conversation that is not kept cannot be continued", "leave --no-save out")
        if wish.number is not None:
            return self.store.summary(wish.number)
        latest = self.store.latest(wish.model and Path(wish.model).stem)
        if latest is None:
            self._news.append("there is no conversation to go on with yet; this is a new one")
        return latest

    def _dials(self, dials: ChatConfig) -> ChatConfig:
        if self._wish.preset is not None:
            dials = self.preset(dials, self._wish.preset)
        dials = replace(dials, **dict(self._wish.dials))
        self.engine.with_clamps(dials.clamps)  # which checks that there are such units
        return dials

    def _find(self, name: str) -> Path:
        """The file of a model; of one that was once given as a path, and has only its name in a conversation, that."""
        try:
            return find_model(name)
        except NotFoundError:
            path = Path(self.store.setting(_PATH + name)) if self.store is not None else Path()
            if path.is_file():
                return path
            raise

    def _remember(self, path: Path) -> None:
        with suppress(CharlmError):
            find_model(path.stem)
            return
        if self.store is not None:
            with suppress(OutputError):  # it is not worth an error
                self.store.set_setting(_PATH + path.stem, str(path.resolve()))

    def _load(self, path: Path) -> None:
        loaded = checkpoint.load(path)
        self._remember(path)
        self.name, self.path = path.stem, path
        self.engine, self.dialogue = Engine(loaded), loaded.dialogue

    def _create(self, you: str | None, bot: str | None, dials: ChatConfig, seed: int | None) -> Conversation:
        if self.store is None:
            made = Conversation(self.engine, self.dialogue, you=you, bot=bot, dials=dials, seed=seed)
        else:
            made = self.store.create(self.name, self.engine, self.dialogue, you=you, bot=bot, dials=dials, seed=seed)
        known = self.dialogue.names
        for name in (made.you, made.bot) if self.dialogue.has_names and known else ():
            if name not in known:
                self._news.append(f"{self.name} knows no speaker called {name}; /you says whom it knows")
        return made

    def news(self) -> list[str]:
        """What the person should be told, a sentence each, since this was last asked."""
        news = self._news + (self.store.news() if self.store is not None else [])
        self._news = []
        return news

    # -- conversations ------------------------------------------------------------------------------------------------

    @property
    def number(self) -> int | None:
        """The conversation's number in the database; None before its first turn, or if it is not kept."""
        return self.conversation.data.number

    def new(self) -> None:
        """Begin a new conversation, with the roles and dials of the one that was open."""
        old = self.conversation
        named = self.dialogue.has_names
        self.conversation = self._create(old.you if named else None, old.bot if named else None, old.dials, None)

    def open(self, number: int) -> None:
        """Open a conversation that was kept, with the model it was held with where that is still there."""
        store = self._kept()
        summary = store.summary(number)
        if summary.model != self.name and self._wish.model is None:
            try:
                self._load(self._find(summary.model))
            except NotFoundError:
                self._news.append(f"the model {summary.model} is no longer there; {self.name} reads the text instead")
        opened = store.open(number, self.name, self.engine, self.dialogue)
        self.conversation = opened.conversation
        self.conversation.recall()  # what was learned is shown before the next turn
        if opened.reread:
            self._news.append(f"{self.name} has changed since this conversation; it reads the text again")

    def remove(self, number: int) -> None:
        """Hide a conversation, so that it can be brought back for a day; if it is the one open, a new one begins."""
        self._kept().delete(number)
        if number == self.number:
            self.new()

    def restore(self, number: int) -> None:
        """Bring back what `remove` took away, and open it."""
        self._kept().restore(number)
        self.open(number)

    def rename(self, title: str) -> None:
        """Give the conversation a name."""
        self.conversation.data.title = title
        if self.number is not None:
            self._kept().rename(self.number, title)

    def search(self, query: str = "") -> list[ConversationSummary]:
        """Conversations, the newest first; with a query those that hold it."""
        return self._kept().list(query)

    def export(self, form: str, path: Path | None = None) -> Path:
        """Write the conversation into a file; see `charlm.chat.export`."""
        data = copy(self.conversation.data)
        data.model, data.fingerprint = self.name, self.engine.fingerprint
        text = export(data, form)
        if path is None:
            title = "".join(one if one.isalnum() else "-" for one in self.conversation.data.title.lower()).strip("-")
            path = Path(f"{title or self.name}.{form}")
        if path.exists():
            raise UsageError(f"{path} is there already", "give another name")
        write_bytes(path, text.encode())
        return path

    def _kept(self) -> ConversationStore:
        if self.store is None:
            raise UsageError("conversations are not kept in this chat", "start it without --no-save")
        return self.store

    # -- models and dials ---------------------------------------------------------------------------------------------

    def use(self, name: str) -> None:
        """Take another model, and begin a new conversation with it."""
        path, dials, usual = find_model(name), self.conversation.dials, default_rate(self.dialogue)
        self._load(path)
        if dials.learn == usual:  # nobody has turned it
            dials = replace(dials, learn=default_rate(self.dialogue))
        self.conversation = self._create(None, None, dials, None)

    def play(self, you: str | None, bot: str | None) -> None:
        """Take other roles, in a new conversation."""
        if not self.dialogue.has_names:
            raise UsageError(f"the text of {self.name} names no speakers", "roles need the format transcript or play")
        old = self.conversation
        self.conversation = self._create(you or old.you, bot or old.bot, old.dials, None)

    def preset(self, dials: ChatConfig, name: str) -> ChatConfig:
        """The dials with a preset's values.

        Raises:
            UsageError: there is no such preset.
        """
        known = presets()
        if name not in known:
            raise UsageError(f"there is no preset {name!r}", "presets are " + ", ".join(known))
        return apply_preset(dials, known[name])

    def substitute(self, character: str) -> str | None:
        """What the model reads in a character's place, which may be nothing; None if it can spell it."""
        vocabulary = self.engine.vocabulary
        if character in vocabulary or vocabulary.has_bytes:
            return None
        reading = vocabulary.replace_unknown(character)
        return "" if reading == self.dialogue.closing else reading  # see `Conversation.fit`

    def label(self, turn: Turn) -> str:
        """Who speaks, which of how many versions this is, and whether it was cut short."""
        parts = [turn.name if self.dialogue.has_turns else ""]
        if len(turn.siblings) > 1:
            parts.append(f"{turn.siblings.index(turn) + 1}/{len(turn.siblings)}")
        if turn.reason == "cancelled":
            parts.append("stopped")
        return "  ".join(part for part in parts if part)

    def close(self) -> None:
        """Let go of the database."""
        if self.store is not None:
            self.store.close()
