"""The chat partner's text: simulated small talk, and questions and answers that people wrote.

The simulator (`charlm.corpora.simulator`) teaches replies to the point, and recall of facts stated turns earlier.
The pairs that people wrote add other wordings.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from charlm.corpora import dialogue_sources, japanese_base, pii, simulator
from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.corpora.english import typed
from charlm.errors import CorpusError
from charlm.text.decoding import normalise

MAX_TURN_CHARS: Final = 160
SEED: Final = 1
PARTS: Final[dict[str, Mapping[str, int]]] = {
    "english": {"talk": 46_000_000, "recall": 8_000_000, "copy": 2_000_000},
    "japanese": {"talk": 20_000_000, "recall": 4_000_000, "copy": 1_000_000},
}
"""Characters of the simulator's mixes, for each language."""
SHARES: Final = {
    "english-dialogue/chitchat-en-friendly": 1.0,
    "english-dialogue/chitchat-en": 0.0,
    "english-dialogue/personality-qa-friendly": 1.0,
    "english-dialogue/personality-qa": 0.0,
    "english-dialogue/self-": 0.1,
}
"""Shares of the collections, by the first beginning that fits; the others are read whole.

Sets with one fixed answer to a hundred questions are read in one mood only: at a low temperature a fixed answer
wins over the simulator's many wordings, also where it does not fit.
"""


def documents(
    files: Files,
    report: CleaningReport,
    simulated: Sequence[str] = ("english",),
    parts: Mapping[str, int] | None = None,
) -> Iterator[Document]:
    """Yield simulated conversations, then conversations between people.

    Args:
        files: of people's conversations.
        report: counts removals.
        simulated: the one language of the simulated conversations.
        parts: characters of the simulator's mixes; by default those of `PARTS`.

    Raises:
        CorpusError: not one language, or one that cannot be simulated.
    """
    language, *others = simulated or ("",)
    if others or language not in PARTS:
        raise CorpusError(f"`simulated` must be one of {', '.join(PARTS)}")
    for mix, characters in (parts or PARTS[language]).items():
        for number, one in enumerate(simulator.conversations(language, simulator.MIXES[mix], SEED, characters)):
            yield Document(f"{mix}-{number}", "\n".join(one.turns))
    if language == "english":
        yield from _english(files, report)
    else:
        for number, document in enumerate(japanese_base.conversations(files, report)):
            yield Document(f"{document.name}:{number}", document.text)


def _english(files: Files, report: CleaningReport) -> Iterator[Document]:
    for path, text in files:
        share = next((share for beginning, share in SHARES.items() if path.startswith(beginning)), 1.0)
        for number, turns in enumerate(dialogue_sources.read(path, normalise(text))):
            name = f"{path}:{number}"
            if random.Random(name).random() >= share:
                continue
            report.remove("turns with personal data", 0, sum(pii.found(turn) is not None for turn in turns))
            for part in dialogue_sources.suitable_parts(turns, MAX_TURN_CHARS, drop_unanswered=True):
                yield Document(name, "\n".join(map(typed, part)))
