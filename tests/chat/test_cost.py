"""A turn costs the same at any length of a conversation. tests/benchmarks/conversation.py measures the time."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Callable
from typing import NamedTuple

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply import Observer
from charlm.chat.storage.store import ConversationStore
from charlm.config import ChatConfig
from charlm.inference.generate import Piece

from .conftest import Connector, Reopen, ticks
from .models import DIALOGUES, CountingEngine, random_checkpoint

PLAIN = DIALOGUES["plain"]
DIALS = ChatConfig(candidates=1, length=10, repetition_penalty=1.1)
EVERY = 50  # of SQLite's own steps is counted


class Cost(NamedTuple):
    """Numbers of ids read, statements, steps of SQLite's machine, and changed rows."""

    ids: int
    statements: int
    steps: int
    rows: int


class Counter:
    """Counts what a store and an engine do."""

    def __init__(self, connection: sqlite3.Connection, engine: CountingEngine) -> None:
        self._connection, self._engine = connection, engine
        self._statements = self._steps = 0
        connection.set_trace_callback(self._statement)
        connection.set_progress_handler(self._step, EVERY)

    def _statement(self, sql: str) -> None:
        self._statements += not sql.startswith("--")  # what the index of words does within one

    def _step(self) -> int:
        self._steps += EVERY
        return 0

    def so_far(self) -> Cost:
        return Cost(self._engine.read_ids, self._statements, self._steps, self._connection.total_changes)

    def cost(self, do: Callable[[], object]) -> Cost:
        before = self.so_far()
        do()
        return difference(before, self.so_far())


def difference(before: Cost, after: Cost) -> Cost:
    return Cost(*[now - then for now, then in zip(after, before, strict=True)])


def typical(costs: list[Cost]) -> Cost:
    """The index of words is tidied up now and then; the median turn does none of that."""
    return Cost(*[round(statistics.median(one)) for one in zip(*costs, strict=True)])


def talk(conversation: Conversation, turns: int) -> None:
    while len(conversation.path) < turns:
        conversation.say("go on")


def test_turn_300_costs_as_much_as_turn_6(store: ConversationStore, connector: Connector) -> None:
    engine = CountingEngine(random_checkpoint())
    conversation = store.create("noise", engine, ConversationData.start(PLAIN, dials=DIALS, seed=1))
    counter = Counter(connector.last, engine)
    talk(conversation, 6)
    early = typical([counter.cost(lambda: conversation.say("go on")) for _ in range(9)])
    talk(conversation, 300)
    late = typical([counter.cost(lambda: conversation.say("go on")) for _ in range(9)])
    assert (late.ids, late.statements, late.rows) == (early.ids, early.statements, early.rows)
    assert late.ids <= len("go on") + DIALS.length + 1
    assert late.rows > 0
    assert late.steps <= 1.2 * early.steps + EVERY


def test_undo_and_redo_cost_the_same_at_any_length(store: ConversationStore, connector: Connector) -> None:
    engine = CountingEngine(random_checkpoint())
    conversation = store.create("noise", engine, ConversationData.start(PLAIN, dials=DIALS, seed=1))
    costs = []
    for turns in (6, 150):
        talk(conversation, turns)
        counter = Counter(connector.last, engine)
        costs += [counter.cost(conversation.undo), counter.cost(conversation.redo)]
        assert len(conversation.path) == turns
    assert [cost.ids for cost in costs] == [0] * 4
    assert costs[0][:2] == costs[2][:2]
    assert costs[1][:2] == costs[3][:2]
    assert max(cost.steps for cost in costs[2:]) <= 1.2 * max(cost.steps for cost in costs[:2]) + EVERY


def test_draft_writes_one_row_and_reads_nothing(reopen: Reopen, connector: Connector) -> None:
    store = reopen(connect=connector, clock=ticks())
    engine = CountingEngine(random_checkpoint())
    conversation = store.create("noise", engine, ConversationData.start(PLAIN, dials=DIALS, seed=1))
    talk(conversation, 50)
    counter = Counter(connector.last, engine)
    costs: list[Cost] = []
    before = counter.so_far()

    def measure(piece: Piece) -> None:
        nonlocal before
        now = counter.so_far()
        costs.append(difference(before, now))
        before = now

    conversation.say("go on", Observer(measure))
    assert {cost.rows for cost in costs[1:]} == {1}
    assert {cost.ids for cost in costs[1:]} == {1}, "what was drawn"
    assert max(cost.steps for cost in costs[1:]) < 1000
