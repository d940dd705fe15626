"""Formats of the turns in a text, so that a person can talk to a model that has read it.

Owns the text before and after a turn, the fitting of a person's words, and the rules for names.
`charlm.text.format_detection` finds the format of a text.

    plain        no turns: the model continues a person's text       Once upon a time there was

    lines        a turn a line, a blank line between conversations   how are you?

    transcript   the speaker on the same line; blank lines between   Anna: how are you?
                 turns if the text has them

    play         the speaker on a line of its own, blank lines       ANNA:
                 between speeches                                    How are you?
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, lru_cache
from typing import Any, Final

from charlm.config import FORMATS
from charlm.errors import CheckpointError, UsageError
from charlm.text.decoding import normalise

COLONS: Final = (":", "\uff1a", " :", "\u00a0:")
"""After a name: English, Japanese and Chinese, French."""
MAX_NAME_CHARS = 40
MAX_NAME_WORDS = 5
MAX_NAMES = 1000  # in a model file
MAX_PRIMER_CHARS = 400

_EXCHANGES: Final = {
    "en": "Hi! How are you today?\nI'm fine, thank you!\n\n",
    # A farewell, as `frequent_exchange` finds it.
    "ja": "ありがとう。またね。\nこちらこそ。また話しましょう。\n\n",
}

# A name begins with a letter (or like "1st citizen") and holds no sentence: no full stop except in abbreviations.
_OF_A_NAME = '[^\n:\uff1a.!?\u2026\u3002\uff01\uff1f,;\u3001"\u201c\u201d\u201e\u00ab\u00bb<>\\[\\]{}=/\\\\|@#*`]'
_TITLES = ("mr", "mrs", "ms", "dr", "st", "prof", "rev", "capt", "col", "lt", "sgt", "gen", "hon", "jr", "sr", "[a-z]")
_FULL_STOP = "(?:" + "|".join(rf"(?i:(?<=\b{title}))" for title in _TITLES) + r")\."
_NAME = re.compile(
    rf"(?=\d{{0,2}}[^\W\d_]){_OF_A_NAME}+(?:{_FULL_STOP}{_OF_A_NAME}*)*(?<!\s)",
)
_PHONE_NUMBER = re.compile(r"\+\d[\d ()-]{5,22}\d")


@dataclass(frozen=True)
class Dialogue:
    """The format of a model's text.

    Raises:
        UsageError: an unknown format.
        CheckpointError: impossible names or colon.
    """

    format: str = "plain"  # one of `FORMATS`
    names: tuple[str, ...] = ()  # speakers, the most frequent first; empty in formats without names
    colon: str = ":"  # one of `COLONS`
    spaced: bool = False  # blank lines separate the turns of a transcript
    primer: str = field(default="", compare=False)
    """A finished exchange that a chat reads first. A state of zeros does not show who replies to whom."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"unknown dialogue format {str(self.format)[:40]!r}", f"it is one of {', '.join(FORMATS)}")
        if self.colon not in COLONS or not isinstance(self.spaced, bool):
            raise CheckpointError("the dialogue format is damaged")
        if len(self.names) > MAX_NAMES or not all(isinstance(name, str) and is_name(name) for name in self.names):
            raise CheckpointError("the dialogue format's names are damaged")
        ends = ("", "\n\n") if self.format == "lines" else ("",)
        if not isinstance(self.primer, str) or len(self.primer) > MAX_PRIMER_CHARS or self.primer[-2:] not in ends:
            raise CheckpointError("the dialogue format's primer is damaged")

    @property
    def has_names(self) -> bool:
        """Turns name their speakers."""
        return self.format in ("transcript", "play")

    @property
    def has_turns(self) -> bool:
        """Turns are marked."""
        return self.format != "plain"

    def writes_like(self, other: Dialogue) -> bool:
        """Return whether two formats differ at most in their speakers."""
        return replace(self, names=()) == replace(other, names=())

    @property
    def beginning(self) -> str:
        """Text before the first turn of a chat."""
        return "\n" if self.format == "plain" else "\n\n" + self.primer

    def primed(self, language: str) -> Dialogue:
        """Return the format with an exchange in "en" or "ja". Formats with names need none: a name says who replies."""
        return replace(self, primer=_EXCHANGES[language]) if self.format == "lines" else self

    def opening(self, name: str) -> str:
        """Return the text before a speaker's words."""
        if not self.has_names:
            return ""
        # A full-width colon includes its space.
        gap = "\n" if self.format == "play" else "" if self.colon == "\uff1a" else " "
        return name + self.colon + gap

    @property
    def closing(self) -> str:
        """Text between a turn and the next; a reply that reaches it is complete."""
        if not self.has_turns:
            return ""
        return "\n\n" if self.format == "play" or (self.format == "transcript" and self.spaced) else "\n"

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings of a reply."""
        return (self.closing,) if self.closing else ()

    def fit(self, text: str) -> str:
        """Return a person's words as a turn of this format: normalised, and without text that would end the turn.

        The result cannot contain another turn: a name counts only after the end of a turn. The function is idempotent.
        """
        text = normalise(text).lstrip("\ufeff")
        if not self.has_turns:
            return text
        text = re.sub(r"\A[\s\ufeff]+|\s+\Z", "", text)
        if self.closing == "\n":
            return re.sub(r"\s*\n\s*", " ", text)
        return re.sub(r"\s*\n\s*\n\s*", "\n", text)

    def speakers_in(self, text: str) -> list[str]:
        """Return the speaker of each turn of a text, in order; none in formats without names."""
        if not self.has_names:
            return []
        return [name for name, colon in turns_in(text, self.format, self.spaced) if colon == self.colon]

    def complete_name(self, beginning: str) -> list[str]:
        """Return the speakers whose names begin with a text, in any case."""
        return [name for name in self.names if name.casefold().startswith(beginning.casefold())]

    def speaker(self, name: str) -> str:
        """Return the known name that equals `name` in any case or alone begins with it, else `name`."""
        if not self.has_names or name in self.names:
            return name
        same = [known for known in self.names if known.casefold() == name.casefold()]
        similar = same or self.complete_name(name)
        return similar[0] if same or len(similar) == 1 else name

    def to_dict(self) -> dict[str, object]:
        """Return plain data for the model file."""
        return asdict(self) | {"names": list(self.names)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Dialogue:
        """Return the format that `to_dict` wrote; colon, spacing and primer may be missing.

        Raises:
            CheckpointError: the document is damaged.
        """
        known, names = {one.name for one in fields(cls)}, document.get("names")
        is_known = document.get("format") in FORMATS
        if not {"format", "names"} <= set(document) <= known or not is_known or not isinstance(names, list):
            raise CheckpointError("the dialogue format is damaged")
        return cls(**{**document, "names": tuple(names)})


@lru_cache(10_000)
def is_name(name: str) -> bool:
    """Return whether a text can be a speaker's name: short, printable, without a sentence or a colon."""
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        return False
    if _PHONE_NUMBER.fullmatch(name):
        return True
    return len(name.split()) <= MAX_NAME_WORDS and _NAME.fullmatch(name) is not None


