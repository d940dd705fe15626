"""Walks through exchanges: one conversation of a person and the model after the other.

A fact that the person tells is asked for a number of the person's turns later, and as many facts are asked for that were
never told. Random numbers come from `Random.random` alone, which is the same on every Python.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Final, TypeVar

from charlm.corpora.simulator.language import Language
from charlm.corpora.simulator.phrases import Slot, Word, render, unmarked
from charlm.corpora.simulator.script import Block, Exchange, Line, Script, WordList
from charlm.errors import CorpusError

MAX_REPLY_CHARS: Final = 160
MAX_LONG_REPLY_CHARS: Final = 340  # of exchanges with the option "long": stories

T = TypeVar("T")


@dataclass(frozen=True)
class Mix:
    """What conversations are made of."""

    memory: float = 0.4  # share of the facts told that are asked for
    distances: tuple[tuple[int, float], ...] = ((1, 4), (2, 3), (3, 3), (4, 2), (6, 2), (8, 1), (10, 1), (12, 1))
    tell: float = 0.25  # share of the exchanges that are chosen because they tell a fact
    never_told: float = 1.0  # questions about facts never told, for each one about a fact told
    correct: float = 0.1  # share of the facts told that are corrected
    made_up: float = 0.5  # share of made-up words in the lists that have them
    stay: float = 0.4  # share of the exchanges that stay with the topic
    min_turns: int = 3  # of the person
    max_turns: int = 14
    neat: float = 0.35  # share of the people who type with care
    hurried: float = 0.25  # share of those who type in a hurry


MIXES: Final = {
    "talk": Mix(),
    "copy": Mix(memory=0.9, distances=((1, 1.0),), tell=0.7, max_turns=10),
    "recall": Mix(memory=0.8, distances=((1, 2), (2, 2), (3, 1), (4, 2), (6, 1), (8, 1), (12, 1)), tell=0.5),
}


@dataclass(frozen=True)
class Question:
    """A question about a fact."""

    fact: str
    value: str | None  # None: never told
    told: int  # the person's turn; -1: never
    asked: int


@dataclass
class Conversation:
    """A finished conversation."""

    turns: list[str] = field(default_factory=list)  # the person's and the model's, alternating
    questions: list[Question] = field(default_factory=list)


class Speakers:
    """The words of one conversation: the facts about the person, and the words of the exchange."""

    def __init__(self, script: Script, random: Random, made_up: float) -> None:
        self.script, self.random, self.made_up = script, random, made_up
        self.facts: dict[str, Word] = {}
        self.old: dict[str, Word] = {}
        self.told: dict[str, int] = {}  # facts and the person's turn
        self.mentioned: list[str] = []  # facts in the text that is being rendered
        self.variables: dict[str, str] = {}
        self.topic = ""
        self.locals: dict[str, Word] = {}

    def choose(self, count: int) -> int:
        return int(self.random.random() * count)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.choose(len(items))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def word(self, slot: Slot) -> Word:
        """Return the word of a slot, drawn at first use."""
        if slot.scope == "~":
            return self.draw(slot.list_name, is_new=False)
        if slot.scope == "old":
            return self.old[slot.name]
        words = self.facts if slot.scope else self.locals
        if slot.scope:
            self.mentioned.append(slot.name)
        if slot.name not in words:
            words[slot.name] = self.draw_for(slot)
        return words[slot.name]

    def correct(self, slot: Slot) -> None:
        """Replace a fact by another."""
        self.old[slot.name] = self.facts[slot.name]
        self.facts[slot.name] = self.draw_for(slot)

    def draw_for(self, slot: Slot) -> Word:
        """Return a word for a slot, of the right gender."""
        word = self.draw(slot.list_name)
        if like := self.list(slot.list_name).like:
            model = self.word(Slot(slot.scope, like, slot.name.replace(slot.list_name, like), "", False))
            while word.attributes.get("g") != model.attributes.get("g", word.attributes.get("g")):
                word = self.draw(slot.list_name)
        return word

    def list(self, name: str) -> WordList:
        """Return the list of that name."""
        found = self.script.list_of(self.topic, name)
        if found is None:
            raise CorpusError(f"{self.topic}: there is no list {name!r}")
        return found

    def draw(self, name: str, is_new: bool = True) -> Word:
        """Return a word of a list, if possible one that is not in use."""
        found = self.list(name)
        if not is_new:
            return self._draw(found)
        used = {word.text for words in (self.facts, self.old, self.locals) for word in words.values()}
        for _ in range(20):
            word = self._draw(found)
            if word.text not in used:
                break
        return word

    def _draw(self, found: WordList) -> Word:
        if found.made_up and self.chance(self.made_up):
            return self.draw(found.made_up, is_new=False)
        index = self.choose(len(found.words))
        word, source = found.words[index], found.sources[index]
        if isinstance(source, str):
            return self.draw(source[1:], is_new=False)
        text = word.text if source.nodes == (word.text,) else unmarked(render(source, self))
        if found.is_capitalised:
            text = text[:1].upper() + text[1:]
        return word if text == word.text else Word(text, word.attributes)


class Simulator:
    """Makes conversations, each different from the last."""

    def __init__(self, script: Script, language: Language, mix: Mix, seed: int) -> None:
        self.script, self.language, self.mix = script, language, mix
        self.random = Random(seed)
        self.owed = 0.0  # questions about facts never told that are missing
        self.recalls = _by_option(script.exchanges, "recall")
        self.corrections = _by_option(script.exchanges, "correct")
        self.unknown = [one for one in script.exchanges if "unknown" in one.options]
        general = [one for one in script.exchanges if not one.is_memory]
        middle = [one for one in general if one.place == "any"]
        telling = [one for one in middle if one.tells & set(self.recalls)]
        self.pools = {
            "any": _Pool(middle),
            "tell": _Pool(telling or middle),
            "start": _Pool([one for one in general if one.place == "start"]),
            "end": _Pool([one for one in general if one.place == "end"]),
            "unknown": _Pool(self.unknown),
        }
        self.topics: dict[str, _Pool] = {
            topic: _Pool([one for one in middle if one.topic == topic]) for topic in {one.topic: 0 for one in middle}
        }

    def conversation(self) -> Conversation:
        """Return the next conversation."""
        return _Walk(self).run()


class _Pool:
    """Exchanges to draw from by weight."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self.exchanges = exchanges
        self.bounds = list(accumulate(float(one.options.get("weight", 1)) for one in exchanges))

    def draw(self, random: Random) -> Exchange | None:
        if not self.exchanges:
            return None
        index = bisect(self.bounds, random.random() * self.bounds[-1])
        return self.exchanges[min(index, len(self.exchanges) - 1)]


