"""Speakers of a conversation."""

from __future__ import annotations

import pytest

from charlm.chat.conversation_data import ConversationData, choose_speakers
from charlm.chat.reply import Observer
from charlm.chat.turns import Turn
from charlm.errors import UsageError
from charlm.text.dialogue import Dialogue

from .talkers import assert_remembers_what_is_seen, converse, stop_at


@pytest.mark.parametrize("form", ["transcript", "play"])
@pytest.mark.parametrize(
    ("you", "bot", "expected"),
    [
        (None, None, ("BEN", "ANNA")),
        ("ben", None, ("BEN", "ANNA")),
        ("ANNA", None, ("ANNA", "BEN")),
        (None, "ben", ("ANNA", "BEN")),
        (None, "cle", ("ANNA", "CLEO")),
        ("cleo", "an", ("CLEO", "ANNA")),
        ("A stranger", None, ("A stranger", "ANNA")),
        (" ben ", "CLEO", ("BEN", "CLEO")),
    ],
)
def test_roles_are_chosen_from_names(form: str, you: str | None, bot: str | None, expected: tuple[str, str]) -> None:
    assert choose_speakers(Dialogue(form, ("ANNA", "BEN", "CLEO")), you, bot) == expected


@pytest.mark.parametrize(("names", "expected"), [((), ("BOT", "YOU")), (("ANNA",), ("YOU", "ANNA"))])
def test_roles_with_too_few_names(names: tuple[str, ...], expected: tuple[str, str]) -> None:
    assert choose_speakers(Dialogue("play", names), None, None) == expected


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a: b", "x" * 41, "He said. Then", "12", "a\x1b"])
def test_roles_invalid_names_are_refused(name: str) -> None:
    for you, bot in ((name, None), (None, name)):
        with pytest.raises(UsageError, match="cannot be the name"):
            choose_speakers(Dialogue("play", ("ANNA", "BEN")), you, bot)


def test_roles_are_distinct_or_absent() -> None:
    with pytest.raises(UsageError, match="both speakers are ANNA"):
        choose_speakers(Dialogue("play", ("ANNA", "BEN")), "anna", "ANNA")
    for format_ in ("plain", "lines"):
        assert choose_speakers(Dialogue(format_), None, None) == ("you", "bot")


def test_role_change_keeps_earlier_turns() -> None:
    conversation = converse("play")
    conversation.say("hello", Observer(stop_at(conversation, 3)))
    conversation.data.bot = "BABA"
    conversation.continue_()
    assert conversation.head.name == "ANNA"
    conversation.branch_at(conversation.head, 1)
    assert conversation.head.name == "ANNA"
    assert_remembers_what_is_seen(conversation)
    conversation.say("and you?")
    assert conversation.head.name == "BABA"
    assert_remembers_what_is_seen(conversation)


def test_withdrawn_turn_has_no_version() -> None:
    """The interface may show the beginning of a reply after the reply was withdrawn."""
    data = ConversationData.start()
    turns = [Turn(0, data.root, "bot", "", ()) for _ in range(3)]
    for turn in turns:
        data.attach(turn)
    assert [turn.version for turn in turns] == ["1/3", "2/3", "3/3"]
    data.detach(turns[2])
    assert [turn.version for turn in turns] == ["1/2", "2/2", ""]
