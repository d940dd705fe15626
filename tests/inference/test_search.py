"""Choosing among texts agrees with trying everything, slowly."""

from __future__ import annotations

import codecs
import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.cells import CELLS
from charlm.config import SamplingConfig
from charlm.errors import UsageError
from charlm.inference.context import Context
from charlm.inference.engine import Engine
from charlm.inference.generate import Completion, Generation, Sampler, generate_batch
from charlm.inference.search import Hypothesis, beam_search, rerank_likelihood, rerank_mmi
from charlm.text.stops import StopMatcher

from ..conftest import nats_by_steps, random_checkpoint

PROMPT = "the "


@pytest.fixture
def engine() -> Engine:
    return Engine(random_checkpoint(scale=0.6))


def begin(engine: Engine, prompt: str) -> Context:
    return Context(*engine.prefill(engine.start(), engine.vocabulary.encode(prompt)))


def log_p(engine: Engine, prompt: str, ids: Sequence[int]) -> float:
    """Log p of ids after a prompt, one step at a time, in float64."""
    context = begin(engine, prompt)
    return -sum(nats_by_steps(engine, context.state, context.logits, ids))


# Beam search


def every_text(engine: Engine, prompt: str, length: int, stops: Sequence[str]) -> dict[tuple[int, ...], Hypothesis]:
    """All texts that end in a stop or at a length, by trying each."""
    found: dict[tuple[int, ...], Hypothesis] = {}
    characters = engine.vocabulary.characters
    for whole in itertools.product(range(len(characters)), repeat=length):
        matcher, ids, text, reason = StopMatcher(stops), whole, "".join(characters[index] for index in whole), "length"
        for place, character in enumerate(text, 1):
            if match := matcher.push(character):
                ids, text, reason = whole[:place], text[: place - match], "stop"
                break
        if ids not in found:
            found[ids] = Hypothesis(ids, text, log_p(engine, prompt, ids), reason)
    return found


@pytest.mark.parametrize("stops", [(), ("b",), ("ab", "bba"), ("b", "ab"), ("ab", "b"), ("\n", "aaa"), ("aaaaa",)])
@pytest.mark.parametrize(("characters", "length"), [("\nab", 4), ("\nabc", 3), ("ab", 5)])
def test_wide_beam_finds_every_text_in_order(characters: str, length: int, stops: tuple[str, ...]) -> None:
    engine = Engine(random_checkpoint(characters=characters, embedding=8, hidden=8, scale=0.8))
    expected = every_text(engine, "a", length, stops)
    for penalty in (0.0, 0.6, 1.0, 2.0):
        found = beam_search(
            engine, begin(engine, "a"), len(characters) ** length, max_chars=length, stops=stops, length_penalty=penalty
        )
        assert {one.ids for one in found} == set(expected)
        for one in found:
            other = expected[one.ids]
            assert (one.text, one.reason) == (other.text, other.reason)
            assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
            assert one.score(penalty) == pytest.approx(one.logprob / ((5 + len(one.ids)) / 6) ** penalty)
        best = max(other.logprob / ((5 + len(other.ids)) / 6) ** penalty for other in expected.values())
        assert found[0].score(penalty) == pytest.approx(best, abs=1e-4)
        scores = [one.score(penalty) for one in found]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cell", CELLS)
def test_beam_of_one_is_greedy(cell: str, seed: int) -> None:
    engine = Engine(random_checkpoint(cell=cell, seed=seed, scale=0.6))
    greedy = Generation(begin(engine, PROMPT), Sampler.seeded(engine, SamplingConfig(temperature=0)), max_chars=60)
    pieces = list(greedy)
    (found,) = beam_search(engine, begin(engine, PROMPT), 1, max_chars=60)
    assert found.ids == tuple(piece.id for piece in pieces)
    assert found.text == "".join([piece.text for piece in pieces])
    assert found.logprob == pytest.approx(sum(piece.logprob for piece in pieces), abs=1e-3)
    assert found.reason == "length"


@pytest.mark.parametrize("width", [2, 5, 17])
@pytest.mark.parametrize("stops", [(), ("e",), (" ", "e")])
def test_narrow_beam_reports_true_scores(engine: Engine, width: int, stops: tuple[str, ...]) -> None:
    found = beam_search(engine, begin(engine, PROMPT), width, max_chars=12, stops=stops)
    assert 1 <= len(found) <= width
    assert len({one.ids for one in found}) == len(found)
    for one in found:
        assert one.logprob == pytest.approx(log_p(engine, PROMPT, one.ids), abs=1e-3)
        assert one.reason == "stop" or len(one.ids) == 12
        assert not any(stop in one.text for stop in stops)
        written = engine.vocabulary.decode(one.ids)
        assert written == one.text or any(written == one.text + stop for stop in stops)


