"""One loop writes all text: a seed means the same everywhere, a stop is never shown, no character comes out broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax

from charlm.cells import CELLS
from charlm.cells.lstm import LSTMState
from charlm.config import SamplingConfig
from charlm.errors import UsageError
from charlm.inference.context import Context, StaticModel
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Piece, Sampler, generate_batch, make_rng, new_seed
from charlm.inference.name_bias import Names
from charlm.inference.sampling import sample
from charlm.inference.state import State
from charlm.text.vocabulary import Vocabulary

from ..conftest import assert_states_close, random_checkpoint

PROMPT = "the harbour, "
CHAINS = {
    "default": SamplingConfig(seed=5),
    "plain": SamplingConfig(temperature=1, top_p=1, seed=5),
    "all": SamplingConfig(1.2, top_k=20, top_p=0.95, min_p=0.01, typical=0.97, repetition_penalty=1.1, seed=5),
}


@pytest.fixture
def engine() -> Engine:
    return Engine(random_checkpoint())


def begin(engine: Engine, prompt: str = PROMPT) -> Context:
    model = StaticModel(engine)
    return model.read(model.start(), engine.vocabulary.encode(prompt))


def generation_of(engine: Engine, params: SamplingConfig, prompt: str = PROMPT, **options: Any) -> Generation:
    return Generation(begin(engine, prompt), Sampler.seeded(engine, params), **options)


def write(engine: Engine, params: SamplingConfig, prompt: str = PROMPT, **options: Any) -> list[Piece]:
    return list(generation_of(engine, params, prompt, **options))


def step(engine: Engine, context: Context, index: int) -> Context:
    return Context(*engine.step(context.state, index))


def text_of(pieces: Sequence[Piece]) -> str:
    return "".join([piece.text for piece in pieces])


# The same seed is the same text


@pytest.mark.parametrize("chain", CHAINS)
def test_streamed_batched_and_stepped_texts_are_equal(engine: Engine, chain: str) -> None:
    params, window = CHAINS[chain], engine.vocabulary.encode(PROMPT).tolist()
    pieces = write(engine, params, max_chars=120, recent=window)

    generation = generation_of(engine, params, max_chars=120, recent=window)
    assert [next(generation).text for _ in range(120)] == [piece.text for piece in pieces]

    for k, completion in enumerate(generate_batch(begin(engine), engine, params, 4, max_chars=120, recent=window)):
        alone = write(engine, replace(params, seed=5 + k), max_chars=120, recent=window)
        assert completion.text == text_of(alone)
        assert completion.seed == 5 + k
        assert [piece.id for piece in completion.pieces] == [piece.id for piece in alone]

    context, rng, ids = begin(engine), make_rng(5), []
    for _ in range(120):
        recent = (window + ids)[-params.repetition_window :]
        ids.append(int(sample(context.logits[None], params, [], [recent], [rng.random()]).ids[0]))
        context = step(engine, context, ids[-1])
    assert ids == [piece.id for piece in pieces]
    assert engine.vocabulary.decode(ids) == text_of(pieces)


def test_drawn_seed_gives_the_text_again(engine: Engine) -> None:
    drawn = generate_batch(begin(engine), engine, SamplingConfig(), 2, max_chars=60)
    for completion in drawn:
        again = write(engine, SamplingConfig(seed=completion.seed), max_chars=60)
        assert text_of(again) == completion.text
    assert 0 <= new_seed() < 1 << 32


def test_greedy_text_ignores_the_seed(engine: Engine) -> None:
    pieces = write(engine, SamplingConfig(temperature=0, seed=1), max_chars=60)
    context = begin(engine)
    for piece in pieces:
        assert piece.id == context.logits.argmax()
        context = step(engine, context, piece.id)
    assert text_of(write(engine, SamplingConfig(temperature=0, seed=2), max_chars=60)) == text_of(pieces)


def test_names_change_the_draw_but_no_probability_of_the_model(engine: Engine) -> None:
    context = replace(begin(engine), names=Names(["bob"], 30.0, engine.vocabulary))
    pieces = list(Generation(context, Sampler.seeded(engine, CHAINS["plain"]), max_chars=40))
    assert "bob" in text_of(pieces)
    for piece in pieces:
        assert piece.logprob == pytest.approx(log_softmax(context.logits)[piece.id], abs=1e-4)
        context = step(engine, context, piece.id)


def test_saved_random_numbers_go_on_identically(engine: Engine) -> None:
    params, sampler = CHAINS["plain"], Sampler.seeded(engine, CHAINS["plain"])
    whole = Generation(begin(engine), sampler, max_chars=100)
    first = list(islice(whole, 40))
    saved = sampler.rngs[0].bit_generator.state
    rest = list(whole)

    rng = make_rng(0)
    rng.bit_generator.state = saved
    context = first[-1].context
    assert context is not None
    resumed = Generation(context, Sampler(engine, params, [rng]), max_chars=60)
    assert text_of(list(resumed)) == text_of(rest)


def test_update_changes_the_sampler_at_any_character(engine: Engine) -> None:
    cool, hot = (replace(CHAINS["plain"], temperature=temperature) for temperature in (0.0, 3.0))
    asked = 0

    def update(sampler: Sampler) -> Sampler:
        nonlocal asked
        asked += 1
        return sampler if asked != 21 else Sampler(engine, hot, [make_rng(9)])

    pieces = list(Generation(begin(engine), Sampler.seeded(engine, cool), update=update, max_chars=50))
    assert asked == 50
    assert text_of(pieces[:20]) == text_of(write(engine, cool, max_chars=20))
    middle = pieces[19].context
    assert middle is not None
    rest = Generation(middle, Sampler(engine, hot, [make_rng(9)]), max_chars=30)
    assert text_of(pieces[20:]) == text_of(list(rest))


# What a piece tells


def test_piece_has_the_model_s_own_numbers(engine: Engine) -> None:
    params = CHAINS["all"]  # the sampling chain must not show in them
    alone = write(engine, params, max_chars=50, alternatives=4)
    batch = generate_batch(begin(engine), engine, params, 3, max_chars=50)
    assert all(completion.logprob == sum(piece.logprob for piece in completion.pieces) for completion in batch)
    assert all(completion.mean_logprob == pytest.approx(completion.logprob / 50) for completion in batch)
    for pieces in (alone, *[completion.pieces for completion in batch]):
        context = begin(engine)
        for piece in pieces:
            log_p = log_softmax(context.logits.astype(np.float64))
            p = np.exp(log_p)
            assert piece.logprob == pytest.approx(log_p[piece.id], abs=1e-5)
            assert piece.entropy == pytest.approx(-(p * log_p).sum(), abs=1e-5)
            expected = np.argsort(-context.logits, kind="stable")[: len(piece.alternatives)].tolist()
            assert [each.id for each in piece.alternatives] == expected
            for alternative in piece.alternatives:
                assert alternative.text == engine.vocabulary.label(alternative.id)
                assert alternative.probability == pytest.approx(p[alternative.id], abs=1e-6)
            for likelier, other in pairwise(piece.alternatives):
                assert likelier.probability >= other.probability
            context = step(engine, context, piece.id)
    assert {len(piece.alternatives) for piece in alone} == {4}


def test_alternatives_are_at_most_all_ids(engine: Engine) -> None:
    size = len(engine.vocabulary)
    assert [len(piece.alternatives) for piece in write(engine, CHAINS["plain"], max_chars=2)] == [0, 0]
    for piece in write(engine, CHAINS["plain"], max_chars=3, alternatives=size + 5):
        assert sorted(each.id for each in piece.alternatives) == list(range(size))
        assert sum(each.probability for each in piece.alternatives) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("has_bytes", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_piece_context_has_read_all_ids_so_far(cell: str, has_bytes: bool) -> None:
    engine = Engine(random_checkpoint(cell=cell, characters="ab .", has_bytes=has_bytes))
    expected = begin(engine, "abba. ")
    for piece in write(engine, SamplingConfig(temperature=2, top_p=1, seed=3), "abba. ", max_chars=30):
        expected = step(engine, expected, piece.id)
        assert piece.context is not None
        assert piece.context.state.batch == 1
        np.testing.assert_allclose(piece.context.logits, expected.logits, rtol=0, atol=1e-4)
        assert_states_close(piece.context.state, expected.state)


@pytest.mark.parametrize("has_bytes", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_batch_streams_read_their_own_ids(cell: str, has_bytes: bool) -> None:
    # Streams end one after the other, so that places move: each goes on from what it has written itself.
    engine = Engine(random_checkpoint(cell=cell, characters="ab .", has_bytes=has_bytes))
    start, params = begin(engine, "abba. "), SamplingConfig(temperature=2, top_p=1, seed=3)
    completions = generate_batch(start, engine, params, 8, max_chars=30, stops=["ab", "\ufffd\ufffd"])
    assert len({len(completion.pieces) for completion in completions}) > 3
    for completion in completions:
        context = start
        for piece in completion.pieces:
            expected = float(log_softmax(context.logits.astype(np.float64))[piece.id])
            assert piece.logprob == pytest.approx(expected, abs=1e-4)
            assert piece.context is None
            context = step(engine, context, piece.id)


# Where it ends


@pytest.mark.parametrize("max_chars", [0, 1, 2, 50])
@pytest.mark.parametrize(("characters", "has_bytes"), [("ab c", False), ("ab c", True), ("", True)])
def test_max_chars_is_exact(max_chars: int, characters: str, has_bytes: bool) -> None:
    engine = Engine(random_checkpoint(characters=characters, has_bytes=has_bytes))
    context = Context(*engine.step(engine.start(), 0))
    generation = Generation(context, Sampler.seeded(engine, CHAINS["plain"]), max_chars=max_chars)
    assert len(text_of(list(generation))) == max_chars
    assert generation.reason == "length"
    for completion in generate_batch(context, engine, CHAINS["plain"], 3, max_chars=max_chars):
        assert (len(completion.text), completion.reason) == (max_chars, "length")


def test_max_chars_zero_draws_nothing(engine: Engine) -> None:
    sampler = Sampler.seeded(engine, CHAINS["plain"])
    before = sampler.rngs[0].bit_generator.state
    assert list(Generation(begin(engine), sampler, max_chars=0)) == []
    assert sampler.rngs[0].bit_generator.state == before


def test_bad_lengths_and_counts_are_usage_errors(engine: Engine) -> None:
    with pytest.raises(UsageError, match="negative"):
        generation_of(engine, CHAINS["plain"], max_chars=-1)
    with pytest.raises(UsageError, match="at least 1"):
        generate_batch(begin(engine), engine, CHAINS["plain"], 0, max_chars=5)


@pytest.mark.parametrize("asked", [1, 2, 17])
def test_cancel_is_called_before_every_character(engine: Engine, asked: int) -> None:
    answers = iter([False] * (asked - 1) + [True])
    sampler = Sampler.seeded(engine, CHAINS["plain"])
    generation = Generation(begin(engine), sampler, cancel=lambda: next(answers))
    assert generation.reason == ""
    assert len(list(generation)) == asked - 1
    assert generation.reason == "cancelled"
    assert list(answers) == []
    reference = make_rng(5)
    reference.random(asked - 1)
    assert sampler.rngs[0].bit_generator.state == reference.bit_generator.state  # not one draw too many


def test_cancel_ends_a_whole_batch(engine: Engine) -> None:
    answers = iter([False] * 9 + [True])
    completions = generate_batch(begin(engine), engine, CHAINS["plain"], 3, max_chars=50, cancel=lambda: next(answers))
    assert [(len(each.text), each.reason) for each in completions] == [(9, "cancelled")] * 3


# Stops


def up_to_first_stop(text: str, stops: Sequence[str]) -> tuple[str, str]:
    """Return the shown part of a text and why it ends: at the earliest end of a stop, the longest that ends there."""
    for end in range(1, len(text) + 1):
        if found := [len(stop) for stop in stops if stop and text[:end].endswith(stop)]:
            return text[: end - max(found)], "stop"
    return text, "length"


@pytest.mark.parametrize("characters", ["ab", "abc"])
def test_stop_is_never_shown(characters: str) -> None:
    engine, rng, reasons = Engine(random_checkpoint(characters=characters)), np.random.default_rng(0), []
    start = begin(engine, characters)
    for seed in range(0, 400, 8):
        params = SamplingConfig(temperature=1, top_p=1, seed=seed)
        stops = ["".join(rng.choice(list(characters), rng.integers(1, 8))) for _ in range(rng.integers(1, 4))]
        without = generate_batch(start, engine, params, 8, max_chars=30)
        expected = [up_to_first_stop(completion.text, stops) for completion in without]
        completions = generate_batch(start, engine, params, 8, max_chars=30, stops=[*stops, ""])
        assert [(completion.text, completion.reason) for completion in completions] == expected
        generation, so_far = Generation(start, Sampler.seeded(engine, params), max_chars=30, stops=stops), ""
        for piece in generation:
            so_far += piece.text
            assert expected[0][0].startswith(so_far)  # at no moment is there more on the screen than there will be
        assert (so_far, generation.reason) == expected[0]
        reasons += [reason for _, reason in expected]
    assert 100 < reasons.count("stop") < 390  # both endings were met, often


def test_stop_holds_back_possible_beginnings_only() -> None:
    engine, stops = Engine(random_checkpoint(characters="abc")), ["ab" * 30, "bb" * 30, "acab" * 20]
    params = SamplingConfig(temperature=1, top_p=1, seed=1)
    without = text_of(list(generation_of(engine, params, "ab", max_chars=200)))
    shown, moments = "", []

    def watch() -> bool:  # between two characters
        moments.append(shown)
        return False

    for piece in generation_of(engine, params, "ab", max_chars=200, stops=stops, cancel=watch):
        shown += piece.text
    assert shown == without  # at the end nothing can become a stop any more
    assert len(moments) == 200
    for read, on_screen in enumerate(moments):
        drawn = without[:read]
        held = max(length for stop in stops for length in range(len(stop)) if drawn.endswith(stop[:length]))
        assert on_screen == drawn[: read - held]


class Script:
    """An engine that is certain of one text, which the loop then writes id by id."""

    def __init__(self, vocabulary: Vocabulary, ids: Sequence[int]) -> None:
        self.vocabulary = vocabulary
        self._ids = ids

    def step(self, state: State, ids: NDArray[np.int64]) -> tuple[State, NDArray[np.float32]]:
        place = int(state.layers[0].h[0, 0])
        assert ids.tolist() == [self._ids[place]]
        state, logits = self._at(place + 1)
        return state, logits[None]

    def _at(self, place: int) -> tuple[State, NDArray[np.float32]]:
        logits = np.full(len(self.vocabulary), -1e3, np.float32)
        logits[self._ids[place] if place < len(self._ids) else 0] = 0
        here = np.array([[place]], np.float32)
        return State((LSTMState(here, here),)), logits

    def play(self, **options: Any) -> Generation:
        sampler = Sampler(self, SamplingConfig(temperature=0), [make_rng(0)])  # type: ignore[arg-type]
        return Generation(Context(*self._at(0)), sampler, **options)


def read_place(piece: Piece) -> int:
    """Return the number of ids of a script that its state has read."""
    assert piece.context is not None
    return int(piece.context.state.layers[0].h[0, 0])


BYTES_TOO = Vocabulary("ab", has_bytes=True)

few = st.text("abé日😀", max_size=12)  # all but the first two are spelled in bytes
# Ids that spell whole, broken and overlong characters, in any order.
any_ids = st.lists(
    st.sampled_from([0, 1, *(2 + byte for byte in b"\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80\x61\xff\xc0\xed")])
    | st.integers(0, 257),
    min_size=1,
    max_size=20,
)


@given(text=few.filter(bool), stops=st.lists(few, max_size=4))
def test_stop_is_found_in_characters_of_bytes(text: str, stops: list[str]) -> None:
    shown, reason = up_to_first_stop(text, stops)
    generation = Script(BYTES_TOO, BYTES_TOO.encode(text).tolist()).play(stops=stops, max_chars=len(text))
    pieces = list(generation)
    assert (text_of(pieces), generation.reason) == (shown, reason)
    # The last piece's state has read what is shown and nothing else, so that one can go on from it.
    assert [read_place(piece) for piece in pieces] == list(range(1, len(BYTES_TOO.encode(shown)) + 1))


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_characters_are_shown_whole(text: str) -> None:
    pieces = list(Script(BYTES_TOO, BYTES_TOO.encode(text).tolist()).play(max_chars=len(text)))
    assert text_of(pieces) == text
    assert all(len(piece.text) <= 1 for piece in pieces)


@given(ids=any_ids, stops=st.lists(st.text("abé日😀\ufffd", max_size=4), max_size=3))
def test_any_bytes_are_shown_as_decoded(ids: list[int], stops: list[str]) -> None:
    ids = [*ids, 0]  # an id that ends an incomplete character
    text = BYTES_TOO.decode(ids)
    shown, reason = up_to_first_stop(text, stops)
    generation = Script(BYTES_TOO, ids).play(stops=stops, max_chars=len(text))
    assert (text_of(list(generation)), generation.reason) == (shown, reason)


@pytest.mark.parametrize("characters", ["", "ab"])
def test_byte_model_writes_its_decoded_ids(characters: str) -> None:
    engine = Engine(random_checkpoint(characters=characters, has_bytes=True, scale=0.5))
    sampler = Sampler.seeded(engine, SamplingConfig(temperature=1, top_p=1, seed=0))
    generation = Generation(Context(*engine.step(engine.start(), 0)), sampler)
    pieces, decoder = list(islice(generation, 600)), engine.vocabulary.decoder()
    whole = "".join([decoder.push(piece.id) for piece in pieces])
    assert text_of(pieces) == whole
    assert whole + decoder.flush() == engine.vocabulary.decode([piece.id for piece in pieces])
    assert set(whole) - {*map(chr, range(128)), "\ufffd"}  # some were spelled right


# What the chain is given


def test_banned_characters_never_occur() -> None:
    engine = Engine(random_checkpoint(characters="abcdef"))
    params = SamplingConfig(temperature=1, top_p=1, banned="ceX", seed=0)  # X is not the model's anyway
    for completion in generate_batch(begin(engine, "ab"), engine, params, 8, max_chars=100):
        assert set(completion.text) == set("abdf")


def test_ban_impossible_is_a_usage_error() -> None:
    engine = Engine(random_checkpoint(characters="ab", has_bytes=True))
    with pytest.raises(UsageError, match="cannot be banned"):
        write(engine, SamplingConfig(banned="aé"), "ab", max_chars=1)
    engine = Engine(random_checkpoint(characters="ab"))
    with pytest.raises(UsageError, match="no character is left"):
        write(engine, SamplingConfig(banned="ab"), "ab", max_chars=1)


def test_repetition_penalty_reduces_repeats(engine: Engine) -> None:
    def repeats(penalty: float) -> int:
        params = SamplingConfig(temperature=1, top_p=1, repetition_penalty=penalty, repetition_window=8, seed=0)
        completions = generate_batch(begin(engine), engine, params, 20, max_chars=100)
        return sum(
            completion.text[place] in completion.text[max(0, place - 8) : place]
            for completion in completions
            for place in range(100)
        )

    none, some, much, most = (repeats(penalty) for penalty in (1, 1.5, 3, 100))
    assert none > some > much > most
    assert most == 0


def test_repetition_window_counts_read_ids_then_drops_them(engine: Engine) -> None:
    *unlikely, likeliest = np.argsort(begin(engine).logits)[[0, 1, 2, -1]].tolist()
    params = SamplingConfig(temperature=0, repetition_penalty=100, repetition_window=3)

    def first(recent: list[int]) -> int:
        return write(engine, params, max_chars=1, recent=recent)[0].id

    assert first([]) == likeliest
    assert first([likeliest]) != likeliest
    assert first([likeliest, *unlikely[:2]]) != likeliest
    assert first([likeliest, *unlikely]) == likeliest
