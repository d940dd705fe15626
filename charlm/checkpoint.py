"""The model file: the only module that knows its format.

A model is one safetensors file. `charlm.tensor_shapes` names its tensors. A matrix NAME may be in int8; `scales.NAME`
then has a factor for each row. Its metadata has one key, "charlm", with a JSON document:

    format       the version of this format, 1
    config       ModelConfig
    vocabulary   {"characters": one string, in the order of their ids; "bytes": whether 256 byte ids follow}
    record       TrainingRecord
    dialogue     Dialogue: the format of the text's turns, and its speakers; without it the text is plain

A model file cannot run code. Everything in it is checked before use: a damaged, foreign or manipulated file is refused
in one sentence.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from charlm.config import ModelConfig
from charlm.errors import CharlmError, CheckpointError, NotFoundError
from charlm.files import write_bytes
from charlm.tensor_shapes import Shapes, matching_shapes, pointer_shapes, statistic_shapes, tensor_shapes
from charlm.text.dialogue import Dialogue
from charlm.text.vocabulary import Vocabulary

FORMAT = 1
MAX_HEADER_BYTES = 100_000_000  # safetensors refuses more
MAX_MESSAGE_CHARS = 200  # of a message that quotes a file
MAX_NUMBER = 1e18  # in a training record

Tensors = dict[str, NDArray[np.float32]]
Precision = Literal["full", "half", "int8"]


@dataclass(frozen=True)
class TrainingRecord:
    """The history of a model, as `charlm models show` prints it.

    Losses are in nats per character. Unknown fields are None or empty.
    """

    created: str = ""  # ISO 8601, UTC
    sources: list[dict[str, Any]] = field(default_factory=list)  # name, sha256 and bytes of every text file
    notices: list[str] = field(default_factory=list)  # authors and licences of the texts
    train_characters: int = 0
    validation_characters: int = 0  # for `validation`
    characters_seen: int = 0
    steps: int = 0
    epochs: float = 0.0
    seconds: float = 0.0
    validation: float | None = None  # of the weights in this file
    base: str | None = None  # the model that was fine-tuned
    base_fingerprint: str = ""  # see `Checkpoint.fingerprint`
    settings: dict[str, object] = field(default_factory=dict)  # TrainConfig
    matching_pairs: int = 0  # contexts and replies that the matcher was trained on; 0 without one
    matching_statements: int = 0  # replies with a word from an earlier turn, that it was trained on; 0 if too few
    pointer_characters: int = 0  # that the pointer was trained on; 0 without one
    precision: str = ""
    device: str = ""
    threads: int = 0
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TrainingRecord:
        """Return the record that `dataclasses.asdict` wrote; raise CheckpointError if a key or value is wrong."""
        hints = get_type_hints(cls)
        for name, value in document.items():
            if name not in hints:
                raise CheckpointError(f"the training record has an unknown key {name[:40]!r}")
            if not _has_type(value, hints[name]):
                raise CheckpointError(f"the training record's {name} is of the wrong type")
            if isinstance(value, int | float) and not abs(value) < MAX_NUMBER:
                raise CheckpointError(f"the training record's {name} is out of range")
        if not all(map(_is_source, document.get("sources", ()))):
            raise CheckpointError("the training record's sources are damaged")
        if not all(isinstance(notice, str) for notice in document.get("notices", ())):
            raise CheckpointError("the training record's notices are damaged")
        return cls(**document)


def _has_type(value: object, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_has_type(value, kind) for kind in get_args(hint))
    kind = get_origin(hint) or hint
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def _is_source(source: object) -> bool:
    kinds = {"name": str, "sha256": str, "bytes": int}
    return (
        isinstance(source, dict)
        and source.keys() == kinds.keys()
        and all(_has_type(source[key], kind) for key, kind in kinds.items())
        and 0 <= source["bytes"] < MAX_NUMBER
    )


@dataclass(frozen=True)
class Checkpoint:
    """A model file in memory."""

    config: ModelConfig
    vocabulary: Vocabulary
    tensors: Tensors  # named and shaped as `tensor_shapes(config)`
    record: TrainingRecord = field(default_factory=TrainingRecord)
    dialogue: Dialogue = field(default_factory=Dialogue)
    statistics: Tensors | None = None  # size of training's gradients, as `statistic_shapes(config)`; None if unknown
    matching: Tensors | None = None  # as `matching_shapes()`; see `charlm.inference.matching`
    pointer: Tensors | None = None  # as `pointer_shapes(config)`; see `charlm.inference.pointer`

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of everything that decides the model's output: shape, vocabulary and all weights."""
        digest = hashlib.sha256(json.dumps([self.config.to_dict(), self.vocabulary.fingerprint]).encode())
        for tensors in (self.tensors, self.matching or {}, self.pointer or {}):
            for name in sorted(tensors):
                digest.update(tensors[name].tobytes())
        return digest.hexdigest()[:16]


