"""`charlm conversations`: what was said, found, read, taken along and played again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from charlm.cli.command import CharlmCommand, CharlmGroup, complete_model, is_live, shown
from charlm.errors import CheckpointError, NotFoundError, UsageError

if TYPE_CHECKING:
    from charlm.chat.conversation_data import ConversationData
    from charlm.chat.replay import Replayed
    from charlm.chat.storage.listing import ConversationSummary
    from charlm.chat.storage.store import ConversationStore
    from charlm.chat.turns import Turn

DEEPEST = 20  # levels of indentation in a tree


@contextmanager
def _store() -> Iterator[ConversationStore]:
    from charlm.chat.storage.store import ConversationStore

    with closing(ConversationStore()) as store:
        if store.notice:
            _say(store.notice)
        try:
            yield store
        finally:
            for sentence in store.news():
                _say(sentence)


def _say(text: str) -> None:
    click.echo(shown(text, sys.stderr), err=True)


def _print(text: str) -> None:
    click.echo(shown(text, sys.stdout))


def _print_json(document: object) -> None:
    click.echo(json.dumps(document, indent=1, ensure_ascii=sys.stdout.isatty()))


def _complete_id(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Numbers of conversations, for the shell."""
    with _store() as store:
        found = [(str(one.number), one.title) for one in store.list()]
    return [CompletionItem(number, help=title) for number, title in found if number.startswith(incomplete)]


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_one = click.argument("number", metavar="ID", type=int, shell_complete=_complete_id)


