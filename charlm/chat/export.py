"""Conversations as files: Markdown and text to read, JSON to import again.

The JSON is everything but the contexts: the whole tree, with the settings and random numbers of every turn, so that it
can be replayed. See `charlm.chat.storage.documents` for the fields; times are in ISO 8601.

    {"charlm": "conversation", "version": 1, "title": "", "model": "novel", ..., "turns": [{"id": 1, ...}, ...]}
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, NoReturn

from charlm.chat.conversation_data import ConversationData
from charlm.chat.storage import documents
from charlm.chat.storage.listing import headline
from charlm.errors import CharlmError, CheckpointError, UsageError
from charlm.settings import plural
from charlm.text.sanitize import replace_lone_surrogates

FORMATS: Final = ("md", "json", "txt")
VERSION: Final = 1

_INLINE = re.compile(r"[\\`*_\[\]<>|~&$]")
_LINE_START = re.compile(r"^(\d*)([-+#=.)])")  # lists and headings


def export(data: ConversationData, format: str) -> str:  # noqa: A002
    """Return a conversation as the text of a file, in one of `FORMATS`."""
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}", f"choose one of {', '.join(FORMATS)}")
    if format == "txt":  # to train on
        return replace_lone_surrogates(data.text_up_to(data.head) + "\n")
    return replace_lone_surrogates((to_json if format == "json" else to_markdown)(data))


def to_markdown(data: ConversationData) -> str:
    """Return the visible turns as Markdown. Everything in them is escaped."""
    title = data.title or headline(data.path[0].text if data.path else "") or "A conversation"
    date = datetime.fromtimestamp(data.created, UTC).strftime("%Y-%m-%d")
    parts = [f"# {_escaped(title)}", f"{_escaped(data.model or 'a model')}, {date}, {plural(len(data.path), 'turn')}"]
    parts += [f"**{_escaped(turn.name)}**\n\n{_quoted(turn.text)}" for turn in data.path]
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    lines = [_escaped(line) for line in text.split("\n")]
    # A backslash breaks the line, but not before an empty one, which begins a paragraph.
    breaks = ["\\" if line and following else "" for line, following in pairwise([*lines, ""])]
    return "\n".join([f"> {line}{end}".rstrip(" ") for line, end in zip(lines, breaks, strict=True)])


def _escaped(line: str) -> str:
    if not line.strip():
        return ""
    escaped = _LINE_START.sub(r"\1\\\2", _INLINE.sub(r"\\\g<0>", line.strip()))
    return "\u00a0" * (len(line) - len(line.lstrip())) + escaped  # indented text would be code


def to_json(data: ConversationData) -> str:
    """Return all of a conversation but its contexts."""
    turns = [turn for turn in data.turns if turn.reason != "draft"]
    ids = {turn: number for number, turn in enumerate(turns, 1)}
    document = {"charlm": "conversation", "version": VERSION} | asdict(documents.conversation_document(data, ids))
    document |= {"created": _iso(data.created), "updated": _iso(data.updated)}
    document["turns"] = [asdict(documents.turn_document(turn, ids)) | {"created": _iso(turn.created)} for turn in turns]
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def from_json(text: str) -> ConversationData:
    """Return the conversation that `to_json` wrote; raise CheckpointError if it is something else, or damaged."""
    try:
        document = json.loads(text, parse_constant=_refuse)
        json.dumps(document, ensure_ascii=False).encode()  # lone surrogates cannot be stored
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"not a conversation exported by charlm: {str(error)[:80]}") from error
    if not isinstance(document, dict) or document.get("charlm") != "conversation":
        raise CheckpointError("not a conversation exported by charlm", "charlm conversations export writes one")
    if (version := document.get("version")) != VERSION:
        problem = f"the conversation has version {version!r:.20}, but this charlm reads version {VERSION}"
        raise CheckpointError(problem, "upgrade charlm")
    try:
        turns = document["turns"]
        numbers = [turn["id"] for turn in turns]
        if type(turns) is not list or numbers != list(range(1, len(turns) + 1)):
            raise CheckpointError("the turns are not numbered from 1")
        parsed = [documents.parse(documents.TurnDocument, _with_seconds(turn, "created")) for turn in turns]
        head = documents.parse(documents.ConversationDocument, _with_seconds(document, "created", "updated"))
        data, _ = documents.conversation(head, parsed)
    except documents.DAMAGE as error:
        problem = error.message if isinstance(error, CharlmError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"the conversation exported by charlm is damaged: {problem[:100]}") from error
    return data


def _with_seconds(document: dict[str, Any], *names: str) -> dict[str, object]:
    """Return a document with these times in seconds since 1970."""
    times = {name: datetime.fromisoformat(document[name]) for name in names}
    if any(time.tzinfo is None for time in times.values()):
        raise CheckpointError("a time has no zone")
    return document | {name: time.timestamp() for name, time in times.items()}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
