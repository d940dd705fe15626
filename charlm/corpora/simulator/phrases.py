"""Phrasings with slots and alternatives, as in topics and word lists."""

# {food} {food2}         two words of the list `food`, the same in a whole exchange
# {~yes}                 a word of the list `yes`, drawn again at each place
# {my.pet}               a fact about the person, the same in a whole conversation
# {new.name} {old.name}  a corrected fact, and its value before
# {pet:s} {friend.he}    a plural; an attribute of a word, or its pronoun
# [one|two|]             alternatives, which may contain slots and alternatives

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from charlm.errors import CorpusError

VALUE_START, VALUE_END = "\x02", "\x03"
"""Marks around the words of slots in a rendered phrasing; noise leaves these words whole."""

_SLOT: Final = re.compile(r"(~?)(?:(my|new|old)\.)?([a-z_]+)(\d?)(?:\.([a-z]+))?(:s)?")


@dataclass(frozen=True)
class Word:
    """An entry of a list."""

    text: str
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def plural(self) -> str:
        return self.attributes.get("plural") or plural(self.text)


@dataclass(frozen=True)
class Slot:
    """A place in a phrasing for a word."""

    scope: str  # "my", "new", "old", "~" or empty
    list_name: str
    name: str  # with its number
    attribute: str
    is_plural: bool


@dataclass(frozen=True)
class Choice:
    """Alternatives of a part of a phrasing."""

    parts: tuple[Phrasing, ...]


@dataclass(frozen=True)
class Phrasing:
    """A parsed phrasing."""

    nodes: tuple[str | Slot | Choice, ...]

    def slots(self) -> Iterator[Slot]:
        """Yield all slots, also those in alternatives."""
        for node in self.nodes:
            if isinstance(node, Slot):
                yield node
            elif isinstance(node, Choice):
                for part in node.parts:
                    yield from part.slots()

    def ends(self) -> set[str]:
        """Return the possible last characters; empty if nothing or a slot is last."""
        found: set[str] = set()
        for node in reversed(self.nodes):
            if not isinstance(node, Choice):
                return found | ({node.rstrip()[-1:]} if isinstance(node, str) and node.strip() else set())
            ends = [part.ends() for part in node.parts]
            found = found.union(*ends)
            if all(part.nodes for part in node.parts):
                return found
        return found

    def count(self) -> int:
        """Return the approximate number of different texts; words of bound slots do not count."""
        product = 1
        for node in self.nodes:
            if isinstance(node, Choice):
                product *= sum(part.count() for part in node.parts)
            elif isinstance(node, Slot) and node.scope == "~":
                product *= 5  # of a list of phrases
        return product


class Words(Protocol):
    """Source of the words and choices of a rendering."""

    def word(self, slot: Slot) -> Word: ...
    def choose(self, count: int) -> int: ...


def parse(text: str, where: str = "") -> Phrasing:
    """Parse a phrasing. CorpusError names `where`."""
    tokens = [token for token in re.split(r"(\{[^{}]*\}|[\[\]|{}])", text) if token]
    phrasing, rest = _sequence(tokens, 0, where, 0)
    if rest != len(tokens):
        raise CorpusError(f"{where}: unexpected bracket or bar in {text!r}")
    return phrasing


def _sequence(tokens: list[str], at: int, where: str, depth: int) -> tuple[Phrasing, int]:
    nodes: list[str | Slot | Choice] = []
    while at < len(tokens):
        token = tokens[at]
        if token == "[":
            parts = []
            while tokens[at] != "]":
                part, at = _sequence(tokens, at + 1, where, depth + 1)
                parts.append(part)
                if at >= len(tokens):
                    raise CorpusError(f"{where}: no closing bracket")
            nodes.append(Choice(tuple(parts)))
        elif token in ("]", "|"):
            if not depth:
                raise CorpusError(f"{where}: {token!r} outside brackets")
            break
        elif token in "{}":
            raise CorpusError(f"{where}: unexpected brace")
        else:
            nodes.append(_slot(token[1:-1], where) if token[0] == "{" else token)
        at += 1
    return Phrasing(tuple(nodes)), at


def _slot(text: str, where: str) -> Slot:
    match = _SLOT.fullmatch(text)
    if not match:
        raise CorpusError(f"{where}: no such slot: {{{text}}}")
    fresh, scope, list_name, number, attribute, is_plural = match.groups()
    return Slot(scope or fresh, list_name, list_name + number, attribute or "", bool(is_plural))


def render(phrasing: Phrasing, words: Words) -> str:
    """Return a text with marks around the words of slots and at the start of alternatives."""
    parts = []
    for node in phrasing.nodes:
        if isinstance(node, str):
            parts.append(node)
        elif isinstance(node, Choice):
            parts += [VALUE_START, VALUE_END, render(node.parts[words.choose(len(node.parts))], words)]
        else:
            parts += [VALUE_START, _inflected(words.word(node), node), VALUE_END]
    return "".join(parts)


def unmarked(text: str) -> str:
    """Return a rendered text without its marks."""
    return text.replace(VALUE_START, "").replace(VALUE_END, "")


def _inflected(word: Word, slot: Slot) -> str:
    if slot.is_plural:
        return word.plural
    if not slot.attribute:
        return word.text
    if slot.attribute in PRONOUNS:
        return PRONOUNS[slot.attribute][word.attributes.get("g", "n")]
    return word.attributes[slot.attribute]


PRONOUNS: Final = {
    "he": {"m": "he", "f": "she", "n": "it"},
    "him": {"m": "him", "f": "her", "n": "it"},
    "his": {"m": "his", "f": "her", "n": "its"},
}


def plural(noun: str) -> str:
    """Return the regular English plural."""
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(?:s|x|z|ch|sh)$", noun) else "s")
