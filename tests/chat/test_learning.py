"""A conversation that learns: its weights, undo and forget, costs, saving, commands."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm import checkpoint
from charlm.adapt import learner
from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.adapt.learner import AdaptedContext
from charlm.chat.commands import COMMANDS, find_command
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.export import from_json, to_json
from charlm.chat.learning import LearnPolicy, default_dials
from charlm.chat.replay import replay
from charlm.chat.reply_sampler import LEARNED_MMI_WEIGHT
from charlm.chat.session import ChatOptions, Session
from charlm.chat.storage.learned_weights import LearnedWeights
from charlm.chat.storage.store import ConversationStore
from charlm.chat.turns import Turn, restored_rng
from charlm.cli.main import run
from charlm.config import CHAT_LEARN_RATE, JAPANESE_LEARN_RATE, ChatConfig, LearnConfig
from charlm.errors import CheckpointError, UsageError
from charlm.inference import tape
from charlm.inference.engine import Engine
from charlm.inference.generate import generate_batch
from charlm.inference.search import logprobs, rerank_likelihood
from charlm.inference.state import State
from charlm.registry import bundled_folder

from .conftest import FakeUI, Reopen
from .models import DIALOGUES, learning_engine
from .test_exactness import as_bytes, check_memory
from .test_store import begin as begin_saved
from .test_store import execute

LINES, PLAY, PLAIN = DIALOGUES["lines"], DIALOGUES["play"], DIALOGUES["plain"]
LEARNING = ChatConfig(candidates=1, length=10, learn=3e-3)


def begin(dials: ChatConfig = LEARNING, seed: int = 1) -> Conversation:
    return Conversation(learning_engine(), ConversationData.start(LINES, dials=dials, seed=seed))


def memory(conversation: Conversation, turn: Turn | None = None) -> AdaptedContext:
    found = conversation.context(turn or conversation.head)
    assert isinstance(found, AdaptedContext)
    return found


@pytest.mark.parametrize(("name", "rate"), [("smalltalk", CHAT_LEARN_RATE), ("nihongo", JAPANESE_LEARN_RATE)])
def test_japanese_model_learns_more_slowly(name: str, rate: float) -> None:
    assert default_dials(checkpoint.load(bundled_folder() / f"{name}.safetensors")).learn == rate
    assert charlm.load(name).chat(learn=True).dials.learn == rate
    ui = FakeUI(Session(ChatOptions(name, keep=False, learn=True, dials=(("length", 10),))))
    assert ui.session.conversation.dials.learn == rate
    ui.note("/learn off")
    ui.note("/learn on")
    assert ui.session.conversation.dials.learn == rate
    ui.session.close()


def test_model_learns_from_you_only() -> None:
    conversation = begin()
    conversation.say("so it goes")
    mine, reply = conversation.path
    assert memory(conversation, mine).delta
    assert memory(conversation, reply).delta is memory(conversation, mine).delta
    assert memory(conversation).learned == len("o it goes"), "the very first character follows nothing"
    edited = conversation.edit(reply, "some words that are put into its mouth")
    assert memory(conversation, edited).delta is memory(conversation, mine).delta


def test_reply_is_drawn_with_learned_weights() -> None:
    conversation = begin(replace(LEARNING, temperature=0.0, recall=0))
    reply = conversation.say("so it goes")
    assert reply.turn.parent is not None
    before = conversation.contexts.begin_turn(conversation.context(reply.turn.parent), reply.turn)
    engine, state, logits, text = conversation.model.engine(before), before.state, before.logits, ""
    assert engine is not conversation.engine
    for _ in reply.text:
        index = int(np.argmax(logits))
        text += engine.vocabulary.characters[index]
        state, logits = engine.step(state, index)
    assert text == reply.text


def test_repeated_message_is_less_surprising() -> None:
    conversation = begin(replace(LEARNING, learn=1e-2))
    for _ in range(8):
        conversation.say("so it goes")
    said = [turn for turn in conversation.path if turn.author == "you"]
    surprises = [sum(one.surprisal for one in conversation.contexts.score_chars(turn, 0)) for turn in said]
    assert surprises[-1] < 0.8 * surprises[0]
    learned = conversation.learned
    assert learned is not None
    assert learned.saved > 0
    assert learned.movement > 0
    assert "better" in learned.sentence
    assert "bits" in learned.meter


def test_end_of_a_turn_is_learned() -> None:
    newline = LINES.closing
    ends = {}
    for closing in (newline, ""):
        model, encode = AdaptiveModel(learning_engine()), learning_engine().vocabulary.encode
        context = model.read(model.start(), np.array([0]))
        next_id = int(encode(closing)[0]) if closing else None
        for _ in range(20):
            context, _ = model.learn(context, encode("abc"), LearnConfig(rate=3e-3), next_id)
            ends[closing] = context.logits[encode(newline)[0]] - context.logits.mean()
            context = model.read(context, encode(newline))
    assert ends[newline] > ends[""] + 0.1


def test_regenerate_learns_nothing_and_edit_unlearns() -> None:
    conversation = begin()
    conversation.say("hello")
    learned = memory(conversation).delta
    conversation.regenerate()
    assert memory(conversation).delta is learned
    other = begin()
    other.say("no")
    conversation.edit(conversation.path[0], "no")
    assert memory(conversation).delta.to_bytes() == memory(other, other.path[0]).delta.to_bytes()


def test_learning_turned_off_keeps_the_weights() -> None:
    conversation = begin()
    conversation.say("hello")
    learned = memory(conversation).delta
    conversation.dials = replace(conversation.dials, learn=0.0)
    conversation.say("how are you?")
    assert memory(conversation).delta is learned
    assert [turn.policy.settings is None for turn in conversation.path] == [False, True, True, True]
    conversation.dials = replace(conversation.dials, learn=1e-3)
    conversation.say("well")
    assert conversation.path[4].policy.settings == LearnConfig(rate=1e-3)
    check_memory(conversation, conversation.head)


def test_context_without_learning_has_no_delta() -> None:
    conversation = begin(replace(LEARNING, learn=0.0))
    conversation.say("hello")
    assert not isinstance(conversation.context(conversation.head), AdaptedContext)
    assert conversation.learned is None


def test_forget_is_the_trained_model() -> None:
    conversation = begin()
    conversation.say("hello")
    conversation.say("how are you?")
    learned = as_bytes(conversation, conversation.head)
    assert conversation.learned is not None
    conversation.forget()
    assert conversation.learned is None
    head = conversation.head
    reply = conversation.regenerate()
    assert reply.turn.policy.forget
    assert not isinstance(conversation.context(reply.turn), AdaptedContext)
    text = conversation.text()
    engine = conversation.engine
    logits = engine.prefill(engine.start(), engine.vocabulary.encode(text))[1]
    np.testing.assert_allclose(conversation.context(reply.turn).logits, logits, rtol=0, atol=1e-4)
    assert not conversation.data.forgets, "once"
    assert replay(conversation).difference is None
    conversation.undo()
    assert conversation.head is head
    assert as_bytes(conversation, head) == learned
    conversation.say("and on")
    assert memory(conversation).learned == len("ello" + "how are you?" + "and on")


@pytest.mark.parametrize("form", ["lines", "play"])
def test_continue_after_forget_can_be_replayed(form: str) -> None:
    """Its beginning was drawn from a memory that is no longer there: it is read as it stands."""
    dials = ChatConfig(candidates=1, length=12, temperature=1.0, learn=3e-3)
    conversation = Conversation(learning_engine(), ConversationData.start(DIALOGUES[form], dials=dials, seed=1))
    said = conversation.say("hello").text
    conversation.forget()
    assert conversation.continue_().turn.text.startswith(said)
    assert replay(conversation).difference is None
    check_memory(conversation, conversation.head)


def test_undo_reverts_forget() -> None:
    conversation = begin()
    conversation.say("hello")
    conversation.forget()
    assert conversation.undo()
    assert not conversation.data.forgets
    assert len(conversation.path) == 2
    conversation.say("again")
    assert memory(conversation).learned == len("ello" + "again")


# What it costs


class Reads:
    """Counts the ids that anything reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ids = 0
        read_tape = tape.forward

        def taped(config, weights, ids, state):  # type: ignore[no-untyped-def]
            self.ids += len(ids)
            return read_tape(config, weights, ids, state)

        monkeypatch.setattr(learner.tape, "forward", taped)
        for name in ("step", "forward", "prefill"):
            monkeypatch.setattr(Engine, name, self._counted(getattr(Engine, name)))

    def _counted(self, read: Callable[[Engine, State, Any], object]) -> Callable[[Engine, State, Any], object]:
        def counted(engine: Engine, state: State, ids: Any) -> object:
            self.ids += np.size(ids)
            return read(engine, state, ids)

        return counted

    def of(self, do: Callable[[], object]) -> int:
        before = self.ids
        do()
        return self.ids - before


