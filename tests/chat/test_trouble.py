"""Failures of the file: full, locked, read-only, damaged. The conversation goes on, and nothing is lost."""

from __future__ import annotations

import gc
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.export import from_json
from charlm.chat.storage.autosave import Autosave
from charlm.chat.storage.database import DamagedFileError, Database
from charlm.chat.storage.learned_weights import LearnedWeights
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import Turn
from charlm.errors import CheckpointError, NotFoundError, OutputError
from charlm.inference.engine import Engine

from .conftest import QUICK, Connector, Reopen, ticks
from .models import DIALOGUES, CountingEngine, learning_engine, random_checkpoint
from .talkers import texts, tree
from .test_store import begin, check_index, execute

LINES = DIALOGUES["lines"]
Failure = Callable[[Connector, Path], "contextmanager[None]"]


@contextmanager
def full(connector: Connector, path: Path) -> Iterator[None]:
    [(before,)] = connector.last.execute("PRAGMA max_page_count")
    connector.last.execute("PRAGMA max_page_count = 1")  # SQLite takes the file's size
    yield
    connector.last.execute(f"PRAGMA max_page_count = {before}")


@contextmanager
def read_only(connector: Connector, path: Path) -> Iterator[None]:
    connector.last.execute("PRAGMA query_only = ON")
    yield
    connector.last.execute("PRAGMA query_only = OFF")


