"""Reading in blocks, prompts and lossy encoding agree with reading one id at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import CorpusError, UsageError
from charlm.inference.context import READ_BLOCK, Context, StaticModel, encode_lossy, read_prompt, unknown_mask
from charlm.inference.engine import Engine
from charlm.text.vocabulary import Vocabulary

from ..conftest import ALPHABET, assert_states_close, random_checkpoint

TEXT = "the ferry, the town\n\nand the ünknöwn ☃ in it?\nécole 🙂🙂!\n" * 3
WORDS = st.text(st.sampled_from([*ALPHABET, "é", "☃", "🙂", "\0", "\x1b"]), max_size=40)


@pytest.fixture(params=[False, True], ids=["characters", "bytes"])
def model(request: pytest.FixtureRequest) -> StaticModel:
    return StaticModel(Engine(random_checkpoint(has_bytes=request.param, scale=0.4)))


def by_steps(engine: Engine, ids: list[int]) -> Context:
    """The context after ids that are read one at a time."""
    state = engine.start()
    for index in ids:
        state, logits = engine.step(state, index)
    return Context(state, logits)


def assert_close(one: Context, other: Context) -> None:
    assert_states_close(one.state, other.state)
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)


@pytest.mark.parametrize("prompt", ["a", "the ", TEXT, "a" * 255, "ab" * 128, "abc" * 200, "é", "☃🙂"])
def test_read_prompt_reads_every_id(model: StaticModel, prompt: str) -> None:
    context, ids = read_prompt(model, prompt)
    assert ids.tolist() == encode_lossy(model.base.vocabulary, prompt).tolist()
    assert_close(context, by_steps(model.base, ids.tolist()))


@pytest.mark.parametrize(("bias", "begun"), [(-9.0, "\n"), (9.0, "\n\n")], ids=["lines", "paragraphs"])
def test_read_prompt_empty_begins_a_line_or_paragraph(bias: float, begun: str) -> None:
    checkpoint = random_checkpoint()
    checkpoint.tensors["output.b"][checkpoint.vocabulary.encode("\n")] = bias
    model = StaticModel(Engine(checkpoint))
    (empty, ids), (expected, expected_ids) = read_prompt(model, ""), read_prompt(model, begun)
    assert_close(empty, expected)
    assert ids.tolist() == expected_ids.tolist()


def test_read_prompt_continues_a_context(model: StaticModel) -> None:
    whole, _ = read_prompt(model, TEXT)
    first, _ = read_prompt(model, TEXT[:30])
    rest, _ = read_prompt(model, TEXT[30:], first)
    assert_close(rest, whole)


def test_read_prompt_refuses_half_a_surrogate(model: StaticModel) -> None:
    with pytest.raises(CorpusError, match="half a surrogate"):
        read_prompt(model, "a\ud800")


@given(WORDS)
def test_encode_lossy_replaces_unknown_characters(text: str) -> None:
    for has_bytes in (True, False):
        vocabulary = Vocabulary(ALPHABET, has_bytes=has_bytes)
        unknown = [not has_bytes and one not in ALPHABET for one in text]
        assert unknown_mask(vocabulary, text).tolist() == unknown
        expected = "".join("?" if replaced else one for one, replaced in zip(text, unknown, strict=True))
        assert vocabulary.decode(encode_lossy(vocabulary, text)) == expected


def test_read_cancelled_stops_after_a_block(model: StaticModel) -> None:
    ids = np.zeros(2 * READ_BLOCK + 5, dtype=np.int64)
    answers = iter([False, True])
    with pytest.raises(UsageError, match=f"after reading {2 * READ_BLOCK:,}"):
        model.read(model.start(), ids, lambda: next(answers))


def test_read_of_no_ids_returns_the_context(model: StaticModel) -> None:
    context, _ = read_prompt(model, "a")
    assert model.read(context, np.zeros(0, dtype=np.int64)) is context