def test_turn_cost_is_the_same_at_turn_100(monkeypatch: pytest.MonkeyPatch, store: ConversationStore) -> None:
    reads = Reads(monkeypatch)
    conversation = store.create("noise", learning_engine(), ConversationData.start(PLAIN, dials=LEARNING, seed=1))
    conversation.contexts.max_delta_turns = 4

    def talk(turns: int) -> float:
        while len(conversation.path) < turns:
            conversation.say("go on")
        return statistics.median([reads.of(lambda: conversation.say("go on")) for _ in range(5)])

    assert talk(6) >= talk(100)  # memories of equal turns are shared
    assert reads.of(conversation.undo) == 0
    kept, turn = 0, conversation.head
    while turn.parent is not None:
        kept += turn.context is not None
        turn = turn.parent
    assert kept <= 4


def test_kept_contexts_are_bounded_by_size() -> None:
    conversation = begin()
    conversation.say("hello")
    conversation.contexts.max_delta_bytes = 3 * memory(conversation).delta.size
    for _ in range(6):
        conversation.say("hello")
    kept = [turn for turn in conversation.path if turn.context is not None]
    assert len({id(memory(conversation, turn).delta) for turn in kept}) == 3
    first = conversation.path[0]
    assert first.context is None
    check_memory(conversation, first)


