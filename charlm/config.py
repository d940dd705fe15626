"""Every configuration of charlm, with the range, default and help of each setting.

Imports neither NumPy nor torch. `charlm.settings` explains the notation and derives everything else from it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Annotated, Any, Final, Self

from charlm.errors import CheckpointError, UsageError
from charlm.settings import MAX_SEED, PLANNED, Config, Setting, every

CELL_NAMES: Final = ("lstm", "gru", "rnn", "peephole", "cifg", "multiplicative", "slstm")
FORMATS: Final = ("plain", "lines", "transcript", "play")
EXPORTS: Final = ("whatsapp", "telegram", "signal", "discord", "slack", "irc", "weechat", "prompts", "markdown")
PRECISIONS: Final = ("auto", "fp32", "bf16")
DEVICES: Final = ("auto", "cpu", "cuda", "mps")
MAX_LAYERS: Final = 8
MAX_WIDTH: Final = 16_384
MAX_VOCABULARY: Final = 0x110000 + 256  # every code point and every byte
MAX_CLAMP: Final = 100.0  # far beyond any cell's memory
BUDGETS: Final = ("minutes", "epochs", "steps")

_OFF_AT_ZERO: Final = {0: "off"}
_OFF_AT_ONE: Final[Mapping[float | str, str]] = {1: "off"}
_INF: Final = math.inf


@dataclass(frozen=True)
class ModelConfig(Config):
    """The shape of a character language model: the numbers that fix the shape of every tensor."""

    vocabulary: Annotated[int, Setting("number of ids, V", 2, MAX_VOCABULARY)]
    cell: Annotated[str, Setting("recurrent cell", choices=CELL_NAMES)] = "lstm"
    hidden: Annotated[int, Setting("width of each layer, H", 1, MAX_WIDTH, default_text=PLANNED)] = 256
    embedding: Annotated[int, Setting("width of a character's vector, E", 1, MAX_WIDTH, default_text="as --hidden")] = (
        256
    )
    layers: Annotated[int, Setting("number of layers, L", 1, MAX_LAYERS, default_text=PLANNED)] = 2
    residual: Annotated[bool, Setting("add each layer's input to its output where the widths agree")] = True
    norm: Annotated[bool, Setting("apply layer norm after each layer")] = True
    tied: Annotated[bool, Setting("use the embedding as output weights")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tied and self.embedding != self.hidden:
            raise UsageError(
                f"tied weights need an embedding as wide as the layers, but {self.embedding} is not {self.hidden}",
                f"use --embedding {self.hidden}, or leave --tied out",
            )

    def inputs(self, layer: int) -> int:
        return self.embedding if layer == 0 else self.hidden

    def has_residual(self, layer: int) -> bool:
        """Return whether a layer's input is added to its output."""
        return self.residual and self.inputs(layer) == self.hidden


@dataclass(frozen=True)
class DataConfig(Config):
    """The text of a run, and how it is read and split."""

    paths: tuple[str, ...] = ()  # files and folders; - is standard input
    encoding: Annotated[str, Setting("encoding of the files")] = "utf-8"
    encoding_errors: Annotated[
        str,
        Setting("bytes that are not of the encoding: refuse, or replace by a symbol", choices=("strict", "replace")),
    ] = "strict"
    skip_bad: Annotated[bool, Setting("leave out files that cannot be read", flags=("--skip-bad",))] = False
    pattern: Annotated[str, Setting("which files of a folder to read", flags=("--glob",))] = "*"
    min_count: Annotated[
        int | None,
        Setting(
            "rarer characters are spelled as UTF-8 bytes",
            1,
            _INF,
            default_text="1 up to 256 different characters, then 2",
        ),
    ] = None
    val_fraction: Annotated[
        float,
        Setting("share of the text, from its end, that validates; at most five million characters", 0, 1, open=(0, 1)),
    ] = 0.1
    val_file: Annotated[str | None, Setting("validate on this file instead", metavar="FILE")] = None
    format: Annotated[
        str,
        Setting(
            "how the text writes turns, for chat, or the program that exported it; auto detects it",
            choices=("auto", *FORMATS, *EXPORTS),
        ),
    ] = "auto"

    @property
    def train_share(self) -> float:
        """The share of the text, from its start, that trains."""
        return 1.0 if self.val_file is not None else 1 - self.val_fraction


def _dropout(text: str, default_text: str = "") -> Setting:
    return Setting(text, 0, 1, open=(1,), default_text=default_text)


