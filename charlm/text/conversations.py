"""The conversations in a text."""

from __future__ import annotations

from typing import NamedTuple

from charlm.text.dialogue import Dialogue


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
            name = (dialogue.speakers_in(dialogue.beginning + turn) or [""])[0]
            words = turn.strip("\n").removeprefix(dialogue.opening(name))
            if words.strip() and (name or not dialogue.has_names):
                turns.append(Utterance(name, words))
        if turns:
            found.append(tuple(turns))
    return found
