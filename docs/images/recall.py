"""Draw where a reply of `smalltalk` copies from: docs/images/recall.svg.

    python docs/images/recall.py

A person's character is as bright as its largest share in a character of the reply. A character of the reply is as
bright as its share of copies.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

import charlm
from charlm.chat.recall import Recall
from charlm.inference.context import encode_lossy

LINES = (
    "Hi, I'm Brundo.",
    "I live in Lisbon, near the river.",
    "We have a dog called Skiplo.",
    "It has been raining all day.",
    "What is my dog's name?",
)


def shaded(text: str, shares: NDArray[np.floating]) -> Text:
    """Return a text with a background for each character."""
    line = Text()
    for character, share in zip(text, shares, strict=True):
        red, green, blue = (int(part * (0.15 + 0.85 * share)) for part in (40, 150, 190))
        line.append(character, Style(color="white", bgcolor=Color.from_rgb(red, green, blue)))
    return line


def draw() -> None:
    """Talk, and draw the shares of the last reply."""
    chat = charlm.load("smalltalk").chat(seed=1)
    for line in LINES:
        chat.say(line)
    conversation = chat
    turns = [turn for turn in conversation.path if turn.author == "you"]
    recall = Recall.of(conversation.engine)
    assert recall is not None
    memory = recall.memory(turns, conversation.dials.recall)
    reply = conversation.head
    assert memory is not None
    assert reply.parent is not None
    before = conversation.contexts.begin_turn(conversation.context(reply.parent), reply)
    ids = encode_lossy(conversation.engine.vocabulary, reply.text)
    copies = memory.copies(conversation.engine.hidden_states(before.state, ids)[:-1])  # (T, N + 1)
    console = Console(record=True, width=72, file=io.StringIO(), force_terminal=True)
    place = 1
    for turn in turns:
        console.print("you   ", shaded(turn.text, copies[:, place : place + len(turn.text)].max(axis=0)), sep="")
        place += len(turn.text)
    console.print("reply ", shaded(reply.text, 1 - copies[:, 0]), sep="")
    Path(__file__).with_name("recall.svg").write_text(
        console.export_svg(title="what the reply copies"), encoding="utf-8"
    )


if __name__ == "__main__":
    draw()