def test_undo_far_back_relearns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = begin()
    conversation.contexts.max_delta_turns = 8
    for _ in range(16):
        conversation.say("hello")
    reads = Reads(monkeypatch)
    for _ in range(8):
        conversation.undo()
        conversation.context(conversation.head)
    whole = sum(len(conversation.data.lead(turn)) + len(turn.text) for turn in conversation.path)
    assert reads.ids < 3 * 3 * whole, "by the learning model, by the trained one, and once more for what follows"
    score_chars = conversation.contexts.score_chars
    assert reads.of(lambda: [score_chars(turn, 0) for turn in conversation.path[::-1]]) < 9 * whole


# What is kept


def learned_rows(path: Path) -> list[tuple[int, ...]]:
    assert execute(path, "SELECT count(*) FROM context") == [(0,)]
    return execute(path, "SELECT conversation, turn, bytes FROM learned ORDER BY written")


def weight_files(path: Path) -> list[Path]:
    return list((path.parent / "learned").iterdir())


@pytest.fixture
def weights(path: Path) -> LearnedWeights:
    """Files of the learned weights of conversations of any length."""
    return LearnedWeights(path.parent / "learned", min_chars=0)


def test_weights_are_saved_once_at_the_last_turn(
    path: Path, reopen: Reopen, weights: LearnedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, store = learning_engine(), reopen(weights=weights)
    conversation = begin_saved(store, engine, "hello", "how are you?", "well", dials=LEARNING)
    assert learned_rows(path) == []
    store.close()
    size = len(memory(conversation).delta.to_bytes())
    assert learned_rows(path) == [(1, len(conversation.path), size)]
    assert [one.stat().st_size for one in weight_files(path)] == [size]
    again = reopen().open(1, "noise", engine, LINES)
    reads = Reads(monkeypatch)
    assert as_bytes(again, again.head) == as_bytes(conversation, conversation.head)
    assert reads.ids <= 4, "the last character, by both models"


def test_weights_of_a_short_conversation_are_not_saved(store: ConversationStore, path: Path, reopen: Reopen) -> None:
    conversation = begin_saved(store, learning_engine(), "hello", dials=LEARNING)
    store.close()
    assert learned_rows(path) == []
    assert not (path.parent / "learned").exists()
    again = reopen().open(1, "noise", learning_engine(), LINES)
    assert as_bytes(again, again.head) == as_bytes(conversation, conversation.head), "learned again"


@pytest.mark.parametrize(("files", "kept"), [(9, [3, 4, 5]), (2.5, [4, 5]), (0.5, [])])
def test_weights_of_the_last_conversations_are_kept(
    path: Path, reopen: Reopen, weights: LearnedWeights, files: float, kept: list[int]
) -> None:
    engine = learning_engine()
    learned = begin()
    learned.say("hello")
    size = len(memory(learned).delta.to_bytes())
    store, said = reopen(weights=replace(weights, max_bytes=int(files * size))), {}
    for number in range(1, 6):
        conversation = begin_saved(store, engine, "hello " * number, dials=LEARNING)
        said[number] = as_bytes(conversation, conversation.head)
    store.close()
    assert [row[0] for row in learned_rows(path)] == kept
    assert len(weight_files(path)) == len(kept)
    other = reopen()
    for number, expected in said.items():
        again = other.open(number, "noise", engine, LINES)
        assert as_bytes(again, again.head) == expected, "learned again"
    for number in kept:
        other.remove(number)
    assert weight_files(path) == []


def test_weights_are_saved_now_and_then(path: Path, reopen: Reopen, weights: LearnedWeights) -> None:
    store = reopen(weights=replace(weights, turns_between=6))
    conversation = begin_saved(store, learning_engine(), *["hello"] * 4, dials=LEARNING)
    [(_, turn, _)] = learned_rows(path)
    assert 4 < turn <= len(conversation.path)


@pytest.mark.parametrize("damage", [lambda file: os.truncate(file, 100), os.unlink], ids=["cut off", "gone"])
def test_damaged_weights_are_learned_again(
    path: Path, reopen: Reopen, weights: LearnedWeights, damage: Callable[[Path], None]
) -> None:
    engine, store = learning_engine(), reopen(weights=weights)
    conversation = begin_saved(store, engine, "hello", dials=LEARNING)
    store.close()
    [file] = weight_files(path)
    damage(file)
    again = reopen().open(1, "noise", engine, LINES)
    assert as_bytes(again, again.head) == as_bytes(conversation, conversation.head)


def test_policy_survives_as_plain_data() -> None:
    for lesson in (LearnPolicy(), LearnPolicy(forget=True), LearnPolicy(True, LearnConfig(rate=1e-3, segment=20))):
        assert LearnPolicy.from_dict(lesson.to_dict()) == lesson
    for wrong in ({"forget": 1}, {"learn": {"rate": 9}}, {"learn": []}, {"other": 1}, {"learn": {"speed": 1}}):
        with pytest.raises(CheckpointError):
            LearnPolicy.from_dict(wrong)


def test_learning_a_long_text_can_be_cancelled() -> None:
    conversation = begin()
    conversation.say("hello")
    before = list(conversation.path)
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return True

    ids = conversation.engine.vocabulary.encode("on and on " * 500)
    with pytest.raises(UsageError, match="was not sent"):
        conversation.model.learn(conversation.context(conversation.head), ids, LearnConfig(), None, stopped)
    assert asked == 1
    assert conversation.path == before


# What a person can do about it


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models, which is also where one works: one of lines, one of plain text."""
    monkeypatch.chdir(tmp_path)
    for name, form in (("talker", "lines"), ("writer", "plain")):
        model = replace(learning_engine().checkpoint, dialogue=DIALOGUES[form])
        checkpoint.save(model, tmp_path / f"{name}.safetensors")
    return tmp_path


def test_learn_and_forget_commands(models: Path) -> None:
    ui = FakeUI(Session(ChatOptions(str(models / "talker.safetensors"), dials=(("length", 10), ("candidates", 1)))))
    session = ui.session
    assert session.conversation.dials.learn == CHAT_LEARN_RATE, "on, since its text has turns"
    assert "learns from your messages, at rate 0.0001" in ui.note("/learn")
    with pytest.raises(UsageError, match="nothing to forget"):
        ui.note("/forget")
    session.conversation.say("hello there")
    assert "moved" in ui.note("/learn")
    assert "undo" in ui.note("/forget")
    ui.note("/undo")
    assert not session.conversation.data.forgets
    assert ui.note("/learn off").startswith("learning is off")
    assert session.conversation.dials.learn == 0
    ui.note("/learn 0.003")
    assert session.conversation.dials.learn == 3e-3
    ui.note("/learn on")
    assert session.conversation.dials.learn == CHAT_LEARN_RATE
    for wrong in ("/learn fast", "/learn 7", "/learn -1"):
        with pytest.raises(UsageError):
            ui.note(wrong)
    command, _ = find_command(COMMANDS, "/learn")
    assert list(command.complete(session, "o")) == ["on", "off"]
    session.switch_model(str(models / "writer.safetensors"))
    assert session.conversation.dials.learn == 0, "a plain text has nobody to learn from"
    session.switch_model(str(models / "talker.safetensors"))
    assert session.conversation.dials.learn == CHAT_LEARN_RATE
    session.close()


def test_learn_options_of_the_command_line(models: Path) -> None:
    asked: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "charlm.chat.session.Session", lambda wish: asked.append(Session(wish).conversation.dials.learn) or 1 / 0
        )
        for options in ([], ["--learn"], ["--no-learn"], ["--rate", "0.001"], ["--learn", "--rate", "0.001"]):
            assert run(["chat", str(models / "writer.safetensors"), *options]) == 1
    assert asked == [0.0, CHAT_LEARN_RATE, 0.0, 1e-3, 1e-3]


def test_chat_from_python_learns(models: Path) -> None:
    talker, writer = (charlm.load(models / f"{name}.safetensors") for name in ("talker", "writer"))
    assert talker.chat().dials.learn == CHAT_LEARN_RATE
    assert writer.chat().dials.learn == 0
    assert writer.chat(learn=True).dials.learn == CHAT_LEARN_RATE
    assert talker.chat(learn=False).dials.learn == 0
    conversation = talker.chat(learn=2e-4, length=10, candidates=1, seed=1)
    before = {name: tensor.copy() for name, tensor in talker.checkpoint.tensors.items()}
    conversation.say("hello there")
    assert conversation.learned is not None
    for name, tensor in talker.checkpoint.tensors.items():
        assert np.array_equal(tensor, before[name]), "the model itself stays as it is"


# Which reply is chosen


def test_candidates_made_likelier_by_learning_are_shown() -> None:
    dials = ChatConfig(candidates=8, length=12, temperature=1.0, top_p=1.0, learn=1e-2, recall=0)
    otherwise = 0
    for seed in range(4):
        conversation = begin(dials, seed)
        conversation.say("hello there")
        reply = conversation.say("how are you?")
        assert reply.turn.parent is not None
        start = conversation.contexts.begin_turn(conversation.context(reply.turn.parent), reply.turn)
        assert isinstance(start, AdaptedContext)
        rng = restored_rng(reply.turn.segments[0].settings[0].rng)
        candidates = generate_batch(
            start,
            conversation.model.engine(start),
            replace(dials.sampling, seed=int(rng.integers(1 << 62))),
            dials.candidates,
            max_chars=dials.length,
            stops=LINES.stops,
        )
        texts = [[piece.id for piece in one.pieces] for one in candidates]
        base = logprobs(conversation.engine, start.base, texts)
        gains = [
            one.mean_logprob - LEARNED_MMI_WEIGHT * was / len(ids) if ids else -np.inf
            for one, was, ids in zip(candidates, base, texts, strict=True)
        ]
        assert reply.text == candidates[int(np.argmax(gains))].text
        otherwise += reply.text != rerank_likelihood(candidates)[0].text
    assert otherwise, "it is not always the likeliest"


def test_policies_are_exported_and_learned_again() -> None:
    conversation = begin()
    conversation.say("hello")
    conversation.say("how are you?")
    conversation.forget()
    kept = from_json(to_json(conversation.data))
    assert kept.forgets
    again = Conversation(conversation.engine, kept)
    assert [turn.policy for turn in again.path] == [turn.policy for turn in conversation.path]
    assert as_bytes(again, again.head) == as_bytes(conversation, conversation.head)
    assert replay(again).difference is None
