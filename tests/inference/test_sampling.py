"""The sampling chain agrees with a slow second implementation, draws follow it, and the fast path agrees with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare

from charlm.config import SamplerConfig, SamplingConfig
from charlm.errors import UsageError
from charlm.inference import fast_path, sampling
from charlm.inference.sampling import draw, filtered_weights, log_softmax

DRAWS = 200_000
CLOSE = 1e-9

OFF = SamplingConfig(temperature=1, top_p=1)
ALONE = {
    "off": OFF,
    "cool": SamplingConfig(temperature=0.5, top_p=1),
    "hot": SamplingConfig(temperature=2, top_p=1),
    "greedy": SamplingConfig(temperature=0, top_p=1),
    "top-k": SamplingConfig(temperature=1, top_p=1, top_k=4),
    "typical": SamplingConfig(temperature=1, top_p=1, typical=0.6),
    "top-p": SamplingConfig(temperature=1, top_p=0.8),
    "min-p": SamplingConfig(temperature=1, top_p=1, min_p=0.2),
    "penalty": SamplingConfig(temperature=1, top_p=1, repetition_penalty=1.7),
    "all": SamplingConfig(0.9, top_k=9, top_p=0.9, min_p=0.05, typical=0.95, repetition_penalty=1.2),
}


class OnTheEdge(Exception):  # noqa: N818 - no error: the case is decided by rounding, and says nothing
    """Two numbers that a filter compares are nearly, but not quite, equal."""


def below(a: float, b: float) -> bool:
    """Return a < b; raises where rounding would decide."""
    if a != b and abs(a - b) <= CLOSE * max(abs(a), abs(b), 1e-3):
        raise OnTheEdge
    return a < b


def reference(
    logits: Sequence[float], params: SamplingConfig, banned: Sequence[int] = (), recent: Sequence[int] = ()
) -> list[float]:
    """One row's probabilities, by the book: the log probabilities of the ids that are left, in a dict."""
    left = {index: float(logit) for index, logit in enumerate(logits) if index not in banned and logit > -math.inf}
    if math.inf in left.values():  # infinitely likelier than the rest
        left = {index: 0.0 for index, logit in left.items() if logit == math.inf}
    left = normalise(left)
    if params.repetition_penalty != 1:
        left = {index: log_p * params.repetition_penalty if index in recent else log_p for index, log_p in left.items()}
    if params.temperature == 0:
        likeliest = max(left.values())
        winner = min(index for index, log_p in left.items() if not below(log_p, likeliest))
        return [float(index == winner) for index in range(len(logits))]
    left = normalise({index: log_p / params.temperature for index, log_p in left.items()})
    if params.top_k:
        descending = sorted(left.values(), reverse=True)
        least = descending[: params.top_k][-1]
        left = {index: log_p for index, log_p in left.items() if not below(log_p, least)}
    if params.typical < 1:
        left = normalise(left)
        entropy = -sum(math.exp(log_p) * log_p for log_p in left.values())
        left = up_to(params.typical, left, {index: abs(-log_p - entropy) for index, log_p in left.items()})
    if params.top_p < 1:
        left = up_to(params.top_p, left, {index: -log_p for index, log_p in left.items()})
    if params.min_p:
        least = max(left.values()) + math.log(params.min_p)
        left = {index: log_p for index, log_p in left.items() if not below(log_p, least)}
    left = normalise(left)
    return [math.exp(left[index]) if index in left else 0.0 for index in range(len(logits))]


def decided(
    logits: Sequence[float], params: SamplingConfig, banned: Sequence[int] = (), recent: Sequence[int] = ()
) -> list[float]:
    """Return `reference`; the example is skipped where rounding decides."""
    try:
        return reference(logits, params, banned, recent)
    except OnTheEdge:
        reject()


def normalise(left: dict[int, float]) -> dict[int, float]:
    most = max(left.values())
    total = most + math.log(math.fsum(math.exp(log_p - most) for log_p in left.values()))
    return {index: log_p - total for index, log_p in left.items()}


