"""Finds mistakes in topics and word lists: holes, unknown slots, dead ends, too few phrasings, wrong articles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from charlm.corpora.simulator.language import article
from charlm.corpora.simulator.phrases import PRONOUNS, Choice, Phrasing, Word
from charlm.corpora.simulator.script import OPEN, Block, Exchange, Script

MIN_FIRST_PHRASINGS: Final = 15  # texts that begin an exchange, not counting the words of slots
MIN_PHRASINGS: Final = 10  # texts at another place
MIN_LINES: Final = 5
MAX_CHARS: Final = 160  # of a phrasing's text
_ARTICLE: Final = re.compile(r"(?<![\w'-])([Aa]n?) ([a-z][\w'-]*)")


def problems(script: Script) -> Iterator[str]:
    """Yield a sentence for each mistake."""
    for name, words in script.lists.items():
        topic = name.rpartition("/")[0]
        texts = [word.text for word in words.words]
        yield from (f"list {name}: {text!r} twice" for text in dict.fromkeys(texts) if texts.count(text) > 1)
        for source in (*words.sources, words.made_up, words.like):
            if isinstance(source, Phrasing):
                yield from _phrasing_problems(script, topic, source, f"list {name}", False)
            elif source and script.list_of(topic, source) is None:
                yield f"list {name}: there is no list {source!r}"
    names = [(one.topic, one.name) for one in script.exchanges]
    for exchange in script.exchanges:
        where = f"{exchange.where} ({exchange.name})"
        if names.count((exchange.topic, exchange.name)) > 1:
            yield f"{where}: an exchange of this name exists already"
        if exchange.place not in ("start", "any", "end"):
            yield f"{where}: no such place: {exchange.place}"
        if (after := exchange.options.get("after")) and (exchange.topic, after) not in names:
            yield f"{where}: the topic has no exchange {after!r}"
        yield from _exchange_problems(script, exchange)


def _exchange_problems(script: Script, exchange: Exchange) -> Iterator[str]:
    reached: list[Block] = []
    waiting = [exchange.entry]
    while waiting:
        group = waiting.pop()
        if not group or group[0] in reached:
            continue
        reached += group
        lines = [line for block in group for line in block.lines]
        waiting += [line.next for line in lines]
        is_first = group is exchange.entry and group[0].speaker == "P"
        least, count = MIN_FIRST_PHRASINGS if is_first else MIN_PHRASINGS, sum(one.phrasing.count() for one in lines)
        if len(lines) < MIN_LINES or count < least:
            yield f"{group[0].where}: {len(lines)} lines, {count} phrasings; needs {MIN_LINES} and {least}"
        for block in group:
            yield from _block_problems(script, exchange, block)
    yield from (f"{block.where}: no path leads to this block" for block in exchange.blocks if block not in reached)
    for fact in exchange.facts("recall"):
        replies = (reply for line in exchange.entry[0].lines for block in line.next for reply in block.lines)
        lacking = dict.fromkeys(reply.where for reply in replies if fact not in reply.facts)
        yield from (f"{where}: the answer lacks {{my.{fact}}}" for where in lacking)


def _block_problems(script: Script, exchange: Exchange, block: Block) -> Iterator[str]:
    if not block.lines:
        yield f"{block.where}: a block without phrasings"
    seen = set()
    for line in block.lines:
        if any(other.speaker == block.speaker for other in line.next):
            yield f"{line.where}: the next block has the same speaker"
        is_open = OPEN in (line.targets or block.targets)
        if block.speaker == "B" and line.is_question and not line.next and not is_open:
            yield f"{line.where}: no P block answers the model's question: add one, or -> open"
        if line.phrasing in seen:
            yield f"{line.where}: the same phrasing twice"
        seen.add(line.phrasing)
        yield from _phrasing_problems(script, exchange.topic, line.phrasing, line.where, "long" in exchange.options)


def _phrasing_problems(script: Script, topic: str, phrasing: Phrasing, where: str, is_long: bool) -> Iterator[str]:
    for slot in phrasing.slots():
        if script.list_of(topic, slot.list_name) is None:
            yield f"{where}: there is no list {slot.list_name!r}"
        elif slot.attribute and slot.attribute not in PRONOUNS:
            words = _words(script, topic, slot.list_name)
            lacking = [word.text for word in words if slot.attribute not in word.attributes]
            yield from (f"{where}: {text!r} has no attribute {slot.attribute!r}" for text in lacking[:1])
    if not is_long and len(text := _longest(phrasing)) > MAX_CHARS:
        yield f"{where}: {len(text)} characters"
    literal = "".join(node if isinstance(node, str) else "#" for node in phrasing.nodes)
    for match in _ARTICLE.finditer(literal):
        if article(match[2]) != match[1].lower():
            yield f"{where}: {match[0]!r}"


def _words(script: Script, topic: str, name: str) -> Iterator[Word]:
    found = script.list_of(topic, name)
    for word, source in zip(found.words, found.sources, strict=True) if found else ():
        yield from _words(script, topic, source) if isinstance(source, str) else (word,)


def _longest(phrasing: Phrasing) -> str:
    parts = []
    for node in phrasing.nodes:
        longest = max(map(_longest, node.parts), key=len) if isinstance(node, Choice) else node
        parts.append(longest if isinstance(longest, str) else "######")
    return "".join(parts)
