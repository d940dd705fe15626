"""Finds mistakes in topics and word lists: holes, unknown slots, dead ends, too few phrasings, wrong articles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from charlm.corpora.simulator.language import article
from charlm.corpora.simulator.phrases import PRONOUNS, Phrasing
from charlm.corpora.simulator.script import END, OPEN, PLACES, Block, Exchange, Script, WordList

MIN_FIRST_PHRASINGS: Final = 15  # texts that begin an exchange, not counting the words of slots
MIN_PHRASINGS: Final = 10  # texts of another place
MIN_LINES: Final = 5
MAX_CHARS: Final = 160  # of a phrasing's literal text
_ARTICLE: Final = re.compile(r"(?<![\w'-])([Aa]n?) ([a-z][\w'-]*)")


def problems(script: Script) -> Iterator[str]:
    """Yield a sentence for each mistake."""
    for name, words in script.lists.items():
        topic = name.partition("/")[0] if "/" in name else ""
        yield from _list_problems(script, topic, name, words)
    names = set()
    for exchange in script.exchanges:
        where = f"{exchange.where} ({exchange.name})"
        if (exchange.topic, exchange.name) in names:
            yield f"{where}: an exchange of this name exists already"
        names.add((exchange.topic, exchange.name))
        if exchange.place not in PLACES:
            yield f"{where}: place is one of {', '.join(PLACES)}"
        after = exchange.options.get("after")
        if after and not any(one.name == after and one.topic == exchange.topic for one in script.exchanges):
            yield f"{where}: after an exchange {after!r} that the topic has not"
        yield from _exchange_problems(script, exchange)


def _exchange_problems(script: Script, exchange: Exchange) -> Iterator[str]:
    reached: list[Block] = []
    waiting = [exchange.entry]
    while waiting:
        group = waiting.pop()
        if not group or group[0] in reached:
            continue
        reached += group
        variants = sum(line.phrasing.count() for block in group for line in block.lines)
        lines = sum(len(block.lines) for block in group)
        is_first = group is exchange.entry and group[0].speaker == "P"
        least = MIN_FIRST_PHRASINGS if is_first else MIN_PHRASINGS
        if lines < MIN_LINES or variants < least:
            yield f"{group[0].where}: {lines} lines and {variants} phrasings; {MIN_LINES} and {least} are the least"
        for block in group:
            waiting += [block.next, *([exchange.find(line.targets)] for line in block.lines if line.targets)][0:1]
            waiting += [exchange.find(line.targets) for line in block.lines if line.targets]
            yield from _block_problems(script, exchange, block)
    for block in exchange.blocks:
        if block not in reached:
            yield f"{block.where}: no path leads to this block"
    fact = (exchange.options.get("recall") or "").removeprefix("my.")
    if fact:
        for block in exchange.entry[0].next:
            for line in block.lines:
                if fact not in line.facts:
                    yield f"{line.where}: the answer lacks {{my.{fact}}}"


def _block_problems(script: Script, exchange: Exchange, block: Block) -> Iterator[str]:
    if not block.lines:
        yield f"{block.where}: a block without phrasings"
    labels = {other.label for other in exchange.blocks} | {END, OPEN}
    seen = set()
    for line in block.lines:
        for target in (*block.targets, *line.targets):
            if target not in labels:
                yield f"{line.where}: no block has the label {target!r}"
        following = exchange.find(line.targets) if line.targets else block.next
        if any(other.speaker == block.speaker for other in following):
            yield f"{line.where}: the same speaker goes on"
        is_open = OPEN in (line.targets or block.targets)
        if block.speaker == "B" and line.is_question and not following and not is_open:
            yield f"{line.where}: the model asks, and nobody answers: add a P block, or -> open"
        if line.phrasing in seen:
            yield f"{line.where}: the same phrasing twice"
        seen.add(line.phrasing)
        yield from _phrasing_problems(script, exchange.topic, line.phrasing, line.where)


def _phrasing_problems(script: Script, topic: str, phrasing: Phrasing, where: str) -> Iterator[str]:
    for slot in phrasing.slots():
        words = script.list_of(topic, slot.list_name)
        if words is None:
            yield f"{where}: there is no list {slot.list_name!r}"
        elif slot.attribute and slot.attribute not in PRONOUNS:
            lacking = [word.text for word in _all_words(script, topic, words) if slot.attribute not in word.attributes]
            if lacking:
                yield f"{where}: {lacking[0]!r} has no attribute {slot.attribute!r}"
    text = _longest(phrasing)
    if len(text) > MAX_CHARS and "long" not in where:
        yield f"{where}: {len(text)} characters"
    for match in _ARTICLE.finditer(_literal(phrasing)):
        if article(match[2]) != match[1].lower():
            yield f"{where}: {match[0]!r}"


def _list_problems(script: Script, topic: str, name: str, words: WordList) -> Iterator[str]:
    if words.made_up and script.list_of(topic, words.made_up) is None:
        yield f"{name}: there is no list {words.made_up!r}"
    texts = [word.text for word in words.words]
    for text in sorted({text for text in texts if texts.count(text) > 1}) if len(texts) < 5000 else ():
        yield f"{name}: {text!r} twice"
    for source in words.sources:
        if isinstance(source, str):
            if script.list_of(topic, source[1:]) is None:
                yield f"{name}: there is no list {source[1:]!r}"
        else:
            yield from _phrasing_problems(script, topic, source, f"list {name}")


def _all_words(script: Script, topic: str, words: WordList) -> Iterator[WordList | object]:
    for word, source in zip(words.words, words.sources, strict=True):
        inner = script.list_of(topic, source[1:]) if isinstance(source, str) else None
        if inner is not None:
            yield from _all_words(script, topic, inner)
        elif not isinstance(source, str):
            yield word


def _longest(phrasing: Phrasing) -> str:
    parts = [max(map(_longest, node.parts), key=len) if hasattr(node, "parts") else node for node in phrasing.nodes]
    return "".join(part if isinstance(part, str) else "#" * 6 for part in parts)


def _literal(phrasing: Phrasing) -> str:
    """Return the literal text, with a sign for each slot and alternative."""
    return "".join(node if isinstance(node, str) else "#" for node in phrasing.nodes)
