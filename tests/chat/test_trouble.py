"""What goes wrong with the file: full, held, read-only, damaged. The conversation goes on, and nothing said is lost."""

from __future__ import annotations

import gc
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from charlm.chat.adaptive_reader import Reader
from charlm.chat.conversation import Conversation
from charlm.chat.storage.conversation_data import ConversationData
from charlm.chat.storage.store import ConversationStore
from charlm.errors import CharlmError, CheckpointError, NotFoundError, OutputError
from charlm.inference.engine import Engine

from .conftest import QUICK, Reopen
from .models import DIALOGUES
from .test_store import begin, check_index, rows, texts

LINES = DIALOGUES["lines"]
Trouble = Callable[[ConversationStore, Path], "contextmanager[None]"]


@contextmanager
def full(store: ConversationStore, path: Path) -> Iterator[None]:
    connection = store._database._connection
    assert connection is not None
    [(before,)] = connection.execute("PRAGMA max_page_count")
    connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the file's size
    yield
    connection.execute(f"PRAGMA max_page_count = {before}")


@contextmanager
def read_only(store: ConversationStore, path: Path) -> Iterator[None]:
    connection = store._database._connection
    assert connection is not None
    connection.execute("PRAGMA query_only = ON")
    yield
    connection.execute("PRAGMA query_only = OFF")


