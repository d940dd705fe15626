"""Small talk between two people, from the package chitchat-dataset, with chatterbot's question and answer pairs.

From a conversation a small character model can learn how one turn answers the last. So:

- A turn has at most `MAX_TURN_CHARS` characters: a small model keeps to its subject for about two lines. A longer turn
  keeps its first sentences, which answer, and its last, which gets an answer. A monologue ends the conversation.
- Spelling and punctuation are normalised (`normalise_english`, `spelling`): variation without meaning costs capacity.
- A rejected turn (`filters`) ends the conversation, and another begins after it. Without this, two turns of one person
  would look like a turn and its answer.
- Equal greetings are kept `MAX_EQUAL_GREETINGS` times. Half of all conversations begin with the same ten turns, and a
  model would memorise them.
- Every conversation was about a question that both people saw. It comes first if the first turn seems to answer it.
- Conversations of fewer than `MIN_TURNS` turns in the source are removed. A part of a longer one may have two turns.
- Conversations that share half of their word sequences with earlier ones are removed.

The result has one turn a line, alternating speakers, and a blank line between conversations. The parts of one
conversation stay together when a part of the corpus is held out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from charlm.corpora import chatterbot, filters, normalise_english, spelling
from charlm.corpora.documents import CleaningReport, Document, Files, read_table
from charlm.corpora.near_duplicates import NearDuplicateFilter
from charlm.errors import CorpusError

MAX_TURN_CHARS: Final = 200
MAX_SHORTENED_CHARS: Final = 400  # of a turn that is shortened instead of rejected
MIN_TURNS: Final = 4  # turns of a conversation in the source
MAX_EQUAL_GREETINGS: Final = 25
_CUT_LENGTHS = range(160, 180)  # the website cut long messages at these lengths

_GREETS = re.compile(
    r"\b(?:hi|hey|hello|hiya|howdy|sup|yo|greetings|good (?:morning|evening|afternoon)|how are|how's it|what's up)\b",
    re.IGNORECASE,
)
_ANSWERS = re.compile(
    r"(?:I|I'd|I'm|I've|My|It|It's|If|Probably|Maybe|Definitely|That|We|We'd|They|Well|Yes|No|The|A|Mine|Honestly|To)\b"
)
_SAYS_LITTLE = frozenset(read_table("filters.toml")["says_little"].split())


class RawConversation(NamedTuple):
    """A conversation of the source."""

    name: str
    prompt: str  # the question that both people saw, if any
    turns: list[list[str]]  # the messages of each turn; the speakers alternate


def documents(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield each conversation as a document, those of chitchat-dataset (JSON) before chatterbot's (YAML)."""
    conversations = [one for path, text in files if path.endswith(".json") for one in read(text)]
    entries = [one for path, text in files if path.endswith(".yml") for one in chatterbot.read(path, text)]
    copies = NearDuplicateFilter()
    for name, turns in clean(conversations, report) + chatterbot.clean(entries, report, tidy=normalise_english.tidy):
        if copies.is_new(normalise_english.words(" ".join(turns))):
            yield Document(name, "\n".join(turns))
        else:
            report.remove("conversations that are copies of others", sum(map(len, turns)))


