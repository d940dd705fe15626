"""Lanes: chunks rejoin into lanes, and a text that is read once is scored once."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from charlm.errors import UsageError
from charlm.text.batching import Chunk, Lanes, Position, TextWindow, max_lanes, read_once

SEED = st.integers(0, 2**32)


@st.composite
def make_lanes(draw: st.DrawFn) -> Lanes:
    """Lanes over 0, 1, 2 and so on, so that an id is its place in the text."""
    lanes, chunk = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    characters = lanes * chunk + 1 + draw(st.integers(0, 100))
    return Lanes(np.arange(characters, dtype=np.uint16), lanes, chunk, draw(SEED))


def epoch(lanes: Lanes) -> list[Chunk]:
    return [next(lanes) for _ in range(lanes.chunks)]


def as_lists(chunk: Chunk) -> tuple[list[list[int]], list[list[int]], bool]:
    return chunk.x.tolist(), chunk.y.tolist(), chunk.starts


@given(make_lanes())
def test_chunks_of_an_epoch_rejoin_into_the_lanes(lanes: Lanes) -> None:
    for _ in range(3):
        edges = [lanes.edges(lane) for lane in range(lanes.lanes)]
        chunks = epoch(lanes)
        x, y = (np.concatenate([getattr(chunk, side) for chunk in chunks]) for side in "xy")
        assert x.dtype == y.dtype == np.int64
        for lane, (start, stop) in enumerate(edges):
            assert x[:, lane].tolist() == list(range(start, stop))
            assert y[:, lane].tolist() == list(range(start + 1, stop + 1))
        assert [chunk.starts for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
        sizes = {len(chunk.x) for chunk in chunks}
        assert 1 <= min(sizes) <= max(sizes) <= lanes.chunk
        assert max(sizes) - min(sizes) <= 1


@given(make_lanes())
def test_lanes_of_an_epoch_cover_a_stretch_once(lanes: Lanes) -> None:
    predictions = len(lanes._ids) - 1
    for _ in range(3):
        seen = np.sort(np.concatenate([chunk.x.ravel() for chunk in epoch(lanes)]))
        assert np.array_equal(seen, np.arange(seen[0], seen[0] + len(seen)))
        assert predictions - len(seen) < lanes.chunk + lanes.lanes, "more is left out than one chunk and the remainder"


@given(make_lanes())
def test_offsets_vary_between_epochs(lanes: Lanes) -> None:
    assume(len(lanes._ids) > lanes.lanes * lanes.chunk + 1)  # else the lanes fill the text
    offsets = set()
    for _ in range(60):
        offsets.add(lanes.edges(0)[0])
        epoch(lanes)
    assert len(offsets) > 1


@given(make_lanes(), st.integers(0, 40), SEED)
def test_lanes_resume_from_a_position(lanes: Lanes, before: int, seed: int) -> None:
    for _ in range(before):
        next(lanes)
    assert lanes.epochs == pytest.approx(before / lanes.chunks)
    resumed = Lanes(lanes._ids, lanes.lanes, lanes.chunk, seed)
    position = lanes.position
    document = json.dumps(asdict(position))
    resumed.position = Position(**json.loads(document))
    for _ in range(2 * lanes.chunks + 2):
        assert resumed.edges(0) == lanes.edges(0)
        assert resumed.epochs == lanes.epochs
        assert as_lists(next(resumed)) == as_lists(next(lanes))
    assert json.dumps(asdict(position)) == document, "the position has moved"


@given(st.integers(2, 200), st.integers(1, 250), st.integers(1, 50))
def test_too_many_lanes_are_refused_with_a_possible_number(characters: int, chunk: int, more: int) -> None:
    ids = np.arange(characters)
    with pytest.raises(UsageError) as caught:
        Lanes(ids, max_lanes(characters, chunk) + more, chunk, seed=0)
    (number,) = map(int, re.findall(r"\d+", caught.value.hint or ""))
    if max_lanes(characters, chunk):
        assert len(next(Lanes(ids, number, chunk, seed=0)).x) == chunk
    else:
        assert len(next(Lanes(ids, 1, number - 1, seed=0)).x) == number - 1


@pytest.mark.parametrize(("lanes", "chunk"), [(0, 5), (-1, 5), (5, 0)])
def test_no_lanes_and_no_chunk_are_refused(lanes: int, chunk: int) -> None:
    with pytest.raises(UsageError):
        Lanes(np.arange(100), lanes, chunk, seed=0)


TEXT_LENGTH, LANES, CHUNK, WARMUP = st.integers(0, 300), st.integers(1, 9), st.integers(1, 50), st.integers(0, 30)


def scored_places(segments: list[TextWindow]) -> list[int]:
    return [place for segment in segments for place in segment.x[segment.scored].tolist()]


@given(TEXT_LENGTH, LANES, CHUNK, WARMUP)
def test_every_prediction_is_scored_exactly_once(characters: int, lanes: int, chunk: int, warmup: int) -> None:
    segments = list(read_once(np.arange(characters, dtype=np.uint16), lanes, chunk, warmup))
    assert sorted(scored_places(segments)) == list(range(characters - 1))
    for segment in segments:
        assert segment.x.dtype == segment.y.dtype == np.int64
        assert segment.x.shape == segment.y.shape == segment.scored.shape
        assert 1 <= len(segment.x) <= chunk
        assert segment.starts.shape == segment.x.shape[1:]
        assert segment.x.shape[1] <= lanes
        assert np.array_equal(segment.y, segment.x + 1)


@given(TEXT_LENGTH, CHUNK, WARMUP)
def test_read_once_one_lane_is_the_text(characters: int, chunk: int, warmup: int) -> None:
    segments = list(read_once(np.arange(characters), 1, chunk, warmup))
    assert [place for segment in segments for place in segment.x[:, 0].tolist()] == list(range(characters - 1))
    assert all(segment.scored.all() for segment in segments)
    assert [segment.starts.tolist() for segment in segments] == [[index == 0] for index in range(len(segments))]


@given(TEXT_LENGTH, LANES, CHUNK, WARMUP)
def test_read_once_lanes_continue_after_their_warm_up(characters: int, lanes: int, chunk: int, warmup: int) -> None:
    segments = list(read_once(np.arange(characters), lanes, chunk, warmup))
    used = segments[0].x.shape[1] if segments else 0
    for lane in range(used):
        since_start: list[int] = []  # what the state of this lane has seen
        first_scored = None
        for segment in segments:
            if segment.starts[lane]:
                assert first_scored is None, "a state is lost in the middle of a stretch"
                since_start = []
            for place, scored in zip(segment.x[:, lane].tolist(), segment.scored[:, lane].tolist(), strict=True):
                since_start.append(place)
                if scored:
                    first_scored = place if first_scored is None else first_scored
                    begin = 0 if lane == 0 else first_scored - warmup
                    assert since_start == list(range(begin, place + 1))


@given(TEXT_LENGTH, LANES, CHUNK, WARMUP, st.integers(1, 300))
def test_read_once_limit_reads_first_of_lanes(characters: int, lanes: int, chunk: int, warmup: int, limit: int) -> None:
    ids = np.arange(characters)
    limited, whole = (list(read_once(ids, lanes, chunk, warmup, most)) for most in (limit, None))
    count = len(scored_places(limited))
    assert min(1, max(0, characters - 1)) <= count < limit + lanes
    assert set(scored_places(limited)) <= set(range(characters - 1))
    if not whole:
        return
    for lane in range(whole[0].x.shape[1]):
        few, all_of_it = (
            [place for part in parts for place in part.x[part.scored[:, lane], lane].tolist()]
            for parts in (limited, whole)
        )
        assert few == all_of_it[: len(few)]
        assert few or not all_of_it


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 12), st.integers(0, 100), SEED)
def test_ranks_together_read_what_one_process_reads(ranks: int, lanes: int, chunk: int, more: int, seed: int) -> None:
    ids = np.arange(ranks * lanes * chunk + 1 + more)
    everyone = Lanes(ids, ranks * lanes, chunk, seed)
    each = [Lanes(ids, lanes, chunk, seed, rank, ranks) for rank in range(ranks)]
    for _ in range(2 * everyone.chunks + 1):
        whole, parts = next(everyone), [next(one) for one in each]
        assert np.array_equal(whole.x, np.concatenate([part.x for part in parts], axis=1))
        assert np.array_equal(whole.y, np.concatenate([part.y for part in parts], axis=1))
        assert {part.starts for part in parts} == {whole.starts}
        assert all(one.position == everyone.position for one in each)


@given(TEXT_LENGTH, LANES, CHUNK, WARMUP, st.integers(1, 5))
def test_ranks_score_every_prediction_once(characters: int, lanes: int, chunk: int, warmup: int, ranks: int) -> None:
    ids = np.arange(characters)
    scored = [
        segment.x[segment.scored]
        for rank in range(ranks)
        for segment in read_once(ids, lanes, chunk, warmup, rank=rank, ranks=ranks)
    ]
    assert np.array_equal(np.sort(np.concatenate([ids[:0], *scored])), ids[:-1])
