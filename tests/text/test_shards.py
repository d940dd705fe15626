"""Ids in several files: read as one, written one after the other, made again alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import CorpusError, UsageError
from charlm.text import points
from charlm.text import shards as shards_module
from charlm.text.batching import Lanes, read_once
from charlm.text.dataset import Corpus, prepare, reading, reopen
from charlm.text.shards import Shards
from charlm.text.vocabulary import Vocabulary

# Characters of one to four bytes, some of them so rare that they are spelled in bytes, so that ids and characters
# differ in number, and stretches of one, two and four bytes a code point.
TEXT = "Die Fähre legt um sieben ab.\n" * 9 + "日本👩€\n" + "Am Kai steht niemand mehr.\n" * 9 + "ł本\n" + "ab\n" * 40


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_text(TEXT, encoding="utf-8")
    return path


def whole(corpus: Corpus) -> list[int]:
    return [*corpus.train[:].tolist(), *corpus.validation[:].tolist()]


@st.composite
def make_shards(draw: st.DrawFn) -> Shards:
    """Shards over 0, 1, 2 and so on, so that an id is its place."""
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    return Shards(np.split(np.arange(sum(lengths), dtype=np.uint16), np.cumsum(lengths)[:-1]))


@given(make_shards(), st.data())
def test_shards_are_read_as_if_they_were_one(ids: Shards, data: st.DataObject) -> None:
    places = st.integers(0, len(ids) - 1)
    first, last = data.draw(places), data.draw(places)
    assert ids[first:last].tolist() == list(range(first, last))
    assert ids[last:].tolist() == list(range(last, len(ids)))
    some = np.array(data.draw(st.lists(st.lists(places, min_size=3, max_size=3), min_size=1)))
    assert ids[some].tolist() == some.tolist()
    edge = last + 1
    assert ids.until(edge)[:].tolist() == list(range(edge))
    assert len(ids.until(edge)) == edge


@given(make_shards(), st.integers(1, 4), st.integers(1, 9), st.integers(0, 9))
def test_lanes_over_shards_are_those_over_one_array(ids: Shards, lanes: int, chunk: int, seed: int) -> None:
    one = np.arange(len(ids), dtype=np.uint16)
    if lanes * chunk < len(ids):
        pair = [Lanes(text, lanes, chunk, seed) for text in (one, ids)]
        for _ in range(2 * pair[0].chunks + 1):
            left, right = map(next, pair)
            assert np.array_equal(left.x, right.x)
            assert np.array_equal(left.y, right.y)
            assert left.starts == right.starts
    if len(ids) > 1:
        for left, right in zip(
            read_once(one, lanes, chunk, warmup=2), read_once(ids, lanes, chunk, warmup=2), strict=True
        ):
            assert all(map(np.array_equal, left, right))


@pytest.mark.parametrize("block", [7, 1 << 20])
@pytest.mark.parametrize("count", [2, 3, 17, len(TEXT)])
def test_any_number_of_shards_holds_the_same_ids(
    text: Path, tmp_path: Path, count: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(points, "BLOCK", block)
    one = prepare([text], tmp_path / "one")
    many = prepare([text], tmp_path / "many", shards=count)
    assert isinstance(many.train, Shards)
    assert many.vocabulary.decode(whole(many)) == TEXT
    assert whole(many) == whole(one)
    assert len(many.train) == len(one.train)
    assert (many.key, many.vocabulary) == (one.key, one.vocabulary)
    assert np.array_equal(many.counts, one.counts)
    files = list((tmp_path / "many").glob("*.ids"))
    assert len(files) == count
    # Bounded: a stretch of the text, of which no character has more than four ids.
    assert max(file.stat().st_size for file in files) <= 4 * -(-len(TEXT) // count) * many.train[:1].itemsize
    for part in many.train.parts:
        assert isinstance(part, np.memmap)
        assert not part.flags.writeable


def test_a_large_text_is_written_in_shards_unasked(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "MOST", 200)
    corpus = prepare([text], tmp_path / "run", val_file=text)
    count = -(-len(TEXT) // 200)
    assert len(list((tmp_path / "run").glob(f"text-{corpus.key}-*-of-{count}.ids"))) == count
    assert len(list((tmp_path / "run").glob(f"validation-{corpus.key}-*-of-{count}.ids"))) == count
    for opened in (corpus, reopen(tmp_path / "run", corpus.key)):
        assert opened.vocabulary.decode(opened.train[:]) == opened.vocabulary.decode(opened.validation[:]) == TEXT


def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the number of characters whenever some are spelled as ids."""
    seen: list[int] = []
    encode_points = Vocabulary.encode_points

    def encode(self: Vocabulary, some: points.Points) -> np.ndarray:
        seen.append(len(some))
        return encode_points(self, some)

    monkeypatch.setattr(Vocabulary, "encode_points", encode)
    return seen


