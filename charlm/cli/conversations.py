"""`charlm conversations`: list, search, show, export, import, remove and replay."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from charlm.cli.command import charlm_group, complete_model, load_engine
from charlm.cli.common import json_option
from charlm.cli.output import print_json, print_note, print_text, progress_bar
from charlm.errors import CheckpointError, NotFoundError, UsageError
from charlm.settings import plural

if TYPE_CHECKING:
    from charlm.chat.conversation_data import ConversationData
    from charlm.chat.replay import Replayed
    from charlm.chat.storage.listing import ConversationSummary
    from charlm.chat.storage.store import ConversationStore
    from charlm.chat.turns import Turn

MAX_DEPTH = 20  # levels of indentation in a tree
LINE_CHARS = 60  # of a turn in a tree


@contextmanager
def _store() -> Iterator[ConversationStore]:
    from charlm.chat.storage.store import ConversationStore

    with closing(ConversationStore()) as store:
        try:
            yield store
        finally:
            for message in store.news():
                print_note(message)


def _complete_number(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    with _store() as store:
        found = [(str(one.number), one.title) for one in store.search()]
    return [CompletionItem(number, help=title) for number, title in found if number.startswith(incomplete)]


_number_argument = click.argument("number", metavar="ID", type=int, shell_complete=_complete_number)


@charlm_group(
    ("charlm conversations", "list all, the newest first"),
    ("charlm conversations search 'the ferry'", "find a text"),
    ("charlm conversations show 7", "read one"),
    ("charlm conversations export 7 --format md -o ferry.md", "write one into a file"),
    ("charlm chat --id 7", "go on with it"),
)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List, search, export and replay conversations.

    Every chat is saved in one file on this machine; charlm conversations path prints its path.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, as_json=as_json, model=None)


@command.subcommand(
    ("charlm conversations list", "the newest first"),
    ("charlm conversations list --model novel", "those with one model"),
    name="list",
)
@json_option
@click.option("--model", shell_complete=complete_model, help="Only conversations with this model.")
def list_(as_json: bool, model: str | None) -> None:
    """List conversations, the newest first."""
    with _store() as store:
        found = [one for one in store.search(limit=-1) if model in (None, one.model)]
    _print_list(found, as_json, "no conversations" + f" with {model}" * bool(model) + " yet; charlm chat starts one")


@command.subcommand(
    ("charlm conversations search ferry", "in titles and in every turn, visible or not"),
    ("charlm conversations search '\u6e21\u3057\u8239'", "in any script"),
)
@click.argument("text")
@json_option
def search(text: str, as_json: bool) -> None:
    """Find conversations that contain a text, in any case."""
    if not text.strip():
        raise UsageError("the text to search for is empty", "give a word, or part of one")
    with _store() as store:
        found = store.search(text, limit=-1)
    _print_list(found, as_json, f"no conversation contains {text!r}")


def _print_list(found: list[ConversationSummary], as_json: bool, note_if_empty: str) -> None:
    if as_json:
        print_json([_summary(one) for one in found], indent=1)
        return
    if not found:
        print_note(note_if_empty)
    for one in found:
        print_text(
            f"{one.number:5}  {_local_time(one.updated)}  {one.model:16}  {plural(one.turns, 'turn'):>10}  {one.title}"
            + (f"\n       {one.snippet}" if one.snippet else "")
        )


def _summary(one: ConversationSummary) -> dict[str, object]:
    return asdict(one) | {"created": _iso(one.created), "updated": _iso(one.updated)}


def _local_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@command.subcommand(
    ("charlm conversations show 7", "the visible turns"),
    ("charlm conversations show 7 --tree", "every version of every turn, a line each"),
)
@_number_argument
@json_option
@click.option("--tree", is_flag=True, help="Show the other versions of turns too.")
def show(number: int, as_json: bool, tree: bool) -> None:
    """Print a conversation."""
    with _store() as store:
        data, summary = store.load(number), store.summary(number)
    visible = set(data.path)
    if as_json:
        turns = [_turn(one, one in visible) for one in (data.turns if tree else data.path)]
        print_json(_summary(summary) | {"turns": turns}, indent=1)
        return
    created = _local_time(summary.created)
    print_text(f"{summary.title}\n{summary.model}, {summary.format}, {created}, {plural(summary.turns, 'turn')}\n")
    if tree:
        _print_tree(data, visible)
        return
    for turn in data.path:
        print_text(f"{turn.name}:\n{turn.text}\n" if data.dialogue.has_turns else turn.text)


def _turn(turn: Turn, is_visible: bool) -> dict[str, object]:
    return {
        "id": turn.id,
        "parent": turn.parent.id if turn.parent is not None else 0,
        "author": turn.author,
        "name": turn.name,
        "text": turn.text,
        "reason": turn.reason,
        "created": _iso(turn.created),
        "visible": is_visible,
    }


def _print_tree(data: ConversationData, visible: set[Turn]) -> None:
    """Print a line for each turn, indented by the number of turns above it that have several versions."""
    ahead = [(turn, 0) for turn in reversed(data.root.children)]
    while ahead:
        turn, depth = ahead.pop()
        depth += bool(turn.version)
        text = " ".join(turn.text.split())
        text = text if len(text) <= LINE_CHARS else text[:LINE_CHARS] + "\u2026"
        mark = "*" if turn in visible else " "
        print_text(f"{turn.id:6} {mark} {'  ' * min(depth, MAX_DEPTH)}{f'{turn.name} {turn.version}'.rstrip()}: {text}")
        ahead += [(child, depth) for child in reversed(turn.children)]


@command.subcommand(
    ("charlm conversations export 7 --format md", "to read"),
    ("charlm conversations export 7 --format json -o 7.json", "all of it, to import elsewhere"),
    ("charlm conversations export 7 --format txt -o 7.txt", "in the format of the model's text, to train on"),
)
@_number_argument
@click.option("--format", type=click.Choice(["md", "json", "txt"]), default="md", help="Of the file.")
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to write; - is standard output.")
def export(number: int, format: str, output: str) -> None:  # noqa: A002
    """Write a conversation into a file."""
    from charlm.chat import export
    from charlm.files import write_bytes

    with _store() as store:
        text = export.export(store.load(number), format)
    if output == "-":
        print_text(text, end="")
    else:
        write_bytes(Path(output), text.encode())
        print_note(f"conversation {number} is written to {output}")


@command.subcommand(("charlm conversations import 7.json", "prints its number here"), name="import")
@click.argument("file")
def import_(file: str) -> None:
    """Import a conversation that was exported as JSON. FILE may be - for standard input."""
    from charlm.chat.export import from_json

    if file != "-" and not Path(file).is_file():
        raise NotFoundError(f"no such file: {file}")
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        data = from_json(content.decode())
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{file}: not a conversation exported by charlm: it is not UTF-8") from error
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error.message}", error.hint) from error
    with _store() as store:
        number = store.add(data)
    print_text(str(number))
    print_note(f"imported; charlm chat --id {number} goes on with it")


@command.subcommand(("charlm conversations remove 3 4", "asks first"))
@click.argument("numbers", metavar="ID...", type=int, nargs=-1, required=True, shell_complete=_complete_number)
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(numbers: tuple[int, ...], yes: bool) -> None:
    """Delete conversations for good."""
    with _store() as store:
        titles = {number: store.summary(number).title for number in numbers}
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("cannot ask whether to remove it: standard input is not a terminal", "add --yes")
            for number, title in titles.items():
                print_note(f"{number:5}  {title}")
            if not click.confirm("remove for good?", err=True):
                return
        for number in titles:
            store.remove(number)
    print_note(f"removed: {', '.join(map(str, titles))}")


@command.subcommand(("charlm conversations path", "where conversations are saved"))
def path() -> None:
    """Print the path of the file of conversations."""
    from charlm.chat.storage.store import FILE
    from charlm.files import home

    print_text(str(home() / FILE))


@command.subcommand(("charlm conversations replay 7", "is it still the same? exit code 1 if not"))
@_number_argument
@json_option
@click.option("--model", shell_complete=complete_model, help="Replay with this model.  [default: its own]")
def replay(number: int, as_json: bool, model: str | None) -> int:
    """Draw a conversation again, from its seeds and settings, and find the first character that differs."""
    from charlm.chat import replay
    from charlm.chat.conversation import Conversation
    from charlm.registry import find_model

    with _store() as store:
        data = store.load(number)
    name = model or data.model
    engine = load_engine(find_model(name))
    if engine.fingerprint != data.fingerprint:
        print_note(f"{name} has changed since its last reply here")
    with progress_bar(len(data.path), "replaying") as advance:
        replayed = replay.replay(Conversation(engine, data), lambda _: advance(1))
    found = replayed.difference
    if as_json:
        counts = {"turns": replayed.turns, "characters": replayed.characters}
        difference = found and {**vars(found), "turn": found.turn.id}
        print_json({"conversation": number, **counts, "difference": difference}, indent=1)
    else:
        print_text(_replay_text(replayed))
    return 0 if found is None else 1


def _replay_text(replayed: Replayed) -> str:
    one = replayed.difference
    if one is None:
        return f"the same: {plural(replayed.characters, 'character')} in {plural(replayed.turns, 'turn')}"
    expected, got = (repr(text) if text else "the end" for text in (one.expected, one.got))
    return (
        f"turn {one.number} differs at character {one.position + 1}: expected {expected}, got {got}; "
        f"{replayed.characters:,} characters before it are the same"
    )
