"""Random histories of a conversation, compared with a plain model of a tree with undo, redo and versions."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply import Reply
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import BOT, YOU, Turn
from charlm.config import ChatConfig

from .conftest import Connector
from .models import DIALOGUES, learning_engine

TEXTS = ("hello", "a", "how are you?", "no. really!", "so it goes")
STEPS = ("say", "say", "say", "regenerate", "continue", "undo", "undo", "redo", "edit", "branch", "choose")
TROUBLES = ("close", "crash", "fail", "recover")


@dataclass(eq=False)
class Node:
    """A turn of the model."""

    parent: Node | None = None
    author: str = ""
    text: str = ""
    children: list[Node] = field(default_factory=list)
    visited: Node | None = None

    def add(self, author: str, text: str) -> Node:
        self.children.append(Node(self, author, text))
        return self.children[-1]

    @property
    def path(self) -> list[Node]:
        return [] if self.parent is None else [*self.parent.path, self]


class Model:
    """A tree of texts, and the places of its head."""

    def __init__(self) -> None:
        self.root = Node()
        self.places, self.cursor = [self.root], 0

    @property
    def head(self) -> Node:
        return self.places[self.cursor]

    def go(self, node: Node) -> None:
        del self.places[self.cursor + 1 :]
        self.places.append(node)
        self.step(1)

    def step(self, by: int) -> None:
        if 0 <= self.cursor + by < len(self.places):
            self.cursor += by
            for one in self.head.path:
                assert one.parent is not None
                one.parent.visited = one

    def choose(self, node: Node) -> None:
        while node.children:
            node = node.visited or node.children[-1]
        self.go(node)


class History:
    """A conversation and its model, with the same operations."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._path, self._rng = path, rng
        self._connector = Connector()
        self.engine, self.model = learning_engine(), Model()
        self.form = rng.choice(["lines", "transcript", "play"])
        dials = ChatConfig(candidates=rng.choice([1, 2]), length=8, learn=rng.choice([0.0, 3e-3]))
        data = ConversationData.start(DIALOGUES[self.form], dials=dials, seed=rng.randrange(1000))
        self.store = ConversationStore(path, connect=self._connector)
        self.conversation: Conversation = self.store.create("noise", self.engine, data)

    def do(self, step: str) -> None:
        model, conversation, rng = self.model, self.conversation, self._rng
        text, nodes = rng.choice(TEXTS), model.head.path
        if step == "say":
            mine = model.head.add(YOU, text)
            self._reply(mine, conversation.say(text))
        elif step in ("undo", "redo"):
            model.step(-1 if step == "undo" else 1)
            getattr(conversation, step)()
        elif step == "close":
            self.do("recover")
            assert self.store.close()
            self._open()
        elif step == "crash" and self.store.error is None:
            self._open()
        elif step in ("fail", "recover"):
            self._connector.last.execute(f"PRAGMA query_only = {step == 'fail'}")
        elif nodes:
            at = rng.randrange(len(nodes))
            node, turn = nodes[at], conversation.path[at]
            assert node.parent is not None
            if step == "edit":
                model.go(node.parent.add(node.author, text))
                conversation.edit(turn, text)
            elif step == "choose":
                place = rng.randrange(len(turn.siblings))
                model.choose(node.parent.children[place])
                conversation.choose(turn.siblings[place])
            elif step == "branch" and node.author == BOT:
                self._reply(node.parent, conversation.branch_at(turn, rng.randrange(len(turn.text) + 1)))
            elif step == "regenerate":
                before = model.head.parent if model.head.author == BOT else model.head
                assert before is not None
                self._reply(before, conversation.regenerate())
            elif step == "continue":
                before = model.head.parent if model.head.author == BOT else model.head
                assert before is not None
                self._reply(before, conversation.continue_())

    def _reply(self, parent: Node, reply: Reply) -> None:
        self.model.go(parent.add(BOT, reply.turn.text))

    def _open(self) -> None:
        data = self.conversation.data
        self.store = ConversationStore(self._path, connect=self._connector)
        if data.number is None:
            self.conversation = self.store.create("noise", self.engine, data)
        else:
            self.conversation = self.store.open(data.number, "noise", self.engine, data.dialogue)

    def check(self) -> None:
        assert [turn.text for turn in self.conversation.path] == [node.text for node in self.model.head.path]
        assert_same(self.conversation.data.root, self.model.root)

    def end(self) -> None:
        self.do("close")
        self.check()
        while self.model.cursor:
            self.do("undo")
            self.check()
        self.store.close()


def assert_same(turn: Turn, node: Node) -> None:
    assert (turn.author, turn.text) == (node.author, node.text)
    for child, other in zip(turn.children, node.children, strict=True):
        assert_same(child, other)


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=[pytest.mark.campaign, pytest.mark.timeout(0)])])
def test_history_equals_that_of_a_plain_tree(tmp_path: Path, count: int) -> None:
    steps = 0
    for seed in range(count):
        rng = random.Random(seed)
        history = History(tmp_path / f"{seed}.db", rng)
        for _ in range(rng.randint(1, 25)):
            history.do(rng.choice(TROUBLES if rng.random() < 0.15 else STEPS))
            history.check()
            steps += 1
        history.end()
    print(f"\n{count} histories, {steps} steps")