def _by_option(exchanges: Iterable[Exchange], option: str) -> dict[str, list[Exchange]]:
    found: dict[str, list[Exchange]] = {}
    for one in exchanges:
        if option in one.options:
            found.setdefault(one.options[option].removeprefix("my."), []).append(one)
    return found


class _Walk:
    """One conversation while it is made."""

    def __init__(self, simulator: Simulator) -> None:
        self.all, self.mix, self.language = simulator, simulator.mix, simulator.language
        self.speakers = Speakers(simulator.script, simulator.random, self.mix.made_up)
        self.chance = self.speakers.chance
        style = self.speakers.random.random()
        self.style = "neat" if style < self.mix.neat else "hurried" if style > 1 - self.mix.hurried else "relaxed"
        self.result = Conversation()
        self.speaker = ""  # of the open turn
        self.parts: list[str] = []  # of the open turn
        self.seen: set[object] = set()  # identities of lines and exchanges, topics and names of exchanges
        self.before: Collection[str] = ()  # facts told before the exchange
        self.due: list[tuple[int, str, str]] = []  # turn, kind, fact
        span = self.mix.max_turns - self.mix.min_turns + 1
        self.last_turn = self.mix.min_turns + self.speakers.choose(span)
        self.topic = ""

    @property
    def turn(self) -> int:
        """Number of the person's current or last turn."""
        return (len(self.result.turns) + (self.speaker == "P")) // 2

    def run(self) -> Conversation:
        place = "start" if self.chance(0.5) else "any"
        while True:
            exchange = self._next(place)
            if exchange is None:
                break
            self._exchange(exchange)
            if exchange.place == "end":
                break
            place = "any"
            if self.speaker == "B" and len(self.result.turns) // 2 + 1 >= self.last_turn and not self.due:
                if self.chance(0.5):
                    break
                place = "end"
        self._flush()
        return self.result

    # The next exchange

    def _next(self, place: str) -> Exchange | None:
        """Return the next exchange; None ends the conversation."""
        if self.speaker != "P" and place == "any" and (found := self._memory()):
            return found
        pools = self.all.pools
        for attempt in range(100):
            pool = pools[place]
            if place == "any":
                if self.turn < self.last_turn and self.chance(self.mix.tell):
                    pool = pools["tell"]
                elif self.topic in self.all.topics and self.chance(self.mix.stay):
                    pool = self.all.topics[self.topic]
            found = pool.draw(self.speakers.random)
            if found is None or (attempt > 50 and place != "any"):
                place = "any"
            elif self._fits(found):
                return found
        if self.speaker == "P":
            self.parts = []  # a turn that no exchange continues
        return None

    def _fits(self, exchange: Exchange, is_new: bool = True) -> bool:
        """Return whether an exchange can begin here."""
        told = self.speakers.told
        if (is_new and id(exchange) in self.seen) or not told.keys() >= exchange.needs:
            return False
        if any(fact in told for fact in exchange.unless):
            return False
        after = exchange.options.get("after")
        if after and (exchange.topic, after) not in self.seen:
            return False
        variables = self.speakers.variables
        if any(variables.get(name, value) != value for name, value in exchange.conditions.items()):
            return False
        if exchange.entry[0].speaker == "B":
            is_open = self.speaker == "B" and not self._asks
            return is_open and sum(map(len, self.parts)) < MAX_REPLY_CHARS // 2
        replies = [line for block in exchange.entry for reply in block.next for line in reply.lines]
        if replies and not any(line.facts <= told.keys() | exchange.tells for line in replies):
            return False
        return any(True for _ in self._lines(exchange, exchange.entry))

    def _memory(self) -> Exchange | None:
        """Return an exchange that asks for a fact now, or corrects one."""
        next_turn = len(self.result.turns) // 2 + (self.speaker == "B")
        is_due = any(turn <= next_turn for turn, _, _ in self.due)
        if self.all.owed >= 1 and self.chance(0.1 if is_due else min(0.9, 0.1 * self.all.owed)):
            found = self.all.pools["unknown"].draw(self.speakers.random)
            if found and self._fits(found):
                self.all.owed -= 1
                return found
        for one in sorted(self.due):
            turn, kind, fact = one
            if turn <= next_turn:
                self.due.remove(one)
                table = self.all.recalls if kind == "recall" else self.all.corrections
                fitting = [exchange for exchange in table[fact] if self._fits(exchange, is_new=False)]
                if fitting:
                    return self.speakers.pick(fitting)
        return None

    @property
    def _asks(self) -> bool:
        """The model's open turn ends with a question."""
        return self.speaker == "B" and self.parts[-1][-1] in "?\uff1f"

    @property
    def _is_due(self) -> bool:
        return any(turn <= self.turn + 1 for turn, _, _ in self.due)

    # Turns

    def _exchange(self, exchange: Exchange) -> None:
        speakers = self.speakers
        speakers.topic, speakers.locals = exchange.topic, {}
        speakers.variables.update(exchange.conditions)
        self.before = frozenset(speakers.told)
        self.seen |= {id(exchange), (exchange.topic, exchange.name)}
        self._note(exchange)
        blocks, is_first = exchange.entry, True
        while blocks:
            lines = list(self._lines(exchange, blocks))
            if not lines:
                raise CorpusError(f"{blocks[0].where}: no phrasing fits what was told before")
            block, line = self._choose(blocks[0].speaker, lines)
            if block.speaker == "P":
                speakers.variables.update(block.conditions)
            self._say(exchange, block, line, is_first)
            blocks = exchange.find(line.targets) if line.targets else block.next
            is_first = False
            is_closed = block.speaker == "B" and not self._asks and not exchange.is_memory
            if blocks and is_closed and self._is_due and self.chance(0.8):
                break
        self.topic = exchange.topic

    def _note(self, exchange: Exchange) -> None:
        """Record a question about a fact."""
        asked = len(self.result.turns) // 2 + (self.speaker == "B")
        if fact := exchange.recalled:
            told = self.speakers.told[fact]
            self.result.questions.append(Question(fact, self.speakers.facts[fact].text, told, asked))
            self.all.owed += self.mix.never_told
        elif fact := exchange.options.get("unknown", "").removeprefix("my."):
            self.result.questions.append(Question(fact, None, -1, asked))

    def _lines(self, exchange: Exchange, blocks: list[Block]) -> Iterator[tuple[Block, Line]]:
        """Yield the phrasings that fit what was told before."""
        told, variables = self.speakers.told.keys(), self.speakers.variables
        is_entry, is_second = blocks is exchange.entry, self._is_one_of_two(exchange, blocks)
        bound = () if is_entry else self.speakers.locals.keys()
        for block in blocks:
            is_person = block.speaker == "P"
            conditions = block.conditions.items()
            if conditions and any(variables.get(key, value if is_person else "") != value for key, value in conditions):
                continue
            leads_on = is_person or not block.next or any(True for _ in self._lines(exchange, block.next))
            for line in block.lines:
                if line.facts:
                    if (not is_person or (is_entry and exchange.is_memory)) and not line.facts <= told:
                        continue
                    if is_person and (line.facts & (told if is_entry else self.before)) - exchange.needs:
                        continue  # told before
                elif is_second:
                    continue
                if line.locals and not is_person and (line.locals & exchange.asked_locals).difference(bound):
                    continue
                if leads_on if not line.targets else self._leads_on(exchange, line):
                    yield block, line

    def _leads_on(self, exchange: Exchange, line: Line) -> bool:
        """Return whether the blocks that a line jumps to have phrasings that fit."""
        following = exchange.find(line.targets)
        return not following or any(True for _ in self._lines(exchange, following))

    def _is_one_of_two(self, exchange: Exchange, blocks: list[Block]) -> bool:
        """Return whether the phrasings ask for one of two facts of a kind, and have to say which."""
        fact = exchange.recalled
        return (
            bool(fact)
            and blocks is exchange.entry
            and (fact[:-1] if fact[-1] == "2" else fact + "2") in self.speakers.told
        )

    def _choose(self, speaker: str, lines: list[tuple[Block, Line]]) -> tuple[Block, Line]:
        fresh = [one for one in lines if id(one[1]) not in self.seen] or lines
        if speaker == "B" and self._is_due:
            fresh = [one for one in fresh if not one[1].is_question] or fresh
        chosen = self.speakers.pick(fresh)
        self.seen.add(id(chosen[1]))
        return chosen

    def _say(self, exchange: Exchange, block: Block, line: Line, is_first: bool) -> None:
        """Add a phrasing to the open turn, or open the next."""
        speakers = self.speakers
        prefix = self._prefix(exchange, line) if is_first and block.speaker == "P" else ""
        speakers.mentioned = []
        for slot in line.corrected:
            if block.speaker == "P":
                speakers.correct(slot)
        text = render(line.phrasing, speakers)
        text = self.language.after(prefix, text) if prefix else text
        mentioned = list(speakers.mentioned)
        is_same = block.speaker == self.speaker
        if not is_same:
            self._flush()
            self.speaker = block.speaker
        if block.speaker == "B":
            text = self.language.finish(text)
            limit = MAX_LONG_REPLY_CHARS if "long" in exchange.options else MAX_REPLY_CHARS
            if len(text) > limit:
                raise CorpusError(f"{line.where}: a reply of {len(text)} characters: {text!r}")
        self.parts.append(text)
        if block.speaker == "P":
            self._tell(mentioned, [slot.name for slot in line.corrected])

    def _prefix(self, exchange: Exchange, line: Line) -> str:
        """Return the words before a new subject."""
        is_plain = exchange.options.keys() & {"plain", "correct"} or exchange.place == "start"
        first = line.phrasing.nodes[0]
        is_plain = is_plain or (isinstance(first, Slot) and first.scope == "~")
        if not self.result.turns or is_plain or self.speaker == "P" or self._asks:
            return ""
        names = [name for name in ("change", "react") if self.all.script.list_of("", name)]
        if not names or not self.chance(0.3):
            return ""
        name = self.speakers.pick(names)
        if exchange.place == "end" or (name == "change" and exchange.topic == self.topic):
            name = "react"
        return self.speakers.draw(name).text

    def _tell(self, mentioned: Iterable[str], corrected: Collection[str]) -> None:
        """Record the facts of a turn, and plan the questions about them."""
        for fact in dict.fromkeys(mentioned):
            if fact in self.speakers.told and fact not in corrected:
                continue
            self.speakers.told[fact] = self.turn
            self.due = [one for one in self.due if one[2] != fact]
            if fact not in corrected and fact in self.all.corrections and self.chance(self.mix.correct):
                self.due.append((self.turn + 1, "correct", fact))
            elif fact in self.all.recalls and self.turn < self.last_turn and self.chance(self.mix.memory):
                self.due.append((self.turn + self._distance(), "recall", fact))

    def _distance(self) -> int:
        bounds = list(accumulate(weight for _, weight in self.mix.distances))
        return self.mix.distances[min(bisect(bounds, self.speakers.random.random() * bounds[-1]), len(bounds) - 1)][0]

    def _flush(self) -> None:
        """Close the open turn."""
        if not self.parts:
            return
        if self.speaker == "P":
            text = self.language.join(
                [self.language.finish(part, is_last=False) for part in self.parts[:-1]] + self.parts[-1:]
            )
            text = self.language.typed(text, self.style, self.speakers)
        else:
            text = self.language.join(self.parts)
        self.result.turns.append(text)
        self.parts = []
        self.speaker = ""
