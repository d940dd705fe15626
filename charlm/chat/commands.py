"""The slash commands, the same in the app and in the line mode.

Owns their names, their help and what they do to a session. How anything looks is a `ChatUI`'s affair.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from charlm.chat.conversation import Conversation, Reply
from charlm.chat.presets import presets
from charlm.chat.session import Session
from charlm.chat.turns import BOT, YOU, Turn
from charlm.config import ChatConfig, LearnConfig
from charlm.errors import UsageError
from charlm.inference.generate import Piece
from charlm.registry import models
from charlm.settings import BoundSetting, settings_of

OnPiece = Callable[[Piece], None]
OnTurn = Callable[[Turn], None]
Operation = Callable[[OnPiece, OnTurn], Reply]


class ChatUI(Protocol):
    """What a command needs of the app or the line mode."""

    @property
    def session(self) -> Session:
        """The chat."""

    def tell(self, text: str) -> None:
        """Show something that is no part of the conversation."""

    def draw(self, operation: Operation) -> None:
        """Let the model write, and show it as it comes."""

    def show_conversation(self) -> None:
        """Show the conversation anew: other turns may be visible, or another conversation."""

    def show_dials(self) -> None:
        """The dials have been turned."""

    def leave(self) -> None:
        """End the chat."""


@dataclass(frozen=True)
class Command:
    """One slash command.

    Attributes:
        name: without the slash.
        argument: what may follow, for the help; empty if nothing may.
        help: one line.
        run: does it; given what followed the name.
        complete: what may follow, given its beginning.
        anytime: whether it may be run while a reply is under way.
        spoken_after: after how many words of the argument the rest is for the model; None if none of it is.
    """

    name: str
    argument: str
    help: str
    run: Callable[[ChatUI, str], object]
    complete: Callable[[Session, str], Iterable[str]] = lambda session, beginning: ()
    anytime: bool = False
    spoken_after: int | None = None


def find(commands: Sequence[Command], line: str) -> tuple[Command, str]:
    """The command that a line names, and what follows it.

    Raises:
        UsageError: there is none, or nothing may follow it.
    """
    name, _, argument = line.removeprefix("/").partition(" ")
    argument = argument.strip()
    names = [one.name for one in commands]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean /{near[0]}?" if near else "/help lists them"
        raise UsageError(
            f"there is no command /{name[:40]}",
            hint if name.isalpha() else "/help lists them; a space before the slash says it to the model",
        )
    command = commands[names.index(name)]
    if argument and not command.argument:
        raise UsageError(f"/{name} takes nothing after it")
    return command, argument


def last_turn(conversation: Conversation, author: str) -> Turn:
    """The last visible turn of yours or the model's.

    Raises:
        UsageError: there is none.
    """
    turn: Turn | None = conversation.head
    while turn is not None and turn.parent is not None:
        if turn.author == author:
            return turn
        turn = turn.parent
    raise UsageError("you have not said anything yet" if author == YOU else "there is no reply yet")


def _whole_number(argument: str) -> int | None:
    """What a person typed as a whole number that a database can hold; None if it is none."""
    number = int(argument) if argument.isdecimal() and len(argument) < 20 else -1
    return number if 0 <= number < 1 << 63 else None


def _new(face: ChatUI, argument: str) -> None:
    face.session.new()
    face.show_conversation()


def _regenerate(face: ChatUI, argument: str) -> None:
    face.draw(face.session.conversation.regenerate)


def _continue(face: ChatUI, argument: str) -> None:
    face.draw(face.session.conversation.continue_)


def _undo(face: ChatUI, argument: str) -> None:
    if not face.session.conversation.undo():
        raise UsageError("there is nothing to undo")
    face.show_conversation()


def _redo(face: ChatUI, argument: str) -> None:
    if not face.session.conversation.redo():
        raise UsageError("there is nothing to redo")
    face.show_conversation()


def _edit(author: str) -> Callable[[ChatUI, str], None]:
    def run(face: ChatUI, argument: str) -> None:
        conversation = face.session.conversation
        turn = last_turn(conversation, author)
        if not argument:
            raise UsageError("say what it should be", f"it is now: {turn.text[:60]}")
        edit(face, turn, argument)

    return run


def edit(face: ChatUI, turn: Turn, text: str) -> None:
    """Put other words in a turn's place; one of yours gets a reply."""
    conversation = face.session.conversation
    conversation.edit(turn, text)
    face.show_conversation()
    if turn.author == YOU:
        face.draw(conversation.continue_)