def up_to(mass: float, left: dict[int, float], cost: dict[int, float]) -> dict[int, float]:
    """The cheapest ids that together have the mass, and any as cheap as the last of them."""
    left, kept = normalise(left), []
    for index in sorted(left, key=cost.__getitem__):
        kept.append(index)
        if not below(math.fsum(math.exp(left[each]) for each in kept), mass):
            break
    return {index: log_p for index, log_p in left.items() if not below(cost[kept[-1]], cost[index])}


def coarse_logits(least: int = 1) -> st.SearchStrategy[list[float]]:
    """Multiples of an eighth, so that ties are frequent, and infinities."""
    finite = st.integers(-64, 64).map(lambda eighths: eighths / 8)
    return st.lists(finite | st.sampled_from([-math.inf, -math.inf, math.inf]), min_size=least, max_size=20)


RANGES: dict[str, st.SearchStrategy[float]] = {
    "temperature": st.sampled_from([0, 0.01, 0.25, 0.8, 1, 1.5, 100]) | st.floats(0.01, 100),
    "top_k": st.integers(0, 22),
    "top_p": st.just(1.0) | st.floats(0, 1, exclude_min=True),
    "min_p": st.sampled_from([0.0, 1.0]) | st.floats(0, 1),
    "typical": st.just(1.0) | st.floats(0, 1, exclude_min=True),
    "repetition_penalty": st.just(1.0) | st.floats(1, 100),
}


def chains() -> st.SearchStrategy[SamplingConfig]:
    return st.builds(SamplingConfig, **RANGES)


def test_every_field_of_the_sampler_is_tested() -> None:
    """ALONE and RANGES are complete: a new sampler must be added to both, and so to `reference`."""
    names = {field.name for field in fields(SamplerConfig)}
    assert RANGES.keys() == names
    assert {name for name in names for chain in ALONE.values() if getattr(chain, name) != getattr(OFF, name)} == names


def distribution(
    logits: NDArray[Any], params: SamplingConfig, banned: Sequence[int] = (), recent: Sequence[Sequence[int]] = ()
) -> NDArray[np.float64]:
    weights = filtered_weights(logits, params, banned, recent or [()] * len(logits))
    return weights / weights.sum(axis=-1, keepdims=True)


def one_row(
    logits: Sequence[float], params: SamplingConfig, banned: Sequence[int] = (), recent: Sequence[int] = ()
) -> NDArray[np.float64]:
    return distribution(np.array([logits], np.float32), params, banned, [recent])[0]


some_ids = st.lists(st.integers(0, 19), max_size=25)


@pytest.mark.parametrize("chain", ALONE)
@given(logits=coarse_logits(), recent=some_ids, banned=some_ids)
@settings(max_examples=50)
def test_each_filter_is_the_reference(chain: str, logits: list[float], recent: list[int], banned: list[int]) -> None:
    assert_reference(logits, ALONE[chain], banned, recent)


@given(logits=coarse_logits(), params=chains(), recent=some_ids, banned=some_ids)
@settings(max_examples=200)
def test_chain_is_reference(logits: list[float], params: SamplingConfig, recent: list[int], banned: list[int]) -> None:
    assert_reference(logits, params, banned, recent)


