"""Reads the topics and word lists of a language. `charlm.corpora.simulator` explains their form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from charlm.corpora.simulator.phrases import Phrasing, Slot, parse
from charlm.corpora.simulator.words import WordList, pairs, read_list
from charlm.errors import CorpusError

END: Final = "end"  # jump target
OPEN: Final = "open"  # jump target after a question that any exchange may answer
MEMORY: Final = ("recall", "unknown", "correct")
OPTIONS: Final = (*MEMORY, "needs", "unless", "is", "place", "weight", "after", "long", "plain")

_BLOCK: Final = re.compile(r"([PB]):\s*(\w+)?\s*(?:\(([^)]*)\))?\s*(?:->\s*(.+))?")


@dataclass(eq=False, repr=False)
class Line:
    """A phrasing of a turn."""

    phrasing: Phrasing
    targets: tuple[str, ...]  # labels of the blocks that follow, if it has its own
    where: str
    next: list[Block] = field(default_factory=list)

    @cached_property
    def facts(self) -> frozenset[str]:
        """Names of the person's facts in it."""
        return frozenset(slot.name for slot in self.phrasing.slots() if slot.scope in ("my", "new"))

    @cached_property
    def locals(self) -> frozenset[str]:
        """Names of the exchange's words in it."""
        return frozenset(slot.name for slot in self.phrasing.slots() if not slot.scope)

    @cached_property
    def corrected(self) -> list[Slot]:
        """Facts that the person corrects with it."""
        return list({slot.name: slot for slot in self.phrasing.slots() if slot.scope == "new"}.values())

    @cached_property
    def is_question(self) -> bool:
        """It may end with a question mark."""
        return not self.phrasing.ends().isdisjoint("?\uff1f")


@dataclass(eq=False, repr=False)
class Block:
    """Phrasings of one speaker at one place of an exchange."""

    speaker: str  # "P", the person, or "B", the model
    label: str
    conditions: dict[str, str]  # of the conversation's variables
    targets: tuple[str, ...]  # labels of the blocks that follow; empty: the next ones
    path: int  # no turn continues from one path to the next
    where: str
    lines: list[Line] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class Exchange:
    """A few turns about one thing."""

    name: str
    topic: str
    where: str
    options: dict[str, str] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    entry: list[Block] = field(default_factory=list)

    @property
    def place(self) -> str:
        return self.options.get("place", "any")

    @cached_property
    def is_memory(self) -> bool:
        """It recalls, corrects or misses a fact, and is chosen for that alone."""
        return any(kind in self.options for kind in MEMORY)

    @cached_property
    def conditions(self) -> dict[str, str]:
        """Values that variables of the conversation must have, or get."""
        return pairs(self.options.get("is", "").split(","), "=", self.where)

    @cached_property
    def needs(self) -> frozenset[str]:
        """Facts that must be known before."""
        return frozenset(self.facts("needs") + self.facts("recall") + self.facts("correct"))

    @cached_property
    def unless(self) -> frozenset[str]:
        """Facts that must not be known before."""
        return frozenset(self.facts("unless") + self.facts("unknown"))

    @cached_property
    def tells(self) -> frozenset[str]:
        """Facts that the person may state."""
        return frozenset(fact for line in self._person_lines for fact in line.facts) - self.needs

    @cached_property
    def asked_locals(self) -> frozenset[str]:
        """Words of the exchange that the person introduces."""
        first: dict[str, str] = {}  # speaker whose phrasings have the word first
        for block in self.blocks:
            for line in block.lines:
                first.update(dict.fromkeys(line.locals - first.keys(), block.speaker))
        return frozenset(name for name, speaker in first.items() if speaker == "P")

    @property
    def _person_lines(self) -> list[Line]:
        return [line for block in self.blocks if block.speaker == "P" for line in block.lines]

    def facts(self, option: str) -> list[str]:
        """Return the names of facts in an option."""
        return [name.removeprefix("my.") for name in re.split(r"[\s,]+", self.options.get(option, "")) if name]

    def connect(self) -> None:
        """Find what follows each phrasing."""
        if not self.blocks:
            raise CorpusError(f"{self.where}: the exchange {self.name!r} is empty")
        groups: list[list[Block]] = []
        for block in self.blocks:
            last = groups[-1][0] if groups else None
            if last and (last.speaker, last.path) == (block.speaker, block.path):
                groups[-1].append(block)
            else:
                groups.append([block])
        self.entry = groups[0]
        for group, following in zip(groups, [*groups[1:], []], strict=True):
            for block in group:
                is_path = bool(following) and following[0].path == block.path
                default = self._find(block.targets, block.where) if block.targets else following if is_path else []
                for line in block.lines:
                    line.next = self._find(line.targets, line.where) if line.targets else default

    def _find(self, labels: Iterable[str], where: str) -> list[Block]:
        known = {block.label for block in self.blocks} | {END, OPEN}
        if unknown := [label for label in labels if label not in known]:
            raise CorpusError(f"{where}: no block has the label {unknown[0]!r}")
        return [block for block in self.blocks if block.label and block.label in labels]