def _sibling(step: int) -> Callable[[ChatUI, str], None]:
    def run(face: ChatUI, argument: str) -> None:
        turn_to(face, last_turn(face.session.conversation, BOT), step)

    return run


def turn_to(face: ChatUI, turn: Turn, step: int) -> None:
    """Show another version of a turn: the next, or the one before."""
    versions = turn.siblings
    if len(versions) < 2:
        raise UsageError("there is no other version of this", "F5 or /regenerate makes one")
    face.session.conversation.choose(versions[(versions.index(turn) + step) % len(versions)])
    face.show_conversation()


def _branch(face: ChatUI, argument: str) -> None:
    conversation = face.session.conversation
    turn = last_turn(conversation, BOT)
    written, _, instead = argument.partition(" ")
    number = _whole_number(written)
    if number is None:
        raise UsageError("say how many characters of the reply to keep", "/branch 20, or /branch 20 and other words")
    face.draw(lambda piece, shown: conversation.branch_at(turn, number, instead, piece, shown))


def _setting_command(setting: BoundSetting) -> Command:
    """Return the command that shows and changes a setting."""

    def run(face: ChatUI, argument: str) -> None:
        conversation = face.session.conversation
        if argument:
            conversation.dials = conversation.dials.with_text(setting.name, argument)
            face.show_dials()
        face.tell(_setting_text(setting, conversation.dials))

    def complete(session: Session, beginning: str) -> Iterable[str]:
        return [word for word in setting.setting.words.values() if word.startswith(beginning)]

    return Command(setting.shown_name, "[VALUE]", setting.setting.help, run, complete, anytime=True)


def _setting_text(setting: BoundSetting, dials: ChatConfig) -> str:
    return f"{setting.shown_name} {setting.show(getattr(dials, setting.name))}"


def _learn(face: ChatUI, argument: str) -> None:
    conversation = face.session.conversation
    if argument:
        text = f"{LearnConfig.rate:g}" if argument.casefold() == "on" else argument
        conversation.dials = conversation.dials.with_text("learn", text)
        face.show_dials()
    rate = conversation.dials.learn
    sentences = [f"the model learns from your messages, at rate {rate:g}" if rate else "learning is off"]
    if conversation.learned is not None:
        sentences.append(conversation.learned.told)
    face.tell("; ".join(sentences))


def _forget(face: ChatUI, argument: str) -> None:
    face.session.conversation.forget()
    face.show_dials()
    face.tell("from the next turn on it is as it was trained; /undo takes that back")


def _ways_to_learn(session: Session, beginning: str) -> Iterable[str]:
    return [way for way in ("on", "off") if way.startswith(beginning)]


def _dials(face: ChatUI, argument: str) -> None:
    conversation = face.session.conversation
    values = {one.shown_name: one.show(getattr(conversation.dials, one.name)) for one in settings_of(ChatConfig)}
    face.tell("\n".join(f"{name:20} {value}" for name, value in {**values, "seed": conversation.seed}.items()))


def _preset(face: ChatUI, argument: str) -> None:
    if not argument:
        face.tell("\n".join(f"{name:12} {values}" for name, values in presets().items()))
        return
    conversation = face.session.conversation
    conversation.dials = face.session.preset(conversation.dials, argument)
    face.show_dials()
    face.tell(f"preset {argument}")


def _seed(face: ChatUI, argument: str) -> None:
    conversation = face.session.conversation
    if argument:
        seed = _whole_number(argument)
        if seed is None:
            raise UsageError(f"{argument!r} is no seed", "it takes a whole number")
        conversation.reseed(seed)
        face.show_dials()
    face.tell(f"seed {conversation.seed}")


def _model(face: ChatUI, argument: str) -> None:
    if not argument:
        face.tell(
            "\n".join(path.stem + ("  (this one)" if path.stem == face.session.name else "") for path in models())
        )
        return
    face.session.use(argument)
    face.show_conversation()


def _role(which: str) -> Callable[[ChatUI, str], None]:
    def run(face: ChatUI, argument: str) -> None:
        conversation = face.session.conversation
        if not argument:
            names = ", ".join(face.session.dialogue.names[:40]) or "none"
            face.tell(f"you are {conversation.you}, the model is {conversation.bot}; the text's speakers: {names}")
            return
        face.session.play(**{"you": None, "bot": None} | {which: argument})
        face.show_conversation()

    return run


