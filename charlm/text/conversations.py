"""The conversations in a text."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from charlm.text.dialogue import MAX_PRIMER_CHARS, Dialogue


class Utterance(NamedTuple):
    """A turn."""

    name: str  # speaker; empty in formats without names
    text: str


def conversations_in(text: str, dialogue: Dialogue) -> list[tuple[Utterance, ...]]:
    """Return the turns of each conversation of a text.

    A blank line ends a conversation in formats that have none between turns. In other formats the text is one
    conversation. In formats with names, parts without a speaker are left out, such as stage directions.

    Args:
        text: composed (NFC) and with plain newlines.
        dialogue: a format with turns.
    """
    assert dialogue.has_turns
    found = []
    for part in text.split("\n\n") if dialogue.closing == "\n" else [text]:
        turns = []
        for turn in part.split(dialogue.closing):
            name = (dialogue.speakers_in("\n\n" + turn) or [""])[0]
            words = turn.strip("\n").removeprefix(dialogue.opening(name))
            if words.strip() and (name or not dialogue.has_names):
                turns.append(Utterance(name, words))
        if turns:
            found.append(tuple(turns))
    return found


def frequent_exchange(text: str, dialogue: Dialogue) -> str:
    """Return the most frequent end of conversations, two turns, as a primer; empty in formats with names.

    Beginnings often ask something, and a small model would answer that question again.
    """
    if dialogue.format != "lines":
        return ""
    answered = [turns[: len(turns) // 2 * 2] for turns in conversations_in(text, dialogue)]
    pairs = ["\n".join([turn.text for turn in turns[-2:]]) + "\n\n" for turns in answered]
    counts = Counter(one for one in pairs if one.count("\n") == 3 and len(one) <= MAX_PRIMER_CHARS)
    return max(counts, key=counts.__getitem__, default="")