def assert_reference(logits: list[float], params: SamplingConfig, banned: list[int], recent: list[int]) -> None:
    banned, recent = ([index for index in ids if index < len(logits)] for ids in (banned, recent))
    assume(any(logit > -math.inf for index, logit in enumerate(logits) if index not in banned))
    expected = decided(logits, params, banned, recent)
    np.testing.assert_allclose(one_row(logits, params, banned, recent), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("chain", ALONE)
def test_draws_follow_the_exact_distribution(chain: str) -> None:
    rng = np.random.default_rng(list(ALONE).index(chain))
    logits, recent, banned = rng.normal(0, 1.5, 14), [0, 3, 3, 5, 8], [2, 13]
    expected = np.array(reference(logits.tolist(), ALONE[chain], banned, recent))
    probabilities = distribution(logits[None], ALONE[chain], banned, [recent])
    ids = draw(np.repeat(probabilities, DRAWS, axis=0), rng.random(DRAWS))
    counts = np.bincount(ids, minlength=14)
    assert (counts[expected == 0] == 0).all()
    possible = expected > 0
    assert (expected[possible] * DRAWS > 5).all()  # else chi-squared would not hold
    if possible.sum() > 1:
        assert chisquare(counts[possible], expected[possible] * DRAWS).pvalue > 1e-3


def wild_logits() -> st.SearchStrategy[list[float]]:
    """All values of a float32 but NaN."""
    return st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=12) | coarse_logits()


@given(logits=wild_logits(), params=chains(), recent=st.lists(st.integers(0, 11), max_size=6))
@settings(max_examples=200)
def test_chain_always_leaves_a_distribution(logits: list[float], params: SamplingConfig, recent: list[int]) -> None:
    assume(max(logits) > -math.inf)
    recent = [index for index in recent if index < len(logits)]
    p = one_row(logits, params, recent=recent)
    assert (p >= 0).all()  # so no NaN either
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert not p[np.array(logits) == -math.inf].any()


@given(logits=wild_logits(), params=chains())
def test_temperature_zero_is_argmax(logits: list[float], params: SamplingConfig) -> None:
    assume(max(logits) > -math.inf)
    greedy = SamplingConfig(temperature=0, top_k=params.top_k, top_p=params.top_p, typical=params.typical)
    p = one_row(logits, greedy)
    assert p[np.argmax(np.array(logits, np.float32))] == 1
    assert np.count_nonzero(p) == 1


@given(
    logits=wild_logits(),
    top_p=st.floats(0, 1, exclude_min=True),
    min_p=st.floats(0, 1),
    temperature=st.floats(0.01, 100),
)
def test_top_p_and_min_p_keep_likeliest(logits: list[float], top_p: float, min_p: float, temperature: float) -> None:
    assume(max(logits) > -math.inf)
    for params in (SamplingConfig(temperature, top_p=top_p), SamplingConfig(temperature, top_p=1, min_p=min_p)):
        p = one_row(logits, params)
        likeliest = np.array(logits, np.float32) == max(logits)
        assert (p[likeliest] > 0).all()
        assert (p[likeliest] == p.max()).all()


@given(logits=coarse_logits(), params=chains(), order=st.randoms(use_true_random=False))
def test_chain_ignores_the_order_of_ids(logits: list[float], params: SamplingConfig, order: Any) -> None:
    assume(max(logits) > -math.inf and params.temperature)
    places = list(range(len(logits)))
    order.shuffle(places)
    decided(logits, params)
    shuffled = one_row([logits[place] for place in places], params)
    np.testing.assert_allclose(shuffled, one_row(logits, params)[places], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("chain", ALONE)
def test_fast_path_applies_each_step_of_the_chain(chain: str) -> None:
    logits, recent = np.random.default_rng(0).normal(0, 2, (1, 40)).astype(np.float32), [[0, 3, 3, 5, 8]]
    plain, off = (filtered_weights(logits, params, [2], recent)[0] for params in (ALONE[chain], OFF))
    np.testing.assert_allclose(fast_path.filtered_row(logits[0], ALONE[chain], [2], recent), plain, rtol=1e-12)
    assert np.array_equal(plain, off) == (chain == "off")


@given(
    logits=coarse_logits(),
    params=chains(),
    recent=some_ids,
    banned=st.lists(st.integers(0, 19), max_size=3),
    uniform=st.sampled_from([0.0, np.nextafter(1, 0)]) | st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=300)
def test_fast_path_draws_as_the_plain_sampler(
    logits: list[float], params: SamplingConfig, recent: list[int], banned: list[int], uniform: float
) -> None:
    recent, banned = ([index for index in ids if index < len(logits)] for ids in (recent, banned))
    assume(any(logit > -math.inf for index, logit in enumerate(logits) if index not in banned))
    summed = np.cumsum(decided(logits, params, banned, recent))
    row = np.array([logits], np.float32)
    weights = fast_path.filtered_row(row[0], params, banned, [recent])
    np.testing.assert_allclose(weights, filtered_weights(row, params, banned, [recent])[0], rtol=1e-12)
    assume((abs(summed - uniform) > 1e-9).all() and np.isfinite(row).all())
    one, other = (sample(row, params, banned, [recent], [uniform]) for sample in (sampling.sample, fast_path.sample))
    assert one.ids.tolist() == other.ids.tolist()
    assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    assert one.entropies == pytest.approx(other.entropies, abs=1e-5)


def test_log_softmax_survives_large_logits() -> None:
    logits = np.array([[1e4, 0.0, -1e4], [1.0, 2.0, 3.0]], np.float32)
    found = log_softmax(logits)
    assert found[0].tolist() == [0, -1e4, -2e4]
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1, rtol=1e-6)


