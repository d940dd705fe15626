"""What the commands share whose model learns while it reads: options, and the learner that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.adapt.settings import LearnConfig
from charlm.errors import UsageError

if TYPE_CHECKING:
    from charlm.adapt.dynamic_eval import AdaptResult
    from charlm.adapt.learner import Learner

_FIELDS = {"learn_rate": "rate", "learn_decay": "decay", "segment": "segment"}


def learning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `settings` reads."""
    default = LearnConfig()
    for option in reversed(
        (
            click.option(
                "--learn-rate",
                type=float,
                help=f"How far a usual gradient moves its weight.  [default: {default.rate:g}]",
            ),
            click.option(
                "--learn-decay",
                type=float,
                help=f"The share of what was learned that each segment gives up.  [default: {default.decay:g}]",
            ),
            click.option("--segment", type=int, help=f"Characters between two steps.  [default: {default.segment}]"),
        )
    ):
        command = option(command)
    return command


def settings(options: dict[str, Any], switch: str | None = None, on: bool = True) -> LearnConfig:
    """How the model is to learn.

    Args:
        options: as parsed.
        switch: the option that turns learning on.
        on: whether it was given.

    Raises:
        UsageError: a value out of range, or one that means nothing without the switch.
    """
    said = {field: options[name] for name, field in _FIELDS.items() if options[name] is not None}
    if said and not on:
        name = next(name for name in _FIELDS if options[name] is not None)
        raise UsageError(f"--{name.replace('_', '-')} is about learning", f"say {switch} too")
    return LearnConfig(**said)


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
