"""The words of one conversation: facts about the person, words of the exchange, and random choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final, TypeVar

from charlm.corpora.simulator.phrases import Slot, Word, render, unmarked
from charlm.corpora.simulator.script import Script
from charlm.corpora.simulator.words import WordList
from charlm.errors import CorpusError

MAX_DRAWS: Final = 20  # for a word that is not in use

T = TypeVar("T")


class Speakers:
    """Draws words, and keeps those in use. Random numbers come from `Random.random`, the same on every Python."""

    def __init__(self, script: Script, random: Random, made_up: float) -> None:
        self.script, self.random, self.made_up = script, random, made_up
        self.facts: dict[str, Word] = {}  # about the person, stated or not
        self.old: dict[str, Word] = {}  # before their correction
        self.locals: dict[str, Word] = {}  # of the exchange
        self.told: dict[str, int] = {}  # the person's turn that last stated each fact
        self.variables: dict[str, str] = {}
        self.mentioned: list[str] = []  # facts, in the order of their mention
        self.topic = ""

    def choose(self, count: int) -> int:
        return int(self.random.random() * count)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.choose(len(items))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def word(self, slot: Slot) -> Word:
        """Return the word of a slot, drawn at first use."""
        if slot.scope == "~":
            return self._draw(self.find(slot.list_name))
        if slot.scope == "old":
            return self.old[slot.name]
        words = self.facts if slot.scope else self.locals
        if slot.scope:
            self.mentioned.append(slot.name)
        if slot.name not in words:
            words[slot.name] = self._draw_for(slot)
        return words[slot.name]

    def correct(self, slot: Slot) -> None:
        """Replace a fact by another."""
        self.old[slot.name] = self.facts[slot.name]
        self.facts[slot.name] = self._draw_for(slot)

    def find(self, name: str) -> WordList:
        """Return the list of that name."""
        found = self.script.list_of(self.topic, name)
        if found is None:
            raise CorpusError(f"{self.topic}: there is no list {name!r}")
        return found

    def _draw_for(self, slot: Slot) -> Word:
        """Return a word that is not in use, if possible, and of the right gender."""
        found, gender = self.find(slot.list_name), ""
        if found.like:
            model = replace(slot, list_name=found.like, name=slot.name.replace(slot.list_name, found.like))
            gender = self.word(model).attributes.get("g", "")
        used = {word.text for words in (self.facts, self.old, self.locals) for word in words.values()}
        for _ in range(MAX_DRAWS):
            word = self._draw(found)
            if word.text not in used and gender in ("", word.attributes.get("g")):
                break
        return word

    def _draw(self, found: WordList) -> Word:
        if found.made_up and self.chance(self.made_up):
            return self._draw(self.find(found.made_up))
        index = self.choose(len(found.words))
        word, source = found.words[index], found.sources[index]
        if isinstance(source, str):
            return self._draw(self.find(source))
        text = word.text if source.nodes == (word.text,) else unmarked(render(source, self))
        if "@capital" in found.options:
            text = text[:1].upper() + text[1:]
        return word if text == word.text else Word(text, word.attributes)
