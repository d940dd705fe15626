"""Small talk between two people, from the package chitchat-dataset, with chatterbot's question and answer pairs.

What a small character model can learn from a conversation is how one turn answers the last, so:

- A turn has at most `LONGEST` characters. A reply of two lines is as much as such a model can keep on its subject. A
  longer turn keeps its first sentences, which answer, and its last, which is answered; a monologue ends the
  conversation.
- Spelling and signs are made regular (`wording`, `spelling`): what varies without meaning costs capacity.
- A turn that cannot be used (`unusable`) does not vanish, since two turns of one person in a row would then look like
  an answer. The conversation ends before it, and another begins behind it.
- Greetings are kept `GREETINGS` times each. Half of all conversations begin with the same ten turns, which a model
  would learn by heart and say at every occasion.
- Every conversation was about a question that both were shown; where the first turn seems to answer it, it is put
  first.
- Conversations of fewer than `FEWEST` turns in the source are people who missed each other. What is left of one after
  it was divided may have two: a turn and its answer.
- Copies go: conversations that share half of their word sequences with earlier ones.

Speakers alternate in what is left, one turn a line, a blank line between conversations. What was divided stays together
when a part is held out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from charlm.corpora import chatterbot, filters, normalise_english, spelling
from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.corpora.near_duplicates import NearDuplicateFilter
from charlm.errors import CorpusError

LONGEST: Final = 200  # characters of a turn
MONOLOGUE: Final = 400
FEWEST: Final = 4  # turns of a conversation in the source
GREETINGS: Final = 25
_CUT = range(160, 180)  # characters after which the website cut long messages

_GREETS = re.compile(
    r"\b(?:hi|hey|hello|hiya|howdy|sup|yo|greetings|good (?:morning|evening|afternoon)|how are|how's it|what's up)\b",
    re.IGNORECASE,
)
_ANSWERS = re.compile(
    r"(?:I|I'd|I'm|I've|My|It|It's|If|Probably|Maybe|Definitely|That|We|We'd|They|Well|Yes|No|The|A|Mine|Honestly|To)\b"
)
_SAYS_LITTLE = normalise_english.word_set(
    "what would have that with your about this they were from when will does them like most ever"
)


class RawConversation(NamedTuple):
    """A conversation as it was found.

    Attributes:
        name: its id.
        prompt: the question that both were shown, if any.
        turns: the messages of each turn; the speakers alternate.
    """

    name: str
    prompt: str
    turns: list[list[str]]


def units(sources: Mapping[str, Files], tally: CleaningReport, options: Mapping[str, Any]) -> list[Document]:
    """Each conversation as a piece, those of chitchat-dataset first.

    Args:
        sources: JSON files of chitchat-dataset and YAML files of chatterbot's corpus, told by their names.
        tally: counts.
        options: none.
    """
    paths = {path: text for files in sources.values() for path, text in files.items()}
    conversations = [one for path, text in paths.items() if path.endswith(".json") for one in read(text)]
    entries = [one for path, text in paths.items() if path.endswith(".yml") for one in chatterbot.read(path, text)]
    copies = NearDuplicateFilter()
    found = []
    for name, turns in clean(conversations, tally) + chatterbot.clean(entries, tally, tidy=normalise_english.tidy):
        if copies.is_new(normalise_english.words(" ".join(turns))):
            found.append(Document(name, "\n".join(turns)))
        else:
            tally.remove("conversations that are copies of others", sum(map(len, turns)))
    return found


def read(text: str) -> list[RawConversation]:
    """The conversations of chitchat-dataset's JSON file.

    Raises:
        CorpusError: it is of another form.
    """
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
        raise CorpusError("the conversations are not in the form that this version of the package has") from error


def clean(conversations: Sequence[RawConversation], tally: CleaningReport) -> list[tuple[str, list[str]]]:
    """Conversations that a small model can learn from, by name; those that were divided keep their name."""
    kept = []
    for one in conversations:
        if len(one.turns) < FEWEST:
            tally.remove(f"conversations of fewer than {FEWEST} turns", sum(len("".join(turn)) for turn in one.turns))
        else:
            kept.append(one)
    known = spelling.count_words(message for one in kept for turn in one.turns for message in turn)
    regular = [(one, [join(turn, known) for turn in one.turns]) for one in kept]
    texts = [turn for _, turns in regular for turn in turns]
    counts = spelling.count_words(texts)
    meant, cases = spelling.slips(counts), spelling.true_cases(texts)
    tally.change("misspelt words corrected", sum(counts[word] for word in meant))
    greeted: Counter[str] = Counter()
    found = []
    for one, turns in regular:
        spelt = [spelling.respell(turn, meant, cases) for turn in turns]
        parts = divided(spelt, one.turns, counts, tally)
        if parts and parts[0][0] == spelt[0]:
            parts[0] = _opened(one.prompt, _past_greetings(parts[0], greeted, tally), tally)
        for part in parts:
            if len(part) > 1:
                found.append((one.name, part))
            else:
                tally.remove("turns left alone", sum(map(len, part)), len(part))
    return found


def join(messages: Sequence[str], known: Mapping[str, int]) -> str:
    """A turn's messages as one text, made regular.

    The website cut long messages in two, which are joined again; where the second half came behind the other's turn,
    the sentence that was cut goes. A message that begins with an asterisk corrects the one before it, and is left out.

    Args:
        messages: as they were typed.
        known: how often the corpus has each word.
    """
    whole: list[str] = []
    going_on = False
    for message in (message.strip() for message in messages):
        if not message or message.startswith("*") or (message.endswith("*") and len(message.split()) <= 2):
            continue
        if going_on:
            whole[-1] += " " + message
        else:
            whole.append(message)
        going_on = len(message) in _CUT and message[-1] not in ".!?"
    if going_on:
        whole[-1] = re.sub(r"(?:^|(?<=[.!?] ))[^.!?]*$", "", whole[-1])
    return " ".join(text for text in (normalise_english.regular(message, known) for message in whole) if text)


def shorten(turn: str, longest: int = LONGEST) -> str:
    """The first sentences of a long turn and its last, as many as fit; nothing if not even two do."""
    if len(turn) <= longest:
        return turn
    parts = re.split(r"(?<=[.!?]) (?=[A-Z])", turn)
    last = parts.pop()
    kept: list[str] = []
    for part in parts:
        if len(" ".join([*kept, part, last])) > longest:
            break
        kept.append(part)
    return " ".join([*kept, last]) if kept else ""


def divided(
    turns: Sequence[str], messages: Sequence[Sequence[str]], counts: Mapping[str, int], tally: CleaningReport
) -> list[list[str]]:
    """A conversation, divided where a turn cannot be used; long turns are shortened.

    Args:
        turns: made regular.
        messages: of each turn, as they were typed.
        counts: how often the corpus has each word.
        tally: counts.
    """
    parts: list[list[str]] = [[]]
    said: set[str] = set()
    typed = [" ".join(one) for one in messages]
    for turn, raw, website in zip(turns, typed, filters.about_website(typed), strict=True):
        reason = filters.why(turn, raw, normalise_english.words(turn), website, counts, said)
        short = turn
        if reason is None and len(turn) > LONGEST:
            short = shorten(turn) if len(turn) <= MONOLOGUE else ""
            reason = None if short else f"turns over {LONGEST} characters that could not be shortened"
        if reason is not None:
            tally.remove(reason, turn)
            parts.append([])
            continue
        if short != turn:
            tally.remove("sentences in the middle of long turns", len(turn) - len(short))
        said.add(turn)
        parts[-1].append(short)
    return [part for part in parts if part]


def _past_greetings(turns: list[str], greeted: Counter[str], tally: CleaningReport) -> list[str]:
    """A conversation without the greetings that others began with often enough."""
    while turns and len(turns[0]) <= 40 and _GREETS.search(turns[0]):
        key = " ".join(normalise_english.words(turns[0]))
        if greeted[key] < GREETINGS:
            greeted[key] += 1
            break
        tally.remove("greetings that others begin with", turns[0])
        turns = turns[1:]
    return turns


def _opened(prompt: str, turns: list[str], tally: CleaningReport) -> list[str]:
    """A conversation with the question it was about before it, if its first turn seems to be an answer to that."""
    if not prompt or not turns or len(turns[0]) < 15 or "?" in turns[0] or _GREETS.search(turns[0]):
        return turns
    question = re.sub(r"\s*\([^)]*\)", "", prompt).strip()
    shared = (set(normalise_english.words(question)) & set(normalise_english.words(turns[0]))) - _SAYS_LITTLE
    supposes = "would" in turns[0] + question and _ANSWERS.match(turns[0])
    if not supposes and not any(len(word) > 3 for word in shared):
        return turns
    tally.change("questions put before their answers")
    return [question, *turns]
