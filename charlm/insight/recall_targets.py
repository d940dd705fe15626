"""Recall targets in a text: repeated names, closing brackets and quotes, and rhymes.

`charlm.insight.context_length` measures how well a model predicts them.
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
MIN_NAME_LETTERS: Final = 4
MAX_RHYME_LINES: Final = 4  # distance of rhyming lines, as of the outer ones of "abbba"; farther ones are chance

_PAIRS = {"(": ")", "[": "]", "{": "}", "\u201c": "\u201d", "\u300c": "\u300d", "\u300e": "\u300f"}


class RecallTarget(NamedTuple):
    """Characters that can be predicted from an earlier place in the text. Indices count characters."""

    kind: str  # one of KINDS
    begin: int  # start of the first place
    end: int  # end of the first place
    target: int  # start of the target
    stop: int  # end of the target
    instead: int | None = None  # start of a word to replace the first place in the control; None cuts the context there

    @property
    def distance(self) -> int:
        """Characters between the first place and the target."""
        return self.target - self.end


def find_targets(text: str) -> Iterator[RecallTarget]:
    """Yield all targets, kind after kind."""
    return chain(names(text), enclosed(text), rhymes(text))


def names(text: str) -> Iterator[RecallTarget]:
    """Yield repeated names.

    A name is a capitalised word of at least four letters inside a sentence or alone on a line. The target is all but
    its first letter.
    """
    last: dict[str, re.Match[str]] = {}
    for match in re.finditer(rf"(?<![.!?]\s)\b[A-Z][\w]{{{MIN_NAME_LETTERS - 1},}}\b", text):
        if (earlier := last.get(match[0])) is not None:
            yield RecallTarget("name", earlier.start(), earlier.end(), match.start() + 1, match.end())
        last[match[0]] = match


def enclosed(text: str) -> Iterator[RecallTarget]:
    """Yield the characters that close a bracket or quote opened in the same paragraph."""
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
    """Return the letters from a word's last stressed vowels on; words that rhyme share them.

    A final e is silent, as in "time". An ending that is seldom stressed, as in "talking" and "never", begins with the
    vowels before it. Accents and case are ignored. The ending is empty without a, e, i, o, u or y.

    Spelling decides: "love" and "prove" count as a rhyme, "be" and "thee" do not.
    """
    plain = "".join(unicodedata.normalize("NFD", each.lower())[0] for each in word)  # as long as the word
    starts = [match.start() for match in _VOWELS.finditer(plain)]
    if len(starts) > 1 and starts[-1] == len(plain) - 1 and plain[-1] == "e":
        starts.pop()
    if len(starts) > 1 and _LIGHT.fullmatch(plain, starts[-1]):
        starts.pop()
    return plain[starts[-1] :] if starts else ""


class _LineEnd(NamedTuple):
    """The last word of a line; empty if the line has no word."""

    word: str
    begin: int  # index in the text
    ending: str


_Lines = Sequence[_LineEnd | None]  # None for a blank line


def rhymes(text: str) -> Iterator[RecallTarget]:
    """Yield line ends that rhyme with the end of one of the four lines before, the nearest.

    They are different words of one paragraph with the same `ending`, which is the target. The control replaces the
    earlier word by the next line end of the same length and capitalisation with another ending, after the rhyme or from
    the beginning of the text. A rhyme without such a word is left out.

    In prose, line ends rhyme by chance; see `count_chance_rhymes`.
    """
    lines = _line_ends(text)
    by_shape: dict[tuple[int, bool], list[int]] = {}  # line numbers by length and capitalisation
    for number, line in enumerate(lines):
        if line and line.ending:
            by_shape.setdefault((len(line.word), line.word[0].isupper()), []).append(number)
    for earlier, later in _pairs(lines):
        first, second = lines[earlier], lines[later]
        assert first
        assert second
        candidates = by_shape[len(first.word), first.word[0].isupper()]
        after = bisect_right(candidates, later)
        for number in chain(candidates[after:], candidates[:after]):
            other = lines[number]
            assert other
            if other.ending != first.ending:
                stop = second.begin + len(second.word)
                end = first.begin + len(first.word)
                yield RecallTarget("rhyme", first.begin, end, stop - len(second.ending), stop, other.begin)
                break


def count_chance_rhymes(text: str, seed: int = 0) -> int:
    """Return the number of rhymes after a random permutation of the line ends. Rhyming verse has many more."""
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
    """Yield the numbers of rhyming lines, each with the nearest before it."""
    for later, line in enumerate(lines):
        if line is None or not line.ending:
            continue
        for earlier in range(later - 1, max(-1, later - 1 - MAX_RHYME_LINES), -1):
            other = lines[earlier]
            if other is None:
                break
            if other.ending == line.ending and other.word.casefold() != line.word.casefold():
                yield earlier, later
                break
