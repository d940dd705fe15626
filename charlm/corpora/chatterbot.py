"""Question and answer pairs from the package chatterbot-corpus, in English or Japanese.

A list of more than two texts is either a conversation or a question with several answers; the YAML does not say which.
If later texts are questions too, it is taken for a conversation. Otherwise each answer makes a pair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from charlm.corpora import pii
from charlm.corpora.documents import CleaningReport
from charlm.errors import CorpusError

MAX_TURN_CHARS: Final = 200  # characters of a turn
MAX_ANSWERS: Final = 3  # to one question; "tell me a joke" has thirty
_BREAKS_OFF = re.compile(r"\b(?:the|an?|of|in|inside|by|than)\W*$|\bxfind\b", re.IGNORECASE)
_CODE = re.compile(r"```|\bdef \w+\(|[{}=<>\\|]|;$")
_CRUDE = re.compile(
    r"\b(?:f+u+c+k\w*|sex\w*|porn\w*|gay|lesbian|nazis?|hitler|virgin|naked|suicid\w*|drugs?|kill\w*|hate)\b|ファッ",
    re.I,
)


class QAPair(NamedTuple):
    """An entry: a question, and answers or the rest of a conversation."""

    name: str  # file and number
    turns: list[str]


def read(path: str, text: str) -> list[QAPair]:
    """Return the entries of a YAML file.

    Raises:
        CorpusError: it has another form.
    """
    import yaml

    stem = PurePosixPath(path).stem
    try:
        entries = yaml.load(text, Loader=yaml.BaseLoader)["conversations"]  # every scalar is a text
        return [QAPair(f"{stem} {number}", [turn.strip() for turn in entry]) for number, entry in enumerate(entries)]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"the form of {path} is not that of this version of the package") from error


def clean(entries: Sequence[QAPair], report: CleaningReport, tidy: Callable[[str], str]) -> list[tuple[str, list[str]]]:
    """Return conversations and pairs with their names, each once.

    Args:
        entries: of all files.
        report: counts removals and changes.
        tidy: turns a text into sentences with final punctuation.
    """
    found: list[tuple[str, list[str]]] = []
    answered: dict[str, set[str]] = {}
    for _, turns in entries:
        whole = " ".join(turns)
        if len(turns) < 2 or not all(re.search(r"\w", turn) for turn in turns):
            report.remove("entries without an answer", whole)
        elif _CODE.search(whole):
            report.remove("entries with program text", whole)
        elif _CRUDE.search(whole):
            report.remove("crude or hurtful entries", whole)
        elif _BREAKS_OFF.search(turns[0]):
            report.remove("entries whose question breaks off", whole)
        elif kind := pii.found(whole):
            report.remove(f"entries with {kind}", whole)
        else:
            tidied = [tidy(re.sub(r"\s+", " ", turn).strip()) for turn in turns]
            for part in [tidied] if _is_conversation(tidied) else [[tidied[0], answer] for answer in tidied[1:]]:
                if max(map(len, part)) > MAX_TURN_CHARS:
                    report.remove(f"entries of more than {MAX_TURN_CHARS} characters a turn", sum(map(len, part)))
                elif _is_new(part, answered, report):
                    found.append((f"chatterbot {_key(part[0])}", part))
    return found


def _is_conversation(turns: Sequence[str]) -> bool:
    return len(turns) > 2 and any(turn.endswith(("?", "\uff1f")) for turn in turns[1:])


def _is_new(part: Sequence[str], answered: dict[str, set[str]], report: CleaningReport) -> bool:
    answers = answered.setdefault(_key(part[0]), set())
    answer = _key(" ".join(part[1:]))
    if answer in answers:
        report.remove("entries that others repeat", sum(map(len, part)))
        return False
    if len(answers) >= MAX_ANSWERS:
        report.remove(f"answers beyond {MAX_ANSWERS} to one question", sum(map(len, part)))
        return False
    answers.add(answer)
    return True


def _key(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()
