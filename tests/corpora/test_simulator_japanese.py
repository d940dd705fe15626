"""Simulated small talk in Japanese: no holes, no foreign letters, the same text for the same seed."""

from __future__ import annotations

import re
from random import Random

import pytest

from charlm.corpora.simulator import MIXES, SimulatedConversation, conversations
from charlm.corpora.simulator.check import problems
from charlm.corpora.simulator.language import language
from charlm.corpora.simulator.phrases import VALUE_END, VALUE_START
from charlm.corpora.simulator.script import load
from charlm.corpora.simulator.speakers import Speakers

MAX_SHARE_OF_LONG_REPLIES = 0.02
LONG_REPLY_CHARS = 70


def made() -> list[SimulatedConversation]:
    return [one for mix in MIXES.values() for one in conversations("japanese", mix, 1, 40_000)]


@pytest.fixture(scope="module")
def talk() -> list[SimulatedConversation]:
    return made()


def test_topics_and_lists_have_no_problems() -> None:
    assert not "\n".join(problems(load("japanese")))


def test_turns_have_no_holes_and_no_foreign_letters(talk: list[SimulatedConversation]) -> None:
    for turn in (turn for one in talk for turn in one.turns):
        assert turn.strip() == turn != ""
        assert not re.search(r"[{}\[\]|\x02\x03\n~ ]", turn), turn
        assert set(re.findall("[A-Za-z]+", turn)) <= {"charlm", "wwww"}, turn


def test_replies_are_short_and_end_with_a_mark(talk: list[SimulatedConversation]) -> None:
    replies = [reply for one in talk for reply in one.turns[1::2]]
    for reply in replies:
        assert re.search("[\u3002\uff01\uff1f\u2026\u300d]$", reply), reply
    assert sum(len(reply) > LONG_REPLY_CHARS for reply in replies) < MAX_SHARE_OF_LONG_REPLIES * len(replies)


def test_facts_asked_for_were_told_and_are_in_the_reply(talk: list[SimulatedConversation]) -> None:
    known = [(one, question) for one in talk for question in one.questions if question.value is not None]
    assert len(known) > 100
    for one, question in known:
        assert question.value
        assert question.told < question.asked
        assert question.value in one.turns[2 * question.told]
        assert question.value in one.turns[2 * question.asked + 1]


def test_same_seed_gives_the_same_conversations(talk: list[SimulatedConversation]) -> None:
    assert [one.turns for one in made()] == [one.turns for one in talk]


def test_hasty_typing_leaves_values_whole() -> None:
    speakers = Speakers(load("japanese"), Random(1), 0.5)
    text = f"{VALUE_START}友達を{VALUE_END}さんと友達を見たよ。"
    typed = {language("japanese").typed(text, "hurried", speakers) for _ in range(300)}
    assert all(one.startswith("友達をさんと") for one in typed)
    assert any("友だち" in one for one in typed)
    assert any("を見" not in one for one in typed)
    assert language("japanese").typed(text, "neat", speakers) == "友達をさんと友達を見たよ。"
