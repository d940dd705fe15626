"""Reads topics and word lists: the text files in a language's folder. `WRITING.md` explains them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from charlm.corpora.simulator.phrases import Choice, Phrasing, Slot, Word, parse
from charlm.errors import CorpusError

END: Final = "end"  # jump target
OPEN: Final = "open"  # jump target after a question that any exchange may answer
OPTIONS: Final = frozenset(["needs", "unless", "recall", "unknown", "correct", "is", "place", "weight", "after", "long", "plain"])
MEMORY: Final = frozenset(("recall", "unknown", "correct"))
PLACES: Final = ("start", "any", "end")

_BLOCK: Final = re.compile(r"([PB]):\s*(\w+)?\s*(?:\(([^)]*)\))?\s*(?:->\s*(.+))?")


@dataclass
class WordList:
    """Words of one kind."""

    words: list[Word] = field(default_factory=list)
    sources: list[Phrasing | str] = field(default_factory=list)  # for each word: its phrasing, or "@" and a list's name
    made_up: str = ""  # name of a list that a share of the words comes from
    is_capitalised: bool = False
    like: str = ""  # list whose word has the same gender: a sister has a woman's name


@dataclass(frozen=True, eq=False)
class Line:
    """A phrasing of a turn."""

    phrasing: Phrasing
    facts: frozenset[str]  # names of the person's facts in it
    locals: frozenset[str]  # names of the exchange's slots in it
    is_question: bool  # possibly, its end
    corrected: tuple[Slot, ...]  # facts that it corrects, if the person says it
    targets: tuple[str, ...]  # labels to jump to; empty for those of the block
    where: str


@dataclass(eq=False)
class Block:
    """Phrasings of one speaker at one place of an exchange."""

    speaker: str  # "P", the person, or "B", the model
    label: str
    conditions: dict[str, str]  # of the conversation's variables
    targets: tuple[str, ...]
    where: str
    lines: list[Line] = field(default_factory=list)
    next: list[Block] = field(default_factory=list)


@dataclass(eq=False)
class Exchange:
    """A few turns about one thing."""

    name: str
    topic: str
    where: str
    options: dict[str, str] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    entry: list[Block] = field(default_factory=list)
    asked_locals: frozenset[str] = frozenset()  # slots that the person's phrasings have
    conditions: dict[str, str] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()  # facts that must have been told before
    unless: frozenset[str] = frozenset()  # facts that must not have been told
    tells: frozenset[str] = frozenset()  # facts that the person's phrasings may tell

    @property
    def place(self) -> str:
        return self.options.get("place", "any")

    @cached_property
    def is_memory(self) -> bool:
        """The scheduler alone chooses it."""
        return bool(self.options.keys() & MEMORY)

    @cached_property
    def recalled(self) -> str:
        """The fact that the person asks for, if any."""
        return self.options.get("recall", "").removeprefix("my.")

    def find(self, labels: Iterable[str]) -> list[Block]:
        """Return the blocks of these labels."""
        return [block for block in self.blocks if block.label and block.label in labels]


@dataclass
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
    for name, text in _files(root.joinpath("topics")):
        read_topic(script, name, text)
    _add_second(script)
    return script


def _files(folder: Traversable) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.endswith(".txt"):
            yield path.name.removesuffix(".txt"), path.read_text(encoding="utf-8")


def read_list(lines: Iterable[str], where: str) -> WordList:
    """Return a word list: words between commas or semicolons, records with bars, sections with attributes."""
    found, attributes = WordList(), dict[str, str]()
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        if line.startswith("@made-up "):
            found.made_up = line.split()[1]
        elif line.startswith("@like "):
            found.like = line.split()[1]
        elif line == "@capital":
            found.is_capitalised = True
        elif line.startswith("(") and line.endswith(")"):
            attributes = _pairs(line[1:-1].split(","), "=", where)
        elif " | " in line:
            text, *record = line.split(" | ")
            _add_word(found, text.strip(), attributes | _pairs(record, ":", where), where)
        else:
            for item in line.split(";" if ";" in line else ","):
                for text in _expanded(item.strip()):
                    _add_word(found, text, attributes, where)
    if not found.words:
        raise CorpusError(f"{where}: an empty list")
    return found


def _add_word(found: WordList, text: str, attributes: Mapping[str, str], where: str) -> None:
    if not text:
        return
    if re.fullmatch(r"[^/{]+/[^/{]+", text) and not text.startswith("@"):
        text, plural = text.split("/")
        attributes = {**attributes, "plural": plural}
    found.words.append(Word(text, dict(attributes)))
    found.sources.append(text if text.startswith("@") else parse(text, where))


def _expanded(item: str) -> list[str]:
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", item):
        return [str(number) for number in range(int(match[1]), int(match[2]) + 1)]
    return [item]


def _pairs(texts: Iterable[str], sign: str, where: str) -> dict[str, str]:
    pairs = [text.partition(sign) for text in texts if text.strip()]
    if any(not separator for _, separator, _ in pairs):
        raise CorpusError(f"{where}: not a name and a value: {list(texts)}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def read_topic(script: Script, topic: str, text: str) -> None:
    """Add a topic's lists and exchanges to a script."""
    exchange: Exchange | None = None
    part = 0  # number of the path; turns never continue from one path to the next
    parts: dict[Block, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
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
            part += 1
        elif (match := re.fullmatch(r"(\w+):\s*(.*)", line)) and match[1] in OPTIONS and not exchange.blocks:
            exchange.options[match[1]] = match[2]
        elif match := _BLOCK.fullmatch(line):
            conditions = _pairs((match[3] or "").split(","), "=", where)
            block = Block(match[1], match[2] or "", conditions, tuple((match[4] or "").split()), where)
            parts[block] = part
            exchange.blocks.append(block)
        elif not exchange.blocks:
            raise CorpusError(f"{where}: expected P:, B: or an option, not {line!r}")
        else:
            exchange.blocks[-1].lines.append(_line(line, where))
    for exchange in script.exchanges:
        if exchange.topic == topic:
            _connect(exchange, parts)


def _line(text: str, where: str) -> Line:
    text, _, targets = text.partition(" -> ")
    phrasing = parse(text.strip(), where)
    slots = list(phrasing.slots())
    facts = frozenset(slot.name for slot in slots if slot.scope in ("my", "new"))
    inner = frozenset(slot.name for slot in slots if not slot.scope)
    is_question = not phrasing.ends().isdisjoint("?\uff1f")
    corrected = {slot.name: slot for slot in slots if slot.scope == "new"}
    return Line(phrasing, facts, inner, is_question, tuple(corrected.values()), tuple(targets.split()), where)


def _connect(exchange: Exchange, parts: Mapping[Block, int]) -> None:
    """Find what follows each block, and read the options."""
    if not exchange.blocks:
        raise CorpusError(f"{exchange.where}: the exchange {exchange.name!r} is empty")
    groups: list[list[Block]] = []
    for block in exchange.blocks:
        if groups and groups[-1][0].speaker == block.speaker and parts[groups[-1][0]] == parts[block]:
            groups[-1].append(block)
        else:
            groups.append([block])
    for group, following in zip(groups, [*groups[1:], []], strict=True):
        for block in group:
            if following and not block.targets and parts[following[0]] == parts[block]:
                block.next = following
            else:
                block.next = exchange.find(block.targets)
    exchange.entry = groups[0]
    blocks = [block for block in exchange.blocks if block.speaker == "P"]
    lines = [line for block in blocks for line in block.lines]
    exchange.asked_locals = frozenset(name for line in lines for name in line.locals)
    options = exchange.options
    exchange.conditions = _pairs(options.get("is", "").split(","), "=", exchange.where)
    recalled = options.get("recall", "") + " " + options.get("correct", "")
    exchange.needs = _facts(options.get("needs", "") + " " + recalled)
    exchange.tells = frozenset(fact for line in lines for fact in line.facts) - exchange.needs
    exchange.unless = _facts(options.get("unless", "") + " " + options.get("unknown", ""))


def _facts(text: str) -> frozenset[str]:
    return frozenset(name.removeprefix("my.") for name in re.split(r"[\s,]+", text) if name)


def _add_second(script: Script) -> None:
    """Copy the memory exchanges of each fact that has a second one: a second pet, a second friend."""
    told = {fact for exchange in script.exchanges for fact in exchange.tells}
    for exchange in list(script.exchanges):
        for kind in sorted({"recall", "correct"} & exchange.options.keys()):
            if exchange.options[kind].removeprefix("my.") + "2" in told:
                script.exchanges.append(_second(exchange))


def _second(exchange: Exchange) -> Exchange:
    def renamed(names: Iterable[str]) -> frozenset[str]:
        return frozenset(name + "2" for name in names)

    copies = {
        id(block): Block(block.speaker, block.label, block.conditions, block.targets, block.where)
        for block in exchange.blocks
    }
    for block in exchange.blocks:
        copy = copies[id(block)]
        copy.next = [copies[id(other)] for other in block.next]
        for line in block.lines:
            corrected = tuple(replace(slot, name=slot.name + "2") for slot in line.corrected)
            facts, phrasing = renamed(line.facts), _numbered(line.phrasing)
            copy.lines.append(replace(line, phrasing=phrasing, facts=facts, corrected=corrected))
    return Exchange(
        exchange.name + " 2",
        exchange.topic,
        exchange.where,
        {key: value + "2" if key in MEMORY else value for key, value in exchange.options.items()},
        list(copies.values()),
        [copies[id(block)] for block in exchange.entry],
        exchange.asked_locals,
        exchange.conditions,
        renamed(exchange.needs),
        renamed(exchange.unless),
        renamed(exchange.tells),
    )


def _numbered(phrasing: Phrasing) -> Phrasing:
    """Return a phrasing with the second of each fact."""
    nodes: list[str | Slot | Choice] = []
    for node in phrasing.nodes:
        if isinstance(node, Slot) and node.scope in ("my", "new", "old"):
            nodes.append(replace(node, name=node.name + "2"))
        elif isinstance(node, Choice):
            nodes.append(Choice(tuple(_numbered(part) for part in node.parts)))
        else:
            nodes.append(node)
    return Phrasing(tuple(nodes))
