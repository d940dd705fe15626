"""Text of the English base: books, conversations, questions and answers, in many forms.

A base is fine-tuned on text of an unknown form. So prose comes with and without hard-wrapped lines, with straight and
curly quotes. Conversations come as bare lines, with speakers' names, as a play or as a chat log. Some are hastily
typed. A generator seeded by each part's name chooses its form, so the text is the same every time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Final

from charlm.corpora import dialogue_sources, gutenberg, pii, students
from charlm.corpora.documents import CleaningReport, Document, Files, read_table
from charlm.corpora.filters import any_of
from charlm.text.decoding import normalise

PART_CHARS: Final = 12_000  # of a book that share one form
MAX_TURN_CHARS: Final = 400
SHARES: Final = {
    "english-dialogue/chitchat-en-enthusiastic": 0.0,  # two of the five answers to each question are enough
    "english-dialogue/chitchat-en-professional": 0.0,
    "english-dialogue/chitchat-en-witty": 0.0,
    "english-dialogue/self-": 0.6,
    "students": 0.5,
}
"""Shares of the text by its path's beginning; the large collections of conversations would outweigh the books."""

FORMS: Final = ((0.55, "", "\n"), (0.75, "{name}: ", "\n"), (0.83, "{upper}:\n", "\n\n"))
"""Forms of a conversation: cumulative share, head of a turn, text between turns. The rest are chat logs."""
LOG_HEADS: Final = (
    "{day:02}/{month:02}/{year}, {time} - {name}: ",
    "[{day:02}.{month:02}.{year_of_century:02}, {time}] {name}: ",
    "[{time}] <{name}> ",
)

_UNUSUAL = str.maketrans({"\u00a0": " ", "\u00b4": "'", "`": "'", "\u201a": ",", "\u2047": "??", "\uff1f": "?"})
_DROPPED = re.compile("[\u200b-\u200f\ufeff\u3000-\u9fff\uff00-\uffef\U0001f000-\U0001ffff]")
_TABLE = read_table("english.toml")
SLURS: Final = any_of(_TABLE["slurs"])
NAMES: Final[Sequence[str]] = _TABLE["names"].split()


def documents(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield parts of books and conversations; packages' files are the students' conversations."""
    packaged = []
    for path, text in files:
        share = next((share for beginning, share in SHARES.items() if path.startswith(beginning)), 1.0)
        if not share:
            continue
        if path.startswith("english-books/"):
            yield from book(path, typed(text), report)
        elif path.startswith("english-dialogue/"):
            yield from conversations(path, normalise(text), share, report)
        else:
            packaged.append((path, text))
    if packaged:
        yield from chats(packaged, report)
    for at, line in enumerate(_TABLE["typed"].strip().split("\n\n")):
        yield Document(f"typed-{at}", line)


def typed(text: str) -> str:
    """Return text with the usual quotes and spaces, without invisible and East Asian characters and emoji."""
    return _DROPPED.sub("", normalise(text).translate(_UNUSUAL))


def book(path: str, text: str, report: CleaningReport) -> Iterator[Document]:
    """Yield a book in parts, each in a form of its own."""
    blocks = []
    for block in gutenberg.paragraphs(text):
        if SLURS.search(block.lower()):
            report.remove("paragraphs of books with slurs of their time", block)
        else:
            blocks.append(block)
    part: list[str] = []
    count = size = 0
    for at, block in enumerate(blocks):
        part.append(block)
        size += len(block)
        if size >= PART_CHARS or at == len(blocks) - 1:
            chance = random.Random(f"{path}:{count}")
            whole = "\n\n".join(part if chance.random() < 0.35 else map(gutenberg.unwrap, part))
            yield Document(f"{path}:{count}", typeset(whole) if chance.random() < 0.45 else whole)
            part, size, count = [], 0, count + 1


def conversations(path: str, text: str, share: float, report: CleaningReport) -> Iterator[Document]:
    """Yield a share of the conversations of a collection, each in a form of its own."""
    for number, turns in enumerate(dialogue_sources.read(path, text)):
        name = f"{path}:{number}"
        if random.Random(f"share of {name}").random() >= share:
            continue
        safe = [typed(turn) for turn in turns if not pii.found(turn) and not SLURS.search(turn.lower())]
        report.remove("turns with personal data or slurs", 0, len(turns) - len(safe))
        for part in dialogue_sources.suitable_parts(safe, MAX_TURN_CHARS):
            yield Document(name, formatted(part, name))


def chats(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield a share of the cleaned conversations of students."""
    for document in students.documents(files, report):
        if random.Random(f"share of {document.name}").random() < SHARES["students"]:
            yield Document(document.name, formatted(document.text.split("\n"), document.name))


def typeset(text: str) -> str:
    """Return text with curly quotes and em dashes for the typed ones."""
    text = re.sub(r'(^|[\s(\[\u2014\u2018-])"(?=\S)', "\\1\u201c", text.replace("--", "\u2014"), flags=re.MULTILINE)
    text = re.sub(r"(^|[\s(\[\u2014\u201c-])'(?=\S)(?!\d0s|tis|twas|em\b)", "\\1\u2018", text, flags=re.MULTILINE)
    return text.replace('"', "\u201d").replace("'", "\u2019")


def formatted(turns: Sequence[str], name: str) -> str:
    """Return a conversation in a form that a generator seeded with its name chooses."""
    chance = random.Random(name)
    form = chance.random()
    if chance.random() < 0.15:
        turns = [hasty(turn) for turn in turns]
    elif chance.random() < 0.2:
        turns = [typeset(turn) for turn in turns]
    speakers = [NAMES[int(chance.random() * len(NAMES))] for _ in range(2)]
    day, month, year = 1 + int(chance.random() * 28), 1 + int(chance.random() * 12), 2015 + int(chance.random() * 10)
    log_head = LOG_HEADS[int(chance.random() * len(LOG_HEADS))]
    head, gap = next(((head, gap) for until, head, gap in FORMS if form < until), (log_head, "\n"))
    date = {"day": day, "month": month, "year": year, "year_of_century": year % 100}
    minute = int(chance.random() * 1400)
    lines = []
    for at, turn in enumerate(turns):
        minute = (minute + int(chance.random() ** 3 * 9)) % 1440
        speaker, time = speakers[at % 2], f"{minute // 60:02}:{minute % 60:02}"
        lines.append(head.format(name=speaker, upper=speaker.upper(), time=time, **date) + turn)
    return gap.join(lines)


def hasty(turn: str) -> str:
    """Return a turn in lower case, without apostrophes and the end mark."""
    return re.sub(r"[.!]$", "", turn.lower().replace("'", ""))