@dataclass(repr=False)
class Script:
    """Everything in a language's folder."""

    lists: dict[str, WordList] = field(default_factory=dict)  # a topic's own have its name and a slash before theirs
    exchanges: list[Exchange] = field(default_factory=list)

    def list_of(self, topic: str, name: str) -> WordList | None:
        return self.lists.get(f"{topic}/{name}") or self.lists.get(name)


def load(language: str) -> Script:
    """Return the script of a language.

    Raises:
        CorpusError: a file has another form.
    """
    root = resources.files("charlm.corpora.simulator").joinpath(language)
    script = Script()
    for name, text in _files(root.joinpath("lists")):
        script.lists[name] = read_list(text.splitlines(), f"{name}.txt")
    topics = list(_files(root.joinpath("topics")))
    second = {name for _, text in topics for name in re.findall(r"\bmy\.([a-z_]+)2\b", text)}
    for name, text in topics:
        _read_topic(script, name, list(enumerate(text.splitlines(), 1)))
        _read_topic(script, name, list(_of_second(text, second)))
    return script


def _files(folder: Traversable) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.endswith(".txt"):
            yield path.name.removesuffix(".txt"), path.read_text(encoding="utf-8")


def _of_second(text: str, second: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield numbered lines that recall and correct the second of each kind: a second pet, a second friend."""
    lines = list(enumerate(text.splitlines(), 1))
    starts = [at for at, (_, line) in enumerate(lines) if line.startswith("=== ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        part = lines[start:end]
        options = [re.fullmatch(r"(?:recall|correct): my\.([a-z_]+)\s*", line) for _, line in part]
        if any(match and match[1] in second for match in options):
            for number, line in part:
                name = " 2" if line.startswith("=== ") else ""
                yield number, re.sub(r"\b(my|new|old)\.([a-z_]+)", r"\1.\g<2>2", line) + name


def _read_topic(script: Script, topic: str, lines: Iterable[tuple[int, str]]) -> None:
    """Add a topic's lists and exchanges to a script."""
    exchange: Exchange | None = None
    path, first = 0, len(script.exchanges)
    for number, line in lines:
        where, line = f"{topic}.txt:{number}", line.strip()
        if not line or line.startswith("#"):
            continue
        if match := re.fullmatch(r"(list|fact) (\w+) = (.+)", line):
            name = match[2] if match[1] == "fact" else f"{topic}/{match[2]}"
            if name in script.lists:
                raise CorpusError(f"{where}: the list {name!r} exists already")
            script.lists[name] = read_list([match[3]], where)
        elif line.startswith("=== "):
            exchange = Exchange(line.strip("= "), topic, where)
            script.exchanges.append(exchange)
        elif exchange is None:
            raise CorpusError(f"{where}: a line before the first exchange: {line!r}")
        elif set(line) == {"-"}:
            path += 1
        elif (match := re.fullmatch(r"(\w+):\s*(.*)", line)) and match[1] in OPTIONS and not exchange.blocks:
            exchange.options[match[1]] = match[2]
        elif match := _BLOCK.fullmatch(line):
            conditions = pairs((match[3] or "").split(","), "=", where)
            targets = tuple((match[4] or "").split())
            exchange.blocks.append(Block(match[1], match[2] or "", conditions, targets, path, where))
        elif not exchange.blocks:
            raise CorpusError(f"{where}: expected P:, B: or an option, not {line!r}")
        else:
            text, _, jump = line.partition(" -> ")
            exchange.blocks[-1].lines.append(Line(parse(text.strip(), where), tuple(jump.split()), where))
    for exchange in script.exchanges[first:]:
        exchange.connect()
