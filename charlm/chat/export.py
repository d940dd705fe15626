"""Conversations as files: to be read (Markdown, text), and to be data and taken in again (JSON).

Owns the three forms and the checks of the last. The JSON is everything but the snapshots, which a model makes again by
reading: the whole tree with every turn's settings and random numbers, so that it can be replayed anywhere.

    {"charlm": "conversation", "version": 1,
     "title": "", "model": "novel", "fingerprint": "...", "dialogue": {...}, "you": "...", "bot": "...",
     "dials": {...}, "seed": 7, "rng": {...}, "created": "2026-...", "updated": "2026-...",
     "moves": [0, 1, 2], "cursor": 2, "visited": 1,
     "turns": [{"id": 1, "parent": 0, "author": "you", "name": "...", "reason": "typed", "created": "2026-...",
                "visited": 2, "passages": [{"text": "...", "settings": [[draw, dials, rng], ...], "draws": 0}]}, ...]}

Turns are numbered from 1, parents before children; 0 is where everything begins. `moves` tells where the head was and
`cursor` which of them it is; `visited` is the turn after this one that was visible last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, NoReturn, TypeVar

from charlm.chat.adaptive_reader import NO_LESSON, LearnPolicy
from charlm.chat.conversation_data import MAX_MOVES, ConversationData
from charlm.chat.reply_sampler import SamplerControls, Segment, restored
from charlm.chat.storage.listing import headline
from charlm.chat.storage.rows import one_line, replace_lone_surrogates
from charlm.chat.turns import BOT, YOU, Turn
from charlm.config import ChatConfig
from charlm.errors import CharlmError, CheckpointError, UsageError
from charlm.text.dialogue import Dialogue

FORMS: Final = ("md", "json", "txt")
VERSION: Final = 1
REASONS: Final = ("typed", "stop", "length", "cancelled")

Kind = TypeVar("Kind")

_INLINE = re.compile(r"[\\`*_\[\]<>|~&$]")
_AT_BEGINNING = re.compile(r"^(\d*)([-+#=.)])")  # of a line: lists and headings


def export(data: ConversationData, form: str) -> str:
    """Return a conversation as the text of a file.

    Args:
        data: the conversation.
        form: "md", "json" or "txt".

    Raises:
        UsageError: there is no such form.
    """
    forms = {"md": to_markdown, "json": to_json, "txt": to_text}
    if form not in forms:
        raise UsageError(f"there is no form {form!r}", f"it is one of {', '.join(FORMS)}")
    return replace_lone_surrogates(forms[form](data))


def to_text(data: ConversationData) -> str:
    """The visible turns, as the dialogue's format writes them."""
    return data.text + "\n"


def to_markdown(data: ConversationData) -> str:
    """The visible turns, to be read: what was said looks as it was said, whatever it may mean in Markdown."""
    path = data.path
    title = data.title or headline(path[0].text if path else "") or "A conversation"
    when = datetime.fromtimestamp(data.created, UTC).strftime("%Y-%m-%d")
    parts = [f"# {_escaped(title)}", f"{_escaped(data.model or 'a model')}, {when}, {len(path)} turns"]
    parts += [f"**{_escaped(turn.name)}**\n\n{_quoted(turn.text)}" for turn in path]
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    lines = [_escaped(line) for line in text.split("\n")]
    # A backslash breaks the line, but not before an empty one, which begins a paragraph.
    breaks = ["\\" if line and following else "" for line, following in pairwise([*lines, ""])]
    return "\n".join(f"> {line}{end}".rstrip(" ") for line, end in zip(lines, breaks, strict=True))


def _escaped(line: str) -> str:
    if not line.strip():
        return ""
    said = _AT_BEGINNING.sub(r"\1\\\2", _INLINE.sub(r"\\\g<0>", line.strip()))
    return "\u00a0" * (len(line) - len(line.lstrip())) + said  # else indented text would be code


