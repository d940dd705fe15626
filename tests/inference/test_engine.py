"""A state is a value: reading never changes it, and it can be split, repeated and stored."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.errors import CheckpointError
from charlm.inference.engine import Engine
from charlm.inference.state import State

from ..conftest import assert_states_close, random_checkpoint

every_cell = pytest.mark.parametrize("cell", CELLS)
HEADER = 8 + 16 + 4  # magic, fingerprint, B


def read_something(engine: Engine, batch: int = 1, seed: int = 0) -> State:
    ids = np.random.default_rng(seed).integers(0, engine.config.vocabulary, (12, batch))
    return engine.forward(engine.start(batch), ids)[0]


def assert_identical(one: State, other: State) -> None:
    assert [type(layer) for layer in one.layers] == [type(layer) for layer in other.layers]
    assert [part.dtype for part in one.arrays()] == [part.dtype for part in other.arrays()]
    assert_states_close(one, other, 0)


@every_cell
@pytest.mark.parametrize("batch", [1, 3])
def test_state_is_unchanged_by_reading(cell: str, batch: int) -> None:
    engine = Engine(random_checkpoint(cell=cell, layers=3))
    start, state = engine.start(batch), read_something(engine, batch)
    start_before, before = start.map(np.copy), state.map(np.copy)
    after, rng = state, np.random.default_rng(1)
    for _ in range(20):
        after, _ = engine.step(after, rng.integers(0, engine.config.vocabulary, batch))
        engine.forward(state, rng.integers(0, engine.config.vocabulary, (5, batch)))
        engine.forward(start, rng.integers(0, engine.config.vocabulary, (5, batch)))
    assert_identical(start, start_before)
    assert_identical(state, before)
    assert any((part != old).any() for part, old in zip(after.arrays(), before.arrays(), strict=True))


@every_cell
def test_logits_are_unchanged_by_later_steps(cell: str) -> None:
    engine = Engine(random_checkpoint(cell=cell))
    state, logits = engine.step(engine.start(), 3)
    kept = logits.copy()
    engine.step(state, 5)
    engine.step(engine.start(), 7)
    np.testing.assert_array_equal(logits, kept)


@every_cell
@pytest.mark.parametrize("layers", [1, 4])
@pytest.mark.parametrize("batch", [1, 5])
def test_state_round_trips_through_bytes(cell: str, layers: int, batch: int) -> None:
    engine = Engine(random_checkpoint(cell=cell, layers=layers))
    state = read_something(engine, batch)
    data = engine.to_bytes(state)
    again = Engine(random_checkpoint(cell=cell, layers=layers)).from_bytes(data)  # as in another process
    assert again.batch == batch
    assert_identical(again, state)
    assert engine.to_bytes(again) == data
    engine.step(again, np.zeros(batch, np.int64))  # reading can go on from it
    assert_identical(again, state)


def test_state_rows_round_trip_through_bytes() -> None:
    engine = Engine(random_checkpoint())
    rows = read_something(engine, 6).rows(slice(1, 6, 2))
    assert_identical(engine.from_bytes(engine.to_bytes(rows)), rows)


def overwrite(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data + b"\0",
        lambda data: data + b"\0" * 4,
        lambda data: data + data[HEADER:],
        lambda data: overwrite(data, 0, b"charlmS2"),
        lambda data: overwrite(data, 0, b"PK\3\4"),
        lambda data: overwrite(data, 8, b"0123456789abcdef"),
        lambda data: overwrite(data, 8, b"\xff" * 16),
        lambda data: overwrite(data, HEADER - 4, struct.pack("<I", 0)),
        lambda data: overwrite(data, HEADER - 4, struct.pack("<I", 3)),
        lambda data: overwrite(data, HEADER - 4, struct.pack("<I", 2**32 - 1)),
        lambda data: overwrite(data[:HEADER], HEADER - 4, struct.pack("<I", 0)),
        lambda data: overwrite(data, HEADER, struct.pack("<f", np.nan)),
        lambda data: overwrite(data, len(data) - 4, struct.pack("<f", np.inf)),
        lambda data: overwrite(data, len(data) - 8, struct.pack("<f", -np.inf)),
    ],
)
def test_state_damaged_is_refused(damage: Callable[[bytes], bytes]) -> None:
    engine = Engine(random_checkpoint())
    data = engine.to_bytes(read_something(engine, 2))
    with pytest.raises(CheckpointError, match="state") as refusal:
        engine.from_bytes(damage(data))
    assert "\n" not in refusal.value.message


def test_state_truncated_anywhere_is_refused() -> None:
    engine = Engine(random_checkpoint(hidden=4, embedding=4))
    data = engine.to_bytes(read_something(engine, 2))
    for length in range(len(data)):
        with pytest.raises(CheckpointError, match="state"):
            engine.from_bytes(data[:length])


def test_state_of_another_model_is_refused() -> None:
    checkpoint = random_checkpoint(seed=0)
    data = Engine(checkpoint).to_bytes(read_something(Engine(checkpoint)))
    tensors = {**checkpoint.tensors, "output.b": checkpoint.tensors["output.b"] + np.float32(1e-3)}
    for other in (random_checkpoint(seed=1), random_checkpoint(cell="gru"), replace(checkpoint, tensors=tensors)):
        with pytest.raises(CheckpointError, match="another model"):
            Engine(other).from_bytes(data)


@every_cell
def test_state_rows_select_streams(cell: str) -> None:
    engine = Engine(random_checkpoint(cell=cell))
    state = read_something(engine, 4)
    for rows in ([2], [3, 0], [1, 1, 2], slice(1, 3), np.array([0, 3]), []):
        chosen = state.rows(rows)
        for part, whole in zip(chosen.arrays(), state.arrays(), strict=True):
            np.testing.assert_array_equal(part, whole[np.arange(4)[rows]])
        assert chosen.batch == len(np.arange(4)[rows])
        assert isinstance(chosen.layers[0], CELLS[cell].State)


@every_cell
def test_state_repeated_streams_are_independent(cell: str) -> None:
    engine = Engine(random_checkpoint(cell=cell))
    state = read_something(engine)
    repeated = state.repeat(3)
    assert repeated.batch == 3
    for row in range(3):
        assert_identical(repeated.rows([row]), state)
    after, _ = engine.step(repeated, np.array([1, 2, 1]))
    assert (after.layers[-1].h[0] != after.layers[-1].h[1]).any()
    np.testing.assert_array_equal(after.layers[-1].h[0], after.layers[-1].h[2])
