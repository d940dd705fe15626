"""A text's turns: joined again they are the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.conversations import Utterance, conversations_in
from charlm.text.dialogue import Dialogue

words = st.text("abc ,.!", min_size=1).map(str.strip).filter(bool)
FORMATS = {
    "lines": Dialogue("lines"),
    "transcript": Dialogue("transcript", ("Anna", "Bob")),
    "play": Dialogue("play", ("ANNA", "BOB")),
}


@pytest.mark.parametrize("form", FORMATS)
@given(said=st.lists(st.lists(words, min_size=1, max_size=5), min_size=1, max_size=4))
def test_what_was_written_as_turns_is_found_as_turns(form: str, said: list[list[str]]) -> None:
    dialogue = FORMATS[form]
    if dialogue.has_names:
        said = [[line for turns in said for line in turns]]  # nothing ends a conversation there but the text
    names = dialogue.names or ("", "")
    expected = [tuple(Utterance(names[n % 2], line) for n, line in enumerate(turns)) for turns in said]
    text = "\n\n".join(
        dialogue.closing.join(dialogue.opening(one.name) + one.text for one in turns) for turns in expected
    )
    assert conversations_in(text, dialogue) == expected


def test_what_nobody_says_is_no_turn() -> None:
    text = "ACT I\n\nANNA:\nMoin.\nAll of you.\n\nExeunt\n\nBOB:\nMoin."
    assert conversations_in(text, FORMATS["play"]) == [
        (Utterance("ANNA", "Moin.\nAll of you."), Utterance("BOB", "Moin."))
    ]


def test_a_text_without_turns_has_no_conversation() -> None:
    assert conversations_in("\n\n\n", FORMATS["lines"]) == []
