"""The JSON form of a conversation and of its turns. The columns of the database and an export have the same fields.

Turns are numbers there; 0 is the beginning of the conversation. Contexts are not part of it: a model makes them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from charlm.chat.conversation_data import MAX_MOVES, ConversationData
from charlm.chat.learning import NO_LEARNING, LearnPolicy
from charlm.chat.reply_sampler import SamplerControls
from charlm.chat.turns import BOT, YOU, SamplerCheckpoint, Segment, Turn, restored_rng
from charlm.config import ChatConfig
from charlm.errors import CharlmError, CheckpointError
from charlm.registry import HUB
from charlm.text.dialogue import Dialogue
from charlm.text.sanitize import replace_lone_surrogates

REASONS: Final = ("typed", "stop", "length", "cancelled")
_MAX_TIME: Final = 1e11  # seconds since 1970, in the year 5138

DAMAGE: Final = (CharlmError, AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError)
"""What an invalid document may raise."""

Document = TypeVar("Document")


@dataclass(frozen=True)
class ConversationDocument:
    """A conversation without its turns."""

    title: str
    model: str
    fingerprint: str
    dialogue: dict[str, object]
    you: str
    bot: str
    dials: dict[str, object]
    seed: int
    rng: dict[str, object]
    created: float
    updated: float
    forgets: bool
    moves: list[int]
    cursor: int
    visited: int | None  # the first turn that was visible last


@dataclass  # not frozen: that takes three times as long to make
class TurnDocument:
    """A turn."""

    id: int
    parent: int
    author: str
    name: str
    text: str
    segments: list[object]  # for each stretch: [length, [[draw, settings, state of the generator], ...], draws]
    reason: str
    created: float
    visited: int | None  # the child that was visible last
    learning: dict[str, object]


def one_line(title: str) -> str:
    """Return a title as it is stored."""
    return " ".join(replace_lone_surrogates(title).split())


def conversation_document(data: ConversationData, ids: Mapping[Turn, int]) -> ConversationDocument:
    """Return the document of a conversation, with these numbers for its turns."""
    return ConversationDocument(
        title=one_line(data.title),
        model=replace_lone_surrogates(data.model),
        fingerprint=data.fingerprint,
        dialogue=data.dialogue.to_dict(),
        you=replace_lone_surrogates(data.you),
        bot=replace_lone_surrogates(data.bot),
        dials=data.controls.dials.to_dict(),
        seed=data.seed,
        rng=dict(data.controls.rng.bit_generator.state),
        created=data.created,
        updated=data.updated,
        forgets=data.forgets,
        moves=[ids.get(turn, 0) for turn in data.moves],
        cursor=data.cursor,
        visited=None if data.root.visited is None else ids.get(data.root.visited),
    )


def turn_document(turn: Turn, ids: Mapping[Turn, int]) -> TurnDocument:
    """Return the document of a turn. One that has no number yet gets 0."""
    assert turn.parent is not None
    assert turn.parent in ids or turn.parent.parent is None, "parents get numbers before their children"
    # A draft that a crash cuts off is read from its text, not drawn again.
    segments = turn.segments if turn.reason != "draft" else (Segment(turn.text),)
    return TurnDocument(
        id=ids.get(turn, 0),
        parent=ids.get(turn.parent, 0),
        author=turn.author,
        name=replace_lone_surrogates(turn.name),
        text=turn.text,
        segments=segment_list(segments),
        reason=turn.reason,
        created=turn.created,
        visited=None if turn.visited is None else ids.get(turn.visited),
        learning=turn.policy.to_dict(),
    )


def segment_list(segments: Iterable[Segment]) -> list[object]:
    """Return the document of segments, see `TurnDocument`."""
    return [
        [len(one.text), [[each.draw, each.dials.to_dict(), dict(each.rng)] for each in one.settings], one.draws]
        for one in segments
    ]


# -- back again -------------------------------------------------------------------------------------------------------


def _types(kind: type[object]) -> dict[str, tuple[object, ...]]:
    """Return the types that each field may have."""
    hints = get_type_hints(kind)
    unions = {name: get_args(hint) if isinstance(hint, UnionType) else (hint,) for name, hint in hints.items()}
    return {name: tuple([get_origin(one) or one for one in union]) for name, union in unions.items()}


_TYPES: Final[dict[Any, dict[str, tuple[object, ...]]]] = {
    one: _types(one) for one in (ConversationDocument, TurnDocument)
}


def parse(kind: type[Document], values: Mapping[str, object]) -> Document:
    """Return a document of this kind, from JSON; raise CheckpointError if a field is missing or of another type."""
    for name, types in _TYPES[kind].items():
        if name not in values:
            raise CheckpointError(f"{name} is missing")
        if type(values[name]) not in types:
            raise CheckpointError(f"{name} is of type {type(values[name]).__name__}")
    return kind(**{name: values[name] for name in _TYPES[kind]})


def conversation(
    document: ConversationDocument, turns: Iterable[TurnDocument], *, is_trusted: bool = False
) -> tuple[ConversationData, dict[Turn, int]]:
    """Return the conversation that a document describes, and the numbers of its turns; parents come before children.

    If it is trusted, segments are not checked for what would raise an error later. An invalid value raises `DAMAGE`.
    """
    data = ConversationData(
        dialogue=Dialogue.from_dict(document.dialogue),
        you=_speaker(document.you),
        bot=_speaker(document.bot),
        controls=SamplerControls(ChatConfig.from_dict(document.dials), restored_rng(document.rng)),
        seed=document.seed,
        title=one_line(document.title),
        forgets=document.forgets,
        model=document.model,
        fingerprint=document.fingerprint,
        created=_time(document.created),
        updated=_time(document.updated),
    )
    known, visited = {0: data.root}, {data.root: document.visited}
    for one in turns:
        _require(one.id not in known and one.parent in known, "a turn has a wrong number or comes before its parent")
        _require(one.author in (YOU, BOT) and one.reason in REASONS, "a turn has an unknown author or end")
        segments = parse_segments(one.text, one.segments, is_trusted=is_trusted)
        policy = LearnPolicy.from_dict(one.learning) if one.learning else NO_LEARNING
        turn = Turn(0, known[one.parent], one.author, _speaker(one.name), segments, one.reason, policy=policy)
        turn.created = _time(one.created)
        data.attach(turn)
        known[one.id], visited[turn] = turn, one.visited
    for turn, child in visited.items():
        if child is not None:
            turn.visited = known[child]
            _require(turn.visited.parent is turn, "a turn has the child of another one")
    _require(not document.model.startswith(HUB), "its model is not on this computer")  # opening it downloads nothing
    _require(document.seed >= 0, "the seed is out of range")
    _require(0 < len(document.moves) <= MAX_MOVES, "the number of moves is out of range")
    _require(0 <= document.cursor < len(document.moves), "the cursor is out of range")
    data.moves, data.cursor = [known[move] for move in document.moves], document.cursor
    data.show(data.moves[data.cursor])
    return data, {turn: number for number, turn in known.items() if turn is not data.root}


def parse_segments(text: str, documents: Iterable[Any], *, is_trusted: bool = False) -> tuple[Segment, ...]:
    """Return the segments of a text, from the document that `segment_list` returned. See `conversation`."""
    segments, start = [], 0
    for length, settings, draws in documents:
        made = tuple([SamplerCheckpoint(draw, _settings(tuple(dials.items())), rng) for draw, dials, rng in settings])
        segments.append(Segment(text[start : start + length], made, draws))
        start += length
        if not is_trusted:
            places = [0, *[one.draw for one in made], draws]
            _require(length >= 0 and {int} == {type(length), *map(type, places)}, "a segment has no length")
            _require(places == sorted(places), "a setting was changed at a character that was never drawn")
            for one in made:
                restored_rng(one.rng)
    _require(start == len(text), "a turn is not as long as its segments")
    return tuple(segments)


@lru_cache(maxsize=256)
def _settings(items: tuple[tuple[str, Any], ...]) -> ChatConfig:
    """Return the settings of a segment. Many turns share them: they are made and checked once."""
    return ChatConfig.from_dict(dict(items))


def _speaker(name: str) -> str:
    _require("\n" not in name, "the name of a speaker has several lines")
    return name


def _time(seconds: float) -> float:
    _require(0 <= seconds < _MAX_TIME, "a time is out of range")
    return seconds


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise CheckpointError(problem)
