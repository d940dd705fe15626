"""Options and learner of the commands whose model learns while it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from charlm.cli.options import Decorator, Options, given, options_of
from charlm.cli.output import print_note
from charlm.config import LearnConfig
from charlm.errors import UsageError
from charlm.settings import settings_of

if TYPE_CHECKING:
    from charlm.adapt.dynamic_eval import AdaptResult
    from charlm.adapt.learner import Learner


def learning_options(group: str = "Options") -> Decorator:
    """Return a decorator that adds the options of `learn_config`."""
    return options_of(LearnConfig, "rate", "decay", "segment", group=group)


def learn_config(options: Options, switch: str = "", is_on: bool = True) -> LearnConfig:
    """Return how the model is to learn.

    Args:
        options: as parsed.
        switch: the option that turns learning on.
        is_on: whether it was given.

    Raises:
        UsageError: a value is out of range, or has no meaning without the switch.
    """
    values = given(LearnConfig, options)
    if values and not is_on:
        flag = next(one.flags[0] for one in settings_of(LearnConfig) if one.name in values)
        raise UsageError(f"{flag} has no meaning without {switch}", f"add {switch}")
    return LearnConfig(**values)


def load_learner(path: Path, config: LearnConfig) -> Learner:
    """Load a model as one that learns."""
    from charlm import checkpoint
    from charlm.adapt.learner import Learner

    model = checkpoint.load(path)
    if model.statistics is None:
        print_note(f"note: {path.stem} stores no gradient statistics; they are estimated")
    return Learner(model, config)


def describe_gain(result: AdaptResult) -> str:
    """Return what learning a text has gained, in one line."""
    learning, context = result.learning, result.context
    line = (
        f"{learning.characters:,} characters at {learning.bits_per_character:.3f} bits/char, "
        f"{result.static.bits_per_character:.3f} without learning; "
        f"the weights moved by {context.delta.movement:.1%}"
    )
    return line + (f", reduced {context.shrinks} times" if context.shrinks else "")
