"""Features of a text that a person can name: inside quotes, inside brackets, start of a word ...

A feature is a number a character: 0 or 1, or a count. It depends on the text up to that character, but for a few that
end with their line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charlm.errors import UsageError
from charlm.text.dialogue import Dialogue

Column = NDArray[np.float64]
"""(N,), one number a character."""

MAX_SPEAKERS = 3  # the most talkative have a feature each
_CLOSERS = {"(": ")", "[": "]", "{": "}", "\u300c": "\u300d", "\u300e": "\u300f", "\uff08": "\uff09"}
_CURLY = {"\u201c": "\u201d", "\u00ab": "\u00bb", "\u201e": "\u201c"}
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f][\s.!?\u3002\uff01\uff1f]*")
_COMMENT = re.compile(r"""^(?:[^"'#/\n]|/(?!/)|"[^"\n]*"|'[^'\n]*')*(#.*|//.*)""", re.M)  # group 1, outside strings


def _mark(text: str, spans: Iterable[tuple[int, int]]) -> Column:
    """1 inside some spans of a text."""
    column = np.zeros(len(text))
    for start, stop in spans:
        column[start:stop] = 1
    return column


def inside_quotes(text: str) -> Column:
    """1 from an opening double quote up to the closing one or a blank line."""
    inside, closer, column = False, "", []
    for place, character in enumerate(text):
        if inside and (character == closer or text[place - 1 : place + 1] == "\n\n"):
            inside = False
        elif not inside and (character == '"' or character in _CURLY):
            inside, closer = True, _CURLY.get(character, '"')
        column.append(inside)
    return np.array(column, dtype=np.float64)


def inside_brackets(text: str) -> Column:
    """1 while a bracket is open; a blank line closes all."""
    expected: list[str] = []
    column = []
    for place, character in enumerate(text):
        if character in _CLOSERS:
            expected.append(_CLOSERS[character])
        elif expected and character == expected[-1]:
            expected.pop()
        elif text[place - 1 : place + 1] == "\n\n":
            expected.clear()
        column.append(len(expected) > 0)
    return np.array(column, dtype=np.float64)


def position_in_line(text: str) -> Column:
    """0 at a newline, 1 at the first character after it, and so on."""
    column, place = [], 0
    for character in text:
        place = 0 if character == "\n" else place + 1
        column.append(place)
    return np.array(column, dtype=np.float64)


def word_start(text: str) -> Column:
    """1 at the first letter or digit of a word."""
    return np.diff([character.isalnum() for character in text], prepend=0).clip(0).astype(np.float64)


def upper_case(text: str) -> Column:
    """1 at capital letters."""
    return np.array([character.isupper() for character in text], dtype=np.float64)


def inside_comment(text: str) -> Column:
    """1 from # or // to the end of the line, unless inside a string."""
    return _mark(text, (match.span(1) for match in _COMMENT.finditer(text)))


def indentation(text: str) -> Column:
    """Columns of indentation of the current line, as far as it has been read."""
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
    """1 from the end of a sentence up to the next one."""
    return _mark(text, (match.span() for match in _SENTENCE_END.finditer(text)))


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
    """Return a feature for each of the most talkative speakers: 1 from the end of the name to the next speaker."""
    if not dialogue.has_names:
        return {}
    colon = re.escape(dialogue.colon)
    end = r"[ \t]*\n" if dialogue.format == "play" else r"[ \t]+"
    known = set(dialogue.names)
    turns = [match for match in re.finditer(rf"^([^\n:\uff1a]+?){colon}{end}", text, re.M) if match[1] in known]
    stops = [turn.start() for turn in turns[1:]] + [len(text)]
    spoken: dict[str, list[tuple[int, int]]] = {}
    for turn, stop in zip(turns, stops, strict=False):
        spoken.setdefault(turn[1], []).append((turn.end(), stop))
    columns = {f"{name} is speaking": _mark(text, spans) for name, spans in spoken.items()}
    return dict(sorted(columns.items(), key=lambda item: -item[1].sum())[:MAX_SPEAKERS])


def matching(text: str, expression: str) -> Column:
    """1 inside the matches of a regular expression; ^ and $ match at lines. Raises UsageError if it is invalid."""
    try:
        pattern = re.compile(expression, re.M)
    except re.error as error:
        raise UsageError(f"{expression!r} is no regular expression: {error}") from error
    return _mark(text, (match.span() for match in pattern.finditer(text)))
