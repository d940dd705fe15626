"""Options and help of the commands: derived from the settings, in groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click
from click.types import OptionHelpExtra

from charlm.errors import UsageError
from charlm.settings import BoundSetting, Config, settings_of

Options = dict[str, Any]  # the values of parsed options, by the name of their parameter
Callback = Callable[..., object]
Decorator = Callable[[Callback], Callback]


class GroupedOption(click.Option):
    """An option that help shows in a group, with the default and range of its setting."""

    def __init__(self, *args: Any, group: str = "Options", setting: BoundSetting | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group
        self.setting = setting

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        if self.setting is None:
            return super().get_help_extra(ctx)
        extra = OptionHelpExtra()
        if self.setting.default_text:
            extra["default"] = self.setting.default_text
        if self.setting.range_text:
            extra["range"] = self.setting.range_text
        return extra


class FiniteRange(click.FloatRange):
    """A range of numbers that excludes infinity and "not a number"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def option(*flags: str, group: str = "Options", **attributes: object) -> Decorator:
    """Return a decorator that adds an option in a group of the help."""
    return click.option(*flags, cls=GroupedOption, group=group, **attributes)


def options_of(config: type[Config], *names: str, group: str = "Options", exclude: Sequence[str] = ()) -> Decorator:
    """Return a decorator that adds an option for each setting of a configuration, or for the named ones in this order.

    An option that the user leaves out is None: `given` returns the others.
    """
    by_name = {one.name: one for one in settings_of(config) if one.name not in exclude}
    chosen = [by_name[name] for name in names] if names else list(by_name.values())

    def decorate(command: Callback) -> Callback:
        for one in reversed(chosen):
            command = _option_of(one, group)(command)
        return command

    return decorate


def _option_of(one: BoundSetting, group: str) -> Decorator:
    text = one.setting.help[0].upper() + one.setting.help[1:] + "."
    shared = partial(option, *one.flags, group=group, default=None, help=text, setting=one)
    if one.type is bool:
        return shared(is_flag=True)
    number = {int: "INTEGER", float: "NUMBER"}.get(one.type)
    return shared(type=_type_of(one), metavar=one.setting.metavar or number)


def _type_of(one: BoundSetting) -> click.ParamType[object] | type:
    setting = one.setting
    if setting.choices:
        return click.Choice(setting.choices)
    if one.type not in (int, float):
        return one.type
    low, high = (None if abs(end) == float("inf") else end for end in (setting.min, setting.max))
    if one.type is int:
        return click.IntRange(low, high)  # type: ignore[arg-type]  # the ends of an int setting are ints
    return FiniteRange(low, high, min_open=low in setting.open, max_open=high in setting.open)


def given(config: type[Config], options: Options) -> Options:
    """Return the settings of a configuration that the user gave as options, by the name of their field."""
    found = {one.name: options.get(_parameter(one)) for one in settings_of(config)}
    return {name: value for name, value in found.items() if value is not None}


def _parameter(one: BoundSetting) -> str:
    """Return the name of an option's value, as click derives it from the flag."""
    return one.flags[-1].split("/")[0].lstrip("-").replace("-", "_")


def check_together(
    options: Options, *, exclusive: Sequence[Sequence[str]] = (), needed: Mapping[str, str] | None = None
) -> None:
    """Raise UsageError for options that exclude each other, or that need another one which is missing.

    Options that are None, false or empty count as left out. `needed` has options by the option that is useless without
    them.
    """
    left_out = {name for name, value in options.items() if value is None or value is False or value in ("", ())}
    for group in exclusive:
        present = [name for name in group if name not in left_out]
        if len(present) > 1:
            raise UsageError(f"{_flag(present[0])} and {_flag(present[1])} exclude each other", "leave one of them out")
    for name, other in (needed or {}).items():
        if name not in left_out and other in left_out:
            raise UsageError(f"{_flag(name)} has no meaning without {_flag(other)}", f"add {_flag(other)}")


def _flag(name: str) -> str:
    return "--" + name.removeprefix("as_").replace("_", "-")
