"""Detects the dialogue format of a text.

Logs, headings of letters, records, poems and source code look like dialogue at first. So a text must show that several
speakers talk, that they answer each other, and that their words are talk.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from statistics import fmean, pstdev
from typing import NamedTuple

from charlm.config import EXPORTS
from charlm.text.conversations import frequent_exchange
from charlm.text.dialogue import MAX_NAMES, Dialogue, turns_in

DETECT_CHARS = 2_000_000  # at the start of a text, to decide on the format
MAX_COUNTED_CHARS = 1 << 24  # at the start of a text, to count speakers
MAX_COUNTED_NAMES = 100_000

# Talk begins with a letter, a quotation mark or the like; not with a bullet, a digit or a bracket of a program.
SPEECH = (
    "[^\\W\\d_]|[\"'\u201c\u2018\u201e\u00ab(\u2014\u2013\u2026\u00bf\u00a1\u300c\u300e]|--|\\[[^\\W\\d_]|\\.\\.\\."
)
_LEVELS = ("trace", "debug", "info", "notice", "warn", "warning", "error", "err", "critical", "fatal", "panic")
_HEADINGS = ("from", "to", "cc", "bcc", "subject", "date", "sent", "reply-to")
_REMARKS = ("note", "todo", "fixme", "hint", "tip", "example", "usage", "summary")
_LABELS = frozenset((*_LEVELS, *_HEADINGS, *_REMARKS))
_ENDS = tuple(".!?\u2026\"'\u201d\u2019)\u3002\uff01\uff1f\u300d")
_ASKS = ("?", "\uff1f", "?!", "??")
_TECHNICAL = "0123456789=/\\[]{}<>|@#$%^&*_+~`"
_LINK = re.compile(r"\b(?:https?://|www\.)\S+")
_OPENS_QUESTION = re.compile(
    r"(?:(?:and|so|but|well|hi|hey) )?"
    r"(?:how|what|who|where|when|why|which|do|does|did|are|is|can|could|will|would|have)\b"
)
_ADDRESSES = re.compile(r"\b(?:you|your|u|ya|yourself)\b")


class DetectedFormat(NamedTuple):
    """Format and speakers of a text."""

    dialogue: Dialogue  # in the requested format, if there is one
    detected: str  # the format that the text seems to have

    @property
    def fits(self) -> bool:
        """The text has turns of the format."""
        return self.dialogue.format in ("plain", self.detected) or bool(self.dialogue.names)


class FormatDetector:
    """Detects the format of a text that arrives in pieces.

    The first `DETECT_CHARS` characters decide on the format. Speakers are counted in the first `MAX_COUNTED_CHARS`.

    Args:
        format_name: the format, if it is known; "auto" detects it.
        detect_chars: number of characters that decide.
        max_names: number of speakers that are counted at a time.
    """

    def __init__(
        self, format_name: str = "auto", *, detect_chars: int = DETECT_CHARS, max_names: int = MAX_COUNTED_NAMES
    ) -> None:
        self._format_name = "transcript" if format_name in EXPORTS else format_name
        self._assumed = ""
        self._detect_chars = detect_chars
        self._max_names = max_names
        self._detected = ""
        self._dialogue: Dialogue | None = None
        self._names: Counter[str] = Counter()
        self._rest = ""
        self._wanted = MAX_COUNTED_CHARS
        if self._format_name != "auto":
            Dialogue(self._format_name)  # checks the name

    @property
    def is_full(self) -> bool:
        """More text changes nothing."""
        return not self._wanted

    def assume(self, format_name: str) -> None:
        """Take the format of most of the text as known, before any of it."""
        self._assumed = format_name

    def update(self, piece: str) -> None:
        """Read the next piece of the text."""
        piece = piece[: self._wanted]
        self._wanted -= len(piece)
        self._rest += piece
        if self._dialogue is None and len(self._rest) >= self._detect_chars:
            self._decide()
        if self._dialogue is not None:
            between = "\n\n" if self._dialogue.closing == "\n\n" else "\n"
            cut = self._rest.rfind(between)
            if cut <= 0:
                cut = max(0, len(self._rest) - self._detect_chars)  # text without line ends has no turns
            self._count(self._rest[:cut])
            self._rest = self._rest[cut:]

    def result(self) -> DetectedFormat:
        """Return the format of all text so far."""
        if self._dialogue is None:
            self._decide()
        assert self._dialogue is not None
        self._count(self._rest)
        self._rest = ""
        one = self._dialogue
        return DetectedFormat(replace(one, names=by_frequency(self._names)), self._detected)

    def _decide(self) -> None:
        sample = self._rest[: self._detect_chars]
        found = read_as(sample, self._assumed) if self._assumed else detect(sample)
        self._detected = found.format
        if self._format_name not in ("auto", found.format):
            found = read_as(sample, self._format_name)
        self._dialogue = replace(found, primer=frequent_exchange(sample, found))

    def _count(self, text: str) -> None:
        assert self._dialogue is not None
        self._names.update(self._dialogue.speakers_in(text))
        if len(self._names) > self._max_names:
            self._names = Counter(dict(self._names.most_common(self._max_names // 2)))


def detect(text: str) -> Dialogue:
    """Return the format that a text seems to have; the text is normalised."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return Dialogue()
    for format_name in ("play", "transcript"):
        found = read_as(text, format_name)
        turns = [name for name, _ in turns_in(text, format_name, found.spaced, SPEECH)]
        units = len(blocks) if found.closing == "\n\n" else len(lines)
        # Fewer turns suffice for a play: its labels are distinctive, and it has more than speeches.
        required = units / 4 if format_name == "play" else units / 2
        if len(turns) >= max(4, required) and is_conversation(turns) and is_talk(text, turns):
            return found
    return Dialogue("lines") if _is_lines(blocks, lines) and is_talk(text) else Dialogue()


