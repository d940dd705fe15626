"""The NumPy engine equals the torch model, for any cut, layout or batch of the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import charlm
from charlm.cells import CELLS
from charlm.checkpoint import Checkpoint, load
from charlm.config import ModelConfig
from charlm.inference.engine import SEGMENT, Engine
from charlm.model.lm import CharLM, load_tensors, to_tensors
from charlm.text.vocabulary import Vocabulary
from tests.conftest import HARBOUR, assert_states_close

CHARACTERS = "\n abcdefghijklmnopqrstuvwxyz"
STEPS = 1000
WIDTHS = {"tied": (24, True), "untied": (24, False), "narrow": (16, False)}  # width of the embedding, and if it is tied


def make_model(config: ModelConfig, seed: int = 0) -> tuple[CharLM, Checkpoint]:
    """Return an untrained torch model, changed so that no bias is zero and no scale one, and its checkpoint."""
    torch.manual_seed(seed)
    model = CharLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        if model.output.w is not None:  # it starts at zero
            model.output.w.normal_(std=0.3)
    return model, Checkpoint(config, Vocabulary(CHARACTERS, has_bytes=False), to_tensors(model.state_dict()))


def make_ids(*shape: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, len(CHARACTERS), shape)


def torch_logits(model: CharLM, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits, _ = model(torch.from_numpy(ids), model.start(ids.shape[1]))
    return logits.numpy()


SHAPES = [("tied", 1), ("tied", 2), ("tied", 4), ("untied", 1), ("untied", 3), ("narrow", 1), ("narrow", 4)]
FEW = [("tied", 1), ("narrow", 4)]  # the layers around a cell are the same for all cells
ALL_SHAPES = ("lstm", "gru", "rnn")


@pytest.mark.parametrize(
    ("cell", "widths", "layers"),
    [(cell, *shape) for cell in CELLS for shape in (SHAPES if cell in ALL_SHAPES else FEW)],
)
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("norm", [True, False])
def test_engine_logits_equal_torch(cell: str, norm: bool, residual: bool, widths: str, layers: int) -> None:
    embedding, tied = WIDTHS[widths]
    config = ModelConfig(
        len(CHARACTERS), cell, embedding=embedding, hidden=24, layers=layers, residual=residual, norm=norm, tied=tied
    )
    model, checkpoint = make_model(config, seed=layers)
    ids = make_ids(STEPS)
    engine = Engine(checkpoint)
    _, logits = engine.forward(engine.start(), ids)
    np.testing.assert_allclose(logits, torch_logits(model, ids[:, None])[:, 0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_loaded_tensors_make_the_same_torch_model(cell: str) -> None:
    config = ModelConfig(len(CHARACTERS), cell, embedding=16, hidden=24, layers=2)
    model, checkpoint = make_model(config)
    again = CharLM(config).eval()
    load_tensors(again, checkpoint.tensors)
    ids = make_ids(20, 3)
    np.testing.assert_array_equal(torch_logits(again, ids), torch_logits(model, ids))


@pytest.mark.parametrize("cell", CELLS)
def test_reading_in_parts_or_steps_gives_same_logits(cell: str) -> None:
    _, checkpoint = make_model(ModelConfig(len(CHARACTERS), cell, embedding=24, hidden=40, layers=3))
    engine, ids = Engine(checkpoint), make_ids(2 * SEGMENT + 37)
    state, expected = engine.forward(engine.start(), ids)

    column, column_logits = engine.forward(engine.start(), ids[:, None])
    fed, last = engine.prefill(engine.start(), ids)
    np.testing.assert_allclose(last, expected[-1], rtol=0, atol=1e-5)
    assert_states_close(fed, state)
    readings = [(column, column_logits[:, 0])]
    cuts = [1, 2, 5, SEGMENT, SEGMENT + 1, 2 * SEGMENT + 36]
    for read, parts in ((engine.step, ids.tolist()), (engine.forward, np.split(ids, cuts))):
        cut, rows = engine.start(), []
        for part in parts:
            cut, logits = read(cut, part)
            rows.append(np.atleast_2d(logits))
        readings.append((cut, np.concatenate(rows)))
    for found, logits in readings:
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
        assert_states_close(found, state)


@pytest.mark.parametrize("cell", CELLS)
def test_batched_streams_equal_single_streams(cell: str) -> None:
    _, checkpoint = make_model(ModelConfig(len(CHARACTERS), cell, embedding=24, hidden=40, layers=2))
    engine, ids = Engine(checkpoint), make_ids(SEGMENT + 50, 5)
    state, logits = engine.forward(engine.start(5), ids)
    stepped, last = engine.step(state, ids[0])
    for stream in range(5):
        alone, expected = engine.forward(engine.start(), ids[:, stream])
        np.testing.assert_allclose(logits[:, stream], expected, rtol=0, atol=1e-5)
        assert_states_close(state.rows([stream]), alone)
        alone, expected = engine.step(alone, int(ids[0, stream]))
        np.testing.assert_allclose(last[stream], expected, rtol=0, atol=1e-5)
        assert_states_close(stepped.rows([stream]), alone)


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_forward_without_ids_keeps_state(shape: tuple[int, ...]) -> None:
    _, checkpoint = make_model(ModelConfig(len(CHARACTERS), "lstm", 24, 24, layers=2))
    engine = Engine(checkpoint)
    before, _ = engine.step(engine.start(shape[-1] or 1), make_ids(shape[-1] or 1))
    after, logits = engine.forward(before, np.zeros(shape, np.int64))
    assert logits.shape == (*shape, len(CHARACTERS))
    assert_states_close(after, before, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell", [cell if cell in ("lstm", "slstm") else pytest.param(cell, marks=pytest.mark.campaign) for cell in CELLS]
)
def test_numpy_and_torch_agree_after_training(cell: str, tmp_path: Path) -> None:
    options = {"cell": cell, "hidden": 48, "layers": 2, "lanes": 8, "chunk": 32, "steps": 150, "precision": "fp32"}
    trained = charlm.train(HARBOUR, output=tmp_path / "m", **options)
    checkpoint = load(trained.path)
    model = CharLM(checkpoint.config).eval()
    load_tensors(model, checkpoint.tensors)
    ids = checkpoint.vocabulary.encode(HARBOUR.read_text(encoding="utf-8")[:STEPS])
    engine = Engine(checkpoint)
    _, logits = engine.forward(engine.start(), ids)
    np.testing.assert_allclose(logits, torch_logits(model, ids[:, None])[:, 0], rtol=0, atol=1e-4)
    assert np.ptp(logits) > 5, "it has learnt something"
