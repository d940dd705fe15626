"""Units that are held while a reply is drawn: the text changes, what is remembered of it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.adapt.learner import AdaptedContext
from charlm.cells import CELLS
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.replay import replay
from charlm.chat.reply import Observer
from charlm.chat.session import ChatOptions, Session
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import Segment, Turn
from charlm.checkpoint import save
from charlm.config import MAX_CLAMP, ChatConfig
from charlm.errors import CheckpointError, UsageError
from charlm.inference.generate import Piece
from tests.conftest import assert_states_close

from .models import DIALOGUES, learning_engine, random_checkpoint, random_engine
from .talkers import assert_remembers_what_is_seen

QUICK = ChatConfig(candidates=1, length=60)
HELD = replace(QUICK, clamp="0:3=9,1:5=-9")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("candidates", [1, 3])
def test_clamps_change_the_text_not_the_context(cell: str, candidates: int) -> None:
    engine = random_engine(cell=cell)  # larger weights make some cells chaotic: then the last bit decides
    said = []
    for dials in (QUICK, HELD):
        dials = replace(dials, candidates=candidates)
        conversation = Conversation(engine, ConversationData.start(DIALOGUES["play"], dials=dials, seed=3))
        said.append([conversation.say("hello").text, conversation.continue_().text])
        assert_remembers_what_is_seen(conversation)
        replayed = replay(conversation)
        assert replayed.difference is None
        assert replayed.characters > 0
    assert said[0] != said[1]


def test_clamps_act_from_the_second_character() -> None:
    """Held from the next character that is read on: what had been read was read."""
    engine = random_engine(scale=0.6)
    pieces: list[list[Piece]] = [[], []]
    for dials, into in zip((QUICK, HELD), pieces, strict=True):
        conversation = Conversation(engine, ConversationData.start(DIALOGUES["plain"], dials=dials, seed=3))
        conversation.say("hello", Observer(into.append))
    free, held = pieces
    assert free[0].id == held[0].id
    assert free[0].logprob == held[0].logprob
    assert all(piece.context.state.layers[0].c[0, 3] == 9 for piece in held)
    assert all(piece.context.state.layers[1].c[0, 5] == -9 for piece in held)
    assert held[1].entropy != free[1].entropy


def test_clamps_changed_mid_reply_act_at_once() -> None:
    engine = random_engine(scale=0.6)
    conversation = Conversation(engine, ConversationData.start(DIALOGUES["plain"], dials=QUICK, seed=3))
    seen: list[Piece] = []

    def turn(piece: Piece) -> None:
        seen.append(piece)
        if len(seen) == 10:
            conversation.dials = HELD
        elif len(seen) == 30:
            conversation.dials = QUICK

    reply = conversation.say("hello", Observer(turn))
    recorded = [(one.draw, one.dials.clamp) for one in reply.turn.segments[0].settings]
    assert recorded == [(0, ""), (10, HELD.clamp), (30, "")]
    held = [piece.context.state.layers[0].c[0, 3] == 9 for piece in seen]
    assert held == [10 <= place < 30 for place in range(len(seen))]
    assert_remembers_what_is_seen(conversation)
    assert replay(conversation).difference is None


def test_clamps_with_learning_keep_the_context_exact() -> None:
    dials = replace(HELD, learn=1e-3, length=20)
    conversation = Conversation(learning_engine(), ConversationData.start(DIALOGUES["play"], dials=dials, seed=3))
    conversation.say("hello")
    conversation.say("and again")
    context = conversation.context(conversation.head)
    assert isinstance(context, AdaptedContext)
    assert context.delta
    other = Conversation(learning_engine(), ConversationData.start(DIALOGUES["play"]))
    read = other.context(other.data.root)
    for turn in conversation.path:
        typed = Turn(0, turn.parent, turn.author, turn.name, (Segment(turn.text),), policy=turn.policy)
        read = other.contexts.read_turn(read, typed).context
    assert_states_close(context.state, read.state, 0)
    assert replay(conversation).difference is None


def test_clamps_survive_saving(store: ConversationStore) -> None:
    engine = random_engine(scale=0.6)
    conversation = store.create("model", engine, ConversationData.start(DIALOGUES["play"], dials=HELD, seed=3))
    conversation.say("hello")
    assert conversation.data.number is not None
    opened = store.open(conversation.data.number, "model", engine, DIALOGUES["play"])
    assert opened.dials == HELD
    assert opened.head.segments[0].settings[0].dials == HELD
    assert replay(opened).difference is None
    one, two = conversation.continue_().text, opened.continue_().text
    assert one == two


held_units = st.dictionaries(
    st.tuples(st.integers(0, 99), st.integers(0, 999)),
    st.floats(-MAX_CLAMP, MAX_CLAMP, width=16).map(lambda value: float(f"{value:g}")),
    max_size=5,
)


@given(held_units)
def test_clamps_survive_as_text(units: dict[tuple[int, int], float]) -> None:
    dials = ChatConfig().with_clamps(units)
    assert dials.clamps == units
    assert list(dials.clamps) == list(units)
    assert ChatConfig.from_dict(dials.to_dict()) == dials
    assert ChatConfig().with_text("clamp", f" {dials.clamp.replace(',', ' , ')} ").clamps == units


@pytest.mark.parametrize(
    "written", ["1", "1:2", "1:2=", "1:2=x", "1:2=nan", "1:2=inf", "1:2=1e9", "-1:2=0", "1:2=0;3:4=0", "1:2=0,,", "=0"]
)
def test_clamps_malformed_are_refused(written: str) -> None:
    with pytest.raises(UsageError, match="not a clamped unit"):
        ChatConfig(clamp=written)
    with pytest.raises(UsageError):
        ChatConfig().with_text("clamp", written)
    with pytest.raises(CheckpointError):
        ChatConfig.from_dict({"clamp": written})


@pytest.mark.parametrize("damaged", [0, 1.5, None, ["1:2=0"]])
def test_clamps_damaged_record_is_refused(damaged: object) -> None:
    with pytest.raises(CheckpointError):
        ChatConfig.from_dict({"clamp": damaged})


@pytest.mark.parametrize("written", ["off", "OFF", ""])
def test_clamps_can_be_turned_off(written: str) -> None:
    assert HELD.with_text("clamp", written).clamps == {}


def test_clamps_of_unknown_units_are_refused() -> None:
    conversation = Conversation(random_engine(), ConversationData.start(dials=QUICK))
    with pytest.raises(UsageError, match="there is no unit 0:16"):
        conversation.dials = replace(QUICK, clamp="0:16=0")
    assert conversation.dials == QUICK
    assert Conversation(random_engine(), ConversationData.start(dials=replace(QUICK, clamp="0:16=0"))).dials == QUICK


def test_session_refuses_unknown_units(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    save(random_checkpoint(), path)
    wish = ChatOptions(model=str(path), keep=False, dials=(("clamp", "1:5=0"),))
    session = Session(wish)
    assert session.conversation.dials.clamps == {(1, 5): 0}
    session.new()
    assert session.conversation.dials.clamps == {(1, 5): 0}
    with pytest.raises(UsageError, match="there is no unit 2:5"):
        Session(replace(wish, dials=(("clamp", "2:5=0"),)))
