"""Base classes of commands (help with examples first), and the model argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from charlm.inference.engine import Engine

Example = tuple[str, str]  # a command line, and what it does
Callback = Callable[..., object]


class _WithExamples(click.Command):
    """Command whose help shows examples before options."""

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        """Name each option's environment variable after its flag, also where its parameter has another name."""
        if parent is not None and parent.auto_envvar_prefix and info_name:
            for option in self.params:
                name = max(option.opts, key=len).lstrip("-")
                if isinstance(option, click.Option) and name != option.name:
                    option.envvar = f"{parent.auto_envvar_prefix}_{info_name}_{name}".upper().replace("-", "_")
        return super().make_context(info_name, args, parent, **extra)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                formatter.write_dl(self.examples, col_max=40)


class CharlmCommand(_WithExamples):
    """Command whose help shows options in groups, the common ones, named by their flags, first."""

    def __init__(self, *args: Any, common: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.common = common

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, dict[str, tuple[str, str]]] = {"Common options": {}} if self.common else {}
        for option in self.get_params(ctx):
            record = None if isinstance(option, click.Argument) else option.get_help_record(ctx)
            if record is not None:
                flag = next((flag for flag in self.common if flag in option.opts), "")
                name = "Common options" if flag else getattr(option, "group", "Options")
                groups.setdefault(name, {})[flag or record[0]] = record
        if self.common:
            groups["Common options"] = {flag: groups["Common options"][flag] for flag in self.common}
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(list(records.values()))


class CharlmGroup(_WithExamples, click.Group):
    """Group of commands that also runs without a subcommand."""

    def subcommand(self, *examples: Example, name: str | None = None) -> Callable[[Callback], click.Command]:
        return self.command(name, cls=CharlmCommand, examples=examples)


def charlm_command(*examples: Example, common: Sequence[str] = ()) -> Callable[[Callback], CharlmCommand]:
    """Return a decorator that makes a command."""
    return click.command(cls=CharlmCommand, examples=examples, common=common)


def charlm_group(*examples: Example) -> Callable[[Callback], CharlmGroup]:
    """Return a decorator that makes a group."""
    return click.group(cls=CharlmGroup, examples=examples, invoke_without_command=True)


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of models that begin with the incomplete word."""
    from charlm.registry import models

    return [path.stem for path in models() if path.stem.startswith(incomplete)]


def load_engine(path: Path) -> Engine:
    """Load a model for inference."""
    from charlm import checkpoint
    from charlm.inference.engine import Engine

    return Engine(checkpoint.load(path))


def model_path(name: str | None) -> Path:
    """Return the file of a model; None is the default model."""
    from charlm.registry import default_model, find_model

    return default_model() if name is None else find_model(name)
