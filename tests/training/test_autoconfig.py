"""A plan keeps the overrides, derives the rest, and can always be carried out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import ModelConfig, TrainConfig
from charlm.errors import UsageError
from charlm.tensor_shapes import parameter_count
from charlm.text.batching import max_lanes
from charlm.training.autoconfig import Machine, plan
from charlm.training.loop import learning_rate

budgets = st.one_of(
    st.builds(lambda x: {"minutes": x}, st.floats(0.05, 600)),
    st.builds(lambda x: {"epochs": x}, st.floats(0.1, 200)),
    st.builds(lambda x: {"steps": x}, st.integers(1, 100_000)),
    st.just({}),
)


@given(st.integers(100, 10**9), st.integers(2, 5000), budgets, st.floats(1e9, 1e13))
def test_plan_for_any_text_is_feasible(characters: int, vocabulary: int, budget: dict[str, Any], speed: float) -> None:
    model, train = plan(characters, vocabulary, budget, Machine(speed))
    assert model.vocabulary == vocabulary
    assert train.lanes <= max_lanes(characters, train.chunk)
    assert train.evaluations >= 1
    assert 0 <= train.dropout_hidden < 1
    for name, value in budget.items():
        assert getattr(train, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cell", "gru"), ("hidden", 77), ("layers", 3), ("embedding", 31), ("residual", False), ("norm", False),
        ("lanes", 3), ("chunk", 17), ("learning_rate", 0.123), ("final_rate", 0.5), ("warmup", 0.3), ("beta1", 0.5),
        ("beta2", 0.5), ("weight_decay", 0.5), ("clip", 7.0), ("dropout_input", 0.11), ("dropout_hidden", 0.12),
        ("dropout_output", 0.13), ("weight_drop", 0.14), ("carry", False), ("evaluations", 3), ("val_chars", 1234),
        ("patience", 3), ("max_epochs", 7.0), ("seed", 99), ("precision", "bf16"), ("device", "cuda"),
        ("threads", 1), ("steps", 7),
    ],
)  # fmt: skip
def test_override_is_in_the_plan(name: str, value: object) -> None:
    model, train = plan(100_000, 65, {name: value})
    assert getattr(model, name, None) == value or getattr(train, name, None) == value


def test_dropout_sets_all_three_and_each_can_differ() -> None:
    _, train = plan(100_000, 65, {"dropout": 0.3, "dropout_hidden": 0.1})
    assert (train.dropout_input, train.dropout_hidden, train.dropout_output) == (0.3, 0.1, 0.3)


def test_plan_for_more_time_is_never_smaller() -> None:
    sizes = [
        parameter_count(plan(10**7, 65, {"minutes": minutes})[0]) for minutes in (0.1, 0.5, 1, 2, 4, 8, 20, 60, 600)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_planned_dropout_grows_with_the_model() -> None:
    budget = {"epochs": 12.0, "layers": 2}
    small, large = (plan(1_000_000, 65, {**budget, "hidden": hidden})[1] for hidden in (256, 512))
    assert small.dropout_input == large.dropout_input == 0
    assert 0 < small.dropout_hidden == small.dropout_output < large.dropout_hidden
    assert plan(1_000_000, 65, {**budget, "epochs": 0.9, "hidden": 256})[1].dropout_hidden == 0


def test_plan_for_small_text_is_small_with_dropout() -> None:
    small, often = plan(30_000, 65, {"minutes": 30})
    large, once = plan(10**9, 65, {"minutes": 30})
    assert parameter_count(small) < parameter_count(large)
    assert often.dropout_hidden > once.dropout_hidden == 0


def test_plan_reads_a_small_text_a_limited_number_of_times() -> None:
    small, large = (plan(characters, 65, {"minutes": 60})[1] for characters in (20_000, 10_000_000))
    assert 5 < small.max_epochs < large.max_epochs
    assert small.lanes < large.lanes
    assert plan(20_000, 65, {"minutes": 600})[1].dropout_hidden == small.dropout_hidden
    assert plan(20_000, 65, {"epochs": 90})[1].max_epochs == 0


def test_small_text_gets_more_lanes_from_a_base() -> None:
    base = ModelConfig(vocabulary=65)
    scratch, based = (plan(54_000, 65, {"minutes": 1}, base=one)[1] for one in (None, base))
    assert scratch.lanes < based.lanes == 32


def test_weight_decay_pulls_to_a_base_unless_overridden() -> None:
    base = ModelConfig(vocabulary=50)
    assert plan(100_000, 70, {}, base=base)[1].decay_to_base
    assert not plan(100_000, 70, {"decay_to_base": False}, base=base)[1].decay_to_base
    assert not plan(100_000, 70, {"decay_to_base": True})[1].decay_to_base


def test_base_model_keeps_its_shape() -> None:
    base = ModelConfig(vocabulary=50, hidden=48, embedding=48, layers=3, cell="gru")
    model, train = plan(100_000, 70, {"hidden": 48}, base=base)
    assert model == ModelConfig(vocabulary=70, hidden=48, embedding=48, layers=3, cell="gru")
    assert train.weight_decay > plan(100_000_000, 70, {}, base=base)[1].weight_decay > 0
    with pytest.raises(UsageError, match="hidden"):
        plan(100_000, 70, {"hidden": 64}, base=base)


@pytest.mark.parametrize(
    "overrides",
    [{"hidden": 0}, {"minutes": 1.0, "steps": 3}, {"dropout": 1.0}, {"cell": "lsmt"}, {"tied": True, "embedding": 8}],
    ids=str,
)
def test_impossible_override_is_a_usage_error(overrides: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        plan(100_000, 65, overrides)


@given(st.floats(0, 1), st.floats(0, 0.9), st.floats(0, 1))
def test_learning_rate_stays_within_its_bounds(progress: float, warmup: float, final: float) -> None:
    config = TrainConfig(steps=10, learning_rate=2.0, warmup=warmup, final_rate=final)
    rate = learning_rate(progress, config)
    assert rate > 0 or final == 0
    assert rate <= 2.0
    assert learning_rate(1.0, config) == pytest.approx(2.0 * final)
