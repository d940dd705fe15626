"""A damaged file of any kind is read or refused in one sentence: no other error, no pile of memory, no hang."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.checkpoint import Checkpoint, TrainingRecord, load, save
from charlm.errors import CharlmError
from charlm.inference.engine import Engine
from charlm.tensor_shapes import statistic_shapes, tensor_shapes
from charlm.text.dialogue import Dialogue

from .conftest import random_checkpoint

MODEL_FILES = 8_000
STATES = 2_000
GIBIBYTE = 1 << 30

Mutation = Callable[[bytes, np.random.Generator], bytes]

JUNK: list[Any] = [
    None, True, False, -1, 0, 1, 2, 0.5, 1e308, -(2**63), 2**64, 10**40, "", "a", "\ud800", "\0\n\x1b[2J", "x" * 3000,
    [], [0], [[[]]], {}, {"a": {}}, {"format": 1}, "F32", "F64", "BOOL", "lstm", [0, 2**62], [2**63, 0],
]  # fmt: skip


def any_place(data: bytes, rng: np.random.Generator) -> int:
    """Half of the time near the start, where the header is and most can go wrong."""
    return int(rng.integers(len(data) if rng.random() < 0.5 else min(len(data), 1000)))


def header_end(data: bytes) -> int:
    """Of a sound model file."""
    return 8 + int(struct.unpack("<Q", data[:8])[0])


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    mutated = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 8, 64])):
        mutated[any_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(mutated)


def overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    place, length = any_place(data, rng), int(rng.choice([1, 1, 2, 4, 8, 100]))
    new = (b"\0" * length, b"\xff" * length, b'"' * length, rng.bytes(length))[rng.integers(4)]
    return (data[:place] + new + data[place + length :])[: len(data)]


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: any_place(data, rng)]


def insert(data: bytes, rng: np.random.Generator) -> bytes:
    place, length = any_place(data, rng), int(rng.choice([1, 1, 4, 100]))
    return data[:place] + rng.bytes(length) + data[place:]


def move(data: bytes, rng: np.random.Generator) -> bytes:
    """Take a stretch out, or put it in somewhere else too."""
    first, last = sorted((any_place(data, rng), any_place(data, rng)))
    if rng.random() < 0.5:
        return data[:first] + data[last:]
    place = any_place(data, rng)
    return data[:place] + data[first:last] + data[place:]


def change_header_length(data: bytes, rng: np.random.Generator) -> bytes:
    right = header_end(data) - 8
    lengths = [0, 1, right - 1, right + 1, right + int(rng.integers(-200, 200)), len(data), len(data) - 8, 10**10]
    lengths += [10**8, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 8, right | 1 << 40]
    return struct.pack("<Q", max(0, lengths[rng.integers(len(lengths))])) + data[8:]


def change_description(data: bytes, rng: np.random.Generator) -> bytes:
    header = json.loads(data[8 : header_end(data)])
    document = json.loads(header["__metadata__"]["charlm"])
    header["__metadata__"]["charlm"] = json.dumps(change_json(document, rng))
    return with_header(data, header)


def change_header(data: bytes, rng: np.random.Generator) -> bytes:
    return with_header(data, change_json(json.loads(data[8 : header_end(data)]), rng))


def with_header(data: bytes, header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[header_end(data) :]


def change_json(document: Any, rng: np.random.Generator) -> Any:
    """Put junk in a value's place, take the value away, or add another, anywhere in the tree."""
    parent, key = None, None
    inside = document
    while isinstance(inside, dict | list) and inside and (parent is None or rng.random() < 0.95):
        parent = inside
        key = list(parent)[rng.integers(len(parent))] if isinstance(parent, dict) else int(rng.integers(len(parent)))
        inside = parent[key]
    junk = JUNK[rng.integers(len(JUNK))]
    kind = rng.integers(4)
    if parent is None or (kind == 3 and rng.random() < 0.1):
        return junk
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent["strange"] = junk
    elif kind == 1 and isinstance(parent, list):
        parent.append(junk)
    elif isinstance(inside, int) and kind == 2:
        parent[key] = inside + int(rng.integers(-3, 4))
    else:
        parent[key] = junk
    return document


