"""Readers of dialogue collections. Each returns conversations: lists of turns of two alternating speakers."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Iterable, Iterator
from typing import Final

from charlm.corpora import pii
from charlm.corpora.filters import CRUDE

Turns = list[str]

PAIRS_IN_CHAIN: Final = (2, 4)  # least and most question and answer pairs of a chained conversation
_SPEAKER = re.compile(r"^([^:]{1,20}):[ \t]*(.*)$")
_SLOT = re.compile(r"%\w+%|\{\{.*?\}\}|@\w+")
UNSUITABLE_TOPICS: Final = re.compile(
    r"abus|suicid|self.?harm|kill|die\b|dead|hate|ugly|stupid|sexy?|boyfriend|girlfriend|kiss|marry|love you|hot\b"
    r"|flirt|date me|shut ?up|fired|porn|drug|drunk|hell\b|damn|crap|\bass\b|sucks?\b|\baf\b",
    re.IGNORECASE,
)


def chitchat_pairs(text: str) -> list[list[tuple[str, str]]]:
    """Return the questions of a .qna file with their answers, one list for each group of wordings."""
    groups = []
    for block in re.split(r"^# \? ", text, flags=re.MULTILINE)[1:]:
        answer = re.search(r"```markdown\n(.*?)\n```", block, re.DOTALL)
        questions = [block.split("\n", 1)[0], *re.findall(r"^- (.+)$", block.split("**")[0], re.MULTILINE)]
        if answer and not UNSUITABLE_TOPICS.search(questions[0]):
            reply = " ".join(answer[1].split())
            groups.append([(question.strip(), reply) for question in questions if _is_suitable(question)])
    return groups


def intent_pairs(text: str) -> list[list[tuple[str, str]]]:
    """Return utterances and answers of a JSON file by intent: of nlp.js (`data`) or Leon (`actions`)."""
    document = json.loads(text)
    groups = []
    for intent in document.get("data") or document.get("actions", {}).values():
        utterances = intent.get("utterances") or intent.get("utterance_samples") or []
        utterances = [one for one in utterances if not _SLOT.search(one) and _is_suitable(one)]
        answers = [one for one in intent.get("answers") or [] if isinstance(one, str) and not _SLOT.search(one)]
        if answers:
            groups.append([(_capital(one), answers[at % len(answers)]) for at, one in enumerate(utterances)])
    return groups


def table_pairs(text: str) -> list[list[tuple[str, str]]]:
    """Return questions and answers of a TSV file with the columns Question, Answer, Metadata."""
    rows = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    pairs = [(row["Question"], row["Answer"]) for row in rows if row["Question"] and row["Answer"]]
    return [[(_capital(question), answer)] for question, answer in pairs if _is_suitable(question)]


def tinytalks(text: str) -> list[list[tuple[str, str]]]:
    """Return pairs of lines that begin with `Q:` and `A:`."""
    return [[(question, answer)] for question, answer in re.findall(r"^Q: (.+)\nA: (.+)$", text, re.MULTILINE)]


def chain(groups: list[list[tuple[str, str]]], name: str) -> list[Turns]:
    """Join pairs of different groups to conversations of four to eight turns, each pair once, in a seeded order."""
    chance = random.Random(name)
    pairs = [(chance.random(), pair) for group in groups for pair in group]
    queue = [pair for _, pair in sorted(pairs)]
    conversations = []
    while queue:
        low, high = PAIRS_IN_CHAIN
        size = low + int(chance.random() * (high - low + 1))
        taken, queue = queue[:size], queue[size:]
        conversations.append([turn for pair in taken for turn in pair])
    return conversations


def mechanical_turk(text: str) -> list[Turns]:
    """Return the dialogues of a CSV file whose columns Answer.sentence1, 2, ... are the turns; nothing else is read."""
    conversations = []
    for row in csv.DictReader(io.StringIO(text)):
        columns = sorted((int(key[15:]), key) for key in row if key and re.fullmatch(r"Answer\.sentence\d+", key))
        turns = [" ".join((row[key] or "").split()) for _, key in columns]
        conversations.append([turn for turn in turns if turn])
    return conversations


def labelled_column(text: str) -> list[Turns]:
    """Return the dialogues of a CSV file whose column `dialogue` has `Name: text Name: text`."""
    conversations = []
    for row in csv.DictReader(io.StringIO(text)):
        turns = re.split(r"(?:^|(?<=\s))[A-Z][\w .]{1,24}: ", row.get("dialogue") or "")
        conversations.append([" ".join(turn.split()) for turn in turns if turn.strip()])
    return conversations


def labelled_lines(text: str) -> list[Turns]:
    """Return the dialogues of a text whose lines begin with `Name:`; a greeting begins a new one."""
    conversations: list[Turns] = []
    speaker = ""
    for line in text.split("\n"):
        if not (match := _SPEAKER.match(line)):
            continue
        name, turn = match[1], " ".join(match[2].split())
        if not conversations or (re.fullmatch(r"(?:hi|hello|hey)\b.{0,20}", turn, re.IGNORECASE) and name != speaker):
            conversations.append([])
        elif name == speaker and conversations[-1]:
            conversations[-1][-1] += " " + turn
            continue
        speaker = name
        conversations[-1].append(turn)
    return conversations


def read(path: str, text: str) -> Iterator[Turns]:
    """Yield the conversations of a file. Its name selects the reader."""
    name = path.rsplit("/", 1)[-1]
    if name.endswith(".qna"):
        yield from chain(chitchat_pairs(text), name)
    elif name.startswith("personality-qa"):
        yield from chain(table_pairs(text), name)
    elif name.endswith(".json"):
        yield from chain(intent_pairs(text), name)
    elif name.startswith("tinytalks"):
        yield from chain(tinytalks(text), name)
    elif name.startswith("self-"):
        yield from mechanical_turk(text)
    elif name.startswith("fun-"):
        yield from labelled_column(text)
    elif name.endswith("-chat.txt"):
        yield from labelled_lines(text)


def suitable_parts(turns: Iterable[str], max_turn_chars: int, *, drop_unanswered: bool = False) -> Iterator[Turns]:
    """Yield the parts of a conversation between turns that are too long, crude, or have personal data.

    With `drop_unanswered` the turn before it is left out too: a question without its answer.
    """
    part: Turns = []
    for turn in turns:
        if len(turn) > max_turn_chars or pii.found(turn) is not None or CRUDE.search(turn.lower()):
            if drop_unanswered:
                part = part[:-1]
            if len(part) > 1:
                yield part
            part = []
        else:
            part.append(turn)
    if len(part) > 1:
        yield part


def _is_suitable(question: str) -> bool:
    return not UNSUITABLE_TOPICS.search(question)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