@given(st.data())
def test_batch_rows_are_independent(data: st.DataObject) -> None:
    width, rows = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5))
    values = st.floats(-20, 20, width=32) | st.sampled_from([0.0, 1.0, math.inf, -math.inf])
    logits = np.array([data.draw(st.lists(values, min_size=width, max_size=width)) for _ in range(rows)], np.float32)
    assume((logits.max(axis=1) > -math.inf).all())
    recent = [data.draw(st.lists(st.integers(0, width - 1), max_size=5)) for _ in range(rows)]
    params = data.draw(chains())
    for row, ids in zip(logits.tolist(), recent, strict=True):
        decided(row, params, recent=ids)
    together = distribution(logits, params, recent=recent)
    alone = [distribution(row[None], params, recent=[ids])[0] for row, ids in zip(logits, recent, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-300)


def test_chain_leaves_logits_unchanged() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float64)
    before = logits.copy()
    for params in ALONE.values():
        distribution(logits, params, [1], [[2, 3]] * 3)
    np.testing.assert_array_equal(logits, before)


@given(
    weights=st.lists(st.just(0.0) | st.floats(1e-30, 1), min_size=1, max_size=12),
    uniform=st.sampled_from([0.0, 5e-324, 0.5, np.nextafter(1, 0)]) | st.floats(0, 1, exclude_max=True),
)
def test_draw_inverts_the_cumulative_distribution(weights: list[float], uniform: float) -> None:
    assume(any(weights))
    p = np.array([weights]) / sum(weights)
    index = int(draw(p, [uniform])[0])
    assert p[0, index] > 0
    below_it, total = math.fsum(p[0, :index]), math.fsum(p[0])
    assert below_it / total <= uniform + 1e-12
    assert uniform - 1e-12 <= (below_it + p[0, index]) / total


def test_draw_uses_one_number_per_row() -> None:
    rng = np.random.default_rng(0)
    p, uniforms = rng.dirichlet(np.ones(9), 50), rng.random(50)
    ids = draw(p, uniforms)
    assert ids.tolist() == [int(draw(row[None], [uniform])[0]) for row, uniform in zip(p, uniforms, strict=True)]


@pytest.mark.parametrize("chain", ALONE)
def test_chain_with_nothing_left_is_a_usage_error(chain: str) -> None:
    for logits, banned in (([1.0, 2.0], [0, 1]), ([-math.inf, -math.inf], []), ([-math.inf, 3.0], [1])):
        with pytest.raises(UsageError, match="no character is left"):
            one_row(logits, ALONE[chain], banned)
    with pytest.raises(UsageError, match="no character is left"):
        distribution(np.array([[0, 1], [-math.inf, -math.inf]]), ALONE[chain])
