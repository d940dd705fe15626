"""Chat exports and labelled text, rewritten as transcripts and plays while they are read.

One table describes every layout by the head of a message. Time stamps, messages without a speaker and placeholders for
media are dropped; speakers and the lines of a message stay. A file that matches no layout passes unchanged. The date
patterns follow whatsapp-chat-parser (github.com/Pustur/whatsapp-chat-parser).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from typing import NamedTuple

from charlm.config import EXPORTS
from charlm.settings import plural
from charlm.text.dialogue import as_name
from charlm.text.format_detection import SPEECH, has_questions, is_conversation, is_talk

SAMPLE_CHARS = 1 << 16  # at the start of a file, to recognise its layout
GLANCE_LINES = 50  # at the start of a file, for a first test: most files match no layout
MAX_MESSAGE_CHARS = 1 << 16
MIN_MESSAGES = 4

_SPACE = "[ \u00a0\u202f]"
_DATE = (
    rf"(?:\d{{1,4}}[./-]{_SPACE}?\d{{1,2}}[./-]{_SPACE}?\d{{1,4}}\.?"  # 12/07/2017, 12.07.17, 2017-07-12, 12. 7. 2017.
    rf"|\d{{1,2}}[. -]{_SPACE}?[^\W\d_]{{3,9}}\.?[ -]\d{{2,4}}"  # 12-Jul-17, 12 July 2017, 12. Juli 2017
    rf"|[^\W\d_]{{3,9}}\.? \d{{1,2}}(?:, \d{{4}})?)"  # Jul 12, July 12, 2017
)
_TIME = rf"\d{{1,2}}[:.]\d\d(?:[:.]\d\d)?(?:{_SPACE}?[AaPp]\.?{_SPACE}?[Mm]\.?)?"  # 8:00, 08:00:05, 8.00 a. m.
_STAMP = rf"{_DATE}(?:,?{_SPACE}(?:[^\W\d]{{1,4}}{_SPACE}?)?|T){_TIME}"  # also "12/07/2017 at 8:00" and "..., 上午8:00"
_ANY_TIME = rf"(?:{_STAMP}|{_TIME})"
_SAYS = r"([^\n:\"<>\[\]]{1,60}?):(?: |$)"  # a name on the line of its words
_NAME = r"([^\n:\"<>\[\]]{1,60}?)"  # a name with the words in the next line
_NICK = r"<[ @+%&~!]{0,2}(?!(?:[abipquv]|li|em|td|dt|dd|div|span|strong|code)>)([^\s<>/][^\n<>/]{0,29})>(?:[ \t]|$)"


class Layout(NamedTuple):
    """The messages of a program, or the labels of speakers in a text."""

    name: str
    description: str
    head: re.Pattern[str]  # of a message; the group that matches is the speaker; a system line matches none
    label: str = ""  # replaces the head in labelled text, which is otherwise unchanged
    format: str = "transcript"  # of the rewritten text


def _layout(name: str, description: str, *heads: str, label: str = "", format_name: str = "transcript") -> Layout:
    head = re.compile(rf"^[\u200e\u200f\u202a\u202c]*(?:{'|'.join(heads)})", re.MULTILINE)
    return Layout(name, description, head, label, format_name)


LAYOUTS = (
    _layout("whatsapp", "WhatsApp", rf"(?:\[{_STAMP}\]|{_STAMP}(?: -|:)){_SPACE}(?:{_SAYS})?"),
    _layout("telegram", "Telegram", rf"{_NAME}, \[{_STAMP}\]:?\n", rf"\[{_STAMP}\] (?:{_SAYS})?"),
    _layout("signal", "Signal", rf"\*\*{_NAME}\*\* \({_STAMP}\):(?: |$)", rf"\[{_STAMP}\] (?:{_SAYS})?"),
    _layout(
        "discord",
        "Discord",
        rf"\[{_STAMP}\] {_NAME}(?:#\d{{4}})?(?: \(pinned\))?\n",
        rf"{_NAME} \u2014 (?:[^\W\d]+ at )?{_ANY_TIME}\n",
        r"={20,}\n",
    ),
    _layout("slack", "Slack", rf"{_NAME}(?::[\w+-]+:)?(?: \[| {{2,}}){_TIME}\]?\n"),
    _layout(
        "irc", "IRC", rf"(?:\[{_ANY_TIME}\]|{_ANY_TIME})[ \t]+(?:{_NICK})?", _NICK, r"(?:---|\*{1,3}|-!-)[ \t].*\n"
    ),
    _layout(
        "weechat",
        "WeeChat or LINE",
        rf"{_ANY_TIME}\t(?:[@+%&~!]?([^\W\d][^\t\n]{{0,39}})\t)?",
        r"\d{4}[./]\d\d?[./]\d\d?.{0,12}\n",
    ),
    _layout("prompts", "prompts with ###", r"#{2,4} ([^\W\d_][\w ]{0,30}):\s+"),
    _layout("markdown", "names in bold", r"\*\*([^\n:*]{1,60}?)(?::\*\*|\*\*:)\s+"),
    _layout("transcript", "names before a gap", rf"([^\n:]{{1,40}}):(?:\t+| {{2,}}\t*)(?={SPEECH})", label=r"\1: "),
    _layout(
        "play",
        "names over speeches",
        r"(?<![^\n]\n)([A-Z\u00c0-\u00de][A-Z\u00c0-\u00de\d .'-]{0,39}?)(?: \([^)\n]{1,20}\))?\n(?=\S)",
        label="\\1:\n",
        format_name="play",
    ),
)

# Placeholders of media and deleted messages, and parts that a program adds to a message.
_PLACEHOLDER = re.compile(
    r"<[^<>\n]*>|\u200e[^\n]*|\[ ?[\w ]+ ?\]|\(?attachment\)?"
    r"|(?:image|video|audio|sticker|GIF|document|Contact card) omitted|null"
    r"|(?:This message was deleted|You deleted this message|Joined the server|Pinned a message)\.?"
)
_ATTACHED = ("(file attached)", "(Datei angehängt)", "(archivo adjunto)", "(fichier joint)")
_EDITED = "<This message was edited>"
_ADDED = re.compile(
    r"^\[(?:In reply to|Forwarded from) [^\]\n]*\]\n?"
    r"|^\{(?:Attachments|Embeds?|Stickers|Reactions)\}(?:\n.+)*|^-{3,} .* -{3,}$|^\d{1,2}:\d\d(?: [AP]M)?$",
    re.MULTILINE,
)


class ExportReader:
    """Rewrites the chat exports among the files of a text.

    Args:
        format_name: a layout of `EXPORTS` is forced. "auto" detects any layout, and the name of a dialogue format
            detects those that are rewritten to it.
    """

    def __init__(self, format_name: str = "auto") -> None:
        self._is_forced = format_name in EXPORTS
        self._layouts = [one for one in LAYOUTS if format_name in (("auto", one.format), (one.name,))[self._is_forced]]
        self.characters: Counter[str] = Counter()  # written, by format
        self._files: Counter[str] = Counter()  # by layout's description
        self._messages = 0
        self._dropped = 0
        self._has_stamps = False

    @property
    def summary(self) -> str:
        """One line about the recognised files and dropped lines; empty if there are none."""
        files = ", ".join(f"{name}{f' in {count} files' * (count > 1)}" for name, count in self._files.items())
        messages = f", {plural(self._messages, 'message')}" * (self._messages > 0)
        dropped = ["time stamps"] * self._has_stamps + [plural(self._dropped, "system line")] * (self._dropped > 0)
        return files + messages + f"; without {' and '.join(dropped)}" * (len(dropped) > 0)

    def read(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the pieces of one file, rewritten if it has a layout."""
        pieces = iter(pieces)
        first = next(pieces, "")
        layout = self._recognise(first)
        if layout is None:
            yield from filter(None, chain([first], pieces))
            return
        head = layout.head.search(first)
        has_stamps = head is not None and re.search(_TIME, head.group()) is not None
        rest, characters, messages, dropped = "", 0, 0, 0
        for piece in chain([first], pieces, [""]):
            rest += piece
            cut = _last_head(layout, rest) if piece else len(rest)
            part = _rewrite(layout, rest[:cut])
            rest = rest[cut:]
            messages, dropped = messages + part.messages, dropped + part.dropped
            if text := part.rest * (characters > 0) + part.text:
                characters += len(text)
                yield text
        self._files[layout.description] += 1
        self._messages += messages
        self._dropped += dropped
        self._has_stamps |= has_stamps
        self.characters[layout.format] += characters

    def _recognise(self, text: str) -> Layout | None:
        lines = text[: GLANCE_LINES * 300].split("\n")[:GLANCE_LINES]
        lines = [line for line in lines if ":" in line or ">" in line or line.isupper()]  # every head has one of these
        near = [one for one in self._layouts if sum(bool(one.head.match(f"{line}\n.")) for line in lines) > 1]
        sample = text[:SAMPLE_CHARS]
        if self._is_forced:
            return next((one for one in self._layouts if any(name for name, _ in _messages(one, sample)[1])), None)
        found = {one: count for one in near if (count := _count_talk(one, sample))}
        return max(found, key=found.__getitem__) if found else None


