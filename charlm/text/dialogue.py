"""How turns are written in a text, so that a model that has read it can be talked to.

Owns the four formats: what stands before a turn and after it, what of a person's words a turn can hold, and what a
speaker's name is. Knows nothing of models; a conversation is made of what this says. Which format a text has is told by
`charlm.text.format_detection`.

    plain        no turns: a person writes, the model writes on      Once upon a time there was
    lines        a turn a line, a blank line between conversations   how are you?
    transcript   the speaker on the same line; blank lines between   Anna: how are you?
                 turns where the text has them
    play         the speaker on a line of its own, blank lines       ANNA:
                 between speeches                                    How are you?
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, lru_cache
from typing import Any, Final

from charlm.config import FORMATS
from charlm.errors import CheckpointError, UsageError
from charlm.text.decoding import normalise

COLONS: Final = (":", "\uff1a", " :", "\u00a0:")
"""What may stand after a name: English, Japanese and Chinese, French."""
MAX_NAME = 40  # characters
MAX_WORDS = 5  # of a name
MAX_NAMES = 1000  # that a model remembers

# A name begins with a letter (or as "1st citizen" does) and has no sentence in it: no full stop but an abbreviation's.
_OF_A_NAME = '[^\n:\uff1a.!?\u2026\u3002\uff01\uff1f,;\u3001"\u201c\u201d\u201e\u00ab\u00bb<>\\[\\]{}=/\\\\|@#*`]'
_TITLES = ("mr", "mrs", "ms", "dr", "st", "prof", "rev", "capt", "col", "lt", "sgt", "gen", "hon", "jr", "sr", "[a-z]")
_FULL_STOP = "(?:" + "|".join(rf"(?i:(?<=\b{title}))" for title in _TITLES) + r")\."
_NAME = re.compile(
    rf"(?=\d{{0,2}}[^\W\d_]){_OF_A_NAME}+(?:{_FULL_STOP}{_OF_A_NAME}*)*(?<!\s)",
)


@dataclass(frozen=True)
class Dialogue:
    """The format of a model's text.

    Attributes:
        format: one of `FORMATS`.
        names: the speakers, the most frequent first; empty in formats without names.
        colon: one of `COLONS`, where names are.
        spaced: whether blank lines stand between the turns of a transcript.

    Raises:
        UsageError: an unknown format.
        CheckpointError: names or a colon that cannot be.
    """

    format: str = "plain"
    names: tuple[str, ...] = ()
    colon: str = ":"
    spaced: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"unknown dialogue format {str(self.format)[:40]!r}", f"it is one of {', '.join(FORMATS)}")
        if self.colon not in COLONS or not isinstance(self.spaced, bool):
            raise CheckpointError("the dialogue format is damaged")
        if len(self.names) > MAX_NAMES or not all(isinstance(name, str) and is_name(name) for name in self.names):
            raise CheckpointError("the dialogue format's names are damaged")

    @property
    def has_names(self) -> bool:
        """Whether turns name their speakers."""
        return self.format in ("transcript", "play")

    @property
    def has_turns(self) -> bool:
        """Whether turns are marked at all."""
        return self.format != "plain"

    def writes_like(self, other: Dialogue) -> bool:
        """Whether two formats write turns alike; their speakers may differ."""
        return replace(self, names=()) == replace(other, names=())

    @property
    def beginning(self) -> str:
        """What is read before the first turn."""
        return "\n" if self.format == "plain" else "\n\n"

    def opening(self, name: str) -> str:
        """What stands before a speaker's words."""
        if not self.has_names:
            return ""
        return name + self.colon + self._gap

    @property
    def _gap(self) -> str:
        # A full-width colon brings its space along.
        return "\n" if self.format == "play" else "" if self.colon == "\uff1a" else " "

    @property
    def _between(self) -> str:
        return "\n\n" if self.format == "play" or (self.format == "transcript" and self.spaced) else "\n"

    @property
    def closing(self) -> str:
        """What stands after a turn when another follows; a reply that reaches it is complete."""
        return self._between if self.has_turns else ""

    @property
    def stops(self) -> tuple[str, ...]:
        """What ends a reply."""
        return (self.closing,) if self.closing else ()

    def fit(self, text: str) -> str:
        """A person's words as a turn of this format can hold them: normalised, and without what would end the turn.

        What is left cannot be taken for another's turn: names count only after what ends one. Fitting twice changes
        nothing more.
        """
        text = normalise(text).lstrip("\ufeff")
        if not self.has_turns:
            return text
        text = re.sub(r"\A[\s\ufeff]+|\s+\Z", "", text)
        if self.closing == "\n":
            return re.sub(r"\s*\n\s*", " ", text)
        return re.sub(r"\s*\n\s*\n\s*", "\n", text)

    def speakers_in(self, text: str) -> list[str]:
        """Whose turns a text of this format has, in order; none in formats without names."""
        if not self.has_names:
            return []
        return [name for name, colon in turns_in(text, self.format, self.spaced) if colon == self.colon]

    def complete_name(self, beginning: str) -> list[str]:
        """The speakers whose names begin so, whatever the case."""
        return [name for name in self.names if name.casefold().startswith(beginning.casefold())]

    def speaker(self, name: str) -> str:
        """The name as the text writes it: exactly, or in another case, or as the only one that begins so."""
        if not self.has_names or name in self.names:
            return name
        same = [known for known in self.names if known.casefold() == name.casefold()]
        near = same or self.complete_name(name)
        return near[0] if same or len(near) == 1 else name

    def to_dict(self) -> dict[str, Any]:
        """For the model file."""
        return asdict(self) | {"names": list(self.names)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Dialogue:
        """Read back what `to_dict` made; colon and spacing may be left out.

        Raises:
            CheckpointError: it is damaged.
        """
        known, names, form = {one.name for one in fields(cls)}, document.get("names"), document.get("format")
        if not {"format", "names"} <= set(document) <= known or form not in FORMATS or not isinstance(names, list):
            raise CheckpointError("the dialogue format is damaged")
        return cls(**{**document, "names": tuple(names)})


@lru_cache(10_000)
def is_name(name: str) -> bool:
    """Whether a speaker can be called so: short, printable, without a sentence or a colon in it."""
    return (
        len(name) <= MAX_NAME
        and name.isprintable()
        and len(name.split()) <= MAX_WORDS
        and _NAME.fullmatch(name) is not None
    )


def turns_in(text: str, form: str, spaced: bool, speech: str = r"\S") -> list[tuple[str, str]]:
    """The name and the colon of each turn of a text, in order.

    Args:
        text: to be read.
        form: a format with names.
        spaced: whether a turn must follow a blank line.
        speech: what its words must begin with, as a pattern.
    """
    turns = []
    for label in _label(form, spaced, speech).findall(text):
        name = label[:-1].rstrip()
        colon = label[len(name) :]
        if colon in COLONS and is_name(name):
            turns.append((name, colon))
    return turns


@cache
def _label(form: str, spaced: bool, speech: str) -> re.Pattern[str]:
    # Whatever stands before a colon; what of it is a name is looked at afterwards, once for each.
    before = r"(?:\A|\n\n)" if form == "play" or spaced else "^"
    after = "\n" if form == "play" else "(?:(?<=:) |(?<=\uff1a))"
    return re.compile(rf"{before}([^\n:\uff1a]{{1,{MAX_NAME + 1}}}[:\uff1a]){after}(?={speech})", re.MULTILINE)
