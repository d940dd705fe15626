"""Every text gets the base that suits it, or none; the run keeps what was chosen."""

from __future__ import annotations

import io
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charlm import checkpoint, registry
from charlm.checkpoint import Checkpoint, TrainingRecord
from charlm.config import DataConfig
from charlm.corpora import catalogue
from charlm.errors import CharlmError
from charlm.text.dataset import SpooledText, TextSource
from charlm.training.base_selection import NONE, Start, find_base, is_good_start, load_base, ngram_loss, sample, select
from charlm.training.events import Ended, Planned
from charlm.training.run import Request, Run
from tests.chat.models import parrot_checkpoint
from tests.conftest import HARBOUR

STORY = HARBOUR.read_text(encoding="utf-8")[:6000]
RANDOM = random.Random(1)
NOISE = "".join(RANDOM.choices(sorted(set(STORY)), k=30_000))
LETTERS = "".join(RANDOM.choices("ACGT", k=30_000))


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """A file of STORY."""
    path = tmp_path / "story.txt"
    path.write_text(STORY, encoding="utf-8")
    return path


@pytest.fixture
def bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bundled models: `english` writes like STORY, `python` does not; one is missing."""
    folder = tmp_path / "bundled"
    checkpoint.save(bigrams(STORY), folder / "english.safetensors")
    checkpoint.save(bigrams(STORY[::-1].upper()), folder / "python.safetensors")
    monkeypatch.setattr(registry, "bundled_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


def bigrams(text: str) -> Checkpoint:
    """Return a model that knows how often each character follows another in a text."""
    model = parrot_checkpoint(text)
    follows = np.full((len(model.vocabulary),) * 2, 0.02, dtype=np.float32)  # (V, V): the next one, this one
    ids = model.vocabulary.encode(text)
    np.add.at(follows, (ids[1:], ids[:-1]), 1)
    return replace(model, tensors={**model.tensors, "output.w": np.log(follows / follows.sum(axis=0))})


def spool(text: str) -> SpooledText:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as source:
        source.write(text)
        source.flush()
        spooled = SpooledText(io.BytesIO(), DataConfig())
        for _ in spooled.add(Path(source.name), is_last=True):
            pass
    return spooled


def chosen(text: str, **overrides: object) -> Start:
    start, base = select(spool(text), 0.9, overrides)
    assert (base.name if base is not None else None) == start.base
    return start


@pytest.mark.parametrize("length", [200, 2000, len(STORY)])
@pytest.mark.usefixtures("bases")
def test_choice_for_a_text_like_a_base_is_that_base(length: int) -> None:
    start = chosen(STORY[-length:])
    assert start.base == "english"
    assert start.loss is not None
    assert start.fingerprint
    assert start == chosen(STORY[-length:])


@pytest.mark.parametrize("text", [NOISE, LETTERS, "日本語です。" * 500], ids=["noise", "letters", "Japanese"])
@pytest.mark.usefixtures("bases")
def test_choice_for_a_text_like_no_base_is_none(text: str) -> None:
    start = chosen(text)
    assert start.base is None
    assert start.loss is not None


@pytest.mark.usefixtures("bases")
def test_option_that_contradicts_every_base_means_none() -> None:
    assert chosen(STORY, hidden=99) == Start(chosen_by="text", conflict="--hidden 99")
    assert chosen(STORY, norm=True).conflict == "--norm"
    own = parrot_checkpoint(STORY).config
    assert chosen(STORY, cell="rnn", hidden=own.hidden, layers=None).base == "english"


def test_choice_without_bundled_models_is_none() -> None:
    assert chosen(STORY) == Start(chosen_by="text")


def test_base_is_a_good_start_near_the_loss_from_scratch() -> None:
    assert is_good_start(2.3, 1.4)
    assert not is_good_start(2.5, 1.4)


def test_ngram_loss_falls_with_the_order_of_the_text() -> None:
    def loss(text: str) -> float:
        return ngram_loss(sample(spool(text), 1.0))

    assert loss(LETTERS) == pytest.approx(np.log(4), abs=0.1)
    assert loss(NOISE) > 3
    assert 1.2 < loss(STORY) < 2.5
    assert loss("abcdefgh" * 2000) < 0.1


@pytest.mark.parametrize("character", ["a", "é", "日", "\U0001f600"])
def test_sample_has_equal_pieces_from_the_training_part(character: str) -> None:
    for length in (200, 5000, 60_000, 300_000):
        pieces = sample(spool(character * length + "\n" * (length // 9)), 0.9)
        assert len({len(piece) for piece in pieces}) == 1
        assert set("".join(pieces)) == {character}
        assert sum(map(len, pieces)) >= min(length // 2, 50_000)


def train(text: Path, base: str, **overrides: object) -> tuple[Planned, Ended]:
    settings = {"steps": 2, "lanes": 4, "chunk": 16, "precision": "fp32", "threads": 1, **overrides}
    *_, ended = events = list(Run(Request(DataConfig((str(text),)), "m", settings, base, force=True)).events())
    planned = next(event for event in events if isinstance(event, Planned))
    assert isinstance(ended, Ended)
    return planned, ended


def test_run_records_the_base_and_its_fingerprint(bases: Path, story: Path) -> None:
    for name, base in (("english", "auto"), ("python", str(bases / "python.safetensors"))):
        planned, ended = train(story, base)
        file = bases / f"{name}.safetensors"
        assert planned.start.base == ended.record.base == name
        assert ended.record.base_fingerprint == checkpoint.load(file).fingerprint
        assert planned.train.decay_to_base
    planned, ended = train(story, NONE)
    assert (ended.record.base, ended.record.base_fingerprint) == (None, "")
    assert not planned.train.decay_to_base


def test_fine_tuned_model_credits_the_texts_of_its_base(bases: Path, story: Path) -> None:
    file = bases / "english.safetensors"
    checkpoint.save(replace(checkpoint.load(file), record=TrainingRecord(notices=["Ann (CC0): Tides"])), file)
    for base in ("auto", str(file)):
        record = train(story, base)[1].record
        assert record.notices == ["Ann (CC0): Tides"]
        assert str(bases) not in str(vars(record))
    assert train(story, NONE)[1].record.notices == []


@pytest.mark.usefixtures("bases")
def test_time_of_choosing_counts_in_the_budget(story: Path) -> None:
    planned, ended = train(story, "auto")
    assert 0 < planned.start.seconds < ended.record.seconds


def test_base_that_has_seen_the_text_is_noted(bases: Path, story: Path) -> None:
    record = train(story, NONE)[1].record
    file = bases / "english.safetensors"
    checkpoint.save(replace(checkpoint.load(file), record=record), file)
    assert train(story, "auto")[0].start.has_seen_text
    copy = bases / "copy.txt"
    copy.write_text(STORY + "And more.\n", encoding="utf-8")
    assert not train(copy, "auto")[0].start.has_seen_text


@pytest.mark.parametrize(("place", "has_seen"), [("bundled", True), ("elsewhere", False)])
@pytest.mark.usefixtures("bases")
def test_bundled_base_has_seen_the_books_of_its_corpus(tmp_path: Path, place: str, has_seen: bool) -> None:
    record = TrainingRecord(sources=[{"name": "english.txt", "sha256": "0" * 64, "bytes": 1}])
    path = tmp_path / place / "english.safetensors"
    checkpoint.save(replace(bigrams(STORY), record=record), path)
    text = spool(STORY)
    book = catalogue.built_in()["english"].sources[0]
    text.sources[:] = [TextSource("book.txt", book.sha256, book.bytes)]
    assert find_base(str(path)).start(text).has_seen_text == has_seen


def test_resume_from_a_changed_base_is_refused(bases: Path) -> None:
    start = find_base("english").start(spool(STORY))
    assert load_base(start) is not None
    assert load_base(Start()) is None
    checkpoint.save(bigrams(STORY + "!?"), bases / "english.safetensors")
    with pytest.raises(CharlmError, match="has changed"):
        load_base(start)
