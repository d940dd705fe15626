"""How turns are written in a text, so that a model that has read it can be talked to.

Owns the four formats: what stands before a turn and after it, what of a person's words a turn can hold, and how to tell
from a text which format it has. Knows nothing of models; a conversation is made of what this says.

    plain        no turns: a person writes, the model writes on      Once upon a time there was
    lines        a turn a line, a blank line between conversations   how are you?
    transcript   the speaker on the same line                        Anna: how are you?
    play         the speaker on a line of its own, blank lines       ANNA:
                 between speeches                                    How are you?
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from charlm.errors import CheckpointError, UsageError
from charlm.text.corpus import normalise

FORMATS: Final = ("plain", "lines", "transcript", "play")
MAX_NAME = 40  # characters
MAX_NAMES = 200  # that a model remembers

# A speaker: begins with a letter, has no sentence in it.
_NAME = r"[^\W\d_][^\n:.!?\u3002]{0,39}"
_PLAY = re.compile(rf"(?:\A|\n\n)({_NAME}):\n(?=\S)")
_TRANSCRIPT = re.compile(rf"^({_NAME}): (?=\S)", re.MULTILINE)
_SENTENCE_ENDS = tuple(".!?\u2026\"'\u201d\u2019)\u3002\uff01\uff1f\u300d")


@dataclass(frozen=True)
class Dialogue:
    """The format of a model's text.

    Attributes:
        format: one of `FORMATS`.
        names: the speakers, the most frequent first; empty in formats without names.

    Raises:
        UsageError: an unknown format.
        CheckpointError: names that cannot be.
    """

    format: str = "plain"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"unknown dialogue format {str(self.format)[:40]!r}", f"it is one of {', '.join(FORMATS)}")
        if len(self.names) > MAX_NAMES or not all(
            isinstance(name, str) and 0 < len(name) <= MAX_NAME and "\n" not in name and name.isprintable()
            for name in self.names
        ):
            raise CheckpointError("the dialogue format's names are damaged")

    @property
    def has_names(self) -> bool:
        """Whether turns name their speakers."""
        return self.format in ("transcript", "play")

    @property
    def has_turns(self) -> bool:
        """Whether turns are marked at all."""
        return self.format != "plain"

    @property
    def beginning(self) -> str:
        """What is read before the first turn."""
        return "\n" if self.format == "plain" else "\n\n"

    def opening(self, name: str) -> str:
        """What stands before a speaker's words."""
        return {"transcript": f"{name}: ", "play": f"{name}:\n"}.get(self.format, "")

    @property
    def closing(self) -> str:
        """What stands after a turn when another follows; a reply that reaches it is complete."""
        return {"plain": "", "play": "\n\n"}.get(self.format, "\n")

    @property
    def stops(self) -> tuple[str, ...]:
        """What ends a reply."""
        return (self.closing,) if self.closing else ()

    def fit(self, text: str) -> str:
        """A person's words as a turn of this format can hold them: normalised, and without what would end the turn."""
        text = normalise(text)
        if self.format in ("lines", "transcript"):
            return re.sub(r"\s*\n\s*", " ", text.strip())
        if self.format == "play":
            return re.sub(r"\s*\n\s*\n\s*", "\n", text.strip())
        return text

    def complete_name(self, beginning: str) -> list[str]:
        """The speakers whose names begin so, whatever the case."""
        return [name for name in self.names if name.casefold().startswith(beginning.casefold())]

    def speaker(self, name: str) -> str:
        """The name as the text writes it: exactly, or in another case, or as the only one that begins so."""
        if not self.has_names:
            return name
        same = [known for known in self.names if known.casefold() == name.casefold()]
        near = same or self.complete_name(name)
        return near[0] if same or len(near) == 1 else name

    def to_dict(self) -> dict[str, Any]:
        """For the model file."""
        return {"format": self.format, "names": list(self.names)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Dialogue:
        """Read back what `to_dict` made.

        Raises:
            CheckpointError: it is damaged.
        """
        names = document.get("names")
        if set(document) != {"format", "names"} or document["format"] not in FORMATS or not isinstance(names, list):
            raise CheckpointError("the dialogue format is damaged")
        return cls(document["format"], tuple(names))


def detect(text: str) -> Dialogue:
    """The format that a text seems to be written in.

    Args:
        text: a good piece of it, normalised; a million characters are plenty.
    """
    speeches = [block for block in text.split("\n\n") if block.strip()]
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return Dialogue()
    for name, pattern, units in (("play", _PLAY, speeches), ("transcript", _TRANSCRIPT, lines)):
        if _takes_turns(speakers := pattern.findall(text), len(units)):
            return Dialogue(name, _by_frequency(speakers))
    return Dialogue("lines") if _is_lines(speeches, lines) else Dialogue()


def names_in(text: str, form: str) -> tuple[str, ...]:
    """The speakers of a text in that format, the most frequent first; none in formats without names."""
    pattern = {"play": _PLAY, "transcript": _TRANSCRIPT}.get(form)
    return _by_frequency(pattern.findall(text)) if pattern else ()


def _by_frequency(speakers: Sequence[str]) -> tuple[str, ...]:
    usual = [name for name, count in Counter(speakers).most_common(MAX_NAMES) if count > 1 and name.isprintable()]
    return tuple(usual)


def _takes_turns(speakers: Sequence[str], units: int) -> bool:
    # Half of the text is speech, names come again and again, and one speaker answers another: the level names of a log
    # come again and again too, but mostly the same one after itself.
    if len(speakers) < 4 or len(speakers) < units / 2:
        return False
    changes = sum(one != other for one, other in pairwise(speakers))
    return len(set(speakers)) <= len(speakers) / 2 and changes >= len(speakers) / 3


def _is_lines(groups: Sequence[str], lines: Sequence[str]) -> bool:
    # Several groups of several lines, each a sentence or more, some of them questions.
    ended = sum(line.rstrip().endswith(_SENTENCE_ENDS) for line in lines)
    asked = sum(line.rstrip().endswith(("?", "\uff1f")) for line in lines)
    long = sum(len(line) > 300 for line in lines)
    return (
        len(groups) >= 5
        and len(lines) >= 3 * len(groups)
        and ended >= len(lines) / 2
        and asked >= len(lines) / 20
        and long <= len(lines) / 20
    )
