"""Finding out how a text writes its turns.

Owns the evidence: what a text must show to be taken for a play, a transcript or lines of talk. Much that is no dialogue
looks like one at first (logs, letters' headings, records, poems, source code), so each format has to show that several
speak, that they answer each other, and that what they say is talk.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise
from statistics import fmean, pstdev
from typing import NamedTuple

from charlm.text.dialogue import MAX_NAMES, Dialogue, turns_in

SAMPLE = 2_000_000  # characters at a text's start that decide
MAX_CHARS = 1 << 24  # characters at a text's start in which speakers are counted
MAX_COUNTED = 100_000  # different names at a time

# Talk begins with a letter, a quotation mark or the like; not with a bullet, a figure or a bracket of a program's.
_SPEECH = (
    "[^\\W\\d_]|[\"'\u201c\u2018\u201e\u00ab(\u2014\u2013\u2026\u00bf\u00a1\u300c\u300e]|--|\\[[^\\W\\d_]|\\.\\.\\."
)
_LEVELS = ("trace", "debug", "info", "notice", "warn", "warning", "error", "err", "critical", "fatal", "panic")
_HEADINGS = ("from", "to", "cc", "bcc", "subject", "date", "sent", "reply-to")
_REMARKS = ("note", "todo", "fixme", "hint", "tip", "example", "usage", "summary")
_LABELS = frozenset((*_LEVELS, *_HEADINGS, *_REMARKS))
_ENDS = tuple(".!?\u2026\"'\u201d\u2019)\u3002\uff01\uff1f\u300d")
_ASKS = ("?", "\uff1f", "?!", "??")
_TECHNICAL = "0123456789=/\\[]{}<>|@#$%^&*_+~`"
_OPENS_QUESTION = re.compile(
    r"(?:(?:and|so|but|well|hi|hey) )?"
    r"(?:how|what|who|where|when|why|which|do|does|did|are|is|can|could|will|would|have)\b"
)
_ADDRESSES = re.compile(r"\b(?:you|your|u|ya|yourself)\b")


class DetectedFormat(NamedTuple):
    """What a text turned out to be.

    Attributes:
        dialogue: its format and speakers; in the format that was asked for, if one was.
        detected: the format that it seems to have.
    """

    dialogue: Dialogue
    detected: str

    @property
    def fits(self) -> bool:
        """Whether the text shows the format's turns at all."""
        form = self.dialogue.format
        return form in ("plain", self.detected) or bool(self.dialogue.names)