@contextmanager
def held(store: ConversationStore, path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


TROUBLES = {
    "full": (full, "the disk is full"),
    "read only": (read_only, "only be read"),
    "held": (held, "another program"),
}
trouble = pytest.mark.parametrize(("cause", "why"), TROUBLES.values(), ids=list(TROUBLES))


def same_tree(conversation: Conversation, other: Conversation) -> bool:
    return _shape(conversation.root) == _shape(other.root) and texts(conversation) == texts(other)


def _shape(turn: object) -> tuple[object, ...]:
    return (turn.text, turn.reason, turn.passages, [_shape(child) for child in turn.children])  # type: ignore[attr-defined]


@trouble
def test_a_conversation_goes_on_in_memory_and_is_saved_when_that_is_possible_again(
    store: ConversationStore, engine: Engine, reopen: Reopen, cause: Trouble, why: str
) -> None:
    never_in_trouble = Conversation(engine, LINES, dials=QUICK, seed=1)
    conversation = begin(store, engine, seed=1)
    for one in (never_in_trouble, conversation):
        one.say("hello")
    assert store.news() == []
    with cause(store, store.path):
        for one in (never_in_trouble, conversation):
            one.say("in trouble " * 600)  # more than there is room in the file
            one.regenerate()
            one.say("still")
            one.undo()
        assert isinstance(store.trouble, OutputError)
        assert why in store.trouble.message
        [sentence] = store.news()
        assert why in sentence
        assert store.news() == [], "told once"
        assert len(store.turns(1).turns) < len(ConversationData.of(conversation).turns)
        assert texts(conversation) == texts(never_in_trouble)
    for one in (never_in_trouble, conversation):
        one.say("over")
    assert store.trouble is None
    assert store.news() == ["everything is saved again"]
    again = reopen().open(1, "noise", engine, LINES).conversation
    assert same_tree(again, never_in_trouble)
    for turn in again.path:
        assert again._journal is not None
        assert again._journal.fetch(turn, Reader(engine)) is not None
    check_index(store.path)
    while never_in_trouble.undo():
        assert again.undo()
        assert texts(again) == texts(never_in_trouble)


@trouble
def test_a_conversation_that_begins_in_trouble_is_saved_when_the_store_is_closed(
    store: ConversationStore, engine: Engine, reopen: Reopen, cause: Trouble, why: str
) -> None:
    with cause(store, store.path):
        conversation = begin(store, engine, "x" * 8_000)
        assert conversation.head.id < 0
        assert store.trouble is not None
        said, head = texts(conversation), conversation.head
        store.create("noise", engine, LINES)
        del conversation  # nobody looks at it any more, as when another one is opened
        gc.collect()
    store.close()
    assert head.id > 0
    [summary] = reopen().list()
    assert texts(reopen().open(summary.number, "noise", engine, LINES).conversation) == said


@trouble
def test_what_is_asked_for_and_cannot_be_done_is_a_sentence(
    store: ConversationStore, engine: Engine, cause: Trouble, why: str
) -> None:
    begin(store, engine, "hello")
    with cause(store, store.path):
        with pytest.raises(OutputError, match=why):
            store.rename(1, "x" * 100_000)
        if cause is read_only:
            for call in (store.delete, store.remove):
                with pytest.raises(OutputError, match=why):
                    call(1)
        assert store.list()[0].title == "hello", "reading goes on"


def test_whoever_holds_the_file_is_waited_for_once(store: ConversationStore, engine: Engine) -> None:
    conversation = begin(store, engine, "hello")
    waited: list[float] = []
    writing = store._database.writing

    def watched(patience: float = 1.0) -> object:
        waited.append(patience)
        return writing(patience)

    store._database.writing = watched  # type: ignore[method-assign, assignment]
    conversation._clock = iter(range(100_000)).__next__
    with held(store, store.path):
        reply = conversation.say("again")
    assert reply.turn.id < 0
    assert waited == [1.0, 0.05, 0.05, 0.05], "two turns begun and finished, and no drafts meanwhile"
    assert conversation.say("over").turn.id > 0
    assert set(waited[4:]) == {0.05, 1.0}


def test_a_place_where_nothing_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.db").mkdir()
    for path in (tmp_path / "file" / "c.db", tmp_path / "folder.db"):
        with pytest.raises(OutputError, match="cannot be opened") as error:
            ConversationStore(path)
        assert "CHARLM_HOME" in str(error.value.hint)
    assert (tmp_path / "folder.db").is_dir()


# -- damage -----------------------------------------------------------------------------------------------------------


def set_aside(path: Path) -> list[Path]:
    return [
        one for one in path.parent.iterdir() if re.fullmatch(r"conversations\.damaged-\d{8}-\d{6}(-\d+)?\.db", one.name)
    ]


@pytest.mark.parametrize(
    "content",
    [b"nonsense " * 1000, b"SQLite format 3\0" + b"\xff" * 5000, b"SQLite format 3\0" + bytes(4080), b"\0" * 100],
    ids=["text", "broken header", "empty header", "zeros"],
)
def test_a_file_that_is_no_database_is_set_aside(path: Path, engine: Engine, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = ConversationStore(path)
    [aside] = set_aside(path)
    assert aside.read_bytes() == content
    assert aside.name in store.notice
    assert "damaged" in store.notice
    begin(store, engine, "hello")
    assert store.trouble is None
    store.close()
    store = ConversationStore(path)
    assert store.notice == ""
    assert [one.title for one in store.list()] == ["hello"]
    store.close()


def test_several_damaged_files_are_all_kept(path: Path) -> None:
    path.parent.mkdir()
    for number in range(4):
        path.write_bytes(b"nonsense %d" % number * 100)
        ConversationStore(path).close()
    assert {one.read_bytes() for one in set_aside(path)} == {b"nonsense %d" % number * 100 for number in range(4)}


def test_another_program_s_database_is_set_aside_whole(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE conversation (id, title)")
        connection.execute("INSERT INTO conversation VALUES (1, 'theirs')")
    connection.close()
    store = ConversationStore(path)
    [aside] = set_aside(path)
    assert rows(aside, "SELECT title FROM conversation") == [("theirs",)]
    assert store.list() == []
    store.close()


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    store = ConversationStore(path)
    assert (store.notice, set_aside(path)) == ("", [])
    store.close()


def several(path: Path, engine: Engine) -> dict[int, list[str]]:
    store = ConversationStore(path)
    said = {}
    for number in range(1, 6):
        letters = "abcdefghijklmnopqrstuvwxyz"[number] * 3000  # so that no two share a page
        conversation = begin(store, engine, letters, "and")
        said[number] = texts(conversation)
    store.set_setting("theme", "dark")
    store.close()
    return said


def smash(path: Path, text: str) -> None:
    """Overwrite every page of the file on which a text stands."""
    data = bytearray(path.read_bytes())
    pages = {place.start() // 4096 for place in re.finditer(re.escape(text.encode()), data)}
    assert pages
    assert 0 not in pages
    for page in pages:
        data[page * 4096 : (page + 1) * 4096] = b"\xee" * 4096
    path.write_bytes(data)


def test_damage_that_shows_in_use_costs_only_what_is_damaged(path: Path, engine: Engine) -> None:
    said = several(path, engine)
    smash(path, "d" * 500)
    store = ConversationStore(path)
    assert store.notice == ""
    with pytest.raises(CheckpointError, match="was damaged: it is set aside as"):
        store.open(3, "noise", engine, LINES)
    [aside] = set_aside(path)
    [news] = store.news()
    assert aside.name in news
    assert "with 4 of its 5 conversations" in news
    assert sorted(one.number for one in store.list()) == [1, 2, 4, 5]
    for number in (1, 2, 4, 5):
        opened = store.open(number, "noise", engine, LINES)
        assert texts(opened.conversation) == said[number]
        assert opened.conversation._journal is not None
        assert opened.conversation._journal.fetch(opened.conversation.head, Reader(engine)) is not None
    assert store.setting("theme") == "dark"
    begin(store, engine, "new")
    assert store.list()[0].number > 5
    store.close()
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    check_index(path)


def test_a_conversation_that_is_open_when_the_file_turns_out_damaged_goes_on_in_the_new_one(
    path: Path, engine: Engine
) -> None:
    several(path, engine)
    store = ConversationStore(path)
    conversation = store.open(2, "noise", engine, LINES).conversation
    conversation.say("more")
    conversation.regenerate()
    lost = begin(store, engine, "lost " * 1000)
    store._database._connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    smash(path, "lost " * 100)
    smash(path, "c" * 500)
    store._database._connection.execute("PRAGMA cache_size = 0")
    with pytest.raises(CharlmError):
        store.turns(2)
    [news] = store.news()
    assert "with 4 of its 6 conversations" in news
    for one in (conversation, lost):
        one.say("still here")
        assert store.trouble is None
        assert one.number is not None
        assert one.number not in (1, 3, 4, 5)
        again = ConversationStore(path)
        assert same_tree(again.open(one.number, "noise", engine, LINES).conversation, one)
        again.close()
    assert len(store.list()) == 6
    store.close()
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_damage_that_shows_in_mid_reply(path: Path, engine: Engine) -> None:
    store = ConversationStore(path)
    conversation = begin(store, engine, "hello " * 1000)
    store._database._connection.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    store._database._connection.execute("PRAGMA cache_size = 0")
    path.write_bytes(path.read_bytes()[:4096] + b"\xee" * (path.stat().st_size - 4096))
    conversation._clock = iter(range(100_000)).__next__
    conversation.say("go on")
    assert store.trouble is None
    assert len(set_aside(path)) == 1
    assert store.news() != []
    store.close()
    again = ConversationStore(path)
    assert same_tree(again.open(conversation.number, "noise", engine, LINES).conversation, conversation)  # type: ignore[arg-type]
    again.close()


def test_who_comes_late_does_not_set_the_new_file_aside(path: Path, engine: Engine) -> None:
    several(path, engine)
    first, second = ConversationStore(path), ConversationStore(path)
    smash(path, "d" * 500)
    for store in (first, second):
        store._database._connection.execute("PRAGMA cache_size = 0")
    with pytest.raises(CheckpointError):
        first.turns(3)
    begin(first, engine, "new")
    with pytest.raises(NotFoundError):
        second.turns(3)
    begin(second, engine, "newer")
    assert len(set_aside(path)) == 1
    assert [one.title for one in first.list()[:2]] == ["newer", "new"]
    for store in (first, second):  # one that was just about to
        store._database._file = (0, 0)
        store._database._set_aside()
        assert len(store.list()) == 6
    assert len(set_aside(path)) == 1
    first.close()
    second.close()


def test_a_damaged_index_of_words_is_made_again(path: Path, engine: Engine) -> None:
    several(path, engine)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE words_data SET block = x'ffffffffffff' WHERE id > 10")
    connection.close()
    store = ConversationStore(path)
    with pytest.raises(CheckpointError, match="made again"):
        store.list("ddd")
    assert [one.number for one in store.list("ddd")] == [3]
    assert set_aside(path) == []
    store.close()
    check_index(path)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE conversation SET moves = '[1, 99, \"x\"]'",
        "UPDATE conversation SET moves = 'nonsense'",
        "UPDATE conversation SET moves = '{}'",
        "UPDATE conversation SET rng = '{}'",
        "UPDATE conversation SET rng = '[]'",
        "UPDATE conversation SET dials = '[]'",
        'UPDATE conversation SET dials = \'{"temperature": "hot"}\'',
        'UPDATE conversation SET dialogue = \'{"format": "song"}\'',
        "UPDATE conversation SET dialogue = ''",
        "UPDATE conversation SET seed = 'many'",
        "UPDATE turn SET passages = '[[1, [], 0]]' WHERE id = 1",
        "UPDATE turn SET passages = '[[1, 2]]' WHERE id = 1",
        "UPDATE turn SET passages = 'x' WHERE id = 1",
        "UPDATE turn SET passages = '7' WHERE id = 1",
        "UPDATE turn SET passages = CAST(x'ff' AS TEXT) WHERE id = 1",
        "UPDATE turn SET parent = 3 WHERE id = 2",
    ],
)
def test_a_conversation_with_a_damaged_row_is_refused_in_a_sentence_and_the_others_are_not(
    path: Path, engine: Engine, harm: str
) -> None:
    store = ConversationStore(path)
    begin(store, engine, "hello", "and")
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(harm)
    connection.close()
    store = ConversationStore(path)
    with pytest.raises(CheckpointError, match="damaged"):
        store.turns(1)
    with pytest.raises(CheckpointError, match="damaged"):
        store.open(1, "noise", engine, LINES)
    assert len(store.list()) == 1
    begin(store, engine, "another")
    assert store.trouble is None
    store.remove(1)
    store.close()
    assert set_aside(path) == []


def test_a_file_that_someone_deletes_while_a_conversation_is_open(path: Path, engine: Engine) -> None:
    store = ConversationStore(path)
    conversation = begin(store, engine, "hello", "and")
    for part in path.parent.iterdir():
        part.unlink()
    conversation.say("still here")
    assert store.trouble is None
    store.close()
    again = ConversationStore(path)
    assert same_tree(again.open(conversation.number, "noise", engine, LINES).conversation, conversation)  # type: ignore[arg-type]
    again.close()
