"""The simulator: makes conversations by walking from exchange to exchange.

The person asks for a stated fact some turns later. As many questions are about facts that were never stated.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Final

from charlm.corpora.simulator.language import Language
from charlm.corpora.simulator.phrases import Slot, render
from charlm.corpora.simulator.script import Block, Exchange, Line, Script
from charlm.corpora.simulator.speakers import Speakers
from charlm.errors import CorpusError

MAX_REPLY_CHARS: Final = 160
MAX_LONG_REPLY_CHARS: Final = 340  # of exchanges with the option "long": stories
MAX_DRAWS: Final = 100  # for an exchange that fits
PREFIX_SHARE: Final = 0.3  # of the person's first turns in an exchange that begin with "by the way,", "nice."
INTERRUPTION_SHARE: Final = 0.8  # of the exchanges that end early when a question about a fact is due


@dataclass(frozen=True)
class Mix:
    """Shares of the parts of conversations."""

    memory: float = 0.4  # share of the stated facts that are asked for
    distances: tuple[tuple[int, float], ...] = ((1, 4), (2, 3), (3, 3), (4, 2), (6, 2), (8, 1), (10, 1), (12, 1))
    tell: float = 0.12  # share of the exchanges that are chosen because they state a fact
    never_told: float = 1.0  # questions about facts never stated, for each one about a stated fact
    correct: float = 0.1  # share of the stated facts that are corrected
    made_up: float = 0.5  # share of made-up words in the lists that have them
    stay: float = 0.25  # share of the exchanges that stay with the topic
    greet: float = 0.5  # share of the conversations that begin with a greeting
    min_turns: int = 3  # of the person
    max_turns: int = 14
    neat: float = 0.5  # share of the people who type with care
    hurried: float = 0.15  # share of those who type in a hurry
    preference: float = 3.0  # of the model for the first phrasings of a block; 1: all are as frequent


MIXES: Final = {
    "talk": Mix(),
    "copy": Mix(memory=0.9, distances=((1, 1.0),), tell=0.7, max_turns=10),
    "recall": Mix(memory=0.8, distances=((1, 2), (2, 2), (3, 1), (4, 2), (6, 1), (8, 1), (12, 1)), tell=0.5),
}


@dataclass(frozen=True)
class FactQuestion:
    """A question about a fact."""

    fact: str
    value: str | None  # None: never stated
    told: int  # the person's turn; -1: never stated
    asked: int  # the person's turn


@dataclass
class SimulatedConversation:
    """A finished conversation."""

    turns: list[str] = field(default_factory=list)  # the person's and the model's, alternating
    questions: list[FactQuestion] = field(default_factory=list)


class _Pool:
    """Exchanges to draw from by weight."""

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self.exchanges = list(exchanges)
        self.bounds = list(accumulate(float(one.options.get("weight", 1)) for one in self.exchanges))

    def draw(self, random: Random) -> Exchange | None:
        return self.exchanges[bisect(self.bounds, random.random() * self.bounds[-1])] if self.exchanges else None


class Simulator:
    """Makes conversations in a language, with the shares of a mix."""

    def __init__(self, script: Script, language: Language, mix: Mix, seed: int) -> None:
        self.script, self.language, self.mix, self.random = script, language, mix, Random(seed)
        self.owed = 0.0  # number of due questions about facts never stated
        self.memory: dict[tuple[str, str], list[Exchange]] = {}  # by kind and fact
        for one in script.exchanges:
            for kind in ("recall", "correct"):
                for fact in one.facts(kind):
                    self.memory.setdefault((kind, fact), []).append(one)
        general = [one for one in script.exchanges if not one.is_memory]
        self.pools = {place: _Pool(one for one in general if one.place == place) for place in ("start", "any", "end")}
        middle = self.pools["any"].exchanges
        asked = {fact for kind, fact in self.memory if kind == "recall"}
        self.pools["tell"] = _Pool(one for one in middle if one.tells & asked)
        self.pools["unknown"] = _Pool(one for one in script.exchanges if "unknown" in one.options)
        for topic in dict.fromkeys(one.topic for one in middle):
            self.pools[f"topic {topic}"] = _Pool(one for one in middle if one.topic == topic)

    def conversation(self) -> SimulatedConversation:
        """Return the next conversation."""
        return _Walk(self).run()


class _Walk:
    """One conversation while it is made."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator, self.mix, self.language = simulator, simulator.mix, simulator.language
        self.speakers = Speakers(simulator.script, simulator.random, self.mix.made_up)
        self.chance, self.told = self.speakers.chance, self.speakers.told
        style = simulator.random.random()
        self.style = "neat" if style < self.mix.neat else "hurried" if style > 1 - self.mix.hurried else "relaxed"
        self.result = SimulatedConversation()
        self.speaker = ""  # of the open turn
        self.parts: list[str] = []  # of the open turn
        self.seen: set[object] = set()  # lines used, and topics and names of exchanges
        self.told_before: frozenset[str] = frozenset()  # before the exchange
        self.due: list[tuple[int, str, str]] = []  # turn, kind and fact of questions and corrections
        self.last_turn = self.mix.min_turns + self.speakers.choose(self.mix.max_turns - self.mix.min_turns + 1)
        self.topic = ""

    @property
    def turn(self) -> int:
        """Number of the person's open or last turn."""
        return len(self.result.turns) // 2

    @property
    def next_turn(self) -> int:
        """Number of the person's turn that can begin an exchange now."""
        return self.turn + (self.speaker == "B")

    @property
    def asks(self) -> bool:
        """The model's open turn ends with a question."""
        return self.speaker == "B" and self.parts[-1][-1] in "?\uff1f"

    def run(self) -> SimulatedConversation:
        place = "start" if self.chance(self.mix.greet) else "any"
        while exchange := self._next(place):
            self._exchange(exchange)
            place = "any"
            if self.speaker == "B" and self.next_turn >= self.last_turn and not self.due:
                place = "end"
                if self.chance(0.5):
                    break
            if exchange.place == "end":
                break
        self._flush()
        return self.result

    def _next(self, place: str) -> Exchange | None:
        """Return the next exchange; None ends the conversation."""
        if self.speaker != "P" and place == "any" and (found := self._memory()):
            return found
        for attempt in range(MAX_DRAWS):
            name = place
            if place == "any":
                if self.turn < self.last_turn and self.chance(self.mix.tell):
                    name = "tell"
                elif self.topic and self.chance(self.mix.stay):
                    name = f"topic {self.topic}"
            found = self._draw(name)
            if found and self._fits(found):
                return found
            if found is None or attempt > MAX_DRAWS // 2:
                place = "any"
        if self.speaker == "P":
            self.parts = []  # a turn that no exchange continues
        return None

    def _draw(self, pool: str) -> Exchange | None:
        pools = self.simulator.pools
        return pools[pool].draw(self.simulator.random) if pool in pools else None

    def _memory(self) -> Exchange | None:
        """Return an exchange that asks for a fact now, or corrects one."""
        due = sorted(one for one in self.due if one[0] <= self.next_turn)
        owed = self.simulator.owed
        if owed >= 1 and self.chance(0.1 if due else min(0.9, 0.1 * owed)):
            found = self._draw("unknown")
            if found and self._fits(found):
                self.simulator.owed -= 1
                return found
        for one in due:
            self.due.remove(one)
            fitting = [exchange for exchange in self.simulator.memory[one[1:]] if self._fits(exchange)]
            if fitting:
                return self.speakers.pick(fitting)
        return None

    def _fits(self, exchange: Exchange) -> bool:
        """Return whether an exchange can begin here."""
        told, variables = self.told.keys(), self.speakers.variables
        if (not exchange.is_memory and (exchange.topic, exchange.name) in self.seen) or told & exchange.unless:
            return False
        after = exchange.options.get("after")
        if not told >= exchange.needs or (after and (exchange.topic, after) not in self.seen):
            return False
        if any(variables.get(name, value) != value for name, value in exchange.conditions.items()):
            return False
        if exchange.entry[0].speaker == "B" and not self._is_free():
            return False
        return any(True for _ in self._lines(exchange, exchange.entry))

    def _is_free(self) -> bool:
        """Return whether the model can add a question about something else to its open turn."""
        is_open = self.speaker == "B" and not self.asks and sum(map(len, self.parts)) < MAX_REPLY_CHARS // 2
        return is_open and not self._is_sad

    @property
    def _is_sad(self) -> bool:
        """The conversation or the model's last reply is about something sad."""
        return self.speakers.variables.get("mood") == "bad" or self.language.is_sad(self.parts[-1])

    def _lines(self, exchange: Exchange, blocks: Sequence[Block]) -> Iterator[tuple[Block, Line]]:
        """Yield the phrasings that fit the known facts and have a continuation that fits."""
        is_entry = blocks is exchange.entry
        told, before = self.told.keys(), self.told.keys() if is_entry else self.told_before
        bound = () if is_entry else self.speakers.locals.keys()
        has_two = is_entry and self._has_two(exchange)
        for block in blocks:
            is_person = block.speaker == "P"
            values = self.speakers.variables
            if any(values.get(key, value if is_person else "") != value for key, value in block.conditions.items()):
                continue
            for line in block.lines:
                if is_person:
                    fits = not (line.facts & before) - exchange.needs and not (has_two and not line.facts)
                    if is_entry and exchange.is_memory:
                        fits = fits and line.facts <= told
                    replies = (reply for following in line.next for reply in following.lines)
                    leads_on = not line.next or any(reply.facts <= told | line.facts for reply in replies)
                else:
                    fits = line.facts <= told and not (line.locals & exchange.asked_locals).difference(bound)
                    leads_on = not line.next or any(True for _ in self._lines(exchange, line.next))
                if fits and leads_on:
                    yield block, line

    def _has_two(self, exchange: Exchange) -> bool:
        """Return whether the person has stated two facts of a kind, so that a question must name one."""
        return any((fact[:-1] if fact[-1] == "2" else fact + "2") in self.told for fact in exchange.facts("recall"))

    def _exchange(self, exchange: Exchange) -> None:
        """Add the turns of an exchange to the conversation."""
        speakers = self.speakers
        speakers.topic, speakers.locals = exchange.topic, {}
        speakers.variables.update(exchange.conditions)
        self.told_before = frozenset(self.told)
        self.seen.add((exchange.topic, exchange.name))
        self._note(exchange)
        blocks = exchange.entry
        while blocks:
            lines = list(self._lines(exchange, blocks))
            if not lines:
                raise CorpusError(f"{blocks[0].where}: no phrasing fits the known facts")
            block, line = self._choose(lines)
            if block.speaker == "P":
                speakers.variables.update(block.conditions)
                self._person_says(exchange, line, is_first=blocks is exchange.entry)
            else:
                self._model_says(exchange, line)
            blocks = line.next
            is_closed = block.speaker == "B" and not self.asks and not exchange.is_memory
            if blocks and is_closed and self._is_due and self.chance(INTERRUPTION_SHARE):
                break
        self.topic = exchange.topic

    @property
    def _is_due(self) -> bool:
        return any(turn <= self.turn + 1 for turn, _, _ in self.due)

    def _note(self, exchange: Exchange) -> None:
        """Record a question about a fact."""
        for fact in exchange.facts("recall"):
            value = self.speakers.facts[fact].text
            self.result.questions.append(FactQuestion(fact, value, self.told[fact], self.next_turn))
            self.simulator.owed += self.mix.never_told
        for fact in exchange.facts("unknown"):
            self.result.questions.append(FactQuestion(fact, None, -1, self.next_turn))

    def _choose(self, lines: Sequence[tuple[Block, Line]]) -> tuple[Block, Line]:
        fresh = [one for one in lines if one[1] not in self.seen] or lines
        if fresh[0][0].speaker == "B" and self._is_due:
            fresh = [one for one in fresh if not one[1].is_question] or fresh
        chosen = self.speakers.pick(fresh)
        if chosen[0].speaker == "B":  # few frequent replies are learned sooner than many rare ones
            block = [one for one in fresh if one[0] is chosen[0]]
            chosen = block[int(len(block) * self.simulator.random.random() ** self.mix.preference)]
        self.seen.add(chosen[1])
        return chosen

    def _person_says(self, exchange: Exchange, line: Line, is_first: bool) -> None:
        prefix = self._prefix(exchange, line) if is_first else ""
        self.speakers.mentioned = []
        for slot in line.corrected:
            self.speakers.correct(slot)
        text = render(line.phrasing, self.speakers)
        self._open("P")
        self.parts.append(self.language.after(prefix, text) if prefix else text)
        corrected = [slot.name for slot in line.corrected]
        for fact in dict.fromkeys(self.speakers.mentioned):
            if fact not in self.told or fact in corrected:
                self._tell(fact, fact in corrected)

    def _model_says(self, exchange: Exchange, line: Line) -> None:
        text = self.language.finish(render(line.phrasing, self.speakers))
        if len(text) > (MAX_LONG_REPLY_CHARS if "long" in exchange.options else MAX_REPLY_CHARS):
            raise CorpusError(f"{line.where}: a reply of {len(text)} characters: {text!r}")
        self._open("B")
        self.parts.append(text)

    def _prefix(self, exchange: Exchange, line: Line) -> str:
        """Return the words before a new subject, if any."""
        first = line.phrasing.nodes[0]
        is_plain = "plain" in exchange.options or "correct" in exchange.options or exchange.place == "start"
        if is_plain or self.speaker != "B" or self.asks or (isinstance(first, Slot) and first.scope == "~"):
            return ""
        is_new = exchange.topic != self.topic and exchange.place != "end"
        name = "change" if is_new and (self._is_sad or self.chance(0.5)) else "react"
        is_fit = name in self.simulator.script.lists and not (self._is_sad and name == "react")
        if not is_fit or not self.chance(PREFIX_SHARE):
            return ""
        return self.speakers.word(Slot("~", name, name, "", False)).text

    def _tell(self, fact: str, is_corrected: bool) -> None:
        """Record a fact of the person's open turn, and plan the question about it."""
        self.told[fact] = self.turn
        self.due = [one for one in self.due if one[2] != fact]
        memory = self.simulator.memory
        if ("correct", fact) in memory and not is_corrected and self.chance(self.mix.correct):
            self.due.append((self.turn + 1, "correct", fact))
        elif ("recall", fact) in memory and self.turn < self.last_turn and self.chance(self.mix.memory):
            bounds = list(accumulate(weight for _, weight in self.mix.distances))
            distance, _ = self.mix.distances[bisect(bounds, self.simulator.random.random() * bounds[-1])]
            self.due.append((self.turn + distance, "recall", fact))

    def _open(self, speaker: str) -> None:
        """Make a speaker the one whose turn is open."""
        if speaker != self.speaker:
            self._flush()
            self.speaker = speaker

    def _flush(self) -> None:
        """Close the open turn."""
        if self.parts and self.speaker == "P":
            first = [self.language.finish(part, is_last=False) for part in self.parts[:-1]]
            text = self.language.join([*first, self.parts[-1]])
            self.result.turns.append(self.language.typed(text, self.style, self.speakers))
        elif self.parts:
            self.result.turns.append(self.language.join(self.parts))
        self.parts, self.speaker = [], ""
