"""A segment can be drawn again from its record; a damaged record is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.chat.reply_sampler import RecordedControls, ReplySampler, SamplerControls, SegmentStart
from charlm.chat.storage.documents import parse_segments, segment_list
from charlm.chat.turns import SamplerCheckpoint, Segment
from charlm.config import ChatConfig
from charlm.errors import CheckpointError
from charlm.inference.context import Context, StaticModel, context_from_bytes, context_to_bytes
from charlm.inference.engine import Engine
from charlm.inference.generate import make_rng

from .models import random_engine
from .talkers import CHOSEN, STREAMED, assert_same_context, each_way, talking_engine

PROMPT = "\n\nANNA: hello\nBOB: "


def start_of(engine: Engine) -> Context:
    return Context(*engine.prefill(engine.start(), engine.vocabulary.encode(PROMPT)))


def nothing_of(engine: Engine) -> Context:
    return Context(*engine.prefill(engine.start(), engine.vocabulary.encode("\n\n")))


def draw(
    hand: SamplerControls,
    act: Callable[[int], None] = lambda draws: None,
    *,
    engine: Engine | None = None,
    cancel: Callable[[ReplySampler], bool] = lambda drawing: False,
    stops: tuple[str, ...] = ("\n",),
    before: str = "",
) -> ReplySampler:
    """Draw a segment; `act` gets the number of shown pieces after each."""
    engine = engine or talking_engine(has_bytes=True)
    start = SegmentStart(start_of(engine), opening=before, stops=stops, unconditional=nothing_of(engine))
    drawing = ReplySampler(AdaptiveModel(engine), start, hand, lambda: cancel(drawing))
    for number, _ in enumerate(drawing, 1):
        act(number)
    return drawing


def again(passage: Segment, **options: Any) -> ReplySampler:
    """The passage drawn from what was kept of it, and stopped where it was."""
    [kept] = parse_segments(passage.text, json.loads(json.dumps(segment_list([passage]))))
    assert kept == passage
    return draw(RecordedControls(kept), cancel=lambda drawing: drawing.draws >= kept.draws, **options)


TURNED: list[dict[str, Any]] = [
    {"temperature": 0.0}, {"temperature": 2.0}, {"top_k": 2}, {"candidates": 2}, {"candidates": 1}, {"pace": 9.0},
    {"length": 9}, {"repetition_penalty": 3.0}, {"relevance": 2.0}, {"seed": 7},
]  # fmt: skip
TURNINGS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(TURNED)), max_size=6)


@given(dials=st.sampled_from([STREAMED, CHOSEN]), seed=st.integers(0, 9), turnings=TURNINGS, stop=st.integers(1, 30))
@settings(max_examples=60)
def test_segment_is_drawn_again_with_changed_dials(
    dials: ChatConfig, seed: int, turnings: list[tuple[int, dict[str, Any]]], stop: int
) -> None:
    hand = SamplerControls(dials, make_rng(seed))
    shown = 0

    def act(number: int) -> None:
        nonlocal shown
        shown = number
        for place, change in turnings:
            if place == number:
                if "seed" in change:
                    hand.rng = make_rng(change["seed"])
                else:
                    hand.dials = replace(hand.dials, **change)

    first = draw(hand, act, cancel=lambda drawing: shown >= stop)
    second = again(first.segment)
    assert (second.text, second.draws) == (first.text, first.draws)
    assert first.context is not None
    assert second.context is not None
    assert np.array_equal(first.context.logits, second.context.logits)


def test_segment_depends_on_rng_and_dials() -> None:
    first = draw(SamplerControls(STREAMED, make_rng(4)), stops=()).segment
    (setting,) = first.settings
    other = replace(first, settings=(replace(setting, rng=make_rng(5).bit_generator.state),))
    assert again(other, stops=()).text != first.text
    other = replace(first, settings=(replace(setting, dials=replace(STREAMED, temperature=0.0)),))
    assert again(other, stops=()).text != first.text
    assert again(first, stops=()).text == first.text


def test_settings_are_recorded_with_their_first_draw() -> None:
    hand = SamplerControls(STREAMED, make_rng(1))
    colder, rng = replace(STREAMED, temperature=0.5), make_rng(2)
    states = []

    def act(number: int) -> None:
        if number == 3:
            hand.dials = colder
            states.append(hand.rng.bit_generator.state)
        if number == 5:
            hand.rng = rng
            states.append(make_rng(2).bit_generator.state)

    before = make_rng(1).bit_generator.state
    passage = draw(hand, act, stops=(), engine=talking_engine()).segment
    assert passage.settings == (
        SamplerCheckpoint(0, STREAMED, before),
        SamplerCheckpoint(3, colder, states[0]),
        SamplerCheckpoint(5, colder, states[1]),
    )
    assert passage.draws == len(passage.text) == STREAMED.length


def test_draws_count_hidden_ids() -> None:
    # Stop strings are drawn but not shown, and so is what is held back when a reply is cut off.
    for seed in range(20):
        drawing = draw(SamplerControls(STREAMED, make_rng(seed)), engine=talking_engine())
        if drawing.reason == "stop" and drawing.text:
            assert drawing.draws == len(drawing.text) + 1
            return
    raise AssertionError("none was stopped")


@each_way
@pytest.mark.parametrize("cut", ["at the newline", "by turning a dial"])
def test_stop_may_begin_in_earlier_text(dials: ChatConfig, cut: str) -> None:
    # A model that writes nothing but new lines.
    engine = talking_engine(newlines=500.0)
    if cut == "at the newline":
        assert draw(SamplerControls(dials, make_rng(1)), engine=engine, stops=("\n\n",), before="x\n").text == ""
    assert draw(SamplerControls(dials, make_rng(1)), engine=engine, stops=("\n\n\n",), before="x").text == ""
    # With fewer in the stop string than are shown before one by one, none may slip through.
    hand = SamplerControls(replace(dials, length=1), make_rng(1))
    first = draw(hand, engine=engine, stops=("\n\n",), before="x")
    assert (first.text, first.reason) == ("\n", "length")
    second = draw(hand, engine=engine, stops=("\n\n",), before="x" + first.text)
    assert (second.text, second.reason) == ("", "stop")


def test_stop_is_found_across_a_dial_change() -> None:
    # The best candidate is shown up to its first newline, then the rest is streamed.
    found = 0
    for seed in range(20):
        hand = SamplerControls(replace(CHOSEN, length=40), make_rng(seed))
        text = ""
        engine = talking_engine(newlines=4.0)
        start = SegmentStart(start_of(engine), stops=("\n\n",), unconditional=nothing_of(engine))
        drawing = ReplySampler(AdaptiveModel(engine), start, hand)
        for piece in drawing:
            text += piece.text
            if text.endswith("\n"):
                hand.dials = replace(hand.dials, temperature=hand.dials.temperature + 0.01)
                found += 1
        assert "\n\n" not in drawing.text == text
    assert found > 5


@each_way
@pytest.mark.parametrize("has_bytes", [False, True])
def test_context_is_that_of_the_shown_text(dials: ChatConfig, has_bytes: bool) -> None:
    engine = talking_engine(has_bytes=has_bytes, in_bytes=2.0) if has_bytes else talking_engine()
    for seed in range(10):
        drawing = draw(SamplerControls(dials, make_rng(seed)), engine=engine, cancel=lambda drawing: drawing.draws > 9)
        assert drawing.context is not None
        read = StaticModel(engine).read(start_of(engine), engine.vocabulary.encode(drawing.text))
        assert_same_context(drawing.context, read)


def test_no_candidates_without_unconditional_context() -> None:
    engine = talking_engine()
    pieces = [
        list(ReplySampler(AdaptiveModel(engine), SegmentStart(start_of(engine)), SamplerControls(dials, make_rng(1))))
        for dials in (STREAMED, CHOSEN)
    ]
    assert [piece.id for piece in pieces[0]] == [piece.id for piece in pieces[1]]


# What is kept


def test_context_bytes_damaged_or_foreign_are_refused() -> None:
    engine, other = talking_engine(), random_engine(3)
    data = context_to_bytes(start_of(engine), engine)
    wrong = [
        data[:-1],
        data + b"\0",
        b"",
        data[: len(data) // 2],
        data[8:],
        np.full(4, np.nan, "<f4").tobytes() + data[16:],
        data[: 4 * engine.config.vocabulary] + engine.to_bytes(start_of(engine).state.repeat(2)),
        context_to_bytes(Context(*other.step(other.start(), 0)), other),
    ]
    for one in wrong:
        with pytest.raises(CheckpointError):
            context_from_bytes(one, engine)
