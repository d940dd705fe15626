"""The ONNX file computes what the engine computes, in onnxruntime."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.cells import CELLS
from charlm.checkpoint import Checkpoint
from charlm.errors import UsageError
from charlm.inference.engine import Engine
from charlm.onnx_export import write_onnx

from .conftest import ALPHABET, random_checkpoint

STEPS = 200


@pytest.fixture
def onnxruntime() -> Any:
    return pytest.importorskip("onnxruntime", reason="NOT TESTED: onnx files need onnx and onnxruntime")


@pytest.mark.parametrize(
    "made",
    [
        *[pytest.param(random_checkpoint(cell=cell, layers=3), id=cell) for cell in CELLS],
        pytest.param(random_checkpoint(norm=False, residual=False, embedding=7), id="plain"),
        pytest.param(random_checkpoint(tied=True), id="tied"),
    ],
)
def test_steps_equal_those_of_the_engine(onnxruntime: Any, made: Checkpoint, tmp_path: Path) -> None:
    pytest.importorskip("onnx").checker.check_model(_write(made, tmp_path), full_check=True)
    session = onnxruntime.InferenceSession(_write(made, tmp_path))
    width = session.get_inputs()[1].shape[1]
    engine = Engine(made)
    for batch in (1, 3):
        expected, state = engine.start(batch), np.zeros((batch, width), np.float32)
        for ids in np.random.default_rng(batch).integers(0, made.config.vocabulary, (STEPS, batch)):
            expected, expected_logits = engine.step(expected, ids)
            logits, state = session.run(["logits", "next_state"], {"ids": ids, "state": state})
            np.testing.assert_allclose(logits, expected_logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(state, np.concatenate(list(expected.arrays()), axis=1), rtol=1e-4, atol=1e-4)


def test_metadata_has_the_vocabulary(onnxruntime: Any, tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(_write(random_checkpoint(has_bytes=True), tmp_path))
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["charlm"])
    assert metadata == {"characters": ALPHABET, "bytes": True}


def test_missing_onnx_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match="needs onnx, which is not installed"):
        _write(random_checkpoint(), tmp_path)


def _write(made: Checkpoint, folder: Path) -> str:
    write_onnx(made, folder / "m.onnx")
    return str(folder / "m.onnx")