@dataclass(frozen=True)
class TrainConfig(Config):
    """Every number that a training run depends on. Exactly one of the three budgets is set."""

    minutes: Annotated[
        float | None, Setting("budget in minutes of wall-clock time", 0, _INF, open=(0,), default_text="5")
    ] = None
    epochs: Annotated[float | None, Setting("budget in passes over the text, instead", 0, _INF, open=(0,))] = None
    steps: Annotated[int | None, Setting("budget in steps of the optimizer, instead", 1, _INF)] = None
    lanes: Annotated[
        int, Setting("batch size: stretches of text read in parallel", 1, 65_536, default_text=PLANNED)
    ] = 32
    chunk: Annotated[int, Setting("steps of backpropagation through time", 1, 65_536, default_text=PLANNED)] = 64
    learning_rate: Annotated[
        float, Setting("highest learning rate, after the warm-up", 1e-9, 10, default_text=PLANNED)
    ] = 4e-3
    final_rate: Annotated[float, Setting("last learning rate, as a share of the highest", 0, 1)] = 0.02
    warmup: Annotated[float, Setting("share of the budget over which the learning rate rises", 0, 0.9)] = 0.02
    beta1: Annotated[float, Setting("AdamW's decay of the first moment", 0, 0.9999)] = 0.9
    beta2: Annotated[float, Setting("AdamW's decay of the second moment", 0, 0.999999)] = 0.99
    weight_decay: Annotated[
        float, Setting("AdamW's weight decay, on matrices only", 0, 1000, default_text="0.3; planned with --from")
    ] = 0.3
    decay_to_base: Annotated[
        bool, Setting("weight decay pulls to the weights of --from, not to zero", default_text="with --from")
    ] = False
    clip: Annotated[float, Setting("clip the norm of the gradient to this", 1e-6, 1_000_000)] = 1.0
    dropout_input: Annotated[float, _dropout("locked dropout of the embedding", "as --dropout, else 0")] = 0.0
    dropout_hidden: Annotated[float, _dropout("locked dropout between layers", "as --dropout")] = 0.0
    dropout_output: Annotated[float, _dropout("locked dropout before the output layer", "as --dropout")] = 0.0
    weight_drop: Annotated[float, _dropout("DropConnect on the recurrent weights")] = 0.0
    carry: Annotated[bool, Setting("carry the state from chunk to chunk")] = True
    evaluations: Annotated[int, Setting("number of measurements on validation text", 1, 100_000)] = 20
    val_chars: Annotated[
        int, Setting("characters of validation text for each of them", 1, _INF, default_text=PLANNED)
    ] = 30_000
    patience: Annotated[
        int, Setting("stop after this many evaluations without a new best; 0 never stops", 0, 100_000)
    ] = 8
    max_epochs: Annotated[
        float,
        Setting(
            "end a run with a budget in minutes after this many passes over the text; 0 for no end",
            0,
            _INF,
            default_text=PLANNED,
        ),
    ] = 0.0
    seed: Annotated[int, Setting("seed of weights, dropout and lane offsets", 0, MAX_SEED)] = 1
    precision: Annotated[
        str, Setting("number format; auto measures fp32 and bf16 and takes the faster", choices=PRECISIONS)
    ] = "auto"
    device: Annotated[str, Setting("device to train on", choices=DEVICES)] = "auto"
    threads: Annotated[int, Setting("processor threads; 0 leaves it to torch", 0, 4096)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        budgets = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(budgets) != 1:
            given = " and ".join(f"--{name}" for name in budgets) or "none"
            raise UsageError(f"a run has one budget, but got {given}", "use one of --minutes, --epochs and --steps")

    @property
    def budget(self) -> str:
        """The budget in words."""
        name, value = next((name, value) for name in BUDGETS if (value := getattr(self, name)) is not None)
        return f"{value:g} {name if value != 1 else name[:-1]}"


_Temperature = Annotated[
    float,
    Setting(
        "0 takes the likeliest character; below 1 is careful, above 1 wild",
        0,
        100,
        words={0: "greedy"},
        flags=("-t", "--temperature"),
        stops=every(0.05, 0, 2),
    ),
]


def _share(text: str) -> Setting:
    return Setting(text, 0, 1, open=(0,), words=_OFF_AT_ONE, stops=(*every(0.05, 0.05, 0.95), 0.98, 1))


@dataclass(frozen=True)
class SamplerConfig(Config):
    """The settings that `SamplingConfig` and `ChatConfig` share. The defaults turn off every filter except top-p."""

    temperature: _Temperature = 0.8
    top_k: Annotated[
        int,
        Setting(
            "draw among the k likeliest characters",
            0,
            _INF,
            words=_OFF_AT_ZERO,
            stops=(1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 60, 80, 100, 0),
        ),
    ] = 0
    top_p: Annotated[float, _share("draw among the likeliest characters that make up this share")] = 0.95
    min_p: Annotated[
        float,
        Setting(
            "draw among characters at least this share as likely as the likeliest",
            0,
            1,
            words=_OFF_AT_ZERO,
            stops=(0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5),
        ),
    ] = 0.0
    typical: Annotated[float, _share("draw among the most typical characters that make up this share")] = 1.0
    repetition_penalty: Annotated[
        float,
        Setting(
            "above 1 avoids recent characters", 1, 100, words=_OFF_AT_ONE, label="repetition", stops=every(0.05, 1, 2)
        ),
    ] = 1.0


@dataclass(frozen=True)
class SamplingConfig(SamplerConfig):
    """Settings that draw the next character."""

    repetition_window: Annotated[
        int, Setting("number of recent characters that the repetition penalty covers", 1, 1_000_000)
    ] = 64
    banned: Annotated[str, Setting("never write these characters", flags=("--ban",), metavar="CHARACTERS")] = ""
    seed: Annotated[int | None, Setting("repeats a text", 0, MAX_SEED, default_text="drawn, and shown on stderr")] = (
        None
    )


def check_seed(seed: int) -> None:
    """Raise UsageError unless random numbers can start from `seed`."""
    SamplingConfig(seed=seed)


_CLAMP: Final = r"(?P<layer>\d{1,6}):(?P<unit>\d{1,6}) ?= ?(?P<value>[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?)"

CHAT_LEARN_RATE: Final = 1e-4
"""Rate of learning in a chat: twice that of reading, because a fact is stated in one line."""
JAPANESE_LEARN_RATE: Final = 3e-5
"""The same for Japanese: a character says more there, and a model that learns faster repeats the person."""


@dataclass(frozen=True)
class ChatConfig(SamplerConfig):
    """Settings that draw and show a reply: the dials of a chat."""

    temperature: _Temperature = 0.65
    candidates: Annotated[  # only formats with turns have them, because only those mark the end of a reply
        int,
        Setting(
            "draw this many replies and show the most relevant; 1 streams the reply as it is drawn",
            1,
            64,
            default_text="16 if the model has a matcher, else 4",
            stops=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
        ),
    ] = 4
    relevance: Annotated[  # see `rerank_mmi`
        float,
        Setting(
            "how much a reply loses for being likely after any message",
            0,
            10,
            words=_OFF_AT_ZERO,
            default_text="0.1 if the model has a pointer, else 0.5",
            stops=(*every(0.1, 0, 1), 1.5, 2, 3, 5, 10),
        ),
    ] = 0.5
    matching: Annotated[  # see `charlm.inference.matching`
        float,
        Setting(
            "how much a reply gains for words that match your last turn",
            0,
            10,
            words=_OFF_AT_ZERO,
            default_text="0.5 if the model has a pointer, else 1",
            stops=(*every(0.1, 0, 1), 1.5, 2, 3, 5, 10),
        ),
    ] = 1.0
    recall: Annotated[  # see `charlm.inference.pointer`
        float,
        Setting(
            "how readily a model with a pointer copies from what you said",
            0,
            10,
            words=_OFF_AT_ZERO,
            stops=(*every(0.1, 0, 1), 1.5, 2, 3, 5, 10),
        ),
    ] = 1.0
    names: Annotated[  # see `charlm.inference.name_bias`
        float,
        Setting(
            "how many nats the letters of names that you mentioned gain; from the next reply on",
            0,
            20,
            words=_OFF_AT_ZERO,
            label="your names",
            stops=every(1, 0, 10),
        ),
    ] = 3.0
    length: Annotated[
        int,
        Setting(
            "most characters of a reply",
            1,
            1_000_000,
            stops=(50, 100, 150, 200, 300, 400, 600, 800, 1000, 1500, 2000, 5000, 10_000),
        ),
    ] = 400
    pace: Annotated[
        float,
        Setting(
            "characters shown per second",
            0,
            1_000_000,
            words={0: "no limit"},
            stops=(5, 10, 15, 20, 30, 40, 60, 80, 120, 200, 400, 800, 0),
        ),
    ] = 0.0
    learn: Annotated[
        float,
        Setting(
            "rate at which the model learns from your messages",
            0,
            0.1,
            words=_OFF_AT_ZERO,
            label="learning",
            default_text="on if the text of the model has turns",
            stops=(0, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3),
        ),
    ] = 0.0
    clamp: Annotated[
        str,
        Setting(
            "hold units of the model at a value while it writes", words={"": "off"}, metavar="LAYER:UNIT=VALUE,..."
        ),
    ] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.clamps  # raises if the text is not valid

    @cached_property
    def sampling(self) -> SamplingConfig:
        """The part that draws a character."""
        return SamplingConfig(**{one.name: getattr(self, one.name) for one in fields(SamplerConfig)})

    @cached_property
    def clamps(self) -> dict[tuple[int, int], float]:
        """The value of each clamped unit, by layer and unit."""
        clamps: dict[tuple[int, int], float] = {}
        for text in [one.strip() for one in self.clamp.split(",")] if self.clamp.strip() else ():
            found = re.fullmatch(_CLAMP, text, re.A | re.I)
            if found is None or not abs(value := float(found["value"])) <= MAX_CLAMP:
                raise UsageError(
                    f"{text!r} is not a clamped unit",
                    f"write LAYER:UNIT=VALUE, as in 1:37=0, with a value from -{MAX_CLAMP:g} to {MAX_CLAMP:g}",
                )
            clamps[int(found["layer"]), int(found["unit"])] = value
        return clamps

    def with_clamps(self, clamps: Mapping[tuple[int, int], float]) -> Self:
        """Return a copy that clamps only these units."""
        return self.changed(clamp=",".join([f"{layer}:{unit}={value:g}" for (layer, unit), value in clamps.items()]))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return what `to_dict` of any version wrote; raise CheckpointError if it is damaged."""
        try:
            values = {**document}
            return cls(**{one.name: values[one.name] for one in fields(cls) if one.name in values})
        except (TypeError, UsageError) as error:
            raise CheckpointError("the dials of a conversation are damaged") from error


@dataclass(frozen=True)
class LearnConfig(Config):
    """Settings of dynamic evaluation, measured in docs/experiments.md."""

    rate: Annotated[
        float, Setting("how far a gradient of the usual size moves its weight", 0, 0.1, flags=("--learn-rate",))
    ] = 5e-5
    # Averaged over the weights; weights with usually large gradients lose more.
    decay: Annotated[
        float, Setting("share of what was learned that is given up at each segment", 0, 1, flags=("--learn-decay",))
    ] = 2e-3
    segment: Annotated[int, Setting("characters between two steps", 1, 10_000)] = 50
    passes: Annotated[int, Setting("steps on each segment", 1, 100)] = 1
    # In units of a tensor's usual root mean square gradient.
    clip: Annotated[float, Setting("clip the root mean square of a tensor's gradient to this", 1e-3, 1_000_000)] = 10.0
    epsilon: Annotated[float, Setting("least usual size of a gradient", 1e-9, 1)] = 3e-5
    # Past this loss on recent text, relative to the trained weights, the learned weights are halved.
    margin: Annotated[float, Setting("loss that learning may cost before it is reduced, nats/char", 0, 1_000_000)] = 0.1


@dataclass(frozen=True)
class ServeConfig(Config):
    """Settings of the HTTP server."""

    host: Annotated[
        str, Setting("address to listen on; with another than a loopback one, other machines can connect")
    ] = "127.0.0.1"
    port: Annotated[int, Setting("port to listen on; 0 takes a free one", 0, 65_535)] = 8765
    api_key: Annotated[str, Setting("refuse requests without this key", metavar="KEY")] = ""
    allow_origin: Annotated[
        str,
        Setting(
            "origins of web pages that may connect, besides this machine's, separated by commas; a page opened from a"
            " file has the origin null",
            metavar="ORIGIN,...",
        ),
    ] = ""
    max_requests: Annotated[int, Setting("refuse more requests at the same time than these", 1, 10_000)] = 256
    max_chars: Annotated[
        int,
        Setting("most characters that an answer holds in memory, with all its texts and alternatives", 1, 100_000_000),
    ] = 100_000
