"""Near-duplicates are found, and another candidate is chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.near_duplicates import are_near_duplicates, first_new, normalised
from charlm.config import ChatConfig

from .models import DIALOGUES, random_engine


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("yeah?", "Yeah."),
        ("I don't know", "i dont know!"),
        ("I have never heard of that.", "i have never heard of that, no"),
        ("  so   it goes", "so it goes"),
        ("...", "..."),
    ],
)
def test_near_duplicates_are_found(one: str, other: str) -> None:
    assert are_near_duplicates(normalised(one), normalised(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("yes", "no"),
        ("i like the guitar", "i like the sea"),
        ("...", "!"),
        ("why?", "why not?"),
        ("I am", "I am not so sure"),
    ],
)
def test_different_texts_are_not_duplicates(one: str, other: str) -> None:
    assert not are_near_duplicates(normalised(one), normalised(other))


@given(one=st.text(max_size=40), other=st.text(max_size=40))
def test_near_duplicates_ignore_case_and_spaces(one: str, other: str) -> None:
    assert are_near_duplicates(normalised(one), normalised(one))
    assert normalised(normalised(one)) == normalised(one)
    assert are_near_duplicates(normalised(one), normalised(f"  {one}\n "))
    assert are_near_duplicates(one, other) or one != other


@given(choices=st.lists(st.text(max_size=6), min_size=1, max_size=5), said=st.lists(st.text(max_size=6), max_size=5))
def test_first_new_always_chooses(choices: list[str], said: list[str]) -> None:
    chosen = first_new(choices, lambda one: one, said)
    assert chosen in choices
    new = [
        one
        for one in choices
        if one.strip()
        and not any(are_near_duplicates(normalised(one), normalised(old)) for old in said if normalised(old))
    ]
    if new:
        assert chosen == new[0]
    elif telling := [one for one in choices if one.strip()]:
        assert chosen == telling[0]


def test_reply_avoids_your_turn_and_earlier_replies() -> None:
    conversation = Conversation(
        random_engine(), ConversationData.start(DIALOGUES["lines"], dials=ChatConfig(candidates=4, length=12), seed=1)
    )
    first, second = (conversation.say(text) for text in ("hello", "and you?"))
    again = conversation.regenerate()
    avoided = [conversation.texts_to_avoid(reply.turn) for reply in (first, second, again)]
    assert avoided == [["hello"], ["and you?", first.text], ["and you?", first.text]]
    assert second.text != first.text


def test_reply_skips_a_repeated_candidate() -> None:
    dials = ChatConfig(candidates=4, length=12, temperature=1.0)
    fresh = Conversation(random_engine(), ConversationData.start(DIALOGUES["lines"], dials=dials, seed=3))
    best = fresh.say("hello").text
    echoed = Conversation(random_engine(), ConversationData.start(DIALOGUES["lines"], dials=dials, seed=3))
    # The same candidates after the same words; only what counts as said differs.
    echoed.texts_to_avoid = lambda turn: [best]  # type: ignore[method-assign]
    assert normalised(echoed.say("hello").text) != normalised(best)
