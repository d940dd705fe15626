"""A text as the conversations that it holds."""

from __future__ import annotations

from typing import NamedTuple

from charlm.text.dialogue import Dialogue


class Utterance(NamedTuple):
    """A turn.

    Attributes:
        name: who speaks; empty in formats without names.
        text: the words.
    """

    name: str
    text: str


def conversations_in(text: str, dialogue: Dialogue) -> list[tuple[Utterance, ...]]:
    """The turns of a text, conversation by conversation.

    A blank line ends a conversation in formats whose turns have none between them; any other text is one. What has no
    speaker where the format names them, as a stage direction has none, is left out.

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
