"""A chat session: its model, its conversation, its speakers and its messages."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from charlm.adapt.learner import AdaptedContext, Learner
from charlm.chat.learning import CANDIDATES_WITH_MATCHER
from charlm.chat.reply import Observer
from charlm.chat.session import ChatOptions, Session
from charlm.chat.storage.store import ConversationStore
from charlm.checkpoint import save
from charlm.config import LearnConfig
from charlm.errors import CharlmError, LeftError, NotFoundError, UsageError
from tests.chat.models import DIALOGUES, random_checkpoint, random_matching, random_pointer
from tests.chat.talkers import talking_checkpoint, texts
from tests.conftest import PATIENCE

SHORT = (("candidates", 1), ("length", 12))


Open = Callable[..., Session]


@pytest.fixture
def open_session(models: Path) -> Iterator[Open]:
    """Opens sessions with options, and closes them afterwards."""
    sessions = []

    def call(**options: Any) -> Session:
        sessions.append(Session(ChatOptions(**options)))
        return sessions[-1]

    yield call
    for session in sessions:
        session.close()


@pytest.fixture
def begin(open_session: Open) -> Open:
    """Starts sessions with their first messages."""

    def call(*said: str, **options: Any) -> Session:
        session = open_session(**{"model": "play", "seed": 1, "dials": SHORT, **options})
        for text in said:
            session.conversation.say(text)
        return session

    return call


def test_session_without_a_name_takes_the_newest_model(open_session: Open) -> None:
    session = open_session()
    assert session.name == "novel"
    assert session.dialogue.format == "plain"
    session.close()
    with pytest.raises(NotFoundError, match="no model named 'nobody'"):
        open_session(model="nobody")


# -- going on ---------------------------------------------------------------------------------------------------------


def test_resumed_conversation_keeps_its_model_and_settings(begin: Open, open_session: Open) -> None:
    session = begin("hello")
    said = texts(session.conversation)
    session.close()
    again = open_session(resume=True)
    assert (again.name, texts(again.conversation), again.news()) == ("play", said, [])
    assert (again.conversation.dials.length, again.conversation.data.seed) == (12, 1)
    again.close()
    again = open_session(number=1, dials=(("length", 5),), preset="precise", seed=9)
    dials = again.conversation.dials
    assert (dials.length, dials.candidates, dials.temperature, again.conversation.data.seed) == (5, 1, 0.5, 9)


def test_resume_takes_the_last_conversation_of_the_model(begin: Open, open_session: Open, models: Path) -> None:
    begin("hello").close()
    begin("once ", model="novel").close()
    for model, number in ((None, 2), ("play", 1), (str(models / "play.safetensors"), 1)):
        session = open_session(model=model, resume=True)
        assert session.number == number
    assert open_session(model="play", number=2).name == "play"  # another model is asked for, and reads it


def test_model_given_by_path_is_found_on_resume(begin: Open, open_session: Open, models: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "mine.safetensors"
    elsewhere.parent.mkdir()
    (models / "play.safetensors").rename(elsewhere)
    begin("hello", model="elsewhere/mine.safetensors").close()
    for options in ({"resume": True}, {"number": 1}):
        session = open_session(**options)
        assert (session.name, len(session.conversation.path)) == ("mine", 2)
    session = open_session(model="novel")
    with pytest.raises(NotFoundError):
        session.switch_model("mine")  # only a conversation knows what it means by that
    session.close()
    elsewhere.unlink()
    with pytest.raises(NotFoundError, match="no model named 'mine'"):
        open_session(resume=True)


def test_missing_model_is_replaced_with_a_message(begin: Open, open_session: Open, models: Path) -> None:
    begin("hello").close()
    (models / "play.safetensors").unlink()
    session = open_session()
    session.open(1)
    assert session.name == "novel"
    assert texts(session.conversation)[0] == "hello"
    assert any("no longer exists" in one for one in session.news())
    assert session.news() == []


def test_changed_model_rereads_with_a_message(begin: Open, open_session: Open, models: Path) -> None:
    session = begin("hello")
    said = texts(session.conversation)
    session.close()
    other = replace(random_checkpoint(5, characters=talking_checkpoint().vocabulary.characters))
    save(replace(other, dialogue=DIALOGUES["play"]), models / "play.safetensors")
    again = open_session(resume=True)
    assert texts(again.conversation) == said
    assert any("has changed" in one for one in again.news())


def test_resume_without_conversations_starts_one(begin: Open, open_session: Open) -> None:
    session = begin("hello", resume=True)
    assert any("no conversation to resume" in one for one in session.news())
    session.close()
    again = open_session(resume=True, you="ANNA", bot="BABA")
    assert (again.conversation.data.you, again.conversation.data.bot) == ("BOB", "ANNA")
    assert any("keeps its speakers" in one for one in again.news())
    again.close()
    with pytest.raises(NotFoundError):
        open_session(number=99)


# -- conversations ----------------------------------------------------------------------------------------------------


def test_new_conversation_keeps_speakers_and_settings(begin: Open) -> None:
    session = begin("hello", you="baba", bot="bob")
    session.conversation.dials = replace(session.conversation.dials, temperature=1.5)
    first = session.conversation
    session.new()
    assert session.number is None
    assert (session.conversation.data.you, session.conversation.data.bot) == ("BABA", "BOB")
    assert session.conversation.dials == first.dials


def test_learned_weights_of_a_conversation_that_is_left_are_freed(begin: Open) -> None:
    session = begin("hello", "again", learn=True)
    left = session.conversation
    learned = left.contexts.context(left.head)
    assert isinstance(learned, AdaptedContext)
    session.new()
    assert not any(isinstance(turn.context, AdaptedContext) for turn in left.path)  # turns are collected late
    with pytest.raises(LeftError):  # in the threads that colour it
        left.contexts.context(left.head)
    assert not any(isinstance(turn.context, AdaptedContext) for turn in left.path)


def test_model_that_is_left_is_freed_at_once(begin: Open, models: Path) -> None:
    made = talking_checkpoint()  # learning estimates its statistics
    save(replace(made, dialogue=DIALOGUES["play"], pointer=random_pointer(made.config)), models / "memory.safetensors")
    session = begin("hello", "again", model="memory", learn=True)
    left = weakref.ref(session.engine)
    gc.disable()  # in the app it comes late
    try:
        session.switch_model("play")
        assert left() is None
    finally:
        gc.enable()


def test_conversation_can_be_left_while_a_thread_reads_it(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    session = begin("hello", learn=True)
    left = session.conversation
    reads, goes_on, read = threading.Event(), threading.Event(), Learner.read

    def read_slowly(*arguments: Any, **options: Any) -> Any:
        reads.set()
        assert goes_on.wait(5)
        return read(*arguments, **options)

    monkeypatch.setattr(Learner, "read", read_slowly)
    ids = session.engine.vocabulary.encode("a long text")
    reader = threading.Thread(target=left.model.learn, args=(left.context(left.head), ids, LearnConfig()))
    reader.start()
    assert reads.wait(PATIENCE)
    session.new()  # saves the learned weights, and frees them
    assert reader.is_alive()
    goes_on.set()
    reader.join(PATIENCE)


def test_removing_the_open_conversation_starts_a_new_one(begin: Open) -> None:
    session = begin("hello")
    said = texts(session.conversation)
    session.remove(1)
    assert (session.number, session.search(), texts(session.conversation)) == (None, [], [])
    session.restore(1)
    assert (session.number, texts(session.conversation)) == (1, said)
    session.new()
    session.remove(1)
    assert session.number is None


def test_rename_before_and_after_the_first_turn_is_saved(begin: Open) -> None:
    session = begin()
    session.rename("Before it begins")
    session.conversation.say("hello")
    assert [one.title for one in session.search()] == ["Before it begins"]
    session.rename("After")
    assert [one.title for one in session.search("after")] == ["After"]


def test_session_without_a_store_refuses_saved_conversations(begin: Open) -> None:
    session = begin("hello", keep=False)
    for act in (
        lambda: session.search(),
        lambda: session.open(1),
        lambda: session.remove(1),
        lambda: session.restore(1),
    ):
        with pytest.raises(UsageError, match="not saved"):
            act()
    with pytest.raises(UsageError, match="cannot be resumed"):
        begin(keep=False, resume=True)
    session.rename("a name")
    assert session.conversation.data.title == "a name"
    session.close()
    store = ConversationStore()
    assert store.search() == []
    store.close()


# -- models, roles, dials ---------------------------------------------------------------------------------------------


def test_switching_the_model_starts_a_new_conversation(begin: Open) -> None:
    session = begin("hello")
    session.switch_model("novel")
    assert (session.name, session.number, session.conversation.dials.length) == ("novel", None, 12)
    with pytest.raises(UsageError, match="names no speakers"):
        session.change_speakers("ANNA", None)
    with pytest.raises(CharlmError):
        session.switch_model("nobody")
    assert session.name == "novel"


def test_changing_speakers_starts_a_new_conversation(begin: Open) -> None:
    session = begin("hello")
    session.change_speakers(None, "BABA")
    assert (session.conversation.data.you, session.conversation.data.bot, session.number) == ("BOB", "BABA", None)
    session.change_speakers("Zoë", None)
    assert any("knows no speaker named Zoë" in one for one in session.news())
    with pytest.raises(UsageError, match="both"):
        session.change_speakers("BABA", None)


def test_substitute_is_the_text_that_the_model_reads(begin: Open) -> None:
    session = begin()
    for character in "日é\x1b":
        reading = session.substitute(character)
        assert reading is not None
        session.conversation.say(f"a{character}b")
        assert session.conversation.path[-2].text == f"a{reading}b"
    assert session.substitute("a") is None


def test_label_shows_speaker_version_and_stop(begin: Open) -> None:
    session = begin("hello")
    you, bot = session.conversation.path
    assert [session.label(one) for one in (you, bot)] == ["BOB", "ANNA"]
    conversation = session.conversation
    conversation.dials = replace(conversation.dials, length=500)
    conversation.branch_at(bot, 1, "", Observer(on_turn=lambda turn: conversation.stop()))
    assert [session.label(one) for one in bot.siblings] == ["ANNA  1/2", "ANNA  2/2  stopped"]
    session.switch_model("novel")
    session.conversation.say("once ")
    assert [session.label(one) for one in session.conversation.path] == ["", ""]


def test_number_of_candidates_follows_the_matcher_unless_chosen(open_session: Open, models: Path) -> None:
    save(
        replace(talking_checkpoint(), dialogue=DIALOGUES["lines"], matching=random_matching()), models / "m.safetensors"
    )
    save(replace(talking_checkpoint(), dialogue=DIALOGUES["lines"]), models / "n.safetensors")
    session = open_session(model=str(models / "n.safetensors"))
    few = session.conversation.dials.candidates
    session.switch_model(str(models / "m.safetensors"))
    assert session.conversation.dials.candidates == CANDIDATES_WITH_MATCHER > few
    session.conversation.dials = replace(session.conversation.dials, candidates=7)
    session.switch_model(str(models / "n.safetensors"))
    assert session.conversation.dials.candidates == 7