def read_as(text: str, format_name: str) -> Dialogue:
    """Return the speakers, colon and spacing of a text whose format is known."""
    if format_name not in ("play", "transcript"):
        return Dialogue(format_name)
    turns = turns_in(text, format_name, spaced=False)
    spaced = False
    if format_name == "transcript":
        after_blanks = turns_in(text, format_name, spaced=True)
        spaced = len(after_blanks) > 0.8 * len(turns)
        turns = after_blanks if spaced else turns
    colon = Counter(colon for _, colon in turns).most_common(1)[0][0] if turns else ":"
    return Dialogue(format_name, by_frequency(Counter(name for name, one in turns if one == colon)), colon, spaced)


def by_frequency(names: Counter[str]) -> tuple[str, ...]:
    """Return the names that occur more than once, the most frequent first."""
    return tuple(name for name, count in names.most_common(MAX_NAMES) if count > 1)


def is_conversation(turns: Sequence[str]) -> bool:
    """Return whether several speakers return and answer each other, unlike the labels of a log or a form."""
    names = [name for name, _ in groupby(turns)]  # without repetitions in a row
    spoken: set[str] = set()
    returns = 0
    for name in names:
        returns += name in spoken
        spoken.add(name)
    labels = sum(name.casefold() in _LABELS for name in turns)
    return (
        2 <= len(spoken) <= len(turns) / 2
        and returns >= len(turns) / 3
        and labels < len(turns) / 3
        and not _is_form(names)
    )


def _is_form(names: Sequence[str]) -> bool:
    """Return whether names follow each other in the same order, as in records and headings of letters.

    Two speakers also follow each other in the same order, but they alternate: one, other, one.
    """
    following: dict[str, Counter[str]] = {}
    for one, other in pairwise(names):
        following.setdefault(one, Counter())[other] += 1
    usual = sum(max(others.values()) for others in following.values())
    answers = sum(first == third for first, third in zip(names, names[2:], strict=False))
    return usual > 0.75 * len(names) and answers < 0.3 * len(names)


def is_talk(text: str, names: Iterable[str] = ()) -> bool:
    """Return whether a text consists of words, not of digits and signs. Links and names of speakers do not count."""
    text = _LINK.sub("", text)
    signs = sum(text.count(sign) for sign in _TECHNICAL)
    for name, count in Counter(names).items():
        signs -= count * sum(map(name.count, _TECHNICAL))
    return signs < 0.06 * len(text)


def has_questions(messages: Sequence[str]) -> bool:
    """Return whether people ask or address each other in messages, unlike the services in a log."""
    found = sum(
        any(sign in text for sign in "?\uff1f\u061f") or bool(_ADDRESSES.search(text.lower())) for text in messages
    )
    return found >= 0.02 * len(messages)


def _is_lines(groups: Sequence[str], lines: Sequence[str]) -> bool:
    """Return whether groups of lines are conversations: short lines, each a sentence or more, some of them questions.

    Poems, wrapped prose, prose with a paragraph a line, and lists lack one of these.
    """
    sizes = [sum(map(bool, map(str.strip, group.split("\n")))) for group in groups]
    if len(groups) < 5 or len(lines) < 2.5 * len(groups) or max(sizes) > len(lines) / 3:
        return False
    if _share(lines, lambda line: line[0].isspace()) > 0.1:
        return False  # indented: an outline, a program
    if len(turns_in("\n".join(lines), "transcript", spaced=False)) > 0.3 * len(lines):
        return False  # labelled: a log, a form
    stripped = [line.strip() for line in lines]
    lengths = [len(line) for line in stripped]
    if fmean(lengths) > 150 or sum(length > 300 for length in lengths) > len(lines) / 20:
        return False
    if _share(stripped, lambda line: line[0] in '"\u201c\u00ab\u201e\u201f-*+>|' or line[0].isdigit()) > 0.2:
        return False  # quoted speech of a story, items of a list, subtitles
    if _share(stripped, lambda line: line.endswith((":", ",", ";", "\uff1a", "\u3001"))) > 0.1:
        return False  # sentences that continue in the next line
    ended = _share(stripped, lambda line: line.endswith(_ENDS))
    asked = _share(stripped, lambda line: line.endswith(_ASKS))
    if ended >= 0.5:
        return asked >= 0.05
    if asked >= 0.15 and fmean(lengths) < 60:
        return True
    return ended < 0.1 and _is_careless_talk(stripped, lengths, sizes)


def _is_careless_talk(lines: Sequence[str], lengths: Sequence[int], sizes: Sequence[int]) -> bool:
    """Return whether lines without final punctuation are talk, not verse, which is more even; English only."""
    asked = _share(lines, lambda line: _OPENS_QUESTION.match(line.lower()) is not None)
    addressed = _share(lines, lambda line: _ADDRESSES.search(line.lower()) is not None)
    uneven = pstdev(lengths) > 0.35 * fmean(lengths) and len(set(sizes)) > 1
    return asked >= 0.1 and addressed >= 0.1 and uneven


def _share(lines: Sequence[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, lines)) / len(lines)
