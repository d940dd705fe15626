"""`charlm train` makes a matcher for a text with turns, and a later command keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charlm.checkpoint import Checkpoint, load

from .conftest import TINY, Charlm
from .test_train import stop_at
from .test_train_format import PROSE

TOPICS = ("cat", "rain", "tea", "chess", "snow", "bread")
TALK = "\n\n".join(
    "\n".join(f"{topic}?\n{topic[::-1]}." for topic in np.random.default_rng(number).permutation(TOPICS))
    for number in range(1_200)
)
RUN = ("train", "talk.txt", "-o", "m", *TINY, "--quiet")


@pytest.fixture(autouse=True)
def _texts(tmp_path: Path) -> None:
    for name, text in (("talk", TALK), ("short", TALK[:2_000]), ("prose", PROSE)):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")


def trained(folder: Path, name: str = "m") -> Checkpoint:
    return load(folder / "checkpoints" / f"{name}.safetensors")


def assert_same_matcher(one: Checkpoint, other: Checkpoint) -> None:
    assert one.matching is not None
    assert other.matching is not None
    assert one.record.matching_pairs == other.record.matching_pairs > 0
    for name, tensor in one.matching.items():
        np.testing.assert_array_equal(tensor, other.matching[name])


def test_text_with_turns_gets_a_matcher(charlm: Charlm, tmp_path: Path) -> None:
    assert charlm(*RUN, "--steps", "4").code == 0
    model = trained(tmp_path)
    assert model.matching is not None
    shown = charlm("models", "show", "m").out
    assert f"trained on {model.record.matching_pairs:,} replies" in shown
    assert charlm("models", "export", "m", "-o", "half.safetensors").code == 0
    assert_same_matcher(load(tmp_path / "half.safetensors"), model)


@pytest.mark.parametrize("text", ["prose", "short"])
def test_text_with_few_turns_gets_none(charlm: Charlm, tmp_path: Path, text: str) -> None:
    assert charlm("train", f"{text}.txt", "-o", "m", *TINY, "--steps", "4", "--quiet").code == 0
    assert trained(tmp_path).matching is None
    assert "replies" not in charlm("models", "show", "m").out


def test_interrupted_and_resumed_run_has_the_same_matcher(charlm: Charlm, tmp_path: Path) -> None:
    stop_at(charlm, 3, *RUN, "--steps", "9")
    interrupted = trained(tmp_path)
    assert charlm("train", "--resume", "m", "--quiet").code == 0
    assert_same_matcher(interrupted, trained(tmp_path))
    assert charlm(*RUN, "--steps", "9", "--force").code == 0
    assert_same_matcher(interrupted, trained(tmp_path))


def test_fine_tuned_model_keeps_or_trains_the_matcher_of_its_base(charlm: Charlm, tmp_path: Path) -> None:
    assert charlm(*RUN, "--steps", "4").code == 0
    base = trained(tmp_path)
    tune = (*TINY[4:], "--steps", "2", "--quiet", "--from", "m")
    for text in ("short", "prose"):
        assert charlm("train", f"{text}.txt", "-o", text, *tune).code == 0
        assert_same_matcher(trained(tmp_path, text), base)
    assert charlm("train", "talk.txt", "-o", "more", *tune).code == 0
    more = trained(tmp_path, "more")
    assert more.matching is not None
    assert more.record.matching_pairs == 2 * base.record.matching_pairs


def test_adapted_model_keeps_the_matcher(charlm: Charlm, tmp_path: Path) -> None:
    assert charlm(*RUN, "--steps", "4").code == 0
    assert charlm("adapt", "m", "short.txt", "-o", "adapted").code == 0
    assert_same_matcher(trained(tmp_path, "adapted"), trained(tmp_path))