@click.group(
    cls=CharlmGroup,
    invoke_without_command=True,
    context_settings={"show_default": True},
    examples=(
        ("charlm conversations", "every conversation, the newest first"),
        ("charlm conversations search 'the ferry'", "where was it said?"),
        ("charlm conversations show 7", "read one"),
        ("charlm conversations export 7 --format md -o ferry.md", "take one along"),
        ("charlm chat --id 7", "go on with it"),
    ),
)
@click.option("--json", "as_json", is_flag=True, envvar="CHARLM_CONVERSATIONS_JSON", help="Print one JSON array.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List, search, export and replay conversations.

    Every chat is kept in one file on this machine; charlm conversations path says where.
    """
    if ctx.invoked_subcommand is None:
        _list(as_json, None)


# -- finding ----------------------------------------------------------------------------------------------------------


@command.command(
    "list",
    cls=CharlmCommand,
    examples=(
        ("charlm conversations list", "the newest first"),
        ("charlm conversations list --model novel", "those with one model"),
    ),
)
@_as_json
@click.option("--model", shell_complete=complete_model, help="Only conversations with this model.")
def list_(as_json: bool, model: str | None) -> None:
    """List conversations, the newest first."""
    _list(as_json, model)


def _list(as_json: bool, model: str | None) -> None:
    with _store() as store:
        found = [one for one in store.list(limit=-1) if model in (None, one.model)]
    if not found and not as_json:
        _say("no conversations" + (f" with {model}" if model else "") + " yet; charlm chat begins one")
    _print_list(found, as_json)


@command.command(
    cls=CharlmCommand,
    examples=(
        ("charlm conversations search ferry", "in titles and in every turn, visible or not"),
        ("charlm conversations search '\u6e21\u3057\u8239'", "in any script"),
    ),
)
@click.argument("text")
@_as_json
def search(text: str, as_json: bool) -> None:
    """Find the conversations in which a text stands, in whatever case."""
    if not text.strip():
        raise UsageError("there is nothing to look for", "say a word, or part of one")
    with _store() as store:
        found = store.list(text, limit=-1)
    if not found and not as_json:
        _say(f"{text!r} stands in no conversation")
    _print_list(found, as_json)


def _print_list(found: list[ConversationSummary], as_json: bool) -> None:
    if as_json:
        _print_json([_summary(one) for one in found])
        return
    for one in found:
        _print(
            f"{one.number:5}  {_when(one.updated)}  {one.model:16}  {one.turns:4} turns  {one.title}"
            + (f"\n       {one.snippet}" if one.snippet else "")
        )


def _summary(one: ConversationSummary) -> dict[str, Any]:
    return asdict(one) | {"created": _exactly(one.created), "updated": _exactly(one.updated)}


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _exactly(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


# -- reading ----------------------------------------------------------------------------------------------------------


@command.command(
    cls=CharlmCommand,
    examples=(
        ("charlm conversations show 7", "what is visible of it"),
        ("charlm conversations show 7 --tree", "every version of every turn, a line each"),
    ),
)
@_one
@_as_json
@click.option("--tree", is_flag=True, help="Show other versions too, not only what is visible.")
def show(number: int, as_json: bool, tree: bool) -> None:
    """Print a conversation."""
    with _store() as store:
        kept, summary = store.load(number), store.summary(number)
    visible = set(kept.path)
    if as_json:
        turns = [_turn(one, kept, visible) for one in (kept.turns if tree else kept.path)]
        _print_json(_summary(summary) | {"turns": turns})
        return
    _print(f"{summary.title}\n{summary.model}, {summary.format}, {_when(summary.created)}, {summary.turns} turns\n")
    if tree:
        _print_tree(kept, visible)
        return
    for turn in kept.path:
        _print(f"{turn.name}:\n{turn.text}\n" if kept.dialogue.has_turns else turn.text)


def _turn(turn: Turn, kept: ConversationData, visible: set[Turn]) -> dict[str, Any]:
    return {
        "id": turn.id,
        "parent": turn.parent.id if turn.parent is not None else 0,
        "author": turn.author,
        "name": turn.name,
        "text": turn.text,
        "reason": turn.reason,
        "created": _exactly(turn.created),
        "visible": turn in visible,
    }


def _print_tree(kept: ConversationData, visible: set[Turn]) -> None:
    """Every turn on a line; each place where the conversation divides is a step to the right."""
    children: dict[Turn | None, list[Turn]] = {}
    for turn in kept.turns:
        children.setdefault(turn.parent, []).append(turn)
    ahead = [(turn, 0) for turn in reversed(children.get(kept.root, []))]
    while ahead:
        turn, depth = ahead.pop()
        versions = children[turn.parent]
        which = f" {versions.index(turn) + 1}/{len(versions)}" if len(versions) > 1 else ""
        depth += len(versions) > 1
        said = " ".join(turn.text.split())
        said = said if len(said) <= 60 else said[:60] + "\u2026"
        mark = "*" if turn in visible else " "
        _print(f"{turn.id:6} {mark} {'  ' * min(depth, DEEPEST)}{turn.name}{which}: {said}")
        ahead += [(child, depth) for child in reversed(children.get(turn, []))]


# -- taking along -----------------------------------------------------------------------------------------------------


@command.command(
    cls=CharlmCommand,
    examples=(
        ("charlm conversations export 7 --format md", "to be read"),
        ("charlm conversations export 7 --format json -o 7.json", "all of it, to be imported elsewhere"),
        ("charlm conversations export 7 --format txt -o 7.txt", "as the model's text writes turns: to train on"),
    ),
)
@_one
@click.option("--format", "form", type=click.Choice(["md", "json", "txt"]), default="md", help="Of the file.")
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to; - is standard output.")
def export(number: int, form: str, output: str) -> None:
    """Write a conversation into a file."""
    from charlm.chat.export import export as to_form
    from charlm.files import write_bytes

    with _store() as store:
        text = to_form(store.load(number), form)
    if output == "-":
        click.echo(shown(text, sys.stdout), nl=False)
    else:
        write_bytes(Path(output), text.encode())
        _say(f"conversation {number} is written to {output}")


@command.command(
    "import",
    cls=CharlmCommand,
    examples=(("charlm conversations import 7.json", "prints the number that it gets here"),),
)
@click.argument("file")
def import_(file: str) -> None:
    """Take in a conversation that was exported as JSON; FILE may be - for standard input."""
    from charlm.chat.export import from_json

    if file != "-" and not Path(file).is_file():
        raise NotFoundError(f"no such file: {file}")
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        kept = from_json(data.decode())
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{file}: not a conversation that charlm has exported: it is no text") from error
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error.message}", error.hint) from error
    with _store() as store:
        number = store.add(kept)
    click.echo(number)
    _say(f"taken in; charlm chat --id {number} goes on with it")


@command.command(cls=CharlmCommand, examples=(("charlm conversations remove 3 4", "asks first"),))
@click.argument("numbers", metavar="ID...", type=int, nargs=-1, required=True, shell_complete=_complete_id)
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(numbers: tuple[int, ...], yes: bool) -> None:
    """Take conversations away for good."""
    with _store() as store:
        titles = {number: store.summary(number).title for number in numbers}
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("nothing is removed without being asked for", "--yes says that you mean it")
            for number, title in titles.items():
                _say(f"{number:5}  {title}")
            if not click.confirm("remove for good?", err=True):
                return
        for number in titles:
            store.remove(number)
    _say(f"removed: {', '.join(map(str, titles))}")


@command.command(cls=CharlmCommand, examples=(("charlm conversations path", "where conversations are kept"),))
def path() -> None:
    """Print the path of the file in which conversations are kept."""
    from charlm.chat.storage.store import FILE
    from charlm.files import home

    click.echo(str(home() / FILE))


# -- playing again ----------------------------------------------------------------------------------------------------


@command.command(
    cls=CharlmCommand,
    examples=(("charlm conversations replay 7", "does it come out the same? exit code 1 if not"),),
)
@_one
@_as_json
@click.option("--model", shell_complete=complete_model, help="Play it with this model.  [default: its own]")
def replay(number: int, as_json: bool, model: str | None) -> int:
    """Play a conversation again, from its seeds and dials, and find the first character that differs."""
    from charlm import checkpoint
    from charlm.chat.conversation import Conversation
    from charlm.chat.replay import replay as play
    from charlm.inference.engine import Engine
    from charlm.registry import find_model

    with _store() as store:
        kept = store.load(number)
    engine = Engine(checkpoint.load(find_model(model or kept.model)))
    if engine.fingerprint != kept.fingerprint:
        _say(f"{model or kept.model} is not the model that it was when it last spoke here")
    conversation = Conversation(engine, data=kept)
    live = is_live() and not as_json
    with click.progressbar(length=len(conversation.path), label="replaying", file=sys.stderr, hidden=not live) as bar:
        played = play(conversation, lambda _: bar.update(1))
    if as_json:
        _print_json(_found(number, played))
    else:
        _print(_told(played))
    return 0 if played.difference is None else 1


def _found(number: int, played: Replayed) -> dict[str, Any]:
    difference = played.difference
    return {
        "conversation": number,
        "turns": played.turns,
        "characters": played.characters,
        "difference": None
        if difference is None
        else {
            "turn": difference.turn.id,
            "number": difference.number,
            "position": difference.position,
            "expected": difference.expected,
            "got": difference.got,
        },
    }


def _told(played: Replayed) -> str:
    difference = played.difference
    if difference is None:
        return f"the same: {played.characters:,} characters drawn again in {played.turns:,} turns"
    said, drawn = (repr(one) if one else "nothing more" for one in (difference.expected, difference.got))
    return (
        f"turn {difference.number} differs at character {difference.position + 1}: {said} was said, "
        f"{drawn} comes now; {played.characters:,} characters before it are the same"
    )