OF_BYTES: list[Mutation] = [flip_bits, overwrite, truncate, insert, move]
OF_MODELS: list[Mutation] = [*OF_BYTES, change_header_length, change_description, change_description, change_header]


def make_files(path: Path) -> list[bytes]:
    """Sound model files of every kind, a few KB each."""
    files = []
    for cell in CELLS:
        made = random_checkpoint(cell=cell, characters="ab é", hidden=4, embedding=4, layers=1, tied=cell == "gru")
        source = {"name": "a.txt", "sha256": "0" * 64, "bytes": 9}
        record = TrainingRecord(sources=[source], validation=1.5, settings={"lanes": 2})
        dialogue = Dialogue("play", ("ANNA", "BEN"))
        sizes = {name: np.full(shape, 1e-6, np.float32) for name, shape in statistic_shapes(made.config).items()}
        statistics = sizes if cell == "lstm" else None
        whole = Checkpoint(made.config, made.vocabulary, made.tensors, record, dialogue, statistics)
        save(whole, path, {"rnn": "half", "gru": "int8"}.get(cell, "full"))
        files.append(path.read_bytes())
        load(path)
    return files


def assert_sound(checkpoint: Checkpoint) -> None:
    assert {name: each.shape for name, each in checkpoint.tensors.items()} == tensor_shapes(checkpoint.config)
    assert all(tensor.dtype == np.float32 and np.isfinite(tensor).all() for tensor in checkpoint.tensors.values())
    assert len(checkpoint.vocabulary) == checkpoint.config.vocabulary
    if checkpoint.statistics is not None:
        assert {name: each.shape for name, each in checkpoint.statistics.items()} == statistic_shapes(checkpoint.config)
        assert all(np.isfinite(one).all() and (one >= 0).all() for one in checkpoint.statistics.values())
    assert all(name.isprintable() for name in checkpoint.dialogue.names)


def peak_memory() -> int:
    resource = pytest.importorskip("resource", reason="this system does not say what a process has used")
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024  # kibibytes on Linux


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_damaged_model_file_is_read_or_refused(tmp_path: Path) -> None:
    path, rng = tmp_path / "model.safetensors", np.random.default_rng(20_260_101)
    files, before, refusals = make_files(path), peak_memory(), []
    for number in range(MODEL_FILES):
        mutation = OF_MODELS[number % len(OF_MODELS)]
        path.write_bytes(mutation(files[number % len(files)], rng))
        try:
            assert_sound(load(path))
        except CharlmError as error:
            refusals.append(error.message)
        except BaseException as error:
            error.add_note(f"file {number}, by {mutation.__name__}")
            raise
    assert peak_memory() - before < GIBIBYTE
    assert all(message.startswith(str(path)) and message.isprintable() for message in refusals)
    assert max(map(len, refusals)) < len(str(path)) + 300
    assert MODEL_FILES // 2 < len(refusals) < 0.95 * MODEL_FILES  # some changes do no harm


@pytest.mark.parametrize("cell", CELLS)
def test_damaged_state_is_read_or_refused(cell: str) -> None:
    engine, rng = Engine(random_checkpoint(cell=cell, hidden=4, embedding=4)), np.random.default_rng(20_260_102)
    state, _ = engine.forward(engine.start(3), rng.integers(0, engine.config.vocabulary, (5, 3)))
    data, refused = engine.to_bytes(state), 0
    for number in range(STATES // len(CELLS)):
        mutation = OF_BYTES[number % len(OF_BYTES)]
        try:
            read = engine.from_bytes(mutation(data, rng))
            assert all(np.isfinite(part).all() and part.shape == (read.batch, 4) for part in read.arrays())
        except CharlmError:
            refused += 1
        except BaseException as error:
            error.add_note(f"state {number}, by {mutation.__name__}")
            raise
    assert 0.5 < refused / (STATES // len(CELLS)) < 0.95