class ModelHeader(NamedTuple):
    """A `Checkpoint` without its weights."""

    config: ModelConfig
    vocabulary: Vocabulary
    record: TrainingRecord
    dialogue: Dialogue


def save(checkpoint: Checkpoint, path: Path, precision: Precision = "full") -> None:
    """Write a model file atomically. Loading makes float32 of every precision again.

    "half" stores float16, half the bytes of float32. "int8" stores matrices in int8, a quarter of the bytes, and the
    rest as "half". The weights of `matching` and `pointer` are never stored as float32, the statistics always.

    Raises OutputError, with the old file unchanged, or CheckpointError if a weight is too large for half precision.
    """
    document = {
        "format": FORMAT,
        "config": checkpoint.config.to_dict(),
        "vocabulary": {
            "characters": "".join(checkpoint.vocabulary.characters),
            "bytes": checkpoint.vocabulary.has_bytes,
        },
        "record": asdict(checkpoint.record),
        "dialogue": checkpoint.dialogue.to_dict(),
    }
    weights = checkpoint.tensors
    if precision != "full" and max(float(np.abs(part).max()) for part in weights.values()) > np.finfo(np.float16).max:
        raise CheckpointError("the model has weights too large for half precision", "store it in full")
    tensors = _stored(weights, precision) | _stored(checkpoint.statistics or {}, "full")
    parts = (checkpoint.matching or {}) | (checkpoint.pointer or {})
    tensors |= _stored(parts, "half" if precision == "full" else precision)
    write_bytes(path, safetensors.numpy.save(tensors, {"charlm": json.dumps(document)}))


def _stored(tensors: Tensors, precision: Precision) -> dict[str, NDArray[np.number]]:
    """Return the tensors in a precision; a matrix in int8 has the factors of its rows next to it."""
    stored: dict[str, NDArray[np.number]] = {}
    for name, tensor in tensors.items():
        if precision == "int8" and tensor.ndim == 2:
            scales = np.abs(tensor).max(axis=1) / np.float32(127)  # (R,)
            stored[f"scales.{name}"] = scales
            stored[name] = (tensor / np.where(scales > 0, scales, 1)[:, None]).round().astype(np.int8)
        else:
            stored[name] = np.ascontiguousarray(tensor, dtype=np.float32 if precision == "full" else np.float16)
    return stored


def read_header(path: Path) -> ModelHeader:
    """Return a model's description, without its weights; errors as in `load`."""
    with _opened(path) as (_, header):
        return header


def load(path: Path) -> Checkpoint:
    """Read and check a model file; raise NotFoundError if there is none, CheckpointError if it is damaged."""
    with _opened(path) as (file, header):
        statistics = _read_tensors(file, statistic_shapes(header.config))
        _check_statistics(statistics or {})
        return Checkpoint(
            header.config,
            header.vocabulary,
            _read_tensors(file, tensor_shapes(header.config)) or {},
            header.record,
            header.dialogue,
            statistics,
            _read_tensors(file, matching_shapes()),
            _read_tensors(file, pointer_shapes(header.config)),
        )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, ModelHeader]]:
    """Open and check a model file; errors name its path, also those raised in the block."""
    try:
        _check_header(path)
        with safetensors.safe_open(str(path), framework="numpy") as file:
            header = _read_document(file.metadata())
            _check_tensors(file, header.config)
            yield file, header
    except NotFoundError:
        raise
    except CharlmError as error:
        raise CheckpointError(f"{path}: {_one_line(error.message)}", error.hint) from error
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: not a model file, or a damaged one ({_one_line(str(error))})") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def _one_line(message: str) -> str:
    # A manipulated file may name its parts anything: pages of text, or control sequences for a terminal.
    return "".join([character if character.isprintable() else " " for character in message[:MAX_MESSAGE_CHARS]])


def _check_header(path: Path) -> None:
    # Runs before any allocation. A safetensors file begins with the length of its header, 8 bytes little-endian.
    if not path.exists():
        raise NotFoundError(f"no such model file: {path}")
    if path.is_dir():
        raise CheckpointError("a folder, not a model file")
    if not path.is_file():
        raise CheckpointError("a pipe or device, not a model file")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
    if len(start) < 8:
        raise CheckpointError(f"not a model file: only {size} bytes long")
    length = struct.unpack("<Q", start)[0]
    if length > size - 8:
        raise CheckpointError(
            f"not a model file, or cut short: its header should be {length:,} bytes long, but the file has {size:,}"
        )
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(f"its header is {length:,} bytes long, more than any model's")


