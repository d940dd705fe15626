"""What every face of the chat shares: which model, which conversation, who speaks, what the person is told."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from charlm.chat.session import ChatOptions, Session
from charlm.chat.storage.store import ConversationStore
from charlm.checkpoint import save
from charlm.config import ChatConfig
from charlm.errors import CharlmError, NotFoundError, UsageError
from tests.chat.models import DIALOGUES, random_checkpoint
from tests.chat.talkers import talking_checkpoint, texts

SHORT = (("candidates", 1), ("length", 12))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """./checkpoints with a play, and a novel that is newer."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    save(replace(talking_checkpoint(), dialogue=DIALOGUES["play"]), folder / "play.safetensors")
    save(random_checkpoint(), folder / "novel.safetensors")
    os.utime(folder / "play.safetensors", (1, 1))
    return folder


def begin(*said: str, **wish: object) -> Session:
    session = Session(ChatOptions(**{"model": "play", "seed": 1, "dials": SHORT, **wish}))  # type: ignore[arg-type]
    for text in said:
        session.conversation.say(text)
    return session


def test_without_a_name_it_is_the_newest_model(models: Path) -> None:
    session = Session(ChatOptions())
    assert session.name == "novel"
    assert session.dialogue.format == "plain"
    session.close()
    with pytest.raises(NotFoundError, match="no model named 'nobody'"):
        Session(ChatOptions(model="nobody"))


# -- going on ---------------------------------------------------------------------------------------------------------


def test_a_conversation_goes_on_with_its_own_model_and_its_own_dials(models: Path) -> None:
    session = begin("hello")
    said = texts(session.conversation)
    session.close()
    again = Session(ChatOptions(resume=True))
    assert (again.name, texts(again.conversation), again.news()) == ("play", said, [])
    assert (again.conversation.dials.length, again.conversation.seed) == (12, 1)
    again.close()
    again = Session(ChatOptions(number=1, dials=(("length", 5),), preset="precise", seed=9))
    dials = again.conversation.dials
    assert (dials.length, dials.candidates, dials.temperature, again.conversation.seed) == (5, 1, 0.5, 9)
    again.close()


def test_closed_and_opened_it_says_what_it_would_have_said(models: Path) -> None:
    never_closed = begin("hello", "and then?", keep=False)
    begin("hello").close()
    again = Session(ChatOptions(resume=True))
    again.conversation.say("and then?")
    assert texts(again.conversation) == texts(never_closed.conversation)
    again.close()


def test_which_conversation_is_the_last_depends_on_the_model(models: Path) -> None:
    begin("hello").close()
    begin("once ", model="novel").close()
    for model, number in ((None, 2), ("play", 1), (str(models / "play.safetensors"), 1)):
        session = Session(ChatOptions(model=model, resume=True))
        assert session.number == number
        session.close()
    assert Session(ChatOptions(model="play", number=2)).name == "play"  # another model is asked for, and reads it