def _title(face: ChatUI, argument: str) -> None:
    if not argument:
        raise UsageError("say what to call it", "/title a name")
    face.session.rename(argument)
    face.show_conversation()


def _list(face: ChatUI, argument: str) -> None:
    found = face.session.search(argument)
    rows = [f"{one.number:5}  {one.title[:50]:50}  {one.model}, {one.turns} turns" for one in found]
    face.tell("\n".join(rows) or "no conversation" + (f" holds {argument!r}" if argument else " yet"))


def _open(face: ChatUI, argument: str) -> None:
    number = _whole_number(argument)
    if number is None:
        raise UsageError("say which, by its number", "/list shows them")
    face.session.open(number)
    face.show_conversation()


def _delete(face: ChatUI, argument: str) -> None:
    number = face.session.number
    if number is None:
        raise UsageError("this conversation has not begun")
    face.session.remove(number)
    face.show_conversation()
    face.tell(f"conversation {number} is deleted; /restore {number} brings it back")


def _restore(face: ChatUI, argument: str) -> None:
    number = _whole_number(argument)
    if number is None:
        raise UsageError("say which, by its number")
    face.session.restore(number)
    face.show_conversation()


def _export(face: ChatUI, argument: str) -> None:
    form, _, name = argument.partition(" ")
    try:
        file = Path(name.strip()).expanduser() if name.strip() else None
    except RuntimeError as error:
        raise UsageError(f"nobody's folder is {name.split('/')[0].strip()}") from error
    path = face.session.export(form or "md", file)
    face.tell(f"written: {path}")


def _quit(face: ChatUI, argument: str) -> None:
    face.leave()


def _names(session: Session, beginning: str) -> Iterable[str]:
    return session.dialogue.complete_name(beginning)


def _models(session: Session, beginning: str) -> Iterable[str]:
    return [path.stem for path in models() if path.stem.startswith(beginning)]


def _presets(session: Session, beginning: str) -> Iterable[str]:
    return [name for name in presets() if name.startswith(beginning)]


def _forms(session: Session, beginning: str) -> Iterable[str]:
    return [form for form in ("md", "json", "txt") if form.startswith(beginning)]


COMMANDS: tuple[Command, ...] = (
    Command("new", "", "begin a new conversation", _new),
    Command("regenerate", "", "another reply; the old one stays, as a version", _regenerate),
    Command("continue", "", "let the model write on", _continue),
    Command("next", "", "the next version of the last reply", _sibling(1)),
    Command("previous", "", "the version before", _sibling(-1)),
    Command("undo", "", "take the last step back, whatever it was", _undo),
    Command("redo", "", "take an undo back", _redo),
    Command("edit", "TEXT", "say something else instead of what you said last", _edit(YOU), spoken_after=0),
    Command(
        "correct",
        "TEXT",
        "put other words in the model's mouth, instead of its last reply",
        _edit(BOT),
        spoken_after=0,
    ),
    Command(
        "branch",
        "N [TEXT]",
        "keep N characters of the last reply, then TEXT, and go on from there",
        _branch,
        spoken_after=1,
    ),
    *(_setting_command(one) for one in settings_of(ChatConfig) if one.name != "learn"),
    Command(
        "learn", "[on|off|RATE]", "learn from your messages: off, on, or a rate", _learn, _ways_to_learn, anytime=True
    ),
    Command("forget", "", "let the model forget what it has learned, from the next turn on", _forget),
    Command("seed", "[NUMBER]", "begin the random numbers anew", _seed, anytime=True),
    Command("dials", "", "show every dial", _dials, anytime=True),
    Command(
        "preset",
        "[NAME]",
        "set several dials at once: precise, balanced, wild, or your own",
        _preset,
        _presets,
        anytime=True,
    ),
    Command("model", "[NAME]", "talk to another model, in a new conversation", _model, _models),
    Command("you", "[NAME]", "who you are, in a new conversation", _role("you"), _names),
    Command("bot", "[NAME]", "who the model is, in a new conversation", _role("bot"), _names),
    Command("title", "NAME", "give the conversation a name", _title),
    Command("list", "[TEXT]", "list conversations, or those that hold a text", _list),
    Command("open", "NUMBER", "go on with a conversation", _open),
    Command("delete", "", "delete this conversation", _delete),
    Command("restore", "NUMBER", "bring a deleted conversation back", _restore),
    Command("export", "[md|json|txt] [FILE]", "write the conversation into a file", _export, _forms),
    Command("quit", "", "leave; everything is saved", _quit, anytime=True),
)
