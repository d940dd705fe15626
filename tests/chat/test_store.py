"""Conversations on disk: saved, listed, searched and opened again."""

from __future__ import annotations

import itertools
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply import Observer
from charlm.chat.storage.database import VERSION
from charlm.chat.storage.store import RESTORE_SECONDS, ConversationStore
from charlm.chat.turns import Turn, upwards
from charlm.config import ChatConfig
from charlm.errors import CheckpointError, NotFoundError
from charlm.inference.context import context_from_bytes, context_to_bytes
from charlm.inference.engine import Engine
from charlm.inference.generate import Piece
from charlm.text.dialogue import Dialogue

from .conftest import QUICK, Connector, Reopen, ticks
from .models import DIALOGUES, CountingEngine, random_checkpoint, random_engine
from .talkers import assert_remembers_what_is_seen, texts

PLAIN = DIALOGUES["plain"]
LINES = DIALOGUES["lines"]


def begin(
    store: ConversationStore,
    engine: Engine,
    *said: str,
    dialogue: Dialogue = LINES,
    dials: ChatConfig = QUICK,
    seed: int = 0,
) -> Conversation:
    conversation = store.create("noise", engine, ConversationData.start(dialogue, dials=dials, seed=seed))
    for text in said:
        conversation.say(text)
    return conversation