class FormatDetector:
    """Finds out how a text writes its turns while somebody else reads it, piece by piece.

    Its first `SAMPLE` characters decide on the format; speakers are counted in its first `MAX_CHARS`.

    Args:
        form: the format, if it is known; "auto" finds out.
    """

    def __init__(self, form: str = "auto") -> None:
        self._form = form
        self._detected = ""
        self._dialogue: Dialogue | None = None
        self._names: Counter[str] = Counter()
        self._rest = ""
        self._wanted = MAX_CHARS
        if form != "auto":
            Dialogue(form)  # says what is wrong with it

    def update(self, piece: str) -> None:
        """Take the next piece of the text."""
        piece = piece[: self._wanted]
        self._wanted -= len(piece)
        self._rest += piece
        if self._dialogue is None and len(self._rest) >= SAMPLE:
            self._decide()
        if self._dialogue is not None:
            between = "\n\n" if self._dialogue.closing == "\n\n" else "\n"
            cut = self._rest.rfind(between)
            if cut <= 0:
                cut = max(0, len(self._rest) - SAMPLE)  # without a line's end there are no turns either
            self._count(self._rest[:cut])
            self._rest = self._rest[cut:]

    def result(self) -> DetectedFormat:
        """What the text is, once it is read."""
        if self._dialogue is None:
            self._decide()
        assert self._dialogue is not None
        self._count(self._rest)
        self._rest = ""
        one = self._dialogue
        return DetectedFormat(Dialogue(one.format, by_frequency(self._names), one.colon, one.spaced), self._detected)

    def _decide(self) -> None:
        sample = self._rest[:SAMPLE]
        found = detect(sample)
        self._detected = found.format
        if self._form not in ("auto", found.format):
            found = read_as(sample, self._form)
        self._dialogue = found

    def _count(self, text: str) -> None:
        assert self._dialogue is not None
        self._names.update(self._dialogue.speakers_in(text))
        if len(self._names) > MAX_COUNTED:
            self._names = Counter(dict(self._names.most_common(MAX_COUNTED // 2)))


def listen(pieces: Iterable[str], form: str = "auto") -> DetectedFormat:
    """What a text is, given its pieces."""
    listener = FormatDetector(form)
    for piece in pieces:
        listener.update(piece)
    return listener.result()


def detect(text: str) -> Dialogue:
    """The format that a text seems to be written in.

    Args:
        text: a good piece of it, normalised.
    """
    blocks = [block for block in text.split("\n\n") if block.strip()]
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return Dialogue()
    for form in ("play", "transcript"):
        found = read_as(text, form)
        turns = [name for name, _ in turns_in(text, form, found.spaced, _SPEECH)]
        units = len(blocks) if found.closing == "\n\n" else len(lines)
        # A speaker on a line of its own after a blank line says much by itself, and plays hold more than speeches.
        least = units / 4 if form == "play" else units / 2
        if len(turns) >= max(4, least) and _they_talk(turns) and _is_talk(text):
            return found
    return Dialogue("lines") if _is_lines(blocks, lines) and _is_talk(text) else Dialogue()


def read_as(text: str, form: str) -> Dialogue:
    """A text's speakers, and how it writes their turns, given its format."""
    if form not in ("play", "transcript"):
        return Dialogue(form)
    turns = turns_in(text, form, spaced=False)
    spaced = False
    if form == "transcript":
        after_blanks = turns_in(text, form, spaced=True)
        spaced = len(after_blanks) > 0.8 * len(turns)
        turns = after_blanks if spaced else turns
    colon = Counter(colon for _, colon in turns).most_common(1)[0][0] if turns else ":"
    return Dialogue(form, by_frequency(Counter(name for name, one in turns if one == colon)), colon, spaced)


def by_frequency(names: Counter[str]) -> tuple[str, ...]:
    """Names that come more than once, the most frequent first."""
    return tuple(name for name, count in names.most_common(MAX_NAMES) if count > 1)


def _they_talk(turns: Sequence[str]) -> bool:
    """Whether several speak again and again and answer each other, unlike the labels of a log or a form."""
    names = [name for name, _ in groupby(turns)]  # who holds the floor, one after the other
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
    """Whether names follow each other in the same order, as in records and letters' headings.

    Where two talk, each also follows the other, but they take turns: one, other, one.
    """
    following: dict[str, Counter[str]] = {}
    for one, other in pairwise(names):
        following.setdefault(one, Counter())[other] += 1
    usual = sum(max(others.values()) for others in following.values())
    answers = sum(first == third for first, third in zip(names, names[2:], strict=False))
    return usual > 0.75 * len(names) and answers < 0.3 * len(names)


def _is_talk(text: str) -> bool:
    """Whether a text is made of words, not of figures and signs."""
    signs = sum(text.count(sign) for sign in _TECHNICAL)
    return signs < 0.06 * len(text)


def _is_lines(groups: Sequence[str], lines: Sequence[str]) -> bool:
    """Whether groups of several lines are conversations: short lines, each a sentence or more, some of them questions.

    Poems, prose in wrapped lines, prose with a paragraph a line and lists of things all lack one of these.
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
        return False  # sentences that go on in the next line
    ended = _share(stripped, lambda line: line.endswith(_ENDS))
    asked = _share(stripped, lambda line: line.endswith(_ASKS))
    if ended >= 0.5:
        return asked >= 0.05
    if asked >= 0.15 and fmean(lengths) < 60:
        return True
    return ended < 0.1 and _is_careless_talk(stripped, lengths, sizes)


def _is_careless_talk(lines: Sequence[str], lengths: Sequence[int], sizes: Sequence[int]) -> bool:
    """Whether lines without a mark at their ends are talk rather than verse, which is more even; in English only."""
    asked = _share(lines, lambda line: _OPENS_QUESTION.match(line.lower()) is not None)
    addressed = _share(lines, lambda line: _ADDRESSES.search(line.lower()) is not None)
    uneven = pstdev(lengths) > 0.35 * fmean(lengths) and len(set(sizes)) > 1
    return asked >= 0.1 and addressed >= 0.1 and uneven


def _share(lines: Sequence[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, lines)) / len(lines)