class _Rewritten(NamedTuple):
    rest: str  # of a message whose head came earlier
    text: str
    messages: int
    dropped: int


def _rewrite(layout: Layout, text: str) -> _Rewritten:
    if layout.label:
        return _Rewritten("", layout.head.sub(layout.label, text), 0, 0)
    rest, messages = _messages(layout, text)
    talk = [f"{name}: {words}\n\n" for name, words in messages if name and words]
    return _Rewritten(rest, "".join(talk), len(talk), len(messages) - len(talk))


def _last_head(layout: Layout, text: str) -> int:
    """Return where the last message begins. An endless message is cut at its last line; 0 if nothing can be cut."""
    begin = max(0, len(text) - MAX_MESSAGE_CHARS)
    starts = [match.start() for match in layout.head.finditer(text, begin)]
    return starts[-1] if starts else text.rfind("\n", 0, begin) + 1


def _messages(layout: Layout, text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the text before the first message, and speaker and words of each.

    The speaker is "" for system lines, the words are "" for placeholders.
    """
    before, *parts = layout.head.split(text)
    width, messages = layout.head.groups + 1, []
    for start in range(0, len(parts), width):
        *speakers, words = parts[start : start + width]
        speaker = next(filter(None, speakers), "")
        words = words.strip().removesuffix(_EDITED)
        if "\n" in words:
            words = re.sub(r"\s*\n\s*\n\s*", "\n", _ADDED.sub("", words)).strip()
        if words.endswith(_ATTACHED) or _PLACEHOLDER.fullmatch(words):
            words = ""
        messages.append((as_name(speaker) if speaker else "", words))
    return before, messages


def _count_talk(layout: Layout, text: str) -> int:
    """Return the number of messages; 0 if they are not talk, or only a small part of the text."""
    found = [(name, words) for name, words in _messages(layout, text)[1] if name]
    words = [words for _, words in found if words]
    lines = sum(map(bool, map(str.strip, text.split("\n"))))
    names = [name for name, _ in groupby(name for name, _ in found)]  # people write several messages in a row
    if len(found) < max(MIN_MESSAGES, lines / (3 if layout.label else 8)) or len(words) < 0.7 * len(found):
        return 0
    return len(found) * (is_conversation(names) and is_talk("\n".join(words)) and has_questions(words))
