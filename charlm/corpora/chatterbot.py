"""Question and answer pairs from the package chatterbot-corpus, in English or Japanese.

A list of more than two texts is either a conversation or a question with several answers; the YAML does not say which.
If later texts are questions too, it is taken for a conversation. Otherwise each answer makes a pair.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from charlm.corpora import pii
from charlm.corpora.documents import CleaningReport
from charlm.errors import CorpusError

MAX_TURN_CHARS: Final = 200
MAX_ANSWERS: Final = 3  # to one question; "tell me a joke" has thirty
_BREAKS_OFF = re.compile(r"\b(?:the|an?|of|in|inside|by|than)\W*$|\bxfind\b", re.IGNORECASE)
_CODE = re.compile(r"```|\bdef \w+\(|[{}=<>\\|]|;$")
_CRUDE = re.compile(
    r"\b(?:f+u+c+k\w*|sex\w*|porn\w*|gay|lesbian|nazis?|hitler|virgin|naked|suicid\w*|drugs?|kill\w*|hate)\b|ファッ",
    re.I,
)


# A question of the English trivia is not in a list of its own. It is read as the end of the answer before it: so is the
# text that the bundled model was trained on.
_REPAIR = ("'1984'\n- In a game of bingo", "1984' - In a game of bingo")


def read(path: str, text: str) -> list[list[str]]:
    """Return the texts of each entry of a YAML file: a question, and answers or the rest of a conversation."""
    import yaml

    try:
        entries = yaml.load(text.replace(*_REPAIR), Loader=yaml.BaseLoader)["conversations"]  # every scalar is a text
        return [[turn.strip() for turn in entry] for entry in entries]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"the form of {path} is not that of this version of the package") from error


def clean(
    entries: Sequence[Sequence[str]], report: CleaningReport, tidy: Callable[[str], str]
) -> list[tuple[str, list[str]]]:
    """Return conversations and pairs with their names, each once.

    Args:
        entries: of all files.
        report: counts removals and changes.
        tidy: turns a text into sentences with final punctuation.
    """
    found: list[tuple[str, list[str]]] = []
    answered: defaultdict[str, set[str]] = defaultdict(set)
    for turns in entries:
        if reason := _rejection_reason(turns):
            report.remove(reason, " ".join(turns))
            continue
        tidied = [tidy(re.sub(r"\s+", " ", turn).strip()) for turn in turns]
        for part in [tidied] if _is_conversation(tidied) else [[tidied[0], answer] for answer in tidied[1:]]:
            question, answer = _key(part[0]), _key(" ".join(part[1:]))
            answers = answered[question]
            if max(map(len, part)) > MAX_TURN_CHARS:
                report.remove(f"entries of more than {MAX_TURN_CHARS} characters a turn", sum(map(len, part)))
            elif answer in answers:
                report.remove("entries that others repeat", sum(map(len, part)))
            elif len(answers) >= MAX_ANSWERS:
                report.remove(f"answers beyond {MAX_ANSWERS} to one question", sum(map(len, part)))
            else:
                answers.add(answer)
                found.append((f"chatterbot {question}", part))
    return found


def _rejection_reason(turns: Sequence[str]) -> str | None:
    whole = " ".join(turns)
    if len(turns) < 2 or not all(re.search(r"\w", turn) for turn in turns):
        return "entries without an answer"
    if _CODE.search(whole):
        return "entries with program text"
    if _CRUDE.search(whole):
        return "crude or hurtful entries"
    if _BREAKS_OFF.search(turns[0]):
        return "entries whose question breaks off"
    kind = pii.found(whole)
    return kind and f"entries with {kind}"


def _is_conversation(turns: Sequence[str]) -> bool:
    return len(turns) > 2 and any(turn.endswith(("?", "\uff1f")) for turn in turns[1:])


def _key(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()
