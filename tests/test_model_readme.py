"""The README of a model for Hugging Face."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from charlm.checkpoint import ModelHeader, TrainingRecord, save
from charlm.model_readme import model_readme
from charlm.text.dialogue import Dialogue

from .conftest import RECORD, Charlm, random_checkpoint


def _read(record: TrainingRecord, dialogue: Dialogue, sample: str = "the ferry") -> tuple[dict[str, Any], str]:
    """Return metadata and body of a README."""
    made = random_checkpoint(cell="gru", has_bytes=True)
    readme = model_readme(ModelHeader(made.config, made.vocabulary, record, dialogue), "novel", sample)
    start, metadata, body = readme.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(metadata), body


def test_metadata_has_the_keys_of_hugging_face() -> None:
    metadata, _ = _read(RECORD, Dialogue())
    assert metadata["library_name"] == "charlm"
    assert metadata["pipeline_tag"] == "text-generation"
    assert metadata["language"] == ["en"]
    assert "gru" in metadata["tags"]
    (model,) = metadata["model-index"]
    assert RECORD.validation is not None
    assert model["results"][0]["metrics"][0]["value"] == round(RECORD.validation / math.log(2), 4)
    assert "model-index" not in _read(TrainingRecord(), Dialogue())[0]


def test_body_names_use_sample_training_and_authors() -> None:
    _, body = _read(replace(RECORD, notices=["Jane Austen (public domain)"]), Dialogue("lines"), "the ferry\n\n```")
    for expected in (
        "gru 2x16",
        "    charlm chat hf:OWNER/novel",
        "    the ferry\n    \n    ```\n",
        "321 steps",
        "1.5000 bits per character",
        "from `older`",
        "- Jane Austen (public domain)",
    ):
        assert expected in body
    assert "charlm sample hf:OWNER/novel" in _read(TrainingRecord(), Dialogue())[1]


@pytest.mark.parametrize("hostile", ["a\n---\nlicense: mit", "\x1b[2J", "'\"{}: #"])
def test_names_in_a_file_cannot_change_the_metadata(hostile: str) -> None:
    metadata, body = _read(replace(RECORD, base=hostile, notices=[hostile], device=hostile), Dialogue(), hostile)
    assert "license" not in metadata
    assert "\x1b" not in body


def test_card_prints_the_readme_with_a_sample(charlm: Charlm, tmp_path: Path) -> None:
    save(random_checkpoint(), tmp_path / "novel.safetensors")
    result = charlm("models", "card", "./novel.safetensors", "--chars", "30")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("---\nlibrary_name: charlm\n")
    assert result.out == charlm("models", "card", "./novel.safetensors", "--chars", "30").out