def patient_beam(engine: Engine, width: int, length: int, stops: tuple[str, ...], penalty: float) -> float:
    """The best score of a beam that never ends early."""
    growing, finished = [((), 0.0)], list[float]()
    for _ in range(length):
        longer = [
            ((*ids, index), log_p(engine, PROMPT, (*ids, index)))
            for ids, _ in growing
            for index in range(len(engine.vocabulary))
        ]
        longer = sorted(longer, key=lambda one: one[1], reverse=True)[:width]
        ended = [engine.vocabulary.decode(ids).endswith(stops) for ids, _ in longer]
        finished += [
            total / ((5 + len(ids)) / 6) ** penalty for (ids, total), end in zip(longer, ended, strict=True) if end
        ]
        growing = [one for one, end in zip(longer, ended, strict=True) if not end]
    return max([*finished, *[total / ((5 + length) / 6) ** penalty for _, total in growing]])


@pytest.mark.parametrize("penalty", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(6))
def test_beam_ending_early_misses_nothing(seed: int, penalty: float) -> None:
    engine = Engine(random_checkpoint(characters="thea ", embedding=8, hidden=8, layers=1, seed=seed, scale=0.7))
    for width in (2, 3):
        found = beam_search(engine, begin(engine, PROMPT), width, max_chars=9, stops=("a", "e"), length_penalty=penalty)
        assert found[0].score(penalty) == pytest.approx(patient_beam(engine, width, 9, ("a", "e"), penalty), abs=1e-4)


def test_beam_text_has_whole_characters_only() -> None:
    engine = Engine(random_checkpoint(characters="ab", has_bytes=True, scale=0.5))
    cut = 0
    for length in (1, 2, 3, 5):
        for one in beam_search(engine, begin(engine, "☃a"), 40, max_chars=length):
            data = b"".join(
                character.encode() if (byte := engine.vocabulary.byte_of(index)) is None else bytes([byte])
                for index in one.ids
                for character in [engine.vocabulary.label(index)]
            )
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            assert one.text == decoder.decode(data)
            cut += bool(decoder.getstate()[0])
    assert cut, "some must end within a character"


def test_beam_of_no_length_or_width(engine: Engine) -> None:
    assert beam_search(engine, begin(engine, PROMPT), 3, max_chars=0) == [Hypothesis((), "", 0.0, "length")]
    for width in (0, -1):
        with pytest.raises(UsageError, match=f"width is {width}"):
            beam_search(engine, begin(engine, PROMPT), width, max_chars=3)


# Best of several


@given(st.integers(0, 1000))
@settings(max_examples=25)
def test_rerank_likelihood_puts_empty_texts_last(many: tuple[Engine, list[Completion]], seed: int) -> None:
    _, texts = many
    order = np.random.default_rng(seed).permutation(len(texts))
    ranked = rerank_likelihood([texts[place] for place in order])
    assert sorted(map(id, ranked)) == sorted(map(id, texts))
    means = [
        math.fsum(piece.logprob for piece in one.pieces) / len(one.pieces) if one.pieces else -math.inf
        for one in ranked
    ]
    assert means == pytest.approx(sorted(means, reverse=True))
    assert not ranked[-1].pieces
    assert ranked[0].pieces


@pytest.fixture(scope="module")
def many() -> tuple[Engine, list[Completion]]:
    engine = Engine(random_checkpoint(3, scale=0.6))
    params = SamplingConfig(temperature=1.3, top_p=1, seed=1)
    return engine, generate_batch(begin(engine, PROMPT), engine, params, 80, max_chars=10, stops=["e", "a"])


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 4.0, -1.0])
def test_rerank_mmi_agrees_with_single_steps(many: tuple[Engine, list[Completion]], weight: float) -> None:
    engine, texts = many
    assert any(not one.pieces for one in texts)

    def slow(one: Completion) -> float:
        ids = [piece.id for piece in one.pieces]
        if not ids:
            return -math.inf
        return (log_p(engine, PROMPT, ids) - weight * log_p(engine, "\n", ids)) / len(ids)

    ranked = rerank_mmi(engine, texts, weight)
    assert sorted(map(id, ranked)) == sorted(map(id, texts))
    scores = [slow(one) for one in ranked]
    assert scores == pytest.approx(sorted(scores, reverse=True), abs=1e-4)
    if weight == 0:
        assert [one.text for one in ranked] == [one.text for one in rerank_likelihood(texts)]


def test_rerank_mmi_of_no_texts(engine: Engine) -> None:
    assert rerank_mmi(engine, [], 1.0) == []
    empty = generate_batch(begin(engine, PROMPT), engine, SamplingConfig(seed=1), 3, max_chars=0)
    assert rerank_mmi(engine, empty, 1.0) == empty == rerank_likelihood(empty)