@lru_cache(10_000)
def as_name(text: str) -> str:
    """Return the name that is nearest to a text, or "" for a text of more words than a name has."""
    words = "".join(one if one.isprintable() else " " for one in text).split()
    name = " ".join(words)[:MAX_NAME_CHARS].rstrip()
    if is_name(name) or len(words) > MAX_NAME_WORDS:
        return name if is_name(name) else ""
    name = " ".join(re.sub(f"(?!{_OF_A_NAME}).", " ", name, flags=re.DOTALL).split())
    name = re.sub(r"^(?:(?!\d{0,2}[^\W\d_]).)+", "", name) or f"User {name}"
    return name if is_name(name) else "User"


def turns_in(text: str, format_name: str, spaced: bool, speech: str = r"\S") -> list[tuple[str, str]]:
    """Return the name and the colon of each turn of a text, in order.

    Args:
        text: normalised.
        format_name: a format with names.
        spaced: a turn must follow a blank line.
        speech: pattern of the beginning of a turn's words.
    """
    turns = []
    for label in _label(format_name, spaced, speech).findall(text):
        name = label[:-1].rstrip()
        colon = label[len(name) :]
        if colon in COLONS and is_name(name):
            turns.append((name, colon))
    return turns


@cache
def _label(format_name: str, spaced: bool, speech: str) -> re.Pattern[str]:
    # Any text before a colon; `is_name` checks it afterwards.
    before = r"(?:\A|\n\n)" if format_name == "play" or spaced else "^"
    after = "\n" if format_name == "play" else "(?:(?<=:) |(?<=\uff1a))"
    return re.compile(rf"{before}([^\n:\uff1a]{{1,{MAX_NAME_CHARS + 1}}}[:\uff1a]){after}(?={speech})", re.MULTILINE)