def to_json(data: ConversationData) -> str:
    """Everything but the snapshots."""
    number = {data.root: 0} | {turn: place for place, turn in enumerate(data.turns, 1)}
    document = {
        "charlm": "conversation",
        "version": VERSION,
        "title": data.title,
        "model": data.model,
        "fingerprint": data.fingerprint,
        "dialogue": data.dialogue.to_dict(),
        "you": data.you,
        "bot": data.bot,
        "dials": data.controls.dials.to_dict(),
        "seed": data.seed,
        "rng": data.controls.rng.bit_generator.state,
        "created": _told(data.created),
        "updated": _told(data.updated),
        "moves": [number[turn] for turn in data.moves],
        "cursor": data.cursor,
        **({"forgets": True} if data.forgets else {}),
        "visited": _visited(data.root, number),
        "turns": [
            {
                "id": number[turn],
                "parent": number[turn.parent or data.root],
                "author": turn.author,
                "name": turn.name,
                "reason": turn.reason,
                "created": _told(turn.created),
                "visited": _visited(turn, number),
                "passages": [passage.to_dict() for passage in turn.passages],
                **({"lesson": turn.lesson.to_dict()} if turn.lesson != NO_LESSON else {}),
            }
            for turn in data.turns
            if turn.reason != "draft"
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _visited(turn: Turn, number: Mapping[Turn, int]) -> int | None:
    return None if turn.visited is None else number[turn.visited]


def _told(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


# -- back again -------------------------------------------------------------------------------------------------------


def from_json(text: str) -> ConversationData:
    """Read back what `to_json` made.

    Raises:
        CheckpointError: it is something else, or damaged.
    """
    try:
        document = json.loads(text, parse_constant=_no)
        json.dumps(document, ensure_ascii=False).encode()  # halves of characters cannot be data
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"not a conversation that charlm has exported: {str(error)[:80]}") from error
    if not isinstance(document, dict) or document.get("charlm") != "conversation":
        raise CheckpointError("not a conversation that charlm has exported", "charlm conversations export makes one")
    version = document.get("version")
    if type(version) is not int or version != VERSION:
        newer = type(version) is int and version > VERSION
        raise CheckpointError(
            f"a conversation of version {str(version)[:20]}, but this charlm reads version {VERSION}",
            "a newer charlm wrote it: upgrade" if newer else None,
        )
    try:
        return _record(document)
    except (CharlmError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = error.message if isinstance(error, CharlmError) else f"{type(error).__name__}: {str(error)[:80]}"
        raise CheckpointError(f"a conversation that charlm has exported, but damaged: {what}") from error


def _record(document: dict[str, Any]) -> ConversationData:
    seed = _a(int, document["seed"])
    _must(seed >= 0, "a number is out of range")
    data = ConversationData(
        dialogue=Dialogue.from_dict(_a(dict, document["dialogue"])),
        you=_name(document["you"]),
        bot=_name(document["bot"]),
        controls=SamplerControls(
            ChatConfig.from_dict(_a(dict, document["dials"])), restored(_a(dict, document["rng"]))
        ),
        seed=seed,
        title=one_line(_a(str, document["title"])),
        forgets=_a(bool, document.get("forgets", False)),
        model=_a(str, document["model"]),
        fingerprint=_a(str, document["fingerprint"]),
        created=_time(document["created"]),
        updated=_time(document["updated"]),
    )
    known = [data.root]
    for one in _a(list, document["turns"]):
        known.append(_turn(_a(dict, one), known))
        data.attach(known[-1])
    for turn, child in zip(known, [document["visited"], *[one["visited"] for one in document["turns"]]], strict=True):
        if child is not None:
            _must(0 <= _a(int, child) < len(known), "there is no such turn")
            turn.visited = known[child]
            _must(turn.visited.parent is turn, "a turn is said to follow one that it does not follow")
    moves = [_a(int, move) for move in _a(list, document["moves"])]
    _must(0 < len(moves) <= MAX_MOVES, "the number of moves is out of range")
    _must(all(0 <= move < len(known) for move in moves), "the head was at turns that there are not")
    cursor = _a(int, document["cursor"])
    _must(0 <= cursor < len(moves), "a number is out of range")
    data.moves, data.cursor = [known[move] for move in moves], cursor
    data.show(data.moves[cursor])
    return data


def _turn(one: dict[str, Any], known: Sequence[Turn]) -> Turn:
    _must(_a(int, one["id"]) == len(known), "the turns are not numbered from 1 on")
    _must(0 <= _a(int, one["parent"]) < len(known), "a turn follows one that comes after it")
    _must(one["author"] in (YOU, BOT) and one["reason"] in REASONS, "a turn is of an unknown kind")
    passages = tuple(_passage(_a(dict, passage)) for passage in _a(list, one["passages"]))
    lesson = LearnPolicy.from_dict(_a(dict, one.get("lesson", {})))
    parent, name = known[one["parent"]], _name(one["name"])
    turn = Turn(0, parent, one["author"], name, passages, one["reason"], lesson=lesson)
    turn.created = _time(one["created"])
    return turn


def _passage(document: dict[str, Any]) -> Segment:
    _a(str, document["text"])
    draws, last = _a(int, document["draws"]), 0
    _must(draws >= 0, "a number is out of range")
    for draw, dials, rng in _a(list, document["settings"]):
        _must(last <= _a(int, draw) <= draws, "a dial is turned at a character that was never drawn")
        _a(dict, dials), _a(dict, rng)
        last = draw
    return Segment.from_dict(document)


def _name(value: object) -> str:
    name = _a(str, value)
    _must("\n" not in name, "a speaker's name has several lines")
    return name


def _time(value: object) -> float:
    moment = datetime.fromisoformat(_a(str, value))
    _must(moment.tzinfo is not None, "a time has no zone")
    seconds = moment.timestamp()
    _must(0 <= seconds < 1e11, "a time is out of range")
    return seconds


def _a(kind: type[Kind], value: object) -> Kind:
    if type(value) is not kind:
        raise CheckpointError(f"a {kind.__name__} is a {type(value).__name__}")
    return value


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CheckpointError(otherwise)


def _no(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