@contextmanager
def locked(connector: Connector, path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


FAILURES = {
    "full": (full, "the disk is full"),
    "read only": (read_only, "read-only"),
    "locked": (locked, "another program"),
}
failure = pytest.mark.parametrize(("failing", "why"), FAILURES.values(), ids=list(FAILURES))


def same_tree(conversation: Conversation, other: Conversation) -> bool:
    return tree(conversation.data.root) == tree(other.data.root) and texts(conversation) == texts(other)


def is_saved(path: Path, conversation: Conversation, engine: Engine) -> bool:
    """True if another process finds the conversation as it is."""
    store = ConversationStore(path)
    assert conversation.data.number is not None
    found = same_tree(store.open(conversation.data.number, "noise", engine, LINES), conversation)
    store.close()
    return found


@failure
def test_unsaved_turns_are_saved_when_the_file_works_again(
    store: ConversationStore, connector: Connector, reopen: Reopen, failing: Failure, why: str
) -> None:
    engine = CountingEngine(random_checkpoint())
    never_failed = Conversation(engine, ConversationData.start(LINES, dials=QUICK, seed=1))
    conversation = begin(store, engine, seed=1)
    for one in (never_failed, conversation):
        one.say("hello")
    assert store.news() == []
    ids = [turn.id for turn in conversation.path]
    with failing(connector, store.path):
        for one in (never_failed, conversation):
            one.say("in trouble " * 600)  # more than there is room in the file
            one.regenerate()
            one.say("still")
            one.undo()
        assert isinstance(store.error, OutputError)
        assert why in store.error.message
        [sentence] = store.news()
        assert why in sentence
        assert store.news() == [], "once"
        assert len(store.load(1).turns) < len(conversation.data.turns)
        assert texts(conversation) == texts(never_failed)
        ids += [turn.id for turn in conversation.path[2:]]
    for one in (never_failed, conversation):
        one.say("over")
    assert [turn.id for turn in conversation.path[:4]] == ids, "a turn keeps its id when it is saved late"
    assert store.error is None
    assert store.news() == ["everything is saved again"]
    again = reopen().open(1, "noise", engine, LINES)
    assert same_tree(again, never_failed)
    before = engine.read_ids
    for turn in again.path:
        again.context(turn)
    assert engine.read_ids == before, "each turn has its snapshot"
    check_index(store.path)
    while never_failed.undo():
        assert again.undo()
        assert texts(again) == texts(never_failed)


@failure
def test_conversation_begun_during_a_failure_is_saved_on_close(
    store: ConversationStore, engine: Engine, reopen: Reopen, connector: Connector, failing: Failure, why: str
) -> None:
    with failing(connector, store.path):
        conversation = begin(store, engine, "x" * 8_000)
        assert conversation.data.number is None
        assert store.error is not None
        said = texts(conversation)
        store.create("noise", engine, ConversationData.start(LINES))
        del conversation  # as when another one is opened
        gc.collect()
    store.close()
    [summary] = reopen().search()
    assert texts(reopen().open(summary.number, "noise", engine, LINES)) == said


@failure
def test_request_that_fails_raises_an_error_with_the_reason(
    store: ConversationStore, engine: Engine, connector: Connector, failing: Failure, why: str
) -> None:
    begin(store, engine, "hello")
    with failing(connector, store.path):
        with pytest.raises(OutputError, match=why):
            store.rename(1, "x" * 100_000)
        if failing is read_only:
            for call in (store.delete, store.remove):
                with pytest.raises(OutputError, match=why):
                    call(1)
        assert store.search()[0].title == "hello", "reading goes on"


def test_locked_file_is_waited_for_once(reopen: Reopen, connector: Connector, engine: Engine) -> None:
    store = reopen(connect=connector, clock=ticks())
    conversation = begin(store, engine, "hello")
    waited: list[int] = []

    def trace(sql: str) -> None:
        if sql.startswith("PRAGMA busy_timeout = "):
            waited.append(int(sql.split()[-1]))

    connector.last.set_trace_callback(trace)
    with locked(connector, store.path):
        conversation.say("again")
    assert waited == [1000, 50, 50], "what was typed, the reply begun and finished, and no drafts"
    conversation.say("over")
    assert set(waited[3:]) == {50, 1000}


@failure
def test_conversation_that_cannot_be_saved_is_written_to_a_file(
    store: ConversationStore, engine: Engine, reopen: Reopen, connector: Connector, failing: Failure, why: str
) -> None:
    conversation = begin(store, engine, "hello")
    waits: list[str] = []
    with suppress(sqlite3.ProgrammingError), failing(connector, store.path):  # its connection is closed meanwhile
        conversation.say("a thing worth keeping " * 500)
        assert not store.close(waits.append, patience=0.01)
    assert [why in one for one in waits] == [True]
    failed, rescued = store.news()
    assert why in failed
    file = Path(re.sub(".*import (.*) brings.*", r"\1", rescued))
    assert file.stat().st_mode & 0o077 == 0, "private"
    other = reopen()
    number = other.add(from_json(file.read_text(encoding="utf-8")))
    assert same_tree(other.open(number, "noise", engine, LINES), conversation)
    assert not store.close(), "once"
    assert store.news() == []


def test_close_waits_for_a_program_that_holds_the_file(
    store: ConversationStore, engine: Engine, path: Path, connector: Connector
) -> None:
    conversation = begin(store, engine, "hello")
    with ExitStack() as lock:
        lock.enter_context(locked(connector, store.path))
        conversation.say("again")
        assert store.error is not None
        assert store.close(lambda message: lock.close()), "the other program ends while it waits"
    assert is_saved(path, conversation, engine)


class FailingConnection(sqlite3.Connection):
    """Fails at one of the statements to come."""

    left = -1  # statements until then; negative for never

    def execute(self, *arguments: object) -> sqlite3.Cursor:
        self.left -= 1
        if self.left == 0:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return super().execute(*arguments)


def test_statement_that_fails_loses_nothing_whichever_it_is(reopen: Reopen, path: Path, engine: Engine) -> None:
    connections: list[FailingConnection] = []

    def connect(*arguments: object, **options: object) -> sqlite3.Connection:
        connections.append(sqlite3.connect(*arguments, factory=FailingConnection, **options))
        return connections[-1]

    store = reopen(connect=connect, clock=ticks())
    failed = at = 0
    while failed == at:
        at += 1
        conversation = begin(store, engine, "hello")
        connections[-1].left = at
        conversation.say("again")
        conversation.regenerate()
        failed += connections[-1].left < 0
        connections[-1].left = -1
        conversation.say("over")
        assert store.error is None
        assert is_saved(path, conversation, engine)
        if at > 40:
            break
    check_index(path)


def test_place_without_permission_is_an_error_with_a_hint(tmp_path: Path) -> None:
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
def test_file_that_is_no_database_is_renamed(reopen: Reopen, path: Path, engine: Engine, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = reopen()
    [aside] = set_aside(path)
    assert aside.read_bytes() == content
    [message] = store.news()
    assert f"it is now {aside}" in message
    begin(store, engine, "hello")
    assert store.error is None
    store.close()
    store = reopen()
    assert store.news() == []
    assert [one.title for one in store.search()] == ["hello"]


def test_file_of_an_unknown_format_is_renamed(reopen: Reopen, path: Path, engine: Engine) -> None:
    store = reopen()
    begin(store, engine, "hello")
    store.close()
    content = bytearray(path.read_bytes())
    content[47] = 99  # the schema's format, in the header
    path.write_bytes(content)
    assert reopen().search() == []
    [aside] = set_aside(path)
    assert aside.read_bytes() == content


def test_several_damaged_files_are_all_kept(path: Path) -> None:
    path.parent.mkdir()
    for number in range(4):
        path.write_bytes(b"nonsense %d" % number * 100)
        ConversationStore(path).close()
    assert {one.read_bytes() for one in set_aside(path)} == {b"nonsense %d" % number * 100 for number in range(4)}


def test_database_of_another_program_is_renamed_whole(reopen: Reopen, path: Path) -> None:
    path.parent.mkdir()
    execute(path, "CREATE TABLE conversation (id, title)")
    execute(path, "INSERT INTO conversation VALUES (1, 'theirs')")
    assert reopen().search() == []
    [aside] = set_aside(path)
    assert execute(aside, "SELECT title FROM conversation") == [("theirs",)]


def test_empty_file_is_used(reopen: Reopen, path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert (reopen().news(), set_aside(path)) == ([], [])


def damaged(
    reopen: Reopen, path: Path, engine: Engine
) -> tuple[ConversationStore, Conversation, ConversationStore, Connector]:
    """A store whose file is damaged behind its back, a conversation that is open in it, and another process's store."""
    connectors = [Connector(), Connector()]
    store = reopen(connect=connectors[0], clock=ticks())
    conversation = begin(store, engine, "hello " * 1000)
    other = reopen(connect=connectors[1])
    for connector in connectors:
        connector.last.execute("PRAGMA wal_checkpoint (TRUNCATE)")
        connector.last.execute("PRAGMA cache_size = 0")
    path.write_bytes(path.read_bytes()[:4096] + b"\xee" * (path.stat().st_size - 4096))
    return store, conversation, other, connectors[1]


def test_file_damaged_in_use_is_renamed_and_open_chats_go_on(reopen: Reopen, path: Path, engine: Engine) -> None:
    store, conversation, _, _ = damaged(reopen, path, engine)
    content = path.read_bytes()
    with pytest.raises(CheckpointError, match="was damaged: it is now") as error:
        store.load(1)
    [aside] = set_aside(path)
    assert aside.read_bytes() == content, "the damaged file is never deleted"
    assert store.news() == [error.value.message]
    assert str(aside) in error.value.message
    assert store.search() == []
    ids = [turn.id for turn in conversation.path]
    conversation.say("still here")
    assert store.error is None
    assert [turn.id for turn in conversation.path[:2]] == ids
    assert is_saved(path, conversation, engine)
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]
    check_index(path)


def test_file_damaged_during_a_reply_costs_nothing_of_it(reopen: Reopen, path: Path, engine: Engine) -> None:
    store, conversation, _, _ = damaged(reopen, path, engine)
    conversation.say("go on")
    assert store.error is None
    assert len(set_aside(path)) == 1
    assert len(store.news()) == 1
    assert is_saved(path, conversation, engine)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_broken_constraint_is_damage_only_in_a_damaged_file(
    reopen: Reopen, path: Path, engine: Engine, is_damaged: bool
) -> None:
    """SQLite may not find rows by their numbers any more, and reports no damage by itself."""
    store = reopen()
    begin(store, engine, "hello")
    store.close()
    if is_damaged:
        [(page,)] = execute(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'turn'")
        [(size,)] = execute(path, "PRAGMA page_size")
        data, cells = bytearray(path.read_bytes()), (page - 1) * size + 8  # a leaf's pointers to its rows
        data[cells : cells + 4] = data[cells + 2 : cells + 4] + data[cells : cells + 2]
        path.write_bytes(data)
    expected = DamagedFileError if is_damaged else sqlite3.IntegrityError
    with pytest.raises(expected), Database(path).writing() as connection:
        connection.execute("INSERT INTO context VALUES (999, '')")
    assert len(set_aside(path)) == is_damaged


def test_table_with_a_damaged_name_is_damage(reopen: Reopen, path: Path, engine: Engine) -> None:
    store = reopen()
    conversation = begin(store, engine, "hello")
    store.close()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"REFERENCES turn", b"REFERENCES t\xefrn"))
    store = reopen()
    found = store.open(1, "m", engine, conversation.dialogue)
    found.say("still here")
    assert store.error is None
    assert len(set_aside(path)) == 1
    assert is_saved(path, found, engine)


@pytest.mark.parametrize("at_once", [False, True])
def test_damage_found_by_two_processes_renames_once(reopen: Reopen, path: Path, engine: Engine, at_once: bool) -> None:
    store, conversation, other, connector = damaged(reopen, path, engine)

    def find_damage(sql: str = "") -> None:
        connector.last.set_trace_callback(None)
        with suppress(CheckpointError):
            store.load(1)

    if at_once:  # the first has renamed the file before the second finds the damage
        connector.last.set_trace_callback(find_damage)
        with pytest.raises(CheckpointError):
            other.load(1)
    else:
        find_damage()
        with pytest.raises(NotFoundError):
            other.load(1)
    begin(store, engine, "new")
    begin(other, engine, "newer")
    assert len(set_aside(path)) == 1
    assert [one.title for one in store.search()] == ["newer", "new"]
    conversation.say("and")
    assert is_saved(path, conversation, engine)


DAMAGED_ROWS = {
    "moves of other kinds": "UPDATE conversation SET moves = '[1, 99, \"x\"]'",
    "moves of text": "UPDATE conversation SET moves = 'nonsense'",
    "no dialogue": "UPDATE conversation SET dialogue = ''",
    "a seed of text": "UPDATE conversation SET seed = 'many'",
    "segments too short": "UPDATE turn SET segments = '[[1, [], 0]]' WHERE id = 1",
    "a number for segments": "UPDATE turn SET segments = '7' WHERE id = 1",
    "bytes that are no text": "UPDATE turn SET segments = CAST(x'ff' AS TEXT) WHERE id = 1",
    "a parent to come": "UPDATE turn SET parent = 3 WHERE id = 2",
    "unknown learning": """UPDATE turn SET learning = '{"rate": 1}' WHERE id = 1""",
}


@pytest.mark.parametrize("damage", DAMAGED_ROWS.values(), ids=list(DAMAGED_ROWS))
def test_damaged_conversation_is_refused_alone(reopen: Reopen, path: Path, engine: Engine, damage: str) -> None:
    store = reopen()
    begin(store, engine, "hello", "and")
    store.close()
    execute(path, damage)
    store = reopen()
    with pytest.raises(CheckpointError, match="damaged"):
        store.load(1)
    with pytest.raises(CheckpointError, match="damaged"):
        store.open(1, "noise", engine, LINES)
    assert len(store.search()) == 1
    begin(store, engine, "another")
    assert store.error is None
    store.remove(1)
    assert set_aside(path) == []


def test_file_deleted_while_open_is_written_again(path: Path, engine: Engine) -> None:
    store = ConversationStore(path)
    conversation = begin(store, engine, "hello", "and")
    for part in path.parent.iterdir():
        part.unlink()
    conversation.say("still here")
    assert store.error is None
    store.close()
    assert is_saved(path, conversation, engine)


class SavedEarly(Autosave):
    """Another thread leaves the chat just before each commit."""

    def commit(self, turn: Turn | None) -> None:
        self.save(1.0)
        super().commit(turn)
        assert self.error is None


def test_leaving_during_a_commit_saves_the_turn(path: Path) -> None:
    weights = LearnedWeights(path.with_name("learned"), min_chars=1)

    def journal(data: ConversationData, model: AdaptiveModel) -> SavedEarly:
        return SavedEarly(Database(path), data, model, "noise", {}, ticks(), weights)

    data = ConversationData.start(LINES, dials=replace(QUICK, learn=3e-3), seed=1)
    conversation = Conversation(learning_engine(), data, journal=journal)
    for text in ("hello", "and you?"):
        conversation.say(text)
    assert [turn.text for turn in ConversationStore(path).load(1).path] == texts(conversation)
