"""What a person could name in a text: inside quotes, inside brackets, the start of a word ...

Each feature is a number a character, yes and no or a count, told from the text up to and including that character, or
from how it is written (a comment ends where its line does). Knows nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charlm.errors import UsageError
from charlm.text.dialogue import Dialogue

Column = NDArray[np.float64]
"""(N,), one a character."""

SPEAKERS = 3  # of whom there is a feature each, the most talkative
_CLOSERS = {"(": ")", "[": "]", "{": "}", "\u300c": "\u300d", "\u300e": "\u300f", "\uff08": "\uff09"}
_CURLY = {"\u201c": "\u201d", "\u00ab": "\u00bb", "\u201e": "\u201c"}


def inside_quotes(text: str) -> Column:
    """From an opening double quote up to, not with, the closing one; a blank line ends it, closed or not."""
    inside, closer, column = False, "", []
    previous = ""
    for character in text:
        if inside and (character == closer or (character == "\n" and previous == "\n")):
            inside = False
        elif not inside and (character == '"' or character in _CURLY):
            inside, closer = True, _CURLY.get(character, '"')
        column.append(inside)
        previous = character
    return np.array(column, dtype=np.float64)


def inside_brackets(text: str) -> Column:
    """How many brackets are open; a blank line closes all."""
    expected: list[str] = []
    column, previous = [], ""
    for character in text:
        if character in _CLOSERS:
            expected.append(_CLOSERS[character])
        elif expected and character == expected[-1]:
            expected.pop()
        elif character == "\n" and previous == "\n":
            expected.clear()
        column.append(len(expected) > 0)
        previous = character
    return np.array(column, dtype=np.float64)


def position_in_line(text: str) -> Column:
    """0 for a newline, 1 for the first character after it, and so on."""
    column, place = [], 0
    for character in text:
        place = 0 if character == "\n" else place + 1
        column.append(place)
    return np.array(column, dtype=np.float64)


def word_start(text: str) -> Column:
    """The first letter or digit of a word."""
    letters = np.array([character.isalnum() for character in text], dtype=np.bool_)
    starts: Column = (letters & ~np.append(False, letters[:-1])).astype(np.float64)
    return starts


def upper_case(text: str) -> Column:
    """Capital letters."""
    return np.array([character.isupper() for character in text], dtype=np.float64)


def inside_comment(text: str) -> Column:
    """From # or // to the end of the line, unless a string is open there."""
    column: list[bool] = []
    for line in text.splitlines(keepends=True):
        quote, start = "", None
        for place, character in enumerate(line):
            if quote:
                quote = "" if character == quote else quote
            elif character in "\"'":
                quote = character
            elif character == "#" or line.startswith("//", place):
                start = place
                break
        column += [start is not None and place >= start and line[place] != "\n" for place in range(len(line))]
    return np.array(column, dtype=np.float64)


def indentation(text: str) -> Column:
    """By how many columns the current line is indented, as far as it has been read."""
    column, width, leading = [], 0, True
    for character in text:
        if character == "\n":
            width, leading = 0, True
        elif leading and character in " \t":
            width += 4 if character == "\t" else 1
        else:
            leading = False
        column.append(width)
    return np.array(column, dtype=np.float64)


def after_full_stop(text: str) -> Column:
    """From the end of a sentence to just before the next begins."""
    ended, column = False, []
    for character in text:
        if character in ".!?\u3002\uff01\uff1f":
            ended = True
        elif not character.isspace():
            ended = False
        column.append(ended)
    return np.array(column, dtype=np.float64)


FEATURES: Final[Mapping[str, Callable[[str], Column]]] = {
    "inside quotes": inside_quotes,
    "inside brackets": inside_brackets,
    "position in the line": position_in_line,
    "start of a word": word_start,
    "upper case": upper_case,
    "inside a comment": inside_comment,
    "indentation": indentation,
    "after a full stop": after_full_stop,
}


def speakers(text: str, dialogue: Dialogue) -> dict[str, Column]:
    """Who is speaking, from the end of the line or colon that names them: a feature for each of the most talkative."""
    if not dialogue.has_names:
        return {}
    colon = re.escape(dialogue.colon)
    end = r"[ \t]*\n" if dialogue.format == "play" else r"[ \t]+"
    known = set(dialogue.names)
    turns = [match for match in re.finditer(rf"^([^\n:\uff1a]+?){colon}{end}", text, re.M) if match[1] in known]
    spoken: dict[str, list[tuple[int, int]]] = {}
    if not turns:
        return {}
    for turn, following in zip(turns, [*turns[1:], None], strict=True):
        spoken.setdefault(turn[1], []).append((turn.end(), following.start() if following else len(text)))
    talkative = sorted(spoken, key=lambda name: -sum(end - start for start, end in spoken[name]))
    columns = {}
    for name in talkative[:SPEAKERS]:
        column = np.zeros(len(text))
        for start, stop in spoken[name]:
            column[start:stop] = 1
        columns[f"{name} is speaking"] = column
    return columns


def matching(text: str, expression: str) -> Column:
    """The characters inside a regular expression's matches; ^ and $ are those of lines.

    Raises:
        UsageError: it is no regular expression.
    """
    try:
        pattern = re.compile(expression, re.M)
    except re.error as error:
        raise UsageError(f"{expression!r} is no regular expression: {error}") from error
    column = np.zeros(len(text))
    for match in pattern.finditer(text):
        column[match.start() : match.end()] = 1
    return column


def runs(column: Column) -> int:
    """How often a feature changes, plus one."""
    return sum(1 for _ in groupby(column.tolist()))


def is_count(column: Column) -> bool:
    """Whether a feature has more values than yes and no."""
    return len(np.unique(column)) > 2
