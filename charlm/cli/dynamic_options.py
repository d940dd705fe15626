"""What the commands share whose model learns while it reads: options, and the learner that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.options import given, options_of
from charlm.config import LearnConfig
from charlm.errors import UsageError
from charlm.settings import settings_of

if TYPE_CHECKING:
    from charlm.adapt.dynamic_eval import AdaptResult
    from charlm.adapt.learner import Learner

_NAMES = ("rate", "decay", "segment")


def learning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `settings` reads."""
    return options_of(LearnConfig, *_NAMES)(command)


def settings(options: dict[str, Any], switch: str | None = None, on: bool = True) -> LearnConfig:
    """Return how the model is to learn.

    Args:
        options: as parsed.
        switch: the option that turns learning on.
        on: whether it was given.

    Raises:
        UsageError: a value is out of range, or has no meaning without the switch.
    """
    values = given(LearnConfig, options)
    if values and not on:
        one = next(one for one in settings_of(LearnConfig) if one.name in values)
        raise UsageError(f"{one.flags[0]} has no meaning without {switch}", f"add {switch}")
    return LearnConfig(**values)


def learner(path: Path, settings: LearnConfig) -> Learner:
    """A model that learns.

    Args:
        path: its file.
        settings: how.
    """
    from charlm import checkpoint
    from charlm.adapt.learner import Learner

    model = checkpoint.load(path)
    if model.statistics is None:
        click.echo(f"note: {path.stem} does not say how large its gradients are; trying them out", err=True)
    return Learner(model, settings)


def comparison(lesson: AdaptResult) -> str:
    """What learning a text was worth, in a line."""
    line = (
        f"{lesson.learning.characters:,} characters at {lesson.learning.bits_per_character:.3f} bits/char, "
        f"{lesson.static.bits_per_character:.3f} without learning; "
        f"the weights moved by {lesson.memory.overlay.movement:.1%}"
    )
    return line + (f", held back {lesson.memory.shrinks} times" if lesson.memory.shrinks else "")