def read(text: str) -> list[RawConversation]:
    """Return the conversations of chitchat-dataset's JSON file."""
    try:
        return [
            RawConversation(
                name,
                one.get("prompt") or "",
                [[message["text"] for message in turn] for turn in one["messages"] if turn],
            )
            for name, one in json.loads(text).items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError("the form of the conversations is not that of this version of the package") from error


def clean(conversations: Sequence[RawConversation], report: CleaningReport) -> list[tuple[str, list[str]]]:
    """Return cleaned conversations with their names; the parts of one conversation share its name."""
    kept = [one for one in conversations if len(one.turns) >= MIN_TURNS]
    for one in conversations:
        if len(one.turns) < MIN_TURNS:
            size = sum(len(message) for turn in one.turns for message in turn)
            report.remove(f"conversations of fewer than {MIN_TURNS} turns", size)
    known = spelling.count_words(message for one in kept for turn in one.turns for message in turn)
    normalised = [[join(turn, known) for turn in one.turns] for one in kept]
    texts = [turn for turns in normalised for turn in turns]
    counts = spelling.count_words(texts)
    corrections, cases = spelling.find_misspellings(counts), spelling.true_cases(texts)
    report.change("misspelt words corrected", sum(counts[word] for word in corrections))
    greeted: Counter[str] = Counter()
    found = []
    for one, turns in zip(kept, normalised, strict=True):
        spelt = [spelling.correct(turn, corrections, cases) for turn in turns]
        parts = split_at_rejected(spelt, one.turns, counts, report)
        if parts and parts[0][0] == spelt[0]:
            parts[0] = _with_prompt(one.prompt, _without_greetings(parts[0], greeted, report), report)
        for part in parts:
            if len(part) > 1:
                found.append((one.name, part))
            else:
                report.remove("turns left alone", sum(map(len, part)), len(part))
    return found


def join(messages: Sequence[str], known: Mapping[str, int]) -> str:
    """Join and normalise the messages of a turn.

    The website cut long messages in two; they are joined again. If the other person's turn came between the halves, the
    cut sentence is removed. A message that begins with an asterisk corrects the one before it, and is left out. `known`
    counts each word of the corpus.
    """
    whole: list[str] = []
    is_cut = False
    for message in (message.strip() for message in messages):
        if not message or message.startswith("*") or (message.endswith("*") and len(message.split()) <= 2):
            continue
        if is_cut:
            whole[-1] += " " + message
        else:
            whole.append(message)
        is_cut = len(message) in _CUT_LENGTHS and message[-1] not in ".!?"
    if is_cut:
        whole[-1] = re.sub(r"(?:^|(?<=[.!?] ))[^.!?]*$", "", whole[-1])
    return " ".join(text for text in (normalise_english.normalise(message, known) for message in whole) if text)


def shorten(turn: str) -> str:
    """Return the first sentences of a long turn and its last, as many as fit; empty if fewer than two fit."""
    if len(turn) <= MAX_TURN_CHARS:
        return turn
    parts = re.split(r"(?<=[.!?]) (?=[A-Z])", turn)
    last = parts.pop()
    kept: list[str] = []
    for part in parts:
        if len(" ".join([*kept, part, last])) > MAX_TURN_CHARS:
            break
        kept.append(part)
    return " ".join([*kept, last]) if kept else ""


def split_at_rejected(
    turns: Sequence[str], messages: Sequence[Sequence[str]], counts: Mapping[str, int], report: CleaningReport
) -> list[list[str]]:
    """Split a conversation of normalised turns at rejected ones, and shorten long ones.

    `messages` has what was typed in each turn, and `counts` counts each word of the corpus.
    """
    parts: list[list[str]] = [[]]
    said: set[str] = set()
    typed = [" ".join(one) for one in messages]
    for turn, raw, website in zip(turns, typed, filters.about_website(typed), strict=True):
        reason = filters.rejection_reason(turn, raw, normalise_english.words(turn), website, counts, said)
        short = turn
        if reason is None and len(turn) > MAX_TURN_CHARS:
            short = shorten(turn) if len(turn) <= MAX_SHORTENED_CHARS else ""
            reason = None if short else f"turns over {MAX_TURN_CHARS} characters that could not be shortened"
        if reason is not None:
            report.remove(reason, turn)
            parts.append([])
            continue
        if short != turn:
            report.remove("sentences in the middle of long turns", len(turn) - len(short))
        said.add(turn)
        parts[-1].append(short)
    return [part for part in parts if part]


def _without_greetings(turns: list[str], greeted: Counter[str], report: CleaningReport) -> list[str]:
    """Return a conversation without greetings that already begin `MAX_EQUAL_GREETINGS` others."""
    while turns and len(turns[0]) <= 40 and _GREETS.search(turns[0]):
        key = " ".join(normalise_english.words(turns[0]))
        if greeted[key] < MAX_EQUAL_GREETINGS:
            greeted[key] += 1
            break
        report.remove("greetings that others begin with", turns[0])
        turns = turns[1:]
    return turns


def _with_prompt(prompt: str, turns: list[str], report: CleaningReport) -> list[str]:
    """Return a conversation with its question before it, if the first turn seems to answer that."""
    if not prompt or not turns or len(turns[0]) < 15 or "?" in turns[0] or _GREETS.search(turns[0]):
        return turns
    question = re.sub(r"\s*\([^)]*\)", "", prompt).strip()
    shared = (set(normalise_english.words(question)) & set(normalise_english.words(turns[0]))) - _SAYS_LITTLE
    supposes = "would" in turns[0] + question and _ANSWERS.match(turns[0])
    if not supposes and not any(len(word) > 3 for word in shared):
        return turns
    report.change("questions put before their answers")
    return [question, *turns]
