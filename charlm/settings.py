"""Describes each setting once, next to its field.

Validation, dictionaries, command-line options, slash commands, sliders and docs/settings.md are derived from it.
Imports neither NumPy nor click, so that every command prints its help at once. For example:

    temperature: Annotated[float, Setting("0 takes the likeliest character", 0, 100)] = 0.8

A module with configurations does not import `annotations` from `__future__`: evaluating them later would take longer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import Field, dataclass
from types import MappingProxyType
from typing import Annotated, Final, NamedTuple, Self, get_args, get_origin

from charlm.errors import UsageError

PLANNED: Final = "planned from text and budget"
MAX_SEED: Final = (1 << 63) - 1  # SQLite and NumPy both take it
_TYPE_NAMES: Final = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


class Setting(NamedTuple):
    """Help, range and look of a field. A field without a range takes any finite number."""

    help: str  # begins in lower case, ends without a full stop
    min: float = -math.inf
    max: float = math.inf
    open: tuple[float, ...] = ()  # ends of the range that are not allowed
    choices: tuple[str, ...] = ()
    words: Mapping[float | str, str] = MappingProxyType({})  # names of values, such as {0: "off"}
    default_text: str = ""  # what help shows as the default, where a value does not say it
    flags: tuple[str, ...] = ()  # of the command-line option; by default --name-of-the-field
    metavar: str | None = None
    label: str = ""  # of the slider, if shorter than the name
    stops: tuple[float, ...] = ()  # of the slider; they rise, except for a last 0 that means no limit


class BoundSetting(NamedTuple):
    """A setting together with the name, type and default of its field."""

    name: str
    type: type
    is_optional: bool
    default: object
    setting: Setting

    @property
    def shown_name(self) -> str:
        return self.name.replace("_", "-")

    @property
    def label(self) -> str:
        return self.setting.label or self.shown_name

    @property
    def flags(self) -> tuple[str, ...]:
        long = f"--{self.shown_name}"
        return self.setting.flags or ((f"{long}/--no-{self.shown_name}",) if self.type is bool else (long,))

    @property
    def default_text(self) -> str:
        if self.setting.default_text or self.default in (None, "") or self.default is dataclasses.MISSING:
            return self.setting.default_text
        if isinstance(self.default, bool):
            return self.shown_name if self.default else f"no-{self.shown_name}"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    def check(self, value: object) -> None:
        """Raise UsageError unless `value` has the type of the field and lies in its range."""
        if value is None and self.is_optional:
            return
        if not isinstance(value, (int, float) if self.type is float else self.type) or (
            isinstance(value, bool) and self.type is not bool
        ):
            raise UsageError(f"{self.shown_name} is {value!r}, but must be {_TYPE_NAMES[self.type]}", self._hint)
        if self.setting.choices and value not in self.setting.choices:
            raise UsageError(f"unknown {self.shown_name} {value!r}", f"choose one of {', '.join(self.setting.choices)}")
        if isinstance(value, (int, float)) and (problem := self._range_problem(value)):
            raise UsageError(f"{self.shown_name} is {show_number(value)}, but must be {problem}", self._hint)

    def _range_problem(self, value: float) -> str | None:
        low, high, is_open = self.setting.min, self.setting.max, self.setting.open
        if math.isinf(value) or math.isnan(value):
            return "a finite number"
        if value < low or (value == low and low in is_open):
            return f"{'above' if low in is_open else 'at least'} {show_number(low)}"
        if value > high or (value == high and high in is_open):
            return f"{'below' if high in is_open else 'at most'} {show_number(high)}"
        return None

    @property
    def range_text(self) -> str:
        """The range in words, such as "0 (off) to 1"; empty if there is none."""
        one = self.setting
        low, high = self._end(one.min, "above "), self._end(one.max, "below ")
        if math.isinf(one.max):
            return "" if math.isinf(one.min) else low if one.min in one.open else f"{low} or more"
        return f"{low} to {high}"

    def _end(self, value: float, open_word: str) -> str:
        word = self.setting.words.get(value)
        return (open_word if value in self.setting.open else "") + show_number(value) + (f" ({word})" if word else "")

    @property
    def _hint(self) -> str | None:
        return f"use a value from the range {self.range_text}" if self.range_text else None

    def parse(self, text: str) -> float | str:
        """Return the number or word that a person typed, in any range; raise UsageError for another text."""
        text = text.strip()
        for value, word in self.setting.words.items():
            if text.casefold() == word:
                return value
        try:
            parsed: float | str = self.type(text)
        except ValueError as error:
            problem = f"{self.shown_name} is {text!r}, but must be {_TYPE_NAMES[self.type]}"
            raise UsageError(problem, self._hint) from error
        return parsed

    def show(self, value: float | str) -> str:
        """Return a value as a person reads it."""
        return self.setting.words.get(value) or (show_number(value) if isinstance(value, (int, float)) else str(value))


def show_number(value: float) -> str:
    """Return a number with separators between thousands."""
    if value == MAX_SEED:
        return "2^63 - 1"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: "1 turn", "1,000 turns"."""
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def every(step: float, first: float, last: float) -> tuple[float, ...]:
    """Return equally spaced stops of a slider, both ends included."""
    return tuple(round(first + index * step, 6) for index in range(round((last - first) / step) + 1))


@dataclass(frozen=True)
class Config:
    """Base of all configurations. A value of the wrong type or out of range raises UsageError."""

    def __post_init__(self) -> None:
        for setting in settings_of(type(self)):
            setting.check(getattr(self, setting.name))

    def to_dict(self) -> dict[str, object]:
        return {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> Self:
        """Return what `to_dict` wrote; raise UsageError if a key is unknown or missing, or a value out of range."""
        if wrong := {one.name for one in dataclasses.fields(cls)}.symmetric_difference(document):
            raise UsageError(f"{cls.__name__} has unknown or missing keys: {', '.join(sorted(map(str, wrong)))[:200]}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in document.items()})

    def changed(self, **values: object) -> Self:
        """Return a copy with other values; raise UsageError if a name is unknown or a value out of range."""
        known = [one.name for one in dataclasses.fields(self)]
        if unknown := sorted(values.keys() - set(known)):
            raise UsageError(f"unknown setting: {', '.join(unknown)[:200]}", f"the settings are {', '.join(known)}")
        return dataclasses.replace(self, **values)

    def with_text(self, name: str, text: str) -> Self:
        """Return a copy with one value as a person typed it; raise UsageError if it is not a value of the setting."""
        name = name.replace("-", "_")
        setting = {one.name: one for one in settings_of(type(self))}.get(name)
        return self.changed(**{name: text if setting is None else setting.parse(text)})


_settings: dict[type[Config], tuple[BoundSetting, ...]] = {}


def settings_of(config: type[Config]) -> tuple[BoundSetting, ...]:
    """Return the settings of a configuration, in the order of its fields."""
    if config not in _settings:
        fields = dataclasses.fields(config)
        assert not any(isinstance(one.type, str) for one in fields)
        _settings[config] = tuple([_bind(one) for one in fields if get_origin(one.type) is Annotated])
    return _settings[config]


def _bind(one: Field[object]) -> BoundSetting:
    kind, setting = get_args(one.type)
    kinds = [each for each in get_args(kind) or (kind,) if each is not type(None)]
    return BoundSetting(one.name, kinds[0], len(kinds) < len(get_args(kind)), one.default, setting)