def execute(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement, and return its rows."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


# -- one conversation -------------------------------------------------------------------------------------------------


def test_empty_chat_leaves_no_rows(store: ConversationStore, engine: Engine, path: Path) -> None:
    conversation = begin(store, engine)
    conversation.dials = replace(QUICK, temperature=1.5)
    store.save()
    assert conversation.data.number is None
    assert (store.search(), store.latest()) == ([], None)
    assert execute(path, "SELECT count(*) FROM conversation") == [(0,)]
    conversation.say("hello")
    assert conversation.data.number == 1
    assert [one.number for one in store.search()] == [1]


def test_loaded_turns_equal_the_saved_ones(store: ConversationStore, engine: Engine, reopen: Reopen) -> None:
    conversation = begin(store, engine, "hello", "how are you")
    conversation.regenerate()
    conversation.edit(conversation.path[0], "good day")
    loaded = reopen().load(1)
    assert [turn.text for turn in loaded.path] == ["good day"]
    for name in ("id", "author", "name", "segments", "reason", "created", "depth", "characters"):
        saved = [getattr(turn, name) for turn in conversation.data.turns]
        assert [getattr(turn, name) for turn in loaded.turns] == saved, name


def test_context_of_each_finished_turn_is_saved(store: ConversationStore, engine: Engine, path: Path) -> None:
    conversation = begin(store, engine, "hello", "how are you")
    kept = dict(execute(path, "SELECT turn, data FROM context"))
    assert len(kept) == len(conversation.path)
    for row, turn in enumerate(conversation.path, 1):
        assert turn.context is not None
        assert kept[row] == context_to_bytes(turn.context, engine)
        assert context_from_bytes(kept[row], engine).logits.shape == (len(engine.vocabulary),)


def test_opening_reads_nothing_then_one_context(store: ConversationStore, reopen: Reopen, connector: Connector) -> None:
    engine = CountingEngine(random_checkpoint())
    for text in ("one", "two", "three"):
        begin(store, engine, text, text, text)
    store.close()
    fetched: list[str] = []
    store = reopen(connect=connector)
    connector.last.set_trace_callback(lambda sql: fetched.append(sql) if "FROM context" in sql else None)
    engine.read_ids = 0
    conversation = store.open(1, "noise", engine, LINES)
    assert conversation.undo()
    assert (engine.read_ids, fetched) == (0, [])
    reply = conversation.say("four")
    # Read were: the end of the turn before and "four", the end of that turn, and what was drawn.
    drawn = sum(passage.draws for passage in reply.turn.segments)
    assert engine.read_ids <= len("\nfour") + len("\n") + drawn + 1 + len("\n\n")
    assert len(fetched) == 1


def test_settings_changed_after_last_turn_are_saved(store: ConversationStore, engine: Engine, reopen: Reopen) -> None:
    conversation = begin(store, engine, "hello")
    conversation.dials = replace(QUICK, temperature=1.5)
    conversation.reseed(77)
    store.close()
    again = reopen().open(1, "noise", engine, LINES)
    assert (again.dials.temperature, again.data.seed) == (1.5, 77)
    assert again.say("and").text == conversation.say("and").text


def test_opening_and_closing_changes_no_row(engine: Engine, path: Path) -> None:
    clock = iter(range(1000, 9000))
    store = ConversationStore(path, now=lambda: float(next(clock)))
    begin(store, engine, "hello")
    store.close()
    before = execute(path, "SELECT * FROM conversation")
    store = ConversationStore(path, now=lambda: float(next(clock)))
    store.open(1, "noise", engine, LINES)
    store.close()
    assert execute(path, "SELECT * FROM conversation") == before


def test_speakers_are_loaded_unchanged(store: ConversationStore, engine: Engine, reopen: Reopen) -> None:
    dialogue = Dialogue("play", ("Anna", "YOUNG LORD"))
    conversation = store.create("noise", engine, ConversationData.start(dialogue, you="YOU", bot="Anna", dials=QUICK))
    conversation.data.you = "YOU"  # which is also how a known name begins
    conversation.say("hello")
    again = reopen().open(1, "noise", engine, dialogue)
    assert (again.data.you, again.data.bot) == ("YOU", "Anna")


def test_reopened_conversation_keeps_its_format(store: ConversationStore, engine: Engine, reopen: Reopen) -> None:
    conversation = begin(store, engine, "hello", dialogue=DIALOGUES["transcript"])
    again = reopen().open(1, "noise", engine, LINES)
    assert again.text() == conversation.text()
    grown = replace(DIALOGUES["transcript"], names=("Anna", "Bob", "Cora"))
    assert reopen().open(1, "noise", engine, grown).dialogue.names == grown.names


# -- another model ----------------------------------------------------------------------------------------------------


def test_changed_model_rereads_the_text_once(store: ConversationStore, engine: Engine, reopen: Reopen) -> None:
    said = texts(begin(store, engine, "hello", "how are you"))
    store.close()
    other = CountingEngine(random_checkpoint(seed=1))
    store = reopen()
    conversation = store.open(1, "noise", other, LINES)
    assert conversation.data.fingerprint == engine.fingerprint
    assert texts(conversation) == said
    conversation.context(conversation.head)
    assert other.read_ids == len(conversation.text())
    conversation.say("and now")
    assert store.summary(1).model == "noise"
    store.close()

    other.read_ids = 0
    conversation = reopen().open(1, "noise", other, LINES)
    assert conversation.data.fingerprint == other.fingerprint
    for turn in [*conversation.path, conversation.data.root]:
        conversation.context(turn)
    assert other.read_ids == len(LINES.beginning), "every turn has a context of the new model"


def test_damaged_context_is_recomputed(store: ConversationStore, engine: Engine, path: Path, reopen: Reopen) -> None:
    begin(store, engine, "hello")
    execute(path, "UPDATE context SET data = substr(data, 1, 40)")
    again = reopen().open(1, "noise", engine, LINES)
    assert_remembers_what_is_seen(again)


# -- several conversations --------------------------------------------------------------------------------------------


def test_list_shows_summaries_newest_first(store: ConversationStore, engine: Engine) -> None:
    first, second = begin(store, engine, "hello"), begin(store, engine, "good day", dialogue=DIALOGUES["transcript"])
    assert [one.number for one in store.search()] == [2, 1]
    first.say("once more")
    assert [one.number for one in store.search()] == [1, 2]
    assert [one.number for one in store.search(limit=1)] == [1]
    one, two = store.search()
    assert (one.title, one.model, one.format, one.you, one.bot) == ("hello", "noise", "lines", "you", "bot")
    assert (one.turns, one.characters) == (4, first.head.characters)
    assert (two.format, two.you, two.bot) == ("transcript", "Bob", "Anna")
    assert (two.turns, two.characters) == (2, second.head.characters)
    assert one.created < two.created < one.updated
    assert store.latest() == one
    assert store.latest("noise") == one
    assert store.latest("other") is None
    assert store.summary(2) == two
    first.undo()
    assert (store.summary(1).turns, store.summary(1).characters) == (2, first.head.characters)


def test_title_is_the_first_words_until_one_is_given(store: ConversationStore, engine: Engine, reopen: Reopen) -> None:
    conversation = begin(store, engine, "the quick brown fox jumps over the lazy dog and goes home to sleep a while")
    assert store.summary(1).title == "the quick brown fox jumps over the lazy dog and goes home\u2026"
    conversation.edit(conversation.path[0], "so")
    assert store.summary(1).title == "so"
    reopen().rename(1, "  two \n words \ud800")
    assert store.summary(1).title == "two words \ufffd"
    conversation.say("and")
    assert store.summary(1).title == "two words \ufffd", "a title from another process stays"
    conversation.data.title = "mine"
    conversation.say("and")
    assert reopen().open(1, "noise", engine, LINES).data.title == "mine"
    store.rename(1, "")
    assert store.summary(1).title == "so"


def test_unknown_number_raises_with_the_nearest_ones(store: ConversationStore, engine: Engine) -> None:
    with pytest.raises(NotFoundError) as none:
        store.summary(1)
    assert "charlm chat" in str(none.value.hint)
    for text in ("one", "two", "three", "four", "five"):
        begin(store, engine, text)
    for call in (store.summary, store.load, store.delete, store.restore, store.remove):
        for number in (7, 0, -1, 10**30):
            with pytest.raises(NotFoundError):
                call(number)
    with pytest.raises(NotFoundError) as error:
        store.open(7, "noise", engine, LINES)
    assert error.value.hint == "did you mean 3 or 4 or 5?"
    with pytest.raises(NotFoundError):
        store.rename(10**30, "x")


def test_deleted_conversation_can_be_restored_for_a_day(engine: Engine, reopen: Reopen) -> None:
    now = 1000.0
    store = reopen(now=lambda: now)
    for text in ("one", "two", "three"):
        begin(store, engine, text)
    for number in (1, 2):
        store.delete(number)
    assert [one.number for one in store.search()] == [3]
    assert store.search("one") == []
    with pytest.raises(NotFoundError):
        store.open(1, "noise", engine, LINES)
    store.restore(1)
    assert texts(store.open(1, "noise", engine, LINES))[0] == "one"
    store.delete(1)
    store.close()

    now += RESTORE_SECONDS - 1
    store = reopen(now=lambda: now)
    store.restore(1)
    store.close()
    now += 2
    store = reopen(now=lambda: now)
    with pytest.raises(NotFoundError):
        store.restore(2)
    assert [one.number for one in store.search()] == [3, 1]


def test_removed_conversation_leaves_no_rows(store: ConversationStore, engine: Engine, path: Path) -> None:
    begin(store, engine, "the ferry")
    kept = [execute(path, f"SELECT * FROM {table} ORDER BY 1") for table in ("conversation", "turn", "context")]
    found = store.search("ferry")
    begin(store, engine, "the ferry")
    store.remove(2)
    assert [execute(path, f"SELECT * FROM {table} ORDER BY 1") for table in ("conversation", "turn", "context")] == kept
    assert store.search("ferry") == found
    store.remove(1)
    assert [execute(path, f"SELECT * FROM {table}") for table in ("conversation", "turn", "context")] == [[], [], []]
    assert execute(path, "SELECT rowid FROM words WHERE words MATCH 'ferry'") == []
    check_index(path)


def test_conversation_of_1200_turns_can_be_removed(store: ConversationStore, engine: Engine, path: Path) -> None:
    conversation = begin(store, engine, dialogue=PLAIN, dials=replace(QUICK, length=1))
    for _ in range(1200):  # more than SQLite follows a chain of rows
        conversation.continue_()
    assert store.summary(1).turns == 1200
    store.remove(1)
    assert execute(path, "SELECT count(*) FROM turn") == [(0,)]
    check_index(path)


def test_deleted_conversation_returns_when_it_goes_on(store: ConversationStore, engine: Engine, reopen: Reopen) -> None:
    conversation = begin(store, engine, "hello")
    reopen().delete(1)
    assert store.search() == []
    conversation.undo()
    assert store.search() == []
    conversation.say("still here")
    assert [one.number for one in store.search()] == [1]


def test_removed_conversation_is_saved_on_next_turn(store: ConversationStore, engine: Engine, reopen: Reopen) -> None:
    conversation = begin(store, engine, "hello", "how are you")
    conversation.regenerate()
    reopen().remove(1)
    conversation.undo()
    assert store.search() == []
    conversation.redo()
    ids = [turn.id for turn in conversation.data.turns]
    conversation.say("still here")
    assert (conversation.data.number, store.error) == (2, None)
    assert [turn.id for turn in conversation.data.turns[:-2]] == ids, "a turn keeps its id in another row"
    again = reopen().open(2, "noise", engine, LINES)
    assert texts(again) == texts(conversation)
    assert len(again.path[3].siblings) == 2
    assert again.undo()
    assert again.undo()
    assert conversation.undo()
    assert conversation.undo()
    assert texts(again) == texts(conversation)


def test_setting_is_loaded_as_it_was_stored(store: ConversationStore, reopen: Reopen) -> None:
    assert store.setting("theme") == ""
    store.set_setting("theme", "light")
    store.set_setting("theme", "paper \ud800")
    assert reopen().setting("theme") == "paper \ufffd"


# -- searching --------------------------------------------------------------------------------------------------------


def check_index(path: Path) -> None:
    """The index says what the turns say, or SQLite complains."""
    execute(path, "INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


TEXTS = (
    "take the ferry to town",
    "\u6e21\u3057\u8239\u306f\u3069\u3053",
    "der \u00c4rger",
    'they say "no" and 100% (really) a_b \\o/',
)
QUERIES = {
    (1,): ("ferry", "FERRY", "fer", "fe", "ferry to", "fer\0ry"),
    (2,): ("\u6e21\u3057\u8239", "\u8239", "\u6e21\u3057"),
    (3,): ("\u00c4rger", "\u00e4rger"),
    (4,): ('"', 'say "no"', "100%", "%", "_", "\\", "AND", "("),
    (): ("ferry  to", "NOT (*", "a* OR b", "text:ferry", "^fer", "'; DROP TABLE turn; --", "\ud800zzz", "x" * 100_000),
    (1, 2, 3, 4): ("\0", " "),
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConversationStore]:
    """A store with a conversation for each of `TEXTS`."""
    store = ConversationStore(tmp_path_factory.mktemp("searched") / "c.db")
    for text in TEXTS:
        dials = replace(QUICK, length=1)
        conversation = begin(store, random_engine(has_bytes=True), text, dialogue=PLAIN, dials=dials, seed=1)
        conversation.edit(conversation.head, "\u2026")
    yield store
    store.close()


@pytest.mark.parametrize(("numbers", "query"), [(numbers, one) for numbers, group in QUERIES.items() for one in group])
def test_search_finds_conversations_of_query(searched: ConversationStore, numbers: tuple[int, ...], query: str) -> None:
    assert sorted(one.number for one in searched.search(query)) == list(numbers)


def test_search_includes_titles_and_hidden_turns(store: ConversationStore, engine: Engine) -> None:
    conversation = begin(store, engine, "the ferry")
    conversation.edit(conversation.path[0], "the train")
    [found] = store.search("ferry")
    assert found.snippet == "the ferry"
    [found] = store.search("train")
    assert found.snippet == "the train"
    store.rename(1, "The Boat_Trip")
    [found] = store.search("boat_")
    assert (found.title, found.snippet) == ("The Boat_Trip", "")
    assert store.search("boat%") == []


def test_snippet_shows_the_text_around_the_match(store: ConversationStore, engine: Engine) -> None:
    begin(store, engine, "a " * 60 + "needle" + " b" * 60)
    [found] = store.search("needle")
    assert found.snippet.startswith("\u2026")
    assert found.snippet.endswith("\u2026")
    assert " a needle b b" in found.snippet


SYLLABLES = st.sampled_from(["ab", "ba", "c", " ", "A", "\u6e21", "\u3057", "%", '"'])


@settings(max_examples=60)
@given(
    said=st.lists(st.lists(SYLLABLES, min_size=1, max_size=8).map("".join), min_size=1, max_size=5),
    query=st.lists(SYLLABLES, min_size=1, max_size=3).map("".join).filter(lambda query: query.strip()),
)
def test_index_agrees_with_a_full_scan(tmp_path_factory: pytest.TempPathFactory, said: list[str], query: str) -> None:
    path = tmp_path_factory.mktemp("found") / "c.db"
    engine = random_engine(has_bytes=True)
    store = ConversationStore(path)
    expected = set()
    for number, text in enumerate(said, 1):
        conversation = begin(store, engine, text, dialogue=PLAIN, dials=replace(QUICK, length=1))
        if any(query.strip().lower() in turn.text.lower() for turn in conversation.path):
            expected.add(number)
    assert {one.number for one in store.search(query)} == expected
    store.close()
    check_index(path)


# -- unfinished replies ------------------------------------------------------------------------------------------------


def at_piece(number: int, do: Callable[[], object]) -> Callable[[Piece], object]:
    """An `on_piece` that does something once."""
    left = itertools.count(number - 1, -1)
    return lambda piece: next(left) or do()


def copy_of(path: Path, name: str) -> Path:
    """The file as a kill at this moment would leave it."""
    copy = path.with_name(name)
    for ending in ("", "-wal"):
        part = Path(f"{path}{ending}")
        if part.exists():
            Path(f"{copy}{ending}").write_bytes(part.read_bytes())
    return copy


def test_reply_cut_off_by_a_crash_is_restored_as_stopped(reopen: Reopen, engine: Engine, path: Path) -> None:
    conversation = begin(reopen(clock=ticks()), engine, "hello", seed=5)
    shown: list[str] = []
    conversation.dials = replace(QUICK, length=12)
    crash = at_piece(6, lambda: copy_of(path, "crashed.db"))
    conversation.say("again", Observer(lambda piece: (shown.append(piece.text), crash(piece))))
    crashed = ConversationStore(path.with_name("crashed.db"))
    assert [turn.text for turn in crashed.load(1).path] == [*texts(conversation)[:3], "".join(shown[:6])]
    assert crashed.summary(1).turns == 3
    again = crashed.open(1, "noise", engine, LINES)
    assert texts(again) == [*texts(conversation)[:3], "".join(shown[:6])]
    assert (again.head.reason, again.head.context is not None) == ("cancelled", False)
    assert_remembers_what_is_seen(again)
    assert crashed.summary(1).turns == 4
    assert again.undo()
    assert texts(again) == texts(conversation)[:2], "what was said and its reply are one step"
    crashed.close()
    assert execute(path.with_name("crashed.db"), "SELECT count(*) FROM turn WHERE reason = 'draft'") == [(0,)]
    check_index(path.with_name("crashed.db"))


def test_reply_cut_off_before_its_first_piece_is_deleted(store: ConversationStore, engine: Engine, path: Path) -> None:
    conversation = begin(store, engine, "hello")
    conversation.say("again", Observer(on_turn=lambda turn: copy_of(path, f"crashed-{turn.author}.db")))
    for author, said in (("you", 3), ("bot", 3)):
        crashed = ConversationStore(path.with_name(f"crashed-{author}.db"))
        again = crashed.open(1, "noise", engine, LINES)
        assert texts(again) == texts(conversation)[:said]
        crashed.close()
        assert execute(crashed.path, "SELECT count(*) FROM turn") == [(said,)]


@pytest.mark.parametrize("locked", [False, True])
def test_reply_stopped_before_its_first_piece_leaves_no_row(
    store: ConversationStore, engine: Engine, path: Path, reopen: Reopen, locked: bool
) -> None:
    conversation = begin(store, engine, "hello")
    before = execute(path, "SELECT id, text, reason FROM turn")

    def begun(turn: Turn) -> None:
        conversation.stop()
        if locked:  # by another program
            holder.execute("BEGIN IMMEDIATE")

    holder = sqlite3.connect(path)
    assert conversation.regenerate(Observer(on_turn=begun)).reason == "cancelled"
    holder.close()
    if not locked:
        assert execute(path, "SELECT id, text, reason FROM turn") == before
    again = reopen().open(1, "noise", engine, LINES)
    assert execute(path, "SELECT id, text, reason FROM turn") == before
    assert texts(again) == texts(conversation)
    assert again.regenerate().text == conversation.regenerate().text


def test_piece_is_saved_before_it_is_shown(reopen: Reopen, engine: Engine, path: Path) -> None:
    now, shown = [0.0], []
    conversation = reopen(clock=lambda: now[0]).create(
        "noise", engine, ConversationData.start(LINES, dials=QUICK, seed=1)
    )

    def on_piece(piece: object) -> None:
        shown.append(piece.text)
        now[0] += 2.0
        [(saved,)] = execute(path, "SELECT text FROM turn WHERE reason = 'draft'")
        assert saved == "".join(shown)

    conversation.say("hello", Observer(on_piece))
    assert shown


def test_two_processes_write_to_one_tree(store: ConversationStore, engine: Engine, reopen: Reopen, path: Path) -> None:
    mine = begin(store, engine, "hello", seed=1)
    other_store = reopen()
    theirs = other_store.open(1, "noise", engine, LINES)
    theirs.reseed(2)
    for number in range(3):
        mine.say(f"mine {chr(97 + number)}")
        theirs.say(f"theirs {chr(97 + number)}")
        mine.regenerate()
    mine_said, their_said = texts(mine), texts(theirs)
    kept = reopen().load(1)
    assert [turn.text for turn in kept.path] == mine_said, "the last to write decides where the head is"
    everything = {_line(turn) for turn in kept.turns}
    assert {_line(turn) for turn in (*mine.path, *theirs.path)} <= everything
    assert len(kept.turns) == 2 + 3 * 2 + 3 * 3
    again = reopen().open(1, "noise", engine, LINES)
    again.choose(next(turn for turn in again.path[1].children if turn.text == "theirs a"))
    assert texts(again) == their_said
    check_index(path)


def _line(turn: Turn) -> tuple[str, ...]:
    return tuple(one.text for one in upwards(turn))


def test_opening_during_another_process_s_reply_keeps_both(engine: Engine, reopen: Reopen) -> None:
    conversation = begin(reopen(clock=ticks()), engine, "hello")
    conversation.dials = replace(QUICK, length=15)
    theirs: list[Conversation] = []

    def open_too() -> None:
        theirs.append(reopen().open(1, "noise", engine, LINES))
        theirs[0].say("and you")

    reply = conversation.say("again", Observer(at_piece(8, open_too)))
    assert len(reply.text) >= 8
    cut = theirs[0].path[3]
    assert (reply.text.startswith(cut.text), cut.reason) == (True, "cancelled")
    again = reopen().open(1, "noise", engine, LINES)
    assert texts(again) == texts(conversation)
    everything = {_line(turn) for turn in reopen().load(1).turns}
    assert {_line(turn) for turn in theirs[0].path} <= everything
    for turn in again.path[2].children:
        assert_remembers_what_is_seen(again, turn)


# -- several threads --------------------------------------------------------------------------------------------------


def test_list_works_while_another_thread_writes(reopen: Reopen, engine: Engine) -> None:
    store = reopen(clock=ticks())
    conversation = begin(store, engine, "hello")
    worker = threading.Thread(target=lambda: [conversation.say("number") for number in range(20)])
    worker.start()
    seen = []
    while worker.is_alive():
        seen.append(store.summary(1).turns)
        assert len(store.search("hello")) == 1
        store.set_setting("theme", "dark")
    worker.join()
    assert seen == sorted(seen)
    assert (store.summary(1).turns, store.error) == (42, None)


def test_eight_threads_create_the_file_at_once(path: Path, engine: Engine) -> None:
    failed: list[BaseException] = []

    def talk(number: int) -> None:
        try:
            store = ConversationStore(path)
            begin(store, engine, f"talk {chr(97 + number)}")
            assert store.error is None
            store.close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    store = ConversationStore(path)
    assert sorted(one.title for one in store.search()) == [f"talk {chr(97 + number)}" for number in range(8)]
    store.close()


def test_store_closed_during_a_reply_keeps_its_draft(engine: Engine, reopen: Reopen) -> None:
    store = reopen(clock=ticks())
    conversation = begin(store, engine, "hello")
    shown: list[str] = []
    close = at_piece(5, store.close)
    reply = conversation.say("again", Observer(lambda piece: (shown.append(piece.text), close(piece))))
    assert len(reply.text) >= 5
    again = reopen().open(1, "noise", engine, LINES)
    assert again.head.text == "".join(shown[:5])


# -- the file ---------------------------------------------------------------------------------------------------------


def test_file_is_private_and_consistent(store: ConversationStore, engine: Engine, path: Path) -> None:
    begin(store, engine, "hello")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(f"{path}-wal").stat().st_mode) == 0o600
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]
    assert execute(path, "PRAGMA foreign_key_check") == []
    assert execute(path, "PRAGMA journal_mode") == [("wal",)]
    assert execute(path, "PRAGMA user_version") == [(VERSION,)]
    store.close()
    assert [one.name for one in path.parent.iterdir()] == [path.name], "everything is in the file once it is closed"


def test_file_of_a_newer_charlm_is_refused_unchanged(path: Path, engine: Engine) -> None:
    store = ConversationStore(path)
    begin(store, engine, "hello")
    store.close()
    execute(path, f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="newer charlm") as error:
        ConversationStore(path)
    assert "upgrade" in str(error.value.hint)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", ["\0", "a\0b", "\x1b[31m", "\u202e", "\u0301", "\U0001f600"])
def test_text_with_control_characters_is_saved(store: ConversationStore, path: Path, text: str) -> None:
    conversation = begin(store, random_engine(has_bytes=True), text, dialogue=PLAIN)
    assert [turn.text for turn in store.load(1).path] == texts(conversation)
    assert texts(conversation)[0] == text
    check_index(path)
