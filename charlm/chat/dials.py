"""What a person may turn while a model writes.

Owns the dials, their ranges, and the presets. Knows nothing of conversations.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Final

from charlm.config import SamplingConfig
from charlm.errors import CharlmError, CheckpointError, UsageError
from charlm.files import home

MOST_HELD: Final = 100.0  # no cell's memory comes near it

_HELD = re.compile(
    r"(?P<layer>\d{1,6}):(?P<unit>\d{1,6}) ?= ?(?P<value>[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?)", re.A | re.I
)


@dataclass(frozen=True)
class ChatConfig:
    """How a reply is drawn and shown.

    Attributes:
        temperature: see `SamplingConfig`, as are the next five.
        top_k: see `SamplingConfig`.
        top_p: see `SamplingConfig`.
        min_p: see `SamplingConfig`.
        typical: see `SamplingConfig`.
        repetition_penalty: see `SamplingConfig`.
        candidates: of so many replies the most fitting is shown; with 1 a reply is shown as it is drawn. Only formats
            with turns have candidates, since only they say where a reply ends.
        relevance: how much a candidate's likelihood anywhere counts against it, see `rerank_mmi`; 0 asks only
            how likely it is. Once something was learned, any other value compares candidates by what that has changed.
        length: where a reply ends at the latest, in characters.
        pace: characters a second at which a reply is shown; 0 is as fast as it comes.
        learn: the rate at which the model learns from what a person says next, see `LearnConfig`; 0 learns nothing.
        clamp: units of the model whose memory is held while a reply is drawn, as in "1:37=0, 0:4=1.5" (layer, unit and
            value); empty for none. It acts from the next character that the model reads on, and only on what is drawn:
            what the model remembers afterwards is what it makes of the text by itself.

    Raises:
        UsageError: a value out of range.
    """

    temperature: float = 0.65
    top_k: int = 0
    top_p: float = 0.95
    min_p: float = 0.0
    typical: float = 1.0
    repetition_penalty: float = 1.0
    candidates: int = 4
    relevance: float = 0.5
    length: int = 400
    pace: float = 0.0
    learn: float = 0.0
    clamp: str = ""

    def __post_init__(self) -> None:
        _ = self.clamps  # checks itself
        _ = self.sampling  # checks its own
        for name, value, least, most in (
            ("candidates", self.candidates, 1, 64),
            ("relevance", self.relevance, 0, 10),
            ("length", self.length, 1, 1_000_000),
            ("pace", self.pace, 0, 1_000_000),
            ("learn", self.learn, 0, 0.1),
        ):
            if not least <= value <= most:
                raise UsageError(f"{name} is {value:g}, but must lie between {least} and {most}")

    @cached_property
    def sampling(self) -> SamplingConfig:
        """The chain that draws."""
        return SamplingConfig(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            typical=self.typical,
            repetition_penalty=self.repetition_penalty,
        )

    @cached_property
    def clamps(self) -> dict[tuple[int, int], float]:
        """The units that are held, as `Engine.clamped` takes them.

        Raises:
            UsageError: it is not written as it should be.
        """
        held: dict[tuple[int, int], float] = {}
        for one in self.clamp.split(",") if self.clamp.strip() else ():
            found = _HELD.fullmatch(one.strip())
            value = float(found["value"]) if found is not None else math.nan
            if found is None or not abs(value) <= MOST_HELD:
                raise UsageError(
                    f"{one.strip()!r} does not say what a unit is held at",
                    f"write LAYER:UNIT=VALUE, as in 1:37=0; values lie between -{MOST_HELD:g} and {MOST_HELD:g}",
                )
            held[int(found["layer"]), int(found["unit"])] = value
        return held

    def with_clamps(self, clamps: Mapping[tuple[int, int], float]) -> ChatConfig:
        """The dials with these units held and no others."""
        return replace(self, clamp=",".join([f"{layer}:{unit}={value:g}" for (layer, unit), value in clamps.items()]))

    def with_value(self, name: str, value: str) -> ChatConfig:
        """One dial set to what a person typed.

        Raises:
            UsageError: there is no such dial, or the value is not for it.
        """
        name = name.replace("-", "_")
        kinds: dict[str, Any] = {one.name: type(getattr(self, one.name)) for one in fields(self)}
        if name not in kinds:
            raise UsageError(f"there is no dial {name!r}", "dials are " + ", ".join(kinds))
        if name == "clamp":
            off = value.strip().casefold() in ("off", "0")
            return replace(self, clamp="" if off else ",".join([one.strip() for one in value.split(",")]))
        try:
            return replace(self, **{name: kinds[name](value)})
        except ValueError as error:
            what = "a whole number" if kinds[name] is int else "a number"
            raise UsageError(
                f"{value!r} is no value for {name.replace('_', '-')}, which takes {what}",
                f"it stays at {getattr(self, name):g}",
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """For the database."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ChatConfig:
        """Read back what `to_dict` made; what a later version added is left out, what it lacks has its default.

        Raises:
            CheckpointError: it is damaged.
        """
        kinds = {one.name: one.type for one in fields(cls)}
        try:
            turned = {name: value for name, value in document.items() if name in kinds}
            for name, value in turned.items():
                if type(value).__name__ != kinds[name] and not (type(value) is int and kinds[name] == "float"):
                    raise TypeError(name)
            return cls(**turned)
        except (AttributeError, TypeError, CharlmError) as error:
            raise CheckpointError("the dials of a conversation are damaged") from error


PRESETS: Final = {
    "precise": {"temperature": 0.5, "top_p": 0.9, "min_p": 0.0, "top_k": 0},
    "balanced": {"temperature": 0.65, "top_p": 0.95, "min_p": 0.0, "top_k": 0},
    "wild": {"temperature": 1.2, "top_p": 1.0, "min_p": 0.02, "top_k": 0},
}


def presets() -> dict[str, dict[str, Any]]:
    """Presets by name: the built-in ones and the user's own.

    Those stand in `config.toml` in the user's data folder, a table each:

        [presets.drunk]
        temperature = 1.5

    Raises:
        UsageError: the file is no TOML, or a preset has a dial that there is not, or a value out of range.
    """
    path = home() / "config.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return dict(PRESETS)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "mend it or take it away") from error
    own = document.get("presets", {})
    for name, values in own.items() if isinstance(own, dict) else [("presets", None)]:
        if not isinstance(values, dict):
            raise UsageError(f"{path}: {name} must be a table", "[presets.NAME], then a dial a line")
        try:
            apply_preset(ChatConfig(), values)
        except CharlmError as error:
            raise UsageError(f"{path}: preset {name}: {error.message}", error.hint) from error
    return {**PRESETS, **own}


def apply_preset(dials: ChatConfig, values: Mapping[str, Any]) -> ChatConfig:
    """The dials with some of them set.

    Raises:
        UsageError: there is no such dial, or a value is out of range.
    """
    for name, value in values.items():
        dials = dials.with_value(name, str(value))
    return dials