def _read_document(metadata: dict[str, str] | None) -> ModelHeader:
    if not metadata or "charlm" not in metadata:
        raise CheckpointError(
            "a safetensors file, but not a charlm model", "charlm reads the models that it trained itself"
        )
    try:
        document = json.loads(metadata["charlm"])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"its description is damaged ({str(error)[:80]})") from error
    if not isinstance(document, dict):
        raise CheckpointError("its description is damaged (not an object)")
    version = document.get("format")
    if version != FORMAT or type(version) is not int:
        newer = isinstance(version, int) and version > FORMAT
        raise CheckpointError(
            f"its format is version {str(version)[:20]}, but this charlm reads version {FORMAT}",
            "a newer charlm wrote it: upgrade" if newer else None,
        )
    document.setdefault("dialogue", Dialogue().to_dict())
    parts = ("config", "vocabulary", "record", "dialogue")
    if set(document) != {"format", *parts} or not all(isinstance(document[part], dict) for part in parts):
        raise CheckpointError("its description is damaged (parts are missing, unknown or of the wrong kind)")
    config = ModelConfig.from_dict(document["config"])
    vocabulary = _read_vocabulary(document["vocabulary"])
    if len(vocabulary) != config.vocabulary:
        raise CheckpointError(
            f"its vocabulary has {len(vocabulary)} entries, but its configuration says {config.vocabulary}"
        )
    record = TrainingRecord.from_dict(document["record"])
    dialogue = Dialogue.from_dict(document["dialogue"])
    if "primer" not in document["dialogue"]:
        dialogue = dialogue.primed(vocabulary.language)
    return ModelHeader(config, vocabulary, record, dialogue)


def _read_vocabulary(document: dict[str, object]) -> Vocabulary:
    characters, has_bytes = document.get("characters"), document.get("bytes")
    if set(document) != {"characters", "bytes"} or not isinstance(characters, str) or not isinstance(has_bytes, bool):
        raise CheckpointError("its vocabulary is damaged")
    return Vocabulary(characters, has_bytes=has_bytes)


def _check_tensors(file: Any, config: ModelConfig) -> None:
    """Check names, shapes and types of the tensors; a file has all statistics or none, and so on."""
    expected, statistics, found = tensor_shapes(config), statistic_shapes(config), set(file.keys())
    wanted = dict(expected)
    for optional in (statistics, matching_shapes(), pointer_shapes(config)):
        if not found.isdisjoint(optional):
            wanted |= optional
    scales = {
        f"scales.{name}": shape[:1]
        for name, shape in wanted.items()
        if name in found and len(shape) == 2 and file.get_slice(name).get_dtype() == "I8"
    }
    wanted |= scales
    if missing := sorted(wanted.keys() - found):
        raise CheckpointError(f"the tensor {missing[0]!r} is missing")
    if extra := sorted(found - wanted.keys()):
        raise CheckpointError(f"the tensor {extra[0][:60]!r} does not belong to the model that its description gives")
    for name, shape in wanted.items():
        part = file.get_slice(name)
        if tuple(part.get_shape()) != shape:
            raise CheckpointError(
                f"the tensor {name!r} has the shape {tuple(part.get_shape())}, but should have {shape}"
            )
        is_exact = name in statistics or name in scales
        kinds = ("F32",) if is_exact else ("F32", "F16", "I8")[: 1 + len(shape)]
        if part.get_dtype() not in kinds:
            raise CheckpointError(f"the tensor {name!r} is {part.get_dtype()}, but should be {' or '.join(kinds)}")


def _check_statistics(statistics: Tensors) -> None:
    for name, tensor in statistics.items():
        if not (tensor >= 0).all():
            raise CheckpointError(f"the tensor {name!r} has values below zero, which no mean of squares has")


def _read_tensors(file: Any, shapes: Shapes) -> Tensors | None:
    """Return the tensors of those names; None if the file has none of them."""
    return {name: _read_tensor(file, name) for name in shapes} if set(file.keys()) & shapes.keys() else None


def _read_tensor(file: Any, name: str) -> NDArray[np.float32]:
    stored = file.get_tensor(name)
    tensor: NDArray[np.float32] = stored.astype(np.float32)
    if stored.dtype == np.int8:
        with np.errstate(invalid="ignore"):  # 0 * inf: refused below
            tensor *= file.get_tensor(f"scales.{name}")[:, None]
    if not np.isfinite(tensor).all():
        raise CheckpointError(f"the tensor {name!r} has values that are not finite")
    return tensor
