"""The slash commands, the same in the app and in the line mode.

A command is a function with the decorator `command`, which holds its usage and help. The commands that show and change
a setting are derived from `ChatConfig`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from charlm.chat.conversation import Conversation
from charlm.chat.learning import usual_learn_rate
from charlm.chat.presets import presets, with_preset
from charlm.chat.reply import Observer, Reply
from charlm.chat.session import Session
from charlm.chat.turns import BOT, YOU, Turn, upwards
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.registry import models
from charlm.settings import MAX_SEED, BoundSetting, plural, settings_of

Operation = Callable[[Observer], Reply]
Complete = Callable[[Session, str], Iterable[str]]


class ChatUI(Protocol):
    """The part of the app or the line mode that commands use."""

    @property
    def session(self) -> Session: ...

    def show_note(self, text: str) -> None:
        """Show a text that is not part of the conversation."""

    def generate(self, operation: Operation) -> None:
        """Run an operation that writes a reply, and show the reply as it comes."""

    def show_conversation(self) -> None:
        """Show the conversation again: its visible turns have changed."""

    def show_dials(self) -> None:
        """Show the settings again."""

    def leave(self) -> None:
        """End the chat."""


Run = Callable[[ChatUI, str], object]


@dataclass(frozen=True)
class Command:
    """One slash command."""

    name: str  # without the slash
    argument: str  # what may follow, for the help; empty if nothing may
    help: str
    run: Run  # called with the argument
    complete: Complete = lambda session, start: ()  # completions of an argument that starts so
    anytime: bool = False  # whether it may run while the model writes
    text_after: int | None = None  # the argument is text for the model from this word on; None if it has none


_commands: list[Command] = []


def command(
    usage: str, help_: str, complete: Complete | None = None, *, anytime: bool = False, text_after: int | None = None
) -> Callable[[Run], Run]:
    """Return a decorator that makes a function a slash command. See `Command`; `usage` is its name and argument."""
    name, _, argument = usage.partition(" ")

    def register(run: Run) -> Run:
        _commands.append(Command(name, argument, help_, run, complete or Command.complete, anytime, text_after))
        return run

    return register


def find_command(commands: Sequence[Command], line: str) -> tuple[Command, str]:
    """Return the command that a line names, and its argument; raise UsageError if there is no such command."""
    name, _, argument = line.removeprefix("/").partition(" ")
    argument = argument.strip()
    found = {one.name: one for one in commands}.get(name)
    if found is None:
        similar = difflib.get_close_matches(name, [one.name for one in commands], n=1, cutoff=0.5)
        hint = f"did you mean /{similar[0]}?" if similar else "/help lists the commands"
        if not name.isalpha():
            hint = "/help lists the commands; a space before the slash sends the line to the model"
        raise UsageError(f"there is no command /{name[:40]}", hint)
    if argument and not found.argument:
        raise UsageError(f"/{name} takes no argument")
    return found, argument


def last_turn(conversation: Conversation, author: str) -> Turn:
    """Return the last visible turn of an author, or raise UsageError."""
    for turn in upwards(conversation.head):
        if turn.author == author:
            return turn
    raise UsageError("you have not written anything yet" if author == YOU else "there is no reply yet")


def edit_turn(ui: ChatUI, turn: Turn, text: str) -> None:
    """Add a version of a turn with another text; one of yours gets a reply. Learning from a long text takes seconds."""
    conversation = ui.session.conversation

    def edit(observer: Observer) -> Reply:
        edited = conversation.edit(turn, text)
        observer.on_turn(edited)
        return conversation.continue_(observer) if turn.author == YOU else Reply(edited, "", 0.0, 0.0, "typed")

    ui.generate(edit)


def show_version(ui: ChatUI, turn: Turn, step: int) -> None:
    """Show the next version of a turn (`step` 1) or the previous one (-1)."""
    versions = turn.siblings
    if len(versions) < 2:
        raise UsageError("there is no other version of this turn", "press F5 or type /regenerate to make one")
    ui.session.conversation.choose(versions[(versions.index(turn) + step) % len(versions)])
    ui.show_conversation()


def _whole_number(text: str, problem: str, hint: str | None = None) -> int:
    number = int(text) if text.isdecimal() and len(text) < 20 else -1
    if not 0 <= number <= MAX_SEED:  # the largest that the database can hold
        raise UsageError(problem, hint)
    return number


def _starting(words: Iterable[str], start: str) -> list[str]:
    return [word for word in words if word.startswith(start)]


def _complete_name(session: Session, start: str) -> list[str]:
    return session.dialogue.complete_name(start)


# -- turns ------------------------------------------------------------------------------------------------------------


@command("new", "begin a new conversation")
def _new(ui: ChatUI, argument: str) -> None:
    ui.session.new()
    ui.show_conversation()


command("regenerate", "write another reply; the old one stays as a version")(
    lambda ui, _: ui.generate(ui.session.conversation.regenerate)
)
command("continue", "let the model continue")(lambda ui, _: ui.generate(ui.session.conversation.continue_))
command("next", "show the next version of the last reply")(lambda ui, _: _show_version_of_last(ui, 1))
command("previous", "show the previous version of the last reply")(lambda ui, _: _show_version_of_last(ui, -1))


def _show_version_of_last(ui: ChatUI, step: int) -> None:
    show_version(ui, last_turn(ui.session.conversation, BOT), step)


command("undo", "undo the last step")(lambda ui, _: _show_moved(ui, "undo", ui.session.conversation.undo()))
command("redo", "redo the last undone step")(lambda ui, _: _show_moved(ui, "redo", ui.session.conversation.redo()))


def _show_moved(ui: ChatUI, name: str, has_moved: bool) -> None:
    if not has_moved:
        raise UsageError(f"there is nothing to {name}")
    ui.show_conversation()


command("edit TEXT", "replace your last message", text_after=0)(lambda ui, text: _replace_last(ui, YOU, text))
command("correct TEXT", "replace the model's last reply by your own words", text_after=0)(
    lambda ui, text: _replace_last(ui, BOT, text)
)


def _replace_last(ui: ChatUI, author: str, text: str) -> None:
    turn = last_turn(ui.session.conversation, author)
    if not text:
        raise UsageError("the new text is missing", f"the turn is now: {turn.text[:60]}")
    edit_turn(ui, turn, text)


@command("branch N [TEXT]", "keep N characters of the last reply, add TEXT, and continue from there", text_after=1)
def _branch(ui: ChatUI, argument: str) -> None:
    conversation = ui.session.conversation
    turn = last_turn(ui.session.conversation, BOT)
    kept, _, text = argument.partition(" ")
    number = _whole_number(kept, "the number of characters to keep is missing", "/branch 20, or /branch 20 other words")
    ui.generate(lambda observer: conversation.branch_at(turn, number, text, observer))


# -- settings ---------------------------------------------------------------------------------------------------------


def _set(ui: ChatUI, name: str, text: str) -> None:
    conversation = ui.session.conversation
    conversation.dials = conversation.dials.with_text(name, text)
    ui.show_dials()


def _shown(one: BoundSetting, ui: ChatUI) -> str:
    return one.show(getattr(ui.session.conversation.dials, one.name))


def _setting_command(one: BoundSetting) -> Command:
    """Return the command that shows and changes a setting."""

    def run(ui: ChatUI, argument: str) -> None:
        if argument:
            _set(ui, one.name, argument)
        ui.show_note(f"{one.shown_name} {_shown(one, ui)}")

    help_ = one.setting.help + (f": {one.range_text}" if one.range_text else "")
    words = one.setting.words.values()
    return Command(one.shown_name, "[VALUE]", help_, run, lambda _, start: _starting(words, start), anytime=True)


_commands += [_setting_command(one) for one in settings_of(ChatConfig) if one.name != "learn"]


@command(
    "learn [on|off|RATE]",
    "learn from your messages, or show what was learned",
    lambda session, start: _starting(("on", "off"), start),
    anytime=True,
)
def _learn(ui: ChatUI, argument: str) -> None:
    if argument:
        usual = usual_learn_rate(ui.session.engine.vocabulary)
        _set(ui, "learn", f"{usual:g}" if argument.casefold() == "on" else argument)
    conversation = ui.session.conversation
    rate = conversation.dials.learn
    sentences = [f"the model learns from your messages, at rate {rate:g}" if rate else "learning is off"]
    if conversation.learned is not None:
        sentences.append(conversation.learned.sentence)
    ui.show_note("; ".join(sentences))


@command("forget", "forget your words and what was learned from them, from the next turn on")
def _forget(ui: ChatUI, argument: str) -> None:
    ui.session.conversation.forget()
    ui.show_dials()
    ui.show_note("from the next turn on the model is as it was trained; /undo reverts this")


@command("seed [NUMBER]", "restart the random numbers", anytime=True)
def _seed(ui: ChatUI, argument: str) -> None:
    conversation = ui.session.conversation
    if argument:
        conversation.reseed(_whole_number(argument, f"seed is {argument!r}, but must be a whole number below 2^63"))
        ui.show_dials()
    ui.show_note(f"seed {conversation.data.seed}")


@command("dials", "show every setting", anytime=True)
def _dials(ui: ChatUI, argument: str) -> None:
    values = {one.shown_name: _shown(one, ui) for one in settings_of(ChatConfig)}
    values["seed"] = str(ui.session.conversation.data.seed)
    ui.show_note("\n".join(f"{name:20} {value}" for name, value in values.items()))


@command(
    "preset [NAME]",
    "change several settings at once: precise, balanced, wild, or a preset of your own",
    lambda session, start: _starting(presets(), start),
    anytime=True,
)
def _preset(ui: ChatUI, argument: str) -> None:
    if not argument:
        rows = {name: ", ".join(f"{key} {value:g}" for key, value in one.items()) for name, one in presets().items()}
        ui.show_note("\n".join(f"{name:12} {row}" for name, row in rows.items()))
        return
    conversation = ui.session.conversation
    conversation.dials = with_preset(conversation.dials, argument)
    ui.show_dials()
    ui.show_note(f"preset {argument}")


# -- models and conversations -----------------------------------------------------------------------------------------


@command(
    "model [NAME]",
    "begin a new conversation with another model",
    lambda session, start: _starting([path.stem for path in models()], start),
)
def _model(ui: ChatUI, argument: str) -> None:
    if not argument:
        names = [path.stem for path in models()]
        ui.show_note("\n".join(name + ("  (this one)" if name == ui.session.name else "") for name in names))
        return
    ui.session.switch_model(argument)
    ui.show_conversation()


command("you [NAME]", "choose your speaker, in a new conversation", _complete_name)(
    lambda ui, name: _choose_speaker(ui, name, None)
)
command("bot [NAME]", "choose the model's speaker, in a new conversation", _complete_name)(
    lambda ui, name: _choose_speaker(ui, None, name)
)


def _choose_speaker(ui: ChatUI, you: str | None, bot: str | None) -> None:
    if you or bot:
        ui.session.change_speakers(you=you, bot=bot)
        ui.show_conversation()
        return
    data = ui.session.conversation.data
    names = ", ".join(ui.session.dialogue.names[:40]) or "none"
    ui.show_note(f"you are {data.you}, the model is {data.bot}; the text's speakers: {names}")


@command("title NAME", "name the conversation")
def _title(ui: ChatUI, argument: str) -> None:
    if not argument:
        raise UsageError("the name is missing", "/title a name")
    ui.session.rename(argument)
    ui.show_conversation()


@command("list [TEXT]", "list the conversations, or those that contain a text")
def _list(ui: ChatUI, argument: str) -> None:
    found = ui.session.search(argument)
    rows = [f"{one.number:5}  {one.title[:50]:50}  {one.model}, {plural(one.turns, 'turn')}" for one in found]
    ui.show_note("\n".join(rows) or "no conversation" + (f" contains {argument!r}" if argument else " yet"))


@command("open NUMBER", "open a conversation")
def _open(ui: ChatUI, argument: str) -> None:
    ui.session.open(_whole_number(argument, "the number of the conversation is missing", "/list shows it"))
    ui.show_conversation()


@command("delete [NUMBER]", "delete this conversation, or another one")
def _delete(ui: ChatUI, argument: str) -> None:
    number = _whole_number(argument, f"{argument!r} is no number of a conversation") if argument else ui.session.number
    if number is None:
        raise UsageError("this conversation is not stored yet")
    ui.session.remove(number)
    ui.show_conversation()
    ui.show_note(f"conversation {number} is deleted; /restore {number} restores it")


@command("restore NUMBER", "restore a deleted conversation")
def _restore(ui: ChatUI, argument: str) -> None:
    ui.session.restore(_whole_number(argument, "the number of the conversation is missing"))
    ui.show_conversation()


@command(
    "export [md|json|txt] [FILE]",
    "write the conversation to a file",
    lambda session, start: _starting(("md", "json", "txt"), start),
)
def _export(ui: ChatUI, argument: str) -> None:
    format_, _, name = argument.partition(" ")
    try:
        path = Path(name.strip()).expanduser() if name.strip() else None
    except RuntimeError as error:
        raise UsageError(f"there is no user {name.split('/')[0].strip().removeprefix('~')}") from error
    ui.show_note(f"written: {ui.session.export(format_ or 'md', path)}")


command("quit", "leave; everything is saved", anytime=True)(lambda ui, _: ui.leave())

COMMANDS: Final = tuple(_commands)
