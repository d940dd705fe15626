"""Conversations as files, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.export import FORMATS, export, from_json, to_json
from charlm.chat.replay import replay
from charlm.chat.reply import Observer
from charlm.chat.storage.store import ConversationStore
from charlm.config import ChatConfig
from charlm.errors import CheckpointError, UsageError
from charlm.inference.engine import Engine

from .conftest import QUICK, Reopen, ticks
from .models import DIALOGUES, random_engine
from .talkers import texts
from .test_replay import talk
from .test_store import begin
from .test_trouble import same_tree


@pytest.mark.parametrize("form", DIALOGUES)
@pytest.mark.parametrize("candidates", [1, 4])
def test_imported_equals_exported(store: ConversationStore, engine: Engine, form: str, candidates: int) -> None:
    conversation = store.create("noise", engine, ConversationData.start(DIALOGUES[form], dials=QUICK))
    conversation.say("hello")
    other = talk(engine, form, candidates)
    other.data.fingerprint = engine.fingerprint
    text = export(other.data, "json")
    number = store.add(from_json(text))
    assert json.loads(export(store.load(number), "json")) == json.loads(text)
    again = store.open(number, "noise", engine, DIALOGUES[form])
    assert same_tree(again, other)
    for name in ("you", "bot", "seed", "fingerprint"):
        assert getattr(again.data, name) == getattr(other.data, name), name
    assert again.dials == other.dials
    assert again.data.controls.rng.bit_generator.state == other.data.controls.rng.bit_generator.state
    assert replay(again).difference is None
    found, expected = again.context(again.head), other.context(other.head)
    assert abs(found.logits - expected.logits).max() < 1e-4
    assert [again.undo() and texts(again) for _ in range(4)] == [other.undo() and texts(other) for _ in range(4)]
    assert again.say("goes on").text == other.say("goes on").text
    assert texts(store.open(1, "noise", engine, DIALOGUES[form])) == texts(conversation)


def test_export_from_the_database_contains_its_times(path: Path, engine: Engine) -> None:
    store = ConversationStore(path)
    begin(store, engine, "hello")
    store.rename(1, "A name")
    first = json.loads(export(store.load(1), "json"))
    assert (first["title"], first["model"], first["fingerprint"]) == ("A name", "noise", engine.fingerprint)
    assert first["created"] < first["turns"][1]["created"] < first["updated"]
    second = json.loads(export(store.load(store.add(from_json(json.dumps(first)))), "json"))
    assert second == first
    store.close()


def test_reply_in_progress_is_exported_as_stopped(engine: Engine, reopen: Reopen) -> None:
    conversation = begin(reopen(clock=ticks()), engine, "hello")
    seen: list[str] = []

    def look(piece: object) -> None:
        seen.append(piece.text)
        if len(seen) == 5:
            kept = reopen().load(1)
            record = from_json(export(kept, "json"))
            assert record.path[-1].text == "".join(seen)
            assert record.path[-1].reason == "cancelled"
            assert export(kept, "txt").endswith("".join(seen) + "\n")
            assert from_json(export(conversation.data, "json")).path[-1].text == "again"

    conversation.say("again", Observer(look))
    assert len(seen) >= 5


@pytest.mark.parametrize("form", DIALOGUES)
def test_text_has_the_dialogue_s_format(engine: Engine, form: str) -> None:
    conversation = talk(engine, form, 1)
    dialogue = conversation.dialogue
    assert dialogue.beginning + export(conversation.data, "txt") == conversation.text() + "\n"


def test_markdown_escapes_every_turn() -> None:
    engine = random_engine(has_bytes=True)
    conversation = Conversation(engine, ConversationData.start(DIALOGUES["plain"], dials=ChatConfig(length=5), seed=1))
    conversation.say("# no *title*\n- no list\n1. none\n<b>`x` [y](z) & $1$\n\n    no code\n===\n| a | b")
    conversation.edit(conversation.head, "so\\")
    conversation.data.title, conversation.data.model = "The *ferry*", "no_vel"
    lines = export(conversation.data, "md").split("\n")
    assert lines[0] == r"# The \*ferry\*"
    assert lines[2].startswith(r"no\_vel, 20")
    assert lines[4:] == [
        "**you**",
        "",
        r"> \# no \*title\*" + "\\",
        r"> \- no list" + "\\",
        r"> 1\. none" + "\\",
        r"> \<b\>\`x\` \[y\](z) \& \$1\$",
        ">",
        "> \u00a0\u00a0\u00a0\u00a0no code\\",
        r"> \===" + "\\",
        r"> \| a \| b",
        "",
        "**bot**",
        "",
        r"> so" + "\\\\",
        "",
    ]


def test_unknown_format_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError) as error:
        export(Conversation(engine, ConversationData.start()).data, "pdf")
    assert all(form in str(error.value.hint) for form in FORMATS)


def test_empty_conversation_can_be_exported(store: ConversationStore, engine: Engine) -> None:
    conversation = Conversation(engine, ConversationData.start(seed=3))
    assert [export(conversation.data, form) != "" for form in FORMATS] == [True] * 3
    record = from_json(export(conversation.data, "json"))
    assert (record.path, record.head) == ([], record.root)
    assert store.search() == []


# -- what is not an export --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document() -> str:
    """An export."""
    return export(talk(random_engine(), "transcript", 4).data, "json")


OTHERS = (
    "",
    "x",
    "[]",
    "7",
    "null",
    "{}",
    "\0",
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"a": NaN}',
    "1" * 10_000,
    '"\\ud800"',
    '{"charlm": "model"}',
    '{"charlm": "conversation"}',
    '{"charlm": "conversation", "version": "1"}',
    '{"charlm": "conversation", "version": "1\\u001b[2J"}',
    '{"charlm": "conversation", "version": 1}',
    '{"charlm": "conversation", "version": 1, "turns": []}',
)


@pytest.mark.parametrize("text", OTHERS)
def test_file_that_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError) as error:
        from_json(text)
    assert "charlm" in error.value.message
    assert error.value.message.isprintable()
    assert len(error.value.message) < 200


def test_export_of_a_newer_version_is_refused_with_a_hint(document: str) -> None:
    with pytest.raises(CheckpointError, match="version 7") as error:
        from_json(document.replace('"version": 1', '"version": 7'))
    assert "upgrade" in str(error.value.hint)


def _set(*place: object, to: Any) -> Callable[[Any], None]:
    def harm(document: Any) -> None:
        for key in place[:-1]:
            document = document[key]
        document[place[-1]] = to

    return harm


SEGMENT = ("turns", 1, "segments", 0)
HARMS = {
    "an unknown author": _set("turns", 0, "author", to="ghost"),
    "an unknown reason": _set("turns", 0, "reason", to="draft"),
    "a parent to come": _set("turns", 0, "parent", to=2),
    "its own parent": _set("turns", 0, "parent", to=1),
    "a parent from below": _set("turns", 1, "parent", to=-1),
    "a parent that is text": _set("turns", 1, "parent", to="1"),
    "numbers with a gap": _set("turns", 1, "id", to=7),
    "a number twice": _set("turns", 1, "id", to=1),
    "a truth for a number": _set("turns", 0, "id", to=True),
    "a turn that is a list": _set("turns", 1, to=[]),
    "a name of two lines": _set("turns", 0, "name", to="a\nb"),
    "half a character": _set("turns", 1, "text", to="\ud800"),
    "a text that is a number": _set("turns", 1, "text", to=7),
    "settings that are none": _set(*SEGMENT, 1, to=[[1, 2]]),
    "settings that are text": _set(*SEGMENT, 1, to="abc"),
    "a setting too late": _set(*SEGMENT, 2, to=-1),
    "endless draws": _set(*SEGMENT, 2, to=1e999),
    "a setting at no place": _set(*SEGMENT, 1, 0, 0, to=10**6),
    "dials of text": _set(*SEGMENT, 1, 0, 1, "temperature", to="hot"),
    "dials that are a list": _set(*SEGMENT, 1, 0, 1, to=[]),
    "half a candidate": _set(*SEGMENT, 1, 0, 1, "candidates", to=2.5),
    "a length that is true": _set(*SEGMENT, 1, 0, 1, "length", to=True),
    "too many candidates": _set(*SEGMENT, 1, 0, 1, "candidates", to=10**9),
    "no random numbers": _set(*SEGMENT, 1, 0, 2, to={}),
    "other random numbers": _set(*SEGMENT, 1, 0, 2, "bit_generator", to="MT19937"),
    "random numbers too large": _set(*SEGMENT, 1, 0, 2, "state", "state", to=1 << 200),
    "random numbers below zero": _set(*SEGMENT, 1, 0, 2, "state", "inc", to=-1),
    "random numbers of text": _set(*SEGMENT, 1, 0, 2, "state", to="x"),
    "no dialogue": _set("dialogue", to={}),
    "an unknown format": _set("dialogue", "format", to="song"),
    "names that are numbers": _set("dialogue", "names", to=[1]),
    "no dials": _set("dials", to=None),
    "a model to download": _set("model", to="hf:owner/novel"),
    "a seed below zero": _set("seed", to=-1),
    "a seed with a fraction": _set("seed", to=0.5),
    "no state": _set("rng", to={"bit_generator": "PCG64"}),
    "a head that is nowhere": _set("moves", to=[10**6]),
    "no head": _set("moves", to=[]),
    "a head of text": _set("moves", to=["1"]),
    "too many moves": _set("moves", to=[0] * 10_000),
    "a cursor behind the end": _set("cursor", to=10**6),
    "a cursor before the start": _set("cursor", to=-1),
    "a child of another": _set("visited", to=2),
    "a child that is none": _set("turns", 0, "visited", to=10**6),
    "no time": _set("created", to="yesterday"),
    "a time without a zone": _set("created", to="2026-01-01T00:00:00"),
    "a time before all times": _set("updated", to="0001-01-01T00:00:00+14:00"),
    "a title that is a list": _set("title", to=[]),
    "a model that is none": _set("model", to=None),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=list(HARMS))
def test_damaged_export_is_refused(document: str, harm: Callable[[Any], None]) -> None:
    whole = json.loads(document)
    harm(whole)
    with pytest.raises(CheckpointError) as error:
        from_json(json.dumps(whole))
    assert len(error.value.message) < 200


@settings(max_examples=40)
@given(data=st.data())
def test_fuzzed_export_is_handled(document: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = json.loads(document)
    spots = list(_spots(whole))
    for _ in range(data.draw(st.integers(1, 2))):
        parent, key = data.draw(st.sampled_from(spots))
        parent[key] = data.draw(
            st.one_of(
                st.sampled_from([None, True, -1, 0, 1, 2**70, 1e308, 0.5, "", "x", [], {}, [[]], [0], {"a": 1}]),
                st.text(max_size=5),
            )
        )
    try:
        record = from_json(json.dumps(whole))
    except CheckpointError:
        return
    engine = random_engine()
    store = ConversationStore(tmp_path_factory.mktemp("imported") / "c.db")
    number = store.add(record)
    [summary] = store.search()
    assert summary.number == number
    for form in FORMATS:
        export(store.load(number), form)
    conversation = store.open(number, "noise", engine, DIALOGUES["transcript"])
    conversation.dials = QUICK
    replay(conversation)
    conversation.say("go on")
    assert to_json(store.load(number))
    store.close()


def _spots(document: Any) -> Any:
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield document, key
        if isinstance(value, dict | list):
            yield from _spots(value)
