"""Presets: built in, and the user's own."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from charlm.chat.presets import PRESETS, apply_preset, presets
from charlm.config import ChatConfig, SamplerConfig
from charlm.errors import UsageError
from charlm.files import home


def write_config(text: str) -> None:
    home().mkdir(parents=True, exist_ok=True)
    (home() / "config.toml").write_text(text, encoding="utf-8")


def test_builtin_presets_change_only_sampling() -> None:
    assert presets() == PRESETS
    assert set(PRESETS) == {"precise", "balanced", "wild"}
    changed = {name: apply_preset(ChatConfig(length=77), values) for name, values in PRESETS.items()}
    assert len(set(changed.values())) == 3
    assert all(one.length == 77 for one in changed.values())
    assert changed["balanced"] == ChatConfig(length=77), "the defaults are balanced"
    assert changed["precise"].temperature < changed["balanced"].temperature < changed["wild"].temperature
    assert apply_preset(changed["wild"], PRESETS["precise"]) == changed["precise"], "only the last preset counts"


@pytest.mark.parametrize("name", [field.name for field in fields(SamplerConfig)])
def test_builtin_preset_resets_every_sampler_setting(name: str) -> None:
    changed = replace(ChatConfig(), **{name: 3 if name == "top_k" else 1.5 if name == "repetition_penalty" else 0.3})
    assert changed != ChatConfig()
    assert apply_preset(changed, PRESETS["balanced"]) == ChatConfig()


def test_own_presets_are_added_and_override() -> None:
    write_config("[presets.drunk]\ntemperature = 1.5\ntop-k = 3\n\n[presets.wild]\ntemperature = 9\n\n[other]\nx = 1\n")
    found = presets()
    assert set(found) == {*PRESETS, "drunk"}
    assert apply_preset(ChatConfig(), found["drunk"]) == replace(ChatConfig(), temperature=1.5, top_k=3)
    assert apply_preset(ChatConfig(), found["wild"]).temperature == 9


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("presets = 3", "presets must be a table"),
        ("[presets]\ndrunk = 3", "drunk must be a table"),
        ("[presets.drunk]\nheat = 3", "preset drunk: unknown setting: heat"),
        ("[presets.drunk]\ntemperature = -3", "preset drunk: temperature is -3"),
        ("[presets.drunk]\ntemperature = 'hot'", "preset drunk: temperature is 'hot', but must be a number"),
        ("[presets.drunk]\ntop_k = 1.5", "preset drunk: top-k is '1.5', but must be a whole number"),
        ("[presets.drunk]\ntop_k = [1]", "preset drunk: "),
        ("[presets", "cannot read"),
        ("\udcff", "cannot read"),
    ],
)
def test_mistake_in_config_file_is_named(text: str, problem: str) -> None:
    write_config("")
    (home() / "config.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=problem) as caught:
        presets()
    assert str(home() / "config.toml") in caught.value.message
