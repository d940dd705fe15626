"""Dials: what they may be, how a person turns them, presets of one's own."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.adapt.settings import LearnConfig
from charlm.chat.dials import PRESETS, ChatConfig, apply_preset, presets
from charlm.cli import chat
from charlm.errors import CharlmError, CheckpointError, UsageError
from charlm.files import home
from charlm.inference.sampling import SamplingConfig

NAMES = [one.name for one in fields(ChatConfig)]
SAMPLING = {one.name for one in fields(SamplingConfig)} & set(NAMES)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.just(0.0) | st.floats(0.01, 100),
        "top_k": st.integers(0, 1000),
        "top_p": st.floats(0.01, 1),
        "min_p": st.floats(0, 1),
        "typical": st.floats(0.01, 1),
        "repetition_penalty": st.floats(1, 100),
        "candidates": st.integers(1, 64),
        "relevance": st.floats(0, 10),
        "length": st.integers(1, 1_000_000),
        "pace": st.floats(0, 1_000_000),
        "learn": st.floats(0, 0.1),
    },
)


def write_config(text: str) -> None:
    home().mkdir(parents=True, exist_ok=True)
    (home() / "config.toml").write_text(text, encoding="utf-8")


@given(values=VALUES)
def test_dials_are_kept_typed_and_read_back(values: dict[str, Any]) -> None:
    dials = ChatConfig(**values)
    assert ChatConfig.from_dict(json.loads(json.dumps(dials.to_dict()))) == dials
    typed = ChatConfig()
    for name, value in values.items():
        typed = typed.with_value(name.replace("_", "-"), repr(value))
    assert typed == dials == apply_preset(ChatConfig(), values)
    assert {name: getattr(dials.sampling, name) for name in SAMPLING} == {
        name: asdict(dials)[name] for name in SAMPLING
    }


def test_every_sampler_has_a_dial_with_the_same_default_but_a_chat_is_cooler() -> None:
    assert {one.name for one in fields(SamplingConfig)} - SAMPLING == {"repetition_window", "banned", "seed"}
    assert ChatConfig(temperature=SamplingConfig().temperature).sampling == SamplingConfig()
    assert ChatConfig().temperature < SamplingConfig().temperature


def test_the_command_line_says_the_same_defaults() -> None:
    # Whether it learns is a flag there, and its rate another option.
    assert {name: default for name, (default, _) in chat._DIALS.items()} | {"learn": 0.0, "clamp": ""} == asdict(
        ChatConfig()
    )
    assert LearnConfig().rate == chat._RATE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1), ("temperature", 0.001), ("temperature", 101), ("temperature", float("nan")), ("top_k", -1),
        ("top_p", 0), ("top_p", 1.1), ("min_p", -0.1), ("typical", 0), ("repetition_penalty", 0.9), ("candidates", 0),
        ("candidates", 65), ("relevance", -1), ("relevance", 11), ("relevance", float("nan")), ("length", 0),
        ("length", 1_000_001), ("pace", -1), ("pace", float("inf")),
        ("learn", -1e-9), ("learn", 0.2),
    ],
)  # fmt: skip
def test_a_value_out_of_range(name: str, value: float) -> None:
    for turn in (lambda: ChatConfig(**{name: value}), lambda: ChatConfig().with_value(name, str(value))):  # type: ignore[arg-type]  # any dial
        with pytest.raises(UsageError, match=name.split("_")[0]):
            turn()
    with pytest.raises(CheckpointError, match="damaged"):
        ChatConfig.from_dict({name: value})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("heat", "1", "no dial 'heat'"), ("", "1", "no dial"), ("temperature", "hot", "'hot' is no value"),
        ("top_k", "1.5", "'1.5' is no"), ("candidates", "", "is no value"), ("sampling", "1", "no dial"),
    ],
)  # fmt: skip
def test_what_a_person_cannot_turn(name: str, value: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        ChatConfig().with_value(name, value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "junk",
    [{"temperature": "hot"}, {"top_k": 1.5}, {"top_k": None}, {"pace": True}, {"length": []}, {"min_p": {}}],
    ids=str,
)
def test_damaged_dials_are_refused(junk: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        ChatConfig.from_dict(junk)


@pytest.mark.parametrize("junk", [None, [], "x", 1])
def test_what_is_no_record_of_dials_is_refused(junk: Any) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        ChatConfig.from_dict(junk)


def test_dials_of_another_version_have_what_they_have() -> None:
    assert ChatConfig.from_dict({"temperature": 0.5, "later": 3}) == ChatConfig(temperature=0.5)
    assert ChatConfig.from_dict({}) == ChatConfig()


# Presets


def test_the_presets_there_are() -> None:
    assert presets() == PRESETS
    assert set(PRESETS) == {"precise", "balanced", "wild"}
    turned = {name: apply_preset(ChatConfig(length=77), values) for name, values in PRESETS.items()}
    assert len(set(turned.values())) == 3
    assert all(one.length == 77 for one in turned.values())
    assert turned["balanced"] == ChatConfig(length=77), "the defaults are balanced"
    assert turned["precise"].temperature < turned["balanced"].temperature < turned["wild"].temperature
    # One after the other, only the last counts.
    assert apply_preset(turned["wild"], PRESETS["precise"]) == turned["precise"]


def test_one_s_own_presets() -> None:
    write_config("[presets.drunk]\ntemperature = 1.5\ntop-k = 3\n\n[presets.wild]\ntemperature = 9\n\n[other]\nx = 1\n")
    found = presets()
    assert set(found) == {*PRESETS, "drunk"}
    assert apply_preset(ChatConfig(), found["drunk"]) == replace(ChatConfig(), temperature=1.5, top_k=3)
    assert apply_preset(ChatConfig(), found["wild"]).temperature == 9


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("presets = 3", "presets must be a table"),
        ("[presets]\ndrunk = 3", "drunk must be a table"),
        ("[presets.drunk]\nheat = 3", "preset drunk: there is no dial 'heat'"),
        ("[presets.drunk]\ntemperature = -3", "preset drunk: temperature is -3"),
        ("[presets.drunk]\ntemperature = 'hot'", "preset drunk: 'hot' is no value"),
        ("[presets.drunk]\ntop_k = 1.5", "preset drunk: '1.5' is no value"),
        ("[presets.drunk]\ntop_k = [1]", "preset drunk: "),
        ("[presets", "cannot be read"),
    ],
)
def test_a_configuration_with_a_mistake_is_named(text: str, says: str) -> None:
    write_config(text)
    with pytest.raises(CharlmError, match=says) as caught:
        presets()
    assert str(home() / "config.toml") in caught.value.message


def test_a_configuration_that_is_no_text_is_named() -> None:
    write_config("")
    assert presets() == PRESETS
    (home() / "config.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(UsageError, match="cannot be read"):
        presets()
