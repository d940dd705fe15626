"""What a text has that is there to be recalled: names that come again, what closes brackets and quotes, and rhymes.

Each is a place, and where what it recalls stood. Knows nothing of models; `charlm.insight.context_length` measures
them.
"""

from __future__ import annotations

import random
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

KINDS: Final = ("name", "bracket", "quote", "rhyme")
LEAST_NAME: Final = 4  # letters
RHYME_LINES: Final = 4  # that a rhyme may be apart, as the outer ones of "abbba" are; farther ones are chance

_PAIRS = {"(": ")", "[": "]", "{": "}", "\u201c": "\u201d", "\u300c": "\u300d", "\u300e": "\u300f"}


class RecallTarget(NamedTuple):
    """Something that is there to be recalled.

    Attributes:
        kind: one of `KINDS`.
        begin: where what is remembered begins, as the next in characters.
        end: where it ends.
        target: where what is to be recalled begins.
        stop: and ends.
        instead: where another word stands, as long as what is remembered, to be put in its place for the control; None
            where the context is cut off behind it instead.
    """

    kind: str
    begin: int
    end: int
    target: int
    stop: int
    instead: int | None = None

    @property
    def distance(self) -> int:
        """Characters from the end of the one to the beginning of the other."""
        return self.target - self.end


def places(text: str) -> Iterator[RecallTarget]:
    """All that is there to be recalled, kind after kind."""
    return chain(names(text), enclosed(text), rhymes(text))


def names(text: str) -> Iterator[RecallTarget]:
    """Names that come again.

    A name is a capitalised word of at least four letters inside a sentence or alone on a line. Its first letter is
    given and the rest is to be recalled.
    """
    last: dict[str, re.Match[str]] = {}
    for match in re.finditer(rf"(?<![.!?]\s)\b[A-Z][\w]{{{LEAST_NAME - 1},}}\b", text):
        if (earlier := last.get(match[0])) is not None:
            yield RecallTarget("name", earlier.start(), earlier.end(), match.start() + 1, match.end())
        last[match[0]] = match


def enclosed(text: str) -> Iterator[RecallTarget]:
    """What closes brackets and quotes, if it does so in the paragraph in which they open."""
    opened: list[tuple[str, int]] = []
    quoted: int | None = None
    for place, character in enumerate(text):
        if character == "\n" and text[place - 1 : place] == "\n":
            opened, quoted = [], None
        elif character == '"':
            if quoted is not None:
                yield RecallTarget("quote", quoted, quoted + 1, place, place + 1)
            quoted = place if quoted is None else None
        elif character in _PAIRS:
            opened.append((_PAIRS[character], place))
        elif opened and character == opened[-1][0]:
            _, start = opened.pop()
            kind = "quote" if character in "\u201d\u300d\u300f" else "bracket"
            yield RecallTarget(kind, start, start + 1, place, place + 1)


# Rhymes

_LAST_WORD: Final = re.compile(r"([^\W\d_]+(?:['\u2019][^\W\d_]+)*)[^\w\n]*$")
_VOWELS: Final = re.compile(r"[aeiou]+y?|(?<!^)y(?![aeiou])")
_LIGHT: Final = re.compile("a|e|y|ed|en|er|ers|es|est|eth|ies|ing|ings|io|ion|ions|ius|on|or|us")


def ending(word: str) -> str:
    """What a word must share with another to rhyme with it, by its spelling: all from its last vowels on.

    An e at the very end is not heard, as in "time"; and an ending that is seldom stressed, as in "talking" and "never",
    begins with the vowels before it. Accents and case do not count. Nothing if there is no a, e, i, o, u or y in it.

    What is written alike and said otherwise ("love", "prove") passes for a rhyme; what is said alike and written
    otherwise ("be", "thee") does not.
    """
    plain = "".join(unicodedata.normalize("NFD", each.lower())[0] for each in word)  # as long as the word
    starts = [match.start() for match in _VOWELS.finditer(plain)]
    if len(starts) > 1 and starts[-1] == len(plain) - 1 and plain[-1] == "e":
        starts.pop()
    if len(starts) > 1 and _LIGHT.fullmatch(plain, starts[-1]):
        starts.pop()
    return plain[starts[-1] :] if starts else ""


class _LineEnd(NamedTuple):
    """The last word of a line, where it begins, and its ending; of a line without one, nothing."""

    word: str
    begin: int
    ending: str


_Lines = Sequence[_LineEnd | None]  # None for a blank one


def rhymes(text: str) -> Iterator[RecallTarget]:
    """Words at a line's end that rhyme with one at the end of one of the four lines before, the nearest.

    They are different words with the same `ending`, in the same paragraph; the later one's letters before its ending
    are given. What stands in for the earlier one is the next word further on at a line's end, or else the first of all,
    that is as long, as capital and of another ending; where there is none, there is no place.

    Where lines end anywhere, as in prose that was filled, words at their ends rhyme by chance; see `by_chance`.
    """
    lines = _line_ends(text)
    alike: dict[tuple[int, bool], list[int]] = {}
    for number, line in enumerate(lines):
        if line and line.ending:
            alike.setdefault((len(line.word), line.word[0].isupper()), []).append(number)
    for earlier, later in _pairs(lines):
        first, second = lines[earlier], lines[later]
        assert first
        assert second
        like = alike[len(first.word), first.word[0].isupper()]
        after = bisect_right(like, later)
        for number in chain(like[after:], like[:after]):
            other = lines[number]
            assert other
            if other.ending != first.ending:
                stop = second.begin + len(second.word)
                end = first.begin + len(first.word)
                yield RecallTarget("rhyme", first.begin, end, stop - len(second.ending), stop, other.begin)
                break


def by_chance(text: str, seed: int = 0) -> int:
    """How many rhymes there are when the words at the lines' ends change places at random.

    In verse that rhymes there are many more than that; where there are not, what is found is no rhyme of anybody's.
    """
    lines = list(_line_ends(text))
    numbers = [number for number, line in enumerate(lines) if line]
    shuffled = random.Random(seed).sample([lines[number] for number in numbers], len(numbers))
    for number, line in zip(numbers, shuffled, strict=True):
        lines[number] = line
    return sum(1 for _ in _pairs(lines))


def _line_ends(text: str) -> _Lines:
    ends: list[_LineEnd | None] = []
    begin = 0
    for line in text.split("\n"):
        match = _LAST_WORD.search(line)
        word = match[1] if match else ""
        ends.append(_LineEnd(word, begin + (match.start(1) if match else 0), ending(word)) if line.strip() else None)
        begin += len(line) + 1
    return ends


def _pairs(lines: _Lines) -> Iterator[tuple[int, int]]:
    """The numbers of lines that rhyme, each with the nearest before it."""
    for later, line in enumerate(lines):
        if line is None or not line.ending:
            continue
        for earlier in range(later - 1, max(-1, later - 1 - RHYME_LINES), -1):
            other = lines[earlier]
            if other is None:
                break
            if other.ending == line.ending and other.word.casefold() != line.word.casefold():
                yield earlier, later
                break
