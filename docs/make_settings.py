"""Writes docs/settings.md, the reference of all settings: `python docs/make_settings.py`."""

from __future__ import annotations

import importlib
from pathlib import Path

from charlm.config import ChatConfig, DataConfig, LearnConfig, ModelConfig, SamplingConfig, ServeConfig, TrainConfig
from charlm.settings import BoundSetting, Config, settings_of

PAGE = Path(__file__).with_name("settings.md")
SECTIONS: tuple[tuple[str, type[Config], str], ...] = (
    ("The text of a training", DataConfig, "train"),
    ("The model", ModelConfig, "train"),
    ("The training", TrainConfig, "train"),
    ("Sampling", SamplingConfig, "sample"),
    ("Chat", ChatConfig, "chat"),
    ("Learning while reading", LearnConfig, "eval"),
    ("The server", ServeConfig, "serve"),
)
INTRODUCTION = """# Settings

Every setting has one name: in Python, as an option, and in a chat also as a slash command (`/top-p 0.9`) and a slider
(F3). An option can also be set in the environment: `CHARLM_TRAIN_MINUTES=10` is `charlm train --minutes 10`.
"""


def page() -> str:
    """Return the text of the reference page."""
    parts = [INTRODUCTION]
    for title, config, command in SECTIONS:
        options = importlib.import_module(f"charlm.cli.{command}").command.params
        flags = {flag for option in options for flag in (*option.opts, *option.secondary_opts)}
        rows = [_row(one, flags) for one in settings_of(config)]
        head = f"## {title}\n\n`{config.__name__}`, options of `charlm {command}`\n\n"
        table = ["| name | option | default | range | meaning |", "|---|---|---|---|---|", *rows]
        parts.append(head + "\n".join(table) + "\n")
    return "\n".join(parts)


def _row(one: BoundSetting, flags: set[str]) -> str:
    option = " ".join(f"`{flag}`" for flag in one.flags[-1].split("/") if flag in flags)
    values = ", ".join(one.setting.choices) or one.range_text
    return f"| `{one.name}` | {option} | {one.default_text} | {values} | {one.setting.help} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
