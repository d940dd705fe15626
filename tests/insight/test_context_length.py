"""Measured context and recall equal plain reading, and recall targets are where they should be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.cells import CELLS
from charlm.checkpoint import Checkpoint
from charlm.config import ModelConfig
from charlm.errors import CorpusError
from charlm.inference.engine import Engine
from charlm.inference.sampling import log_softmax
from charlm.inference.state import Array
from charlm.insight.context_length import measure_context, measure_recall
from charlm.insight.recall_targets import RecallTarget, count_chance_rhymes, ending, find_targets, rhymes
from charlm.tensor_shapes import tensor_shapes
from charlm.text.vocabulary import Vocabulary

from ..conftest import HARBOUR, nats_by_steps, random_checkpoint


@pytest.mark.parametrize("cell", CELLS)
def test_measure_context_equals_reading_each_context(cell: str) -> None:
    engine = Engine(random_checkpoint(cell=cell, scale=0.3))
    ids = np.random.default_rng(0).integers(0, len(engine.vocabulary), 400)
    rows = measure_context(engine, ids, [1, 4, 16, 64], blocks=3, width=4)
    assert [row.length for row in rows] == [1, 4, 16, 64]
    for row in rows:
        total = []
        for start in np.linspace(64, 396, 3).astype(int):
            for place in range(start, start + 4):
                first = (start if row.length >= 16 else place) - row.length
                _, logits = engine.prefill(engine.start(), ids[first:place])
                total.append(-log_softmax(logits)[ids[place]] / math.log(2))
        assert row.bits == pytest.approx(np.mean(total), abs=1e-4)
    assert rows[-1].error == 0


def test_measure_context_of_a_short_text_is_refused() -> None:
    with pytest.raises(CorpusError, match="needs 164"):
        measure_context(Engine(random_checkpoint()), np.zeros(120, np.int64), [1, 100])


def test_find_targets_of_names_brackets_and_quotes() -> None:
    text = 'I saw Anna (and Anna too). "No", she said.\n\n"'
    found = {place.kind: place for place in find_targets(text)}
    assert found["name"] == RecallTarget("name", 6, 10, 17, 20)
    assert text[17:20] == "nna"
    assert found["bracket"] == RecallTarget("bracket", 11, 12, 24, 25)
    assert found["quote"] == RecallTarget("quote", 27, 28, 30, 31)
    assert found["name"].distance == 7
    assert len(list(find_targets(text))) == 3


@pytest.mark.parametrize(
    ("one", "other", "rhyme"),
    [
        ("day", "away", True),
        ("crime", "times", False),
        ("crimes", "times", True),
        ("talking", "walking", True),
        ("talking", "going", False),
        ("never", "ever", True),
        ("never", "other", False),
        ("king", "sing", True),
        ("caf\u00e9", "CAFE", True),  # the ending; whether the words differ is asked elsewhere
        ("ne'er", "never", False),
        ("brr", "hmm", False),
        ("\u6625", "\u79cb", False),
    ],
)
def test_ending_decides_rhymes_by_spelling(one: str, other: str, rhyme: bool) -> None:
    assert (ending(one) == ending(other) != "") == rhyme


def test_rhymes_are_at_the_ends_of_near_lines() -> None:
    text = "To be so mind,\nAnd more do stay.\nIs left behind\n\nto find\n"
    (place,) = rhymes(text)
    assert place.kind == "rhyme"
    assert text[place.begin : place.end] == "mind"
    assert text[place.target : place.stop] == "ind"
    assert text[: place.stop].endswith("behind")
    assert text[place.instead :].startswith("stay.")


@given(st.text(alphabet="abdey\u00e9'\u6625, \n", max_size=80))
def test_rhyme_control_is_a_word_that_does_not_rhyme(text: str) -> None:
    for place in rhymes(text):
        assert place.instead is not None
        partner, size = text[place.begin : place.end], place.end - place.begin
        instead = text[place.instead : place.instead + size]
        target = text[place.target : place.stop]
        assert ending(partner) == ending(target) == ending(text[: place.stop].replace(",", " ").split()[-1])
        assert ending(instead) != ending(partner)
        assert "\n" not in instead
        assert 1 <= text[place.end : place.target].count("\n") <= 4


def test_chance_rhymes_are_fewer_than_those_of_verse() -> None:
    verse = "".join(
        f"a {word}\nthe {word[0]}{word}\n" for word in ("ban", "bed", "bin", "bod", "bun", "bar", "bit", "bog") * 20
    )
    assert len(list(rhymes(verse))) > 1.5 * count_chance_rhymes(verse)
    assert count_chance_rhymes("no line\nends alike") == 0


def switch_model(characters: str, outputs: dict[tuple[int, int], float]) -> tuple[Checkpoint, Array, Array]:
    """Return a cell that keeps the last of the first two characters in unit 0, as 1 or -1, and its gates.

    Args:
        characters: all; each has a unit.
        outputs: weights of the output layer by character and unit.
    """
    size = len(characters)
    config = ModelConfig(size, "lstm", size, size, 1, residual=False, norm=False)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(config).items()}
    tensors["embedding"] = np.eye(size, dtype=np.float32)
    rows = tensors["layers.0.w_x"].reshape(4, size, size)  # gates i, f, o, g; units; characters
    bias = tensors["layers.0.b"].reshape(4, size)
    bias[0], bias[1], bias[2] = -30, 30, 30  # nothing is written, all is kept and shown
    rows[0, :2, :2], rows[1, :2, :2] = 60, -60  # but the two are written, over what was there
    rows[3, 0, 0], rows[3, 0, 1] = 30, -30
    for place, weight in outputs.items():
        tensors["output.w"][place] = weight
    return Checkpoint(config, Vocabulary(characters, has_bytes=False), tensors), rows, bias


def test_recall_needs_the_first_place_in_the_context() -> None:
    model, *_ = switch_model("([)]xz", {(2, 0): 40, (3, 0): -40})  # expects the bracket that closes the last one
    engine, rng = Engine(model), np.random.default_rng(0)
    text = ""
    for _ in range(60):
        opening = rng.choice(["(", "["])
        inside = "".join(rng.choice(list("xz"), rng.integers(1, 200)))
        text += opening + inside + {"(": ")", "[": "]"}[opening]
    found = list(find_targets(text))
    assert len(found) == 60
    rows = measure_recall(engine, engine.vocabulary.encode(text), found, max_distance=255, samples=10)
    assert {row.kind for row in rows} == {"bracket"}
    assert sum(row.tried for row in rows) > 20
    for row in rows:
        assert row.accuracy == 1
        assert row.bits < 0.01
        assert row.bits_without == pytest.approx(math.log2(6), abs=1e-3)  # the context says nothing
        assert row.tried <= 10
        assert row.most < 2 * row.least


def test_recall_of_rhymes_needs_memory() -> None:
    # Expects the last vowel after a consonant, and "n" after a vowel.
    model, rows, bias = switch_model("aibdnx \n", {(0, 0): 40, (1, 0): -40, (4, 1): 99})
    bias[1, 1] = -30  # unit 1 is 1 after a vowel, and nothing is left of it afterwards
    rows[3, 1, :2] = 30
    engine, rng = Engine(model), np.random.default_rng(0)
    text = ""
    for _ in range(40):
        vowel, filling = rng.choice(["a", "i"]), "x" * int(rng.integers(1, 60))
        text += f"xx b{vowel}n\n{filling} d{vowel}n\n\n"
    found = list(find_targets(text))
    assert [each.kind for each in found] == ["rhyme"] * 40
    scores = measure_recall(engine, engine.vocabulary.encode(text), found, max_distance=100)
    assert sum(row.tried for row in scores) == 40
    for row in scores:
        assert (row.accuracy, row.without) == (1, 0.5)  # "n" needs no memory
        assert row.bits < 0.01
        assert row.bits_without > 10  # it expects the other word's vowel
        assert row.error is None or row.error < 0.01
    untrained = Engine(replace(model, tensors={name: 0 * tensor for name, tensor in model.tensors.items()}))
    for row in measure_recall(untrained, engine.vocabulary.encode(text), found, max_distance=100):
        assert row.bits == row.bits_without == pytest.approx(3)
        assert not row.error


def test_measure_recall_equals_reading_each_target() -> None:
    text = HARBOUR.read_text(encoding="utf-8")[:8000]
    engine = Engine(random_checkpoint(cell="slstm", characters="".join(sorted(set(text)))))
    ids = engine.vocabulary.encode(text)
    found = [place for place in find_targets(text) if place.kind == "name" and 64 <= place.distance < 128]
    assert len(found) >= 3
    (row,) = measure_recall(engine, ids, found, max_distance=200)
    nats, right = [], []
    for place in found:
        state, logits = engine.prefill(engine.start(), ids[max(0, place.begin - 32) : place.target])
        nats += nats_by_steps(engine, state, logits, ids[place.target : place.stop])
        for index in ids[place.target : place.stop].tolist():
            right.append(logits.argmax() == index)
            state, logits = engine.step(state, index)
    assert row.bits == pytest.approx(np.mean(nats) / math.log(2), abs=1e-4)
    assert row.accuracy == pytest.approx(np.mean(right))
    assert row.error


def test_measure_context_of_a_short_text_reads_little() -> None:
    engine, read = Engine(random_checkpoint()), 0

    def count(ids: int) -> None:
        nonlocal read
        read += ids

    ids = np.random.default_rng(0).integers(0, len(engine.vocabulary), 5000)
    measure_context(engine, ids, [1 << power for power in range(13)], on_read=count)
    assert read < 20 * len(ids)