def test_a_model_that_was_given_as_a_path_is_found_again(models: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "mine.safetensors"
    elsewhere.parent.mkdir()
    (models / "play.safetensors").rename(elsewhere)
    begin("hello", model="elsewhere/mine.safetensors").close()
    for wish in (ChatOptions(resume=True), ChatOptions(number=1)):
        session = Session(wish)
        assert (session.name, len(session.conversation.path)) == ("mine", 2)
        session.close()
    session = Session(ChatOptions(model="novel"))
    with pytest.raises(NotFoundError):
        session.switch_model("mine")  # only a conversation knows what it means by that
    session.close()
    elsewhere.unlink()
    with pytest.raises(NotFoundError, match="no model named 'mine'"):
        Session(ChatOptions(resume=True))


def test_a_model_that_is_gone_is_replaced_and_the_person_told(models: Path) -> None:
    begin("hello").close()
    (models / "play.safetensors").unlink()
    session = Session(ChatOptions())
    session.open(1)
    assert session.name == "novel"
    assert texts(session.conversation)[0] == "hello"
    assert any("no longer exists" in one for one in session.news())
    assert session.news() == []
    session.close()


def test_a_model_that_has_changed_reads_the_text_again_and_the_person_is_told(models: Path) -> None:
    session = begin("hello")
    said = texts(session.conversation)
    session.close()
    other = replace(random_checkpoint(5, characters=talking_checkpoint().vocabulary.characters))
    save(replace(other, dialogue=DIALOGUES["play"]), models / "play.safetensors")
    again = Session(ChatOptions(resume=True))
    assert texts(again.conversation) == said
    assert any("has changed" in one for one in again.news())
    again.close()


def test_nothing_to_go_on_with_is_said_and_speakers_stay(models: Path) -> None:
    session = begin("hello", resume=True)
    assert any("no conversation to resume" in one for one in session.news())
    session.close()
    again = Session(ChatOptions(resume=True, you="ANNA", bot="BABA"))
    assert (again.conversation.you, again.conversation.bot) == ("BOB", "ANNA")
    assert any("keeps its speakers" in one for one in again.news())
    again.close()
    with pytest.raises(NotFoundError):
        Session(ChatOptions(number=99))


# -- conversations ----------------------------------------------------------------------------------------------------


def test_a_new_one_keeps_roles_and_dials(models: Path) -> None:
    session = begin("hello", you="baba", bot="bob")
    session.conversation.dials = replace(session.conversation.dials, temperature=1.5)
    first = session.conversation
    session.new()
    assert session.number is None
    assert (session.conversation.you, session.conversation.bot) == ("BABA", "BOB")
    assert session.conversation.dials == first.dials
    session.close()


def test_the_open_one_that_is_removed_makes_room_for_a_new_one(models: Path) -> None:
    session = begin("hello")
    said = texts(session.conversation)
    session.remove(1)
    assert (session.number, session.search(), texts(session.conversation)) == (None, [], [])
    session.restore(1)
    assert (session.number, texts(session.conversation)) == (1, said)
    session.new()
    session.remove(1)
    assert session.number is None
    session.close()


def test_names(models: Path) -> None:
    session = begin()
    session.rename("Before it begins")
    session.conversation.say("hello")
    assert [one.title for one in session.search()] == ["Before it begins"]
    session.rename("After")
    assert [one.title for one in session.search("after")] == ["After"]
    session.close()


def test_what_needs_a_file_says_so_without_one(models: Path) -> None:
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
    assert store.list() == []
    store.close()


def test_an_export_never_writes_over_a_file(models: Path) -> None:
    session = begin("hello there")
    assert session.export("txt") == Path("play.txt")
    session.rename("What she said!")
    path = session.export("md")
    assert path == Path("what-she-said.md")
    before = path.read_text()
    with pytest.raises(UsageError, match="already exists"):
        session.export("md")
    assert path.read_text() == before
    session.close()


# -- models, roles, dials ---------------------------------------------------------------------------------------------


def test_another_model_begins_another_conversation(models: Path) -> None:
    session = begin("hello")
    session.switch_model("novel")
    assert (session.name, session.number, session.conversation.dials.length) == ("novel", None, 12)
    with pytest.raises(UsageError, match="names no speakers"):
        session.change_speakers("ANNA", None)
    with pytest.raises(CharlmError):
        session.switch_model("nobody")
    assert session.name == "novel"
    session.close()


def test_roles(models: Path) -> None:
    session = begin("hello")
    session.change_speakers(None, "BABA")
    assert (session.conversation.you, session.conversation.bot, session.number) == ("BOB", "BABA", None)
    session.change_speakers("Zoë", None)
    assert any("knows no speaker named Zoë" in one for one in session.news())
    with pytest.raises(UsageError, match="both"):
        session.change_speakers("BABA", None)
    session.close()


def test_presets_are_known_by_name(models: Path) -> None:
    session = begin()
    assert session.preset(ChatConfig(length=7), "wild").length == 7
    with pytest.raises(UsageError, match="unknown preset 'nobody'"):
        session.preset(ChatConfig(), "nobody")
    session.close()


def test_what_is_read_in_place_of_what_cannot_be_spelled(models: Path) -> None:
    session = begin()
    for character in "日é\x1b":
        reading = session.substitute(character)
        assert reading is not None
        session.conversation.say(f"a{character}b")
        assert session.conversation.path[-2].text == f"a{reading}b"
    assert session.substitute("a") is None
    session.close()


def test_a_label_says_who_and_which_and_whether_it_is_whole(models: Path) -> None:
    session = begin("hello")
    you, bot = session.conversation.path
    assert [session.label(one) for one in (you, bot)] == ["BOB", "ANNA"]
    conversation = session.conversation
    conversation.dials = replace(conversation.dials, length=500)
    conversation.branch_at(bot, 1, "", None, lambda turn: conversation.stop())
    assert [session.label(one) for one in bot.siblings] == ["ANNA  1/2", "ANNA  2/2  stopped"]
    session.switch_model("novel")
    session.conversation.say("once ")
    assert [session.label(one) for one in session.conversation.path] == ["", ""]
    session.close()
