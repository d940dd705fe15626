"""Reading given text agrees with reading it one id at a time."""

from __future__ import annotations

import math
import tracemalloc
from itertools import chain, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.errors import CorpusError
from charlm.inference.context import StaticModel
from charlm.inference.engine import Engine
from charlm.inference.scoring import UNKNOWN_NATS, LineScorer, TextScore, score_chars, score_text

from ..conftest import ALPHABET, HARBOUR, nats_by_steps, random_checkpoint

TEXT = "the ferry, the town\n\nand the ünknöwn ☃ in it?\nécole 🙂🙂!\n" * 3
WORDS = st.text(st.sampled_from([*ALPHABET, "é", "☃", "🙂", "\0", "\x1b"]), max_size=40)


@pytest.fixture(params=[False, True], ids=["characters", "bytes"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(random_checkpoint(has_bytes=request.param, scale=0.4))


def by_hand(engine: Engine, text: str) -> list[list[int]]:
    """The ids of each character."""
    letters = {character: index for index, character in enumerate(engine.vocabulary.characters)}
    if engine.vocabulary.has_bytes:
        return [[letters[one]] if one in letters else [len(letters) + byte for byte in one.encode()] for one in text]
    return [[letters.get(one, letters["?"])] for one in text]


def step_by_step(engine: Engine, characters: list[list[int]]) -> list[float]:
    """The nats of every character but the first, in float64."""
    first, *others = chain.from_iterable(characters)
    nats = iter([0.0, *nats_by_steps(engine, *engine.step(engine.start(), first), others)])
    return [sum(islice(nats, len(ids))) for ids in characters][1:]


# Texts


def test_scores_of_a_long_text_need_little_memory() -> None:
    """Distributions over all characters at each of its places would be 64 MB."""
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 2000)))
    engine = Engine(random_checkpoint(characters=characters + "\n"))
    tracemalloc.start()
    try:
        _, scores = score_chars(engine, StaticModel(engine).start(), characters * 4, 2)
        assert tracemalloc.get_traced_memory()[1] < 32_000_000
    finally:
        tracemalloc.stop()
    assert len(scores) == 8000


def last(engine: Engine, text: str, lanes: int = 1) -> TextScore:
    *_, measured = score_text(engine, text, lanes)
    return measured


@pytest.mark.parametrize("text", [TEXT, "ab", "aé", "éa", "🙂☃", "é" * 300, "a" * 257, "a" * 258])
def test_score_text_is_the_sum_over_characters(engine: Engine, text: str) -> None:
    nats = step_by_step(engine, by_hand(engine, text))
    measured = last(engine, text)
    assert measured.characters == len(text) - 1
    if engine.vocabulary.has_bytes:
        # All bytes of the first character but its first are predicted, though it does not count.
        inside = step_by_step(engine, [[index] for index in by_hand(engine, text)[0]])
        assert measured.nats == pytest.approx(sum(nats) + sum(inside), rel=1e-5)
        assert measured.unknown == 0
    else:
        strange = sum(one not in ALPHABET for one in text[1:])
        assert measured.unknown == strange
        assert measured.nats == pytest.approx(sum(nats) + strange * UNKNOWN_NATS, rel=1e-5)
    per_character = measured.nats / (len(text) - 1)
    assert measured.nats_per_character == pytest.approx(per_character)
    assert measured.bits_per_character == pytest.approx(per_character / math.log(2))
    assert measured.perplexity == pytest.approx(math.exp(per_character))


@pytest.mark.parametrize("lanes", [2, 5, 4096])
def test_score_text_with_lanes_differs_little(engine: Engine, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HARBOUR.read_text(encoding="utf-8")[:5000]
    alone = last(engine, text)
    widths, start = [], Engine.start
    monkeypatch.setattr(Engine, "start", lambda self, batch=1: widths.append(batch) or start(self, batch))
    together = last(engine, text, lanes)
    assert max(widths) > 1, "the lanes were not used"
    assert together.characters == alone.characters
    assert together.unknown == alone.unknown
    assert together.nats_per_character == pytest.approx(alone.nats_per_character, abs=1e-3)


@pytest.mark.parametrize("lanes", [1, 3])
def test_score_text_progress_is_monotonic(engine: Engine, lanes: int) -> None:
    text = HARBOUR.read_text(encoding="utf-8")[:2500]
    seen = list(score_text(engine, text, lanes))
    assert len(seen) >= 5
    for name in ("characters", "nats", "unknown"):
        values = [getattr(one, name) for one in seen]
        assert values == sorted(values)
    assert seen[-1].characters == 2499


@pytest.mark.parametrize("text", ["", "a", "☃"])
def test_score_text_too_short_is_refused(engine: Engine, text: str) -> None:
    with pytest.raises(CorpusError, match="too short"):
        last(engine, text)


def test_text_scores_add_up() -> None:
    total = sum([TextScore(2.0, 4, 1), TextScore(3.0, 6, 0)], TextScore())
    assert total == TextScore(5.0, 10, 1)
    assert total.nats_per_character == 0.5
    assert TextScore().perplexity == 1
    assert math.isfinite(TextScore(1e9, 1).perplexity)


# Lines


@settings(max_examples=40)
@given(st.lists(WORDS.map(lambda text: text.replace("\n", " ")), min_size=1, max_size=5), st.booleans())
def test_line_scores_are_sums_over_characters(engines: dict[bool, Engine], lines: list[str], has_bytes: bool) -> None:
    engine = engines[has_bytes]
    scorer = LineScorer.static(engine)
    scores = [scorer.push(line) for line in lines]
    text = "".join(line + "\n" for line in lines)
    nats = step_by_step(engine, by_hand(engine, "\n" + text))
    expected = [
        UNKNOWN_NATS if not has_bytes and one not in ALPHABET else cost for one, cost in zip(text, nats, strict=True)
    ]
    found = [bits * math.log(2) for score in scores for bits in score.surprisals]
    assert found == pytest.approx(expected, abs=1e-3)
    assert [score.text for score in scores] == lines
    assert [score.number for score in scores] == list(range(1, len(lines) + 1))
    assert [len(score.surprisals) for score in scores] == [len(line) + 1 for line in lines]


@pytest.fixture(scope="module")
def engines() -> dict[bool, Engine]:
    return {has_bytes: Engine(random_checkpoint(1, has_bytes=has_bytes, scale=0.4)) for has_bytes in (False, True)}


def test_line_scores_add_up_to_the_text_score(engine: Engine) -> None:
    text = "the ferry goes\n\nover to farside\nand back again?\n"
    scorer = LineScorer.static(engine)
    bits = sum(sum(scorer.push(line).surprisals) for line in text.splitlines())
    assert bits * math.log(2) == pytest.approx(last(engine, "\n" + text).nats, rel=1e-5)
