"""What commands share: help that leads with examples, the model argument, terminal checks."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, TextIO

import click


class Command(click.Command):
    """A command whose help shows examples before options.

    Args:
        examples: pairs of a command line and what it does.
    """

    def __init__(self, *args: Any, examples: tuple[tuple[str, str], ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, then options."""
        if self.examples:
            with formatter.section("Examples"):
                formatter.write_dl(list(self.examples))
        super().format_options(ctx, formatter)


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of models, for the shell."""
    from charlm.library import models

    return [path.stem for path in models() if path.stem.startswith(incomplete)]


def model_path(name: str | None) -> Path:
    """The file of a model that was named, or of the newest."""
    from charlm.library import find_model, newest_model

    return newest_model() if name is None else find_model(name)


def is_live(stream: TextIO | None = None) -> bool:
    """Whether a stream (stderr by default) is a terminal that can redraw."""
    return (stream or sys.stderr).isatty() and os.environ.get("TERM") != "dumb"


def has_colour(stream: TextIO) -> bool:
    """Whether colours may be sent to a stream."""
    return is_live(stream) and not os.environ.get("NO_COLOR")
