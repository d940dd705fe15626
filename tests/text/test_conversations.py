"""A text's turns: joined again they are the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.conversations import Utterance, conversations_in, frequent_exchange
from charlm.text.dialogue import Dialogue

words = st.text("abc ,.!", min_size=1).map(str.strip).filter(bool)
FORMATS = {
    "lines": Dialogue("lines"),
    "transcript": Dialogue("transcript", ("Anna", "Bob")),
    "play": Dialogue("play", ("ANNA", "BOB")),
}


@pytest.mark.parametrize("format_name", FORMATS)
@given(conversations=st.lists(st.lists(words, min_size=1, max_size=5), min_size=1, max_size=4))
def test_written_turns_are_found(format_name: str, conversations: list[list[str]]) -> None:
    dialogue = FORMATS[format_name]
    if dialogue.has_names:
        conversations = [[line for turns in conversations for line in turns]]  # the text is one conversation
    names = dialogue.names or ("", "")
    expected = [tuple(Utterance(names[n % 2], line) for n, line in enumerate(turns)) for turns in conversations]
    text = "\n\n".join(
        dialogue.closing.join(dialogue.opening(one.name) + one.text for one in turns) for turns in expected
    )
    assert conversations_in(text, dialogue) == expected


def test_stage_directions_are_no_turns() -> None:
    text = "ACT I\n\nANNA:\nMoin.\nAll of you.\n\nExeunt\n\nBOB:\nMoin."
    assert conversations_in(text, FORMATS["play"]) == [
        (Utterance("ANNA", "Moin.\nAll of you."), Utterance("BOB", "Moin."))
    ]
    assert conversations_in("\n\n\n", FORMATS["lines"]) == []


def test_frequent_exchange_is_a_whole_one_that_ends_conversations() -> None:
    talks = [
        "hello?\nhi.\nbye\nso long",
        "hello?\nhi.\nbye\nso long\nno",
        "who?\nme.",
        "hello?\nhi.\nhm\nwell",
        *["alone"] * 3,
    ]
    assert frequent_exchange("\n\n".join(talks), FORMATS["lines"]) == "bye\nso long\n\n"
    assert frequent_exchange("alone\n\nalone", FORMATS["lines"]) == frequent_exchange("", FORMATS["lines"]) == ""
    assert frequent_exchange("a" * 400 + "\nyes", FORMATS["lines"]) == "", "long ones do not fit"
    assert frequent_exchange("ANNA:\nMoin.\n\nBOB:\nMoin.", FORMATS["play"]) == ""