@pytest.mark.parametrize("died", [1, 2, 3, 4])
def test_an_encoding_that_is_interrupted_goes_on_with_the_shard_where_it_stood(
    text: Path, tmp_path: Path, died: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    reader = reading([text], run, shards=4)
    while len(list(run.glob(".text-*.tmp"))) == 0 or len(list(run.glob("text-*.ids"))) < died - 1:
        next(reader)
    half_written = next(run.glob(".text-*.tmp"))
    left = half_written.read_bytes()
    reader.close()
    half_written.write_bytes(left)  # nobody tidies up after a kill
    done = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.glob("text-*.ids")}
    assert len(done) == died - 1
    seen = encoded(monkeypatch)
    corpus = prepare([text], run, shards=4)
    assert corpus.vocabulary.decode(whole(corpus)) == TEXT
    shard = len(TEXT) // 4
    assert abs(sum(seen) - (5 - died) * shard) <= 4 + 6  # and the rare characters, which are counted alone
    for path, (time, content) in done.items():
        assert (path.stat().st_mtime_ns, path.read_bytes()) == (time, content), "not written again"
    assert not list(run.glob(".*.tmp"))


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("count", "name", "which"),
    [(3, "text-{}-2-of-3.ids", "shard 2 of 3 of the text"), (1, "text-{}.ids", "the file of ids of the text")],
)
@pytest.mark.parametrize(("harm", "says"), [(delete, "is missing"), (cut, "is damaged")])
def test_a_shard_that_is_lost_is_named_and_made_again_alone(
    text: Path, tmp_path: Path, count: int, name: str, which: str, harm: object, says: str
) -> None:
    run = tmp_path / "run"
    first = prepare([text], run, shards=count)
    ids = whole(first)
    path = run / name.format(first.key)
    others = {file: file.stat().st_mtime_ns for file in run.glob("*.ids") if file != path}
    assert len(others) == count - 1
    assert callable(harm)
    harm(path)
    with pytest.raises(CorpusError) as caught:
        reopen(run, first.key)
    assert f"{which} {says}: {path}" in caught.value.message
    told: list[str] = []
    again = prepare([text], run, shards=count, on_damage=told.append)
    assert told == [f"{caught.value.message}; the text is read again"]
    assert whole(again) == ids
    assert {file: file.stat().st_mtime_ns for file in run.glob("*.ids") if file != path} == others


def test_another_number_of_shards_takes_the_place_of_the_old(text: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for count in (3, 1, 4):
        corpus = prepare([text], run, shards=count, on_text=lambda piece: None)
        assert corpus.vocabulary.decode(whole(corpus)) == TEXT
        assert len(list(run.glob("*.ids"))) == count


@pytest.mark.parametrize("count", [0, -1, 10_001, len(TEXT) + 1])
def test_a_number_of_shards_that_cannot_be(text: Path, tmp_path: Path, count: int) -> None:
    with pytest.raises(UsageError, match="shards"):
        prepare([text], tmp_path / "run", shards=count)
