"""A model that learns while it reads: nothing leaks, nothing is lost, nothing cannot be undone, nothing ruins it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import charlm
from charlm.adapt import gradient_rms
from charlm.adapt.adaptive_model import AdaptiveModel
from charlm.adapt.dynamic_eval import learn, learn_text, line_scorer, read_in_slices
from charlm.adapt.learner import AdaptedContext, Learner, adapted_to_bytes
from charlm.adapt.weight_delta import WorkingWeights, delta_from_bytes, empty_delta
from charlm.api import Model
from charlm.cells import CELLS
from charlm.checkpoint import Checkpoint, load
from charlm.config import LearnConfig, ModelConfig
from charlm.errors import CheckpointError, CorpusError, UsageError
from charlm.inference import tape
from charlm.inference.engine import Engine
from charlm.inference.sampling import log_softmax
from charlm.inference.scoring import score_text
from charlm.model.lm import CharLM, detach, load_tensors
from charlm.tensor_shapes import parameter_count, statistic_shapes, tensor_shapes
from tests.conftest import ALPHABET, HARBOUR, assert_states_close, random_checkpoint

QUICK = LearnConfig(rate=3e-3, segment=8)  # so that little text changes much
every_cell = pytest.mark.parametrize("cell", CELLS)
texts = st.text(ALPHABET, min_size=1, max_size=60)


def make(cell: str = "lstm", seed: int = 0, **shape: Any) -> Checkpoint:
    """A small model with large random weights, whose arrays are read-only."""
    made = random_checkpoint(seed, scale=0.4, cell=cell, **{"embedding": 9, "hidden": 12, **shape})
    for tensor in made.tensors.values():
        tensor.flags.writeable = False
    return made


def even(config: ModelConfig, square: float = 1e-6) -> dict[str, Any]:
    """Statistics of a model with equal gradients."""
    return {name: np.full(shape, square, np.float32) for name, shape in statistic_shapes(config).items()}


def uneven(config: ModelConfig, rng: np.random.Generator, low: float, high: float) -> dict[str, Any]:
    """Statistics of a model with random gradients."""
    return {name: rng.uniform(low, high, shape).astype(np.float32) for name, shape in statistic_shapes(config).items()}


def assert_finite(context: AdaptedContext) -> None:
    for part in (*context.state.arrays(), context.logits, context.delta.moved, context.delta.movement):
        assert np.isfinite(part).all()


def learner_of(checkpoint: Checkpoint, how: LearnConfig = QUICK) -> Learner:
    return Learner(checkpoint, how, even(checkpoint.config))


@pytest.fixture(scope="module")
def learner() -> Learner:
    return learner_of(make())


def noise(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(ALPHABET), length))


def same(one: AdaptedContext, other: AdaptedContext) -> bool:
    """To the bit."""
    return as_bytes(one) == as_bytes(other) and one.delta.to_bytes() == other.delta.to_bytes()


def as_bytes(context: AdaptedContext) -> tuple[object, ...]:
    arrays = [
        part
        for before, one in ((context.before, context), (context.base_before, context.base))
        for part in (*before.arrays(), *one.state.arrays(), one.logits)
    ]
    numbers = (context.last_id, context.learned, context.shrinks, context.drift, context.gain)
    return *(part.tobytes() for part in arrays), *numbers


# The published rule


@pytest.mark.parametrize("shape", [{}, {"tied": True, "embedding": 12}, {"norm": False, "residual": False}])
@every_cell
def test_learner_agrees_with_dynamic_evaluation_in_torch(cell: str, shape: dict[str, Any]) -> None:
    """Krause et al. (2018): theta += decay (theta_0 - theta) - rate g / rms, segment by segment, the state carried."""
    checkpoint = make(cell, **shape)
    how = LearnConfig(rate=1e-3, decay=0.1, segment=7, clip=1e6, margin=1e6)
    sizes = even(checkpoint.config, 4e-6)
    text = noise(50)
    learner = Learner(checkpoint, how, sizes)
    ids = checkpoint.vocabulary.encode(text)
    context, nats, _ = learner.read(learner.start(ids[:1]), ids[1:])

    model = CharLM(checkpoint.config).double()
    load_tensors(model, checkpoint.tensors)
    trained = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    state, expected = model.start(1), []
    for first in range(0, len(ids) - 1, 7):
        y = torch.from_numpy(ids[first + 1 : first + 8])
        logits, state = model(torch.from_numpy(ids[first : first + len(y)])[:, None], state)
        losses = F.cross_entropy(logits[:, 0], y, reduction="none")
        expected += losses.tolist()
        model.zero_grad()
        (losses.sum() / 7).backward()
        state = detach(state)
        share = len(y) / 7
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None
                pull = 1 - 0.1 * share
                rms = math.sqrt(4e-6 + how.epsilon**2)
                parameter.copy_(trained[name] + pull * (parameter - trained[name]) - 1e-3 * parameter.grad / rms)
    np.testing.assert_allclose(nats, expected, rtol=0, atol=2e-4)
    assert context.delta.movement > 0.01, "it has moved"
    for name, tensor in learner.checkpoint(context).tensors.items():
        theirs = model.get_parameter(name).detach().numpy()
        way = np.linalg.norm(theirs - trained[name].numpy())
        assert np.linalg.norm(tensor - theirs) < 2e-3 * way, name


def test_gradient_too_large_is_clipped() -> None:
    checkpoint = make()
    ids = checkpoint.vocabulary.encode(noise(9))
    moved = {}
    for clip in (1e-3, 2e-3, 1e6):
        how = LearnConfig(rate=1e-3, segment=8, clip=clip)
        learner = Learner(checkpoint, how, even(checkpoint.config, 1e-12))
        context = learner.read(learner.start(ids[:1]), ids[1:]).context
        moved[clip] = float(np.sqrt(np.mean(context.delta.moved**2)))
    assert moved[2e-3] == pytest.approx(2 * moved[1e-3], rel=1e-3)
    assert moved[1e-3] == pytest.approx(1e-3 * 1e-3, rel=1e-3)  # rate times clip, in every tensor
    assert moved[1e6] > 10 * moved[2e-3]


def test_decay_is_larger_for_large_gradients() -> None:
    checkpoint, rng = make(), np.random.default_rng(1)
    sizes = uneven(checkpoint.config, rng, 1e-7, 1e-5)
    how = LearnConfig(rate=0, decay=0.1, segment=8, margin=1e6)
    learner = Learner(checkpoint, how, sizes)
    ids = checkpoint.vocabulary.encode(noise(13))
    moved = np.ones(parameter_count(checkpoint.config), np.float32)
    delta = replace(learner.start(ids[:1]).delta, moved=moved)
    learned = learner.read(replace(learner.start(ids[:1]), delta=delta), ids[1:]).context.delta.moved

    scales = gradient_rms.inverse_rms(checkpoint.config, sizes, how.epsilon)
    usual = [
        1 / (scale if isinstance(scale, np.ndarray) else np.outer(scale.rows, scale.columns)).ravel()
        for scale in (scales[name] for name in tensor_shapes(checkpoint.config))
    ]
    shares = 0.1 * np.concatenate(usual) / np.mean(np.concatenate(usual))
    np.testing.assert_allclose(learned, (1 - shares) * (1 - shares / 2), rtol=1e-4)


@given(decay=st.floats(0, 1), smallest=st.floats(1e-12, 1e-3), seed=st.integers(0, 99))
def test_decay_rates_never_exceed_one(decay: float, smallest: float, seed: int) -> None:
    config = make().config
    sizes = uneven(config, np.random.default_rng(seed), smallest, 1e-3)
    pulls = gradient_rms.decay_rates(gradient_rms.inverse_rms(config, sizes, 1e-9), decay)
    assert all(pull.min() >= 0 and pull.max() <= 1 for pull in pulls.values())
    assert sum(float(pull.sum()) for pull in pulls.values()) <= (1 + 1e-4) * decay * parameter_count(config)


def test_rate_zero_is_the_trained_model(learner: Learner) -> None:
    still = learner_of(learner.base.checkpoint, LearnConfig(rate=0, segment=8))
    text = noise(300)
    lesson = learn(still, text)
    *_, static = score_text(still.base, text)
    assert not lesson.context.delta.moved.any()
    assert lesson.learning.nats == pytest.approx(static.nats, rel=1e-5)
    assert lesson.static.nats == pytest.approx(static.nats, rel=1e-5)
    assert lesson.learning.characters == static.characters == 299


def test_passes_learn_more_from_one_text() -> None:
    text = "the ferry goes over to farside.\n" * 3
    nats = []
    for passes in (1, 4):
        learner = learner_of(make(), LearnConfig(rate=1e-3, segment=32, passes=passes))
        nats.append(learn(learner, text).learning.nats)
    assert nats[1] < 0.95 * nats[0]


def test_text_read_again_is_less_surprising(learner: Learner) -> None:
    text = "the ferry goes over to farside.\n"
    context, first, _ = learner.read(learner.start(), text)
    gains = []
    for _ in range(10):
        context, nats, base = learner.read(context, text)
        gains.append(base.mean() - nats.mean())
    assert nats.mean() < 0.7 * first.mean()
    assert gains[0] < context.gain < gains[-1]  # a running mean, not the gain on the last line
    assert context.learned == 11 * len(text)


# Nothing leaks


@every_cell
@given(data=st.data())
@settings(max_examples=40)
def test_scores_ignore_later_text(cell: str, data: st.DataObject) -> None:
    checkpoint = make(cell)
    how = LearnConfig(rate=1e-2, segment=data.draw(st.integers(1, 40)), passes=data.draw(st.integers(1, 2)))
    text = data.draw(st.text(ALPHABET, min_size=2, max_size=80))
    place = data.draw(st.integers(1, len(text) - 1))
    other = text[:place] + data.draw(st.text(ALPHABET, min_size=len(text) - place, max_size=len(text) - place))
    scores = []
    for one in (text, other):
        learner = learner_of(checkpoint, how)
        scores.append(learner.read(learner.start(), one).nats)
    np.testing.assert_array_equal(scores[0][:place], scores[1][:place])


def test_line_scorer_scores_before_learning(learner: Learner) -> None:
    scorer = line_scorer(learner)
    first, *_, last = [scorer.push("the ferry goes over to farside.") for _ in range(12)]
    expected = learner.read(learner.start(), first.text + "\n").nats
    np.testing.assert_allclose(first.surprisals, expected / math.log(2))
    assert last.bits_per_character < 0.7 * first.bits_per_character


@given(text=st.text(ALPHABET, min_size=2, max_size=500), segment=st.integers(1, 7))
@settings(max_examples=20)
def test_slices_give_the_result_of_one_call(text: str, segment: int) -> None:
    learner = learner_of(make(), LearnConfig(rate=1e-3, segment=segment))
    ids = learner.base.vocabulary.encode(text)
    whole = learner.read(learner.start(ids[:1]), ids[1:])
    pieces = list(read_in_slices(learner, learner.start(ids[:1]), ids[1:]))
    np.testing.assert_array_equal(np.concatenate([one.nats for one in pieces]), whole.nats)
    assert pieces[-1].context.delta.to_bytes() == whole.context.delta.to_bytes()


# Nothing is changed


@pytest.mark.parametrize("shape", [{}, {"tied": True, "embedding": 12}])
@every_cell
def test_trained_weights_never_change(cell: str, shape: dict[str, Any]) -> None:
    checkpoint = make(cell, **shape)  # writing to them would be an error
    before = {name: tensor.tobytes() for name, tensor in checkpoint.tensors.items()}
    learner = learner_of(checkpoint)
    context = learner.read(learner.start(), noise(200)).context
    assert context.delta.movement > 0.01
    assert learner.engine(context).checkpoint.tensors["output.b"].tobytes() != before["output.b"]
    assert {name: tensor.tobytes() for name, tensor in checkpoint.tensors.items()} == before


def test_forget_returns_the_trained_model() -> None:
    model, text = AdaptiveModel(Engine(make())), noise(100)
    ids = model.base.vocabulary.encode(text)
    learned, nats = model.learn(model.start(), ids, QUICK)
    assert model.engine(learned) is not model.base
    assert nats is not None
    assert len(nats) == 100
    context = model.forget(learned)
    assert model.engine(context) is model.base
    state, logits = model.base.prefill(model.base.start(), ids)
    assert_states_close(context.state, state)
    np.testing.assert_allclose(context.logits, logits, atol=1e-4)


def test_working_weights_cleared_are_the_trained_ones() -> None:
    checkpoint = make()
    learner = learner_of(checkpoint)
    delta = learner.read(learner.start(), noise(100)).context.delta
    bench = WorkingWeights(checkpoint)
    bench.load(delta)
    assert any((bench.weights[name] != tensor).any() for name, tensor in checkpoint.tensors.items())
    for clear in (lambda: bench.load(empty_delta(checkpoint)), lambda: bench.shrink(0)):
        bench.load(delta)
        clear()
        for name, tensor in checkpoint.tensors.items():
            np.testing.assert_array_equal(bench.weights[name], tensor)


def test_context_is_a_value(learner: Learner) -> None:
    context = learner.read(learner.start(), noise(50)).context
    with pytest.raises(ValueError, match="read-only"):
        context.delta.moved[0] = 1
    kept = context.state.map(np.copy)
    moved = context.delta.moved.copy()
    learner.read(context, noise(50, 1))
    np.testing.assert_array_equal(context.delta.moved, moved)
    assert_states_close(context.state, kept, 0)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 10**6), st.text(ALPHABET, max_size=30), st.booleans()), min_size=1, max_size=12
    )
)
@settings(max_examples=30)
def test_reading_again_from_any_context_is_exact(steps: list[tuple[int, str, bool]]) -> None:
    """Texts read in between, other contexts and other learners change nothing."""
    checkpoint = make()
    learner = learner_of(checkpoint)
    contexts, parents = [learner.start()], [(0, "", True)]
    for place, text, learns in steps:
        parent = place % len(contexts)
        contexts.append(learner.read(contexts[parent], text, learn=learns).context)
        parents.append((parent, text, learns))
    other = learner_of(checkpoint)
    for number in reversed(range(1, len(contexts))):
        parent, text, learns = parents[number]
        assert same(learner.read(contexts[parent], text, learn=learns).context, contexts[number])
        assert same(other.read(contexts[parent], text, learn=learns).context, contexts[number])


def test_interruption_leaves_no_trace(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    context, text = learner.read(learner.start(), noise(50)).context, noise(60, 1)
    expected = learner.read(context, text).context
    calls = 0

    def interrupt(*arguments: Any) -> tape.Gradients:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return backward(*arguments)

    backward = tape.backward
    monkeypatch.setattr(tape, "backward", interrupt)
    with pytest.raises(KeyboardInterrupt):
        learner.read(context, text)
    monkeypatch.undo()
    assert same(learner.read(context, text).context, expected)


def test_reading_without_learning_is_the_adapted_engine(learner: Learner) -> None:
    context = learner.read(learner.start(), noise(100)).context
    ids = learner.base.vocabulary.encode(noise(40, 1))
    read = learner.read(context, ids, learn=False)
    assert read.context.delta is context.delta
    assert (read.context.learned, read.context.shrinks) == (context.learned, context.shrinks)
    engine = learner.engine(context)
    state, logits = engine.forward(context.state, ids)
    predictions = log_softmax(np.concatenate((context.logits[None], logits[:-1])))
    np.testing.assert_allclose(read.nats, -predictions[np.arange(40), ids], atol=1e-4)
    np.testing.assert_allclose(read.context.logits, logits[-1], atol=1e-4)
    assert_states_close(read.context.state, state, 1e-4)
    assert engine is learner.engine(read.context), "it is not made twice"
    assert engine.fingerprint == learner.base.fingerprint
    learner.base.from_bytes(engine.to_bytes(state))  # so that its states are the model's


def test_read_of_no_text_returns_the_context(learner: Learner) -> None:
    context = learner.read(learner.start(), "the ferry").context
    read = learner.read(context, "")
    assert read.context is context
    assert len(read.nats) == len(read.base_nats) == 0


def test_unknown_characters_are_replaced(learner: Learner) -> None:
    read = learner.read(learner.start("日"), "日本語 ferry 😀")
    assert np.isfinite(read.nats).all()
    lesson = learn(learner, "日本語 ferry 😀")
    assert lesson.learning.unknown == lesson.static.unknown == 3  # the first is not predicted


def test_text_too_short_is_refused(learner: Learner) -> None:
    for text in ("", "a"):
        with pytest.raises(CorpusError):
            learn(learner, text)


def test_text_read_three_times_is_learned_better(learner: Learner) -> None:
    text = "the ferry goes over to farside.\n" * 4
    once, thrice = learn(learner, text), learn(learner, text, times=3)
    assert thrice.learning == once.learning
    assert thrice.context.learned == once.context.learned + 2 * len(text)
    again = [learner.read(lesson.context, text, learn=False).nats.mean() for lesson in (once, thrice)]
    assert again[1] < 0.9 * again[0]
    assert [lesson.context.learned for lesson in learn_text(learner, text, times=3)][-1] == thrice.context.learned


# Nothing ruins it


def telling(character: str) -> Checkpoint:
    """A model that is all but sure of one character."""
    made = make()
    tensors = dict(made.tensors)
    bias = np.zeros(len(made.vocabulary), np.float32)
    bias[made.vocabulary.encode(character)] = 8
    tensors["output.b"], tensors["output.w"] = bias, 0.05 * tensors["output.w"]
    return Checkpoint(made.config, made.vocabulary, tensors)


def test_guard_halves_harmful_weights() -> None:
    learner = learner_of(telling("a"), LearnConfig(rate=1e-2, segment=10))
    context = learner.read(learner.start(), "b" * 600).context
    assert context.shrinks == 0
    assert context.gain > 5
    moved = context.delta.movement
    context, nats, base = learner.read(context, "a" * 10)
    assert nats[0] > base[0] + 3, "it believed in b"
    assert context.shrinks == 1
    assert context.delta.movement == pytest.approx(moved / 2, rel=1e-3)
    context, nats, base = learner.read(context, "a" * 400)
    assert nats[-200:].mean() < base[-200:].mean() + 0.02
    unguarded = learner_of(telling("a"), LearnConfig(rate=1e-2, segment=10, margin=1e6))
    context = unguarded.read(unguarded.start(), "b" * 600).context
    assert unguarded.read(context, "a" * 40).context.shrinks == 0


@every_cell
@pytest.mark.parametrize("rate", [1e-3, 0.1])
@pytest.mark.parametrize("norm", [True, False])
def test_weights_stay_finite_at_any_rate(cell: str, rate: float, norm: bool) -> None:
    checkpoint = make(cell, norm=norm)
    learner = learner_of(checkpoint, LearnConfig(rate=rate, segment=20, decay=0, clip=1e6))
    context = learner.start()
    for text in (noise(1000), "a" * 1000, "the ferry goes.\n" * 60, noise(500, 1)):
        context, nats, base = learner.read(context, text)
        assert np.isfinite(nats).all()
        assert_finite(context)
    assert np.isfinite(base).all()


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_ruined_weights_are_dropped(learner: Learner) -> None:
    context = learner.read(learner.start(), noise(50)).context
    for value in (np.nan, np.inf, 1e38):
        moved = context.delta.moved.copy()
        moved[::3] = value
        ruined = replace(context, delta=replace(context.delta, moved=moved), shrinks=5)
        after = learner.read(ruined, noise(30)).context
        assert after.shrinks > 5
        assert_finite(after)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A model that has learned something, with the statistics of its training."""
    options = {"hidden": 48, "layers": 1, "lanes": 8, "chunk": 32, "steps": 200, "precision": "fp32", "threads": 1}
    return load(charlm.train(HARBOUR, output=tmp_path_factory.mktemp("trained") / "m", **options).path)


