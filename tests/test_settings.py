"""Settings: checked, typed by a person, shown, and turned into dictionaries."""

from __future__ import annotations

import json
import math
import runpy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.chat.presets import apply_preset
from charlm.config import (
    CELL_NAMES,
    ChatConfig,
    DataConfig,
    LearnConfig,
    ModelConfig,
    SamplerConfig,
    SamplingConfig,
    TrainConfig,
)
from charlm.errors import CheckpointError, UsageError
from charlm.settings import BoundSetting, Config, plural, settings_of

ROOT = Path(__file__).parents[1]
CONFIGS: list[Config] = [
    ModelConfig(vocabulary=5),
    DataConfig(paths=("a.txt",), val_fraction=0.5),
    TrainConfig(steps=3, lanes=7),
    SamplingConfig(top_k=3, seed=1),
    ChatConfig(clamp="1:2=0"),
    LearnConfig(rate=0.01),
]
SETTINGS = [(type(one), setting) for one in CONFIGS for setting in settings_of(type(one))]
NUMBERS = [(config, one) for config, one in SETTINGS if one.type in (int, float) and one.name != "vocabulary"]
CHAT_VALUES = st.fixed_dictionaries(
    {},
    optional={
        one.name: (st.integers if one.type is int else st.floats)(
            one.setting.min + 1e-3 * (one.setting.min in one.setting.open), min(one.setting.max, 1000)
        )
        for one in settings_of(ChatConfig)
        if one.type is not str
    },
)


def name_of(one: object) -> str:
    return f"{one.__name__}" if isinstance(one, type) else one.name if isinstance(one, BoundSetting) else str(one)


def make(config: type[Config], **values: Any) -> Config:
    """Return a configuration with its required fields, and these."""
    required: dict[str, Any] = {"vocabulary": 5} if config is ModelConfig else {}
    if config is TrainConfig and not values.keys() & {"minutes", "epochs", "steps"}:
        required = {"minutes": 1}
    return config(**{**required, **values})


@pytest.mark.parametrize(("config", "setting"), NUMBERS, ids=name_of)
def test_range_ends_are_allowed_unless_open(config: type[Config], setting: BoundSetting) -> None:
    low, high, is_open = setting.setting.min, setting.setting.max, setting.setting.open
    for end, beyond in ((low, -1), (high, 1)):
        if math.isinf(end):
            continue
        outside = end + beyond if setting.type is int else math.nextafter(end, beyond * math.inf)
        for value in (outside, *(end for _ in is_open if end in is_open)):
            with pytest.raises(UsageError, match=f"{setting.shown_name} is .*, but must be ") as caught:
                make(config, **{setting.name: value})
            assert caught.value.hint == f"use a value from the range {setting.range_text}"
        if end not in is_open:
            assert getattr(make(config, **{setting.name: end}), setting.name) == end


@pytest.mark.parametrize(("config", "setting"), NUMBERS, ids=name_of)
@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", [1]], ids=str)
def test_number_of_wrong_type_is_refused(config: type[Config], setting: BoundSetting, value: object) -> None:
    with pytest.raises(UsageError, match=f"{setting.shown_name} is"):
        make(config, **{setting.name: value})


@pytest.mark.parametrize(("number", "text"), [(0, "0 turns"), (1, "1 turn"), (2, "2 turns"), (1234, "1,234 turns")])
def test_plural_follows_the_number(number: int, text: str) -> None:
    assert plural(number, "turn") == text


def test_unknown_choice_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match="unknown cell 'lsmt'") as caught:
        ModelConfig(5, cell="lsmt")
    assert caught.value.hint == "choose one of " + ", ".join(CELL_NAMES)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda one: type(one).__name__)
def test_dictionary_round_trip_is_exact_and_strict(config: Config) -> None:
    document = json.loads(json.dumps(config.to_dict()))
    assert type(config).from_dict(document) == config
    if isinstance(config, ChatConfig):
        assert ChatConfig.from_dict({"temperature": 0.5, "later": 3}) == ChatConfig(temperature=0.5)
        return
    for wrong in ({**document, "colour": 1}, {key: document[key] for key in list(document)[1:]}):
        with pytest.raises(UsageError, match="unknown or missing keys"):
            type(config).from_dict(wrong)


@given(values=CHAT_VALUES)
def test_typed_value_equals_given_value(values: dict[str, Any]) -> None:
    dials = ChatConfig(**values)
    typed = ChatConfig()
    for name, value in values.items():
        typed = typed.with_text(name.replace("_", "-"), repr(value))
    assert typed == dials == apply_preset(ChatConfig(), values) == ChatConfig().changed(**values)
    assert all(getattr(dials.sampling, one.name) == getattr(dials, one.name) for one in fields(SamplerConfig))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("top-k", "off", 0),
        ("top_p", "OFF", 1),
        ("temperature", "greedy", 0),
        ("pace", "no limit", 0),
        ("clamp", "off", ""),
    ],
)
def test_word_is_parsed_and_shown_as_its_value(name: str, text: str, value: object) -> None:
    config = ChatConfig(top_k=3, temperature=1, pace=3, clamp="0:1=2").with_text(name, text)
    setting = {one.name: one for one in settings_of(ChatConfig)}[name.replace("-", "_")]
    assert getattr(config, setting.name) == value
    assert setting.show(value) == text.lower()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("heat", "1", "unknown setting: heat"),
        ("", "1", "unknown setting"),
        ("sampling", "1", "unknown setting: sampling"),
        ("temperature", "hot", "temperature is 'hot', but must be a number"),
        ("top_k", "1.5", "top-k is '1.5', but must be a whole number"),
        ("candidates", "", "candidates is '', but must be a whole number"),
        ("candidates", "65", "candidates is 65, but must be at most 64"),
        ("top_p", "0", "top-p is 0, but must be above 0"),
    ],
)
def test_wrong_text_is_refused_with_a_hint(name: str, text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        ChatConfig().with_text(name, text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "junk", [None, [], "x", 1, {"temperature": "hot"}, {"top_k": 1.5}, {"pace": True}, {"length": []}], ids=str
)
def test_damaged_chat_settings_are_refused(junk: Any) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        ChatConfig.from_dict(junk)


def test_chat_is_cooler_than_sampling() -> None:
    assert ChatConfig(temperature=SamplingConfig().temperature).sampling == SamplingConfig()
    assert ChatConfig().temperature < SamplingConfig().temperature


@pytest.mark.parametrize("budgets", [{}, {"minutes": 1, "steps": 2}])
def test_budget_must_be_one(budgets: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="one budget"):
        TrainConfig(**budgets)
    assert TrainConfig(minutes=1).budget == "1 minute"
    assert TrainConfig(epochs=2.5).budget == "2.5 epochs"


def test_reference_page_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_settings.py"))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"](), "run python docs/make_settings.py"