FOREIGN = "der alte mann ging langsam durch die strassen und sah den kindern zu, wie sie am ufer spielten; "
FOREIGN += "niemand wusste, woher er gekommen war.\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad", ["noise", *(pytest.param(one, marks=pytest.mark.campaign) for one in ("bytes", "line", "foreign"))]
)
def test_learner_recovers_from_any_text(trained: Checkpoint, bad: str) -> None:
    length = 40_000  # what is learned fades within 25,000 characters, so more is no worse
    text = {
        "noise": "".join(np.random.default_rng(0).choice(list(trained.vocabulary.characters), length)),
        "bytes": "".join(map(chr, np.random.default_rng(0).integers(0x4E00, 0x9000, length // 3))),
        "line": ("the same old line again.\n" * length)[:length],
        "foreign": (FOREIGN * length)[:length],
    }[bad]
    learner = Learner(trained)
    *_, lesson = learn_text(learner, text)
    assert lesson.learning.nats < lesson.static.nats, "it has learned it"
    assert np.isfinite(lesson.context.delta.moved).all()
    normal = HARBOUR.read_text(encoding="utf-8")[:6000]
    context = learner.read(lesson.context, normal[:3000]).context
    context, nats, base = learner.read(context, normal[3000:])
    assert np.isfinite(nats).all()
    assert nats.mean() < 1.03 * base.mean()


# How large gradients are


@pytest.mark.slow
def test_training_stores_the_size_of_gradients(trained: Checkpoint) -> None:
    assert trained.statistics is not None
    learner = Learner(trained)
    assert learner.statistics is trained.statistics
    estimate = gradient_rms.estimate_from_samples(learner.base)
    for name, found in trained.statistics.items():
        if name.endswith((".rows", ".columns")):
            # Independent ways to one figure; gradients that are not independent of each other keep them apart.
            assert 1 / 3 < np.sqrt(estimate[name].mean() / found.mean()) < 3, name
    text = HARBOUR.read_text(encoding="utf-8")[:3000]
    known, guessed = (learn(Learner(trained, None, one), text) for one in (None, estimate))
    assert known.learning.nats_per_character == pytest.approx(guessed.learning.nats_per_character, rel=0.02)


def test_statistics_are_a_hundredth_of_the_model() -> None:
    config = ModelConfig(320, "lstm", 256, 256)
    size = sum(math.prod(shape) for shape in statistic_shapes(config).values())
    assert size < 0.01 * parameter_count(config)


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_outer_products_are_factored_without_loss(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    config = ModelConfig(rows + 1, "rnn", 3, columns, layers=1)
    squares = {
        name: np.outer(rng.uniform(0.1, 2, shape[0]), rng.uniform(0.1, 2, shape[1]))
        if len(shape) == 2
        else rng.uniform(0.1, 2, shape)
        for name, shape in tensor_shapes(config).items()
    }
    factored = gradient_rms.factor(squares, gradient_rms.REFERENCE_CHARS)
    assert {name: value.shape for name, value in factored.items()} == statistic_shapes(config)
    for name, scale in gradient_rms.inverse_rms(config, factored, 1e-9).items():
        whole = np.outer(*scale) if isinstance(scale, gradient_rms.TensorRms) else scale
        np.testing.assert_allclose(whole, squares[name] ** -0.5, rtol=1e-5)
    fewer = gradient_rms.factor(squares, gradient_rms.REFERENCE_CHARS / 4)
    for name, value in fewer.items():
        np.testing.assert_allclose(value, factored[name] / 4, rtol=1e-5)


def test_statistics_of_zero_are_usable() -> None:
    checkpoint = make()
    learner = Learner(checkpoint, QUICK, even(checkpoint.config, 0.0))
    assert np.isfinite(learner.read(learner.start(), noise(100)).context.delta.moved).all()


def test_estimate_from_samples_is_reproducible() -> None:
    engine = Engine(make())
    one, other = gradient_rms.estimate_from_samples(engine), gradient_rms.estimate_from_samples(engine)
    for name, shape in statistic_shapes(engine.config).items():
        assert one[name].shape == shape
        assert np.isfinite(one[name]).all()
        np.testing.assert_array_equal(one[name], other[name])


# As bytes


def test_context_survives_as_bytes(learner: Learner) -> None:
    context = learner.start()
    for text, learns in ((noise(70), True), (noise(9, 1), False), (noise(33, 2), True)):
        context = learner.read(context, text, learn=learns).context
        data, delta = adapted_to_bytes(context, learner.base), context.delta.to_bytes()
        other = learner_of(learner.base.checkpoint)
        again = other.from_bytes(data, delta_from_bytes(learner.base.checkpoint, delta))
        assert same(again, context)
        assert again.delta.digest == context.delta.digest
        assert same(other.read(again, "the ferry").context, learner.read(context, "the ferry").context)
        assert len(data) < 20_000
        assert len(delta) < context.delta.size + 100


def test_context_without_learning_survives_as_bytes(learner: Learner) -> None:
    context = learner.start()
    delta = delta_from_bytes(learner.base.checkpoint, context.delta.to_bytes())
    again = learner.from_bytes(adapted_to_bytes(context, learner.base), delta)
    assert learner.engine(again) is learner.base
    np.testing.assert_allclose(again.logits, context.logits, atol=1e-5)


def mutations(data: bytes, count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for length in (0, 1, 8, 24, 31, 32, 40, 80, len(data) - 1):
        yield data[:length]
    yield data + b"\0"
    for _ in range(count):
        mutated = bytearray(data)
        for _ in range(rng.choice([1, 1, 4, 32])):
            place = int(rng.integers(len(data) if rng.random() < 0.5 else 100))
            mutated[place] = int(rng.integers(256))
        yield bytes(mutated)


def test_damaged_bytes_are_refused_or_harmless(learner: Learner) -> None:
    checkpoint = learner.base.checkpoint
    context, refused = learner.read(learner.start(), noise(50)).context, []
    for data in mutations(context.delta.to_bytes(), 1500):
        try:
            delta = delta_from_bytes(checkpoint, data)
        except CheckpointError as error:
            refused.append(error.message)
        else:
            assert np.isfinite(delta.moved).all()
            assert math.isfinite(delta.movement)
    for data in mutations(adapted_to_bytes(context, learner.base), 1500):
        try:
            found = learner.from_bytes(data, context.delta)
        except CheckpointError as error:
            refused.append(error.message)
        else:
            assert np.isfinite(learner.read(found, "the ferry").nats).all()
    assert len(refused) > 200
    assert all(message.isprintable() for message in refused)


def test_bytes_of_another_model_are_refused(learner: Learner) -> None:
    other = learner_of(make(seed=1))
    context, theirs = (one.read(one.start(), noise(50)).context for one in (learner, other))
    with pytest.raises(CheckpointError, match="another model"):
        delta_from_bytes(other.base.checkpoint, context.delta.to_bytes())
    with pytest.raises(CheckpointError, match="other learned weights"):
        learner.from_bytes(adapted_to_bytes(context, learner.base), learner.start().delta)
    with pytest.raises(CheckpointError):
        other.from_bytes(adapted_to_bytes(context, learner.base), theirs.delta)


# In Python


def test_api_eval_dynamic_learns_the_text() -> None:
    model = Model(random_checkpoint())
    text = "the ferry goes over to farside.\n" * 20
    static, dynamic = model.eval(text), model.eval(text, dynamic=True, rate=1e-3)
    assert dynamic.nats < 0.9 * static.nats
    assert dynamic == learn(model.learner(rate=1e-3), text).learning
    with pytest.raises(UsageError):
        model.eval(text, rate=1e-3)
    with pytest.raises(UsageError):
        model.eval(text, 4, dynamic=True)
    with pytest.raises(UsageError):
        model.learner(speed=1)
