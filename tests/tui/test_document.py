"""A document's text and rows: they do not depend on the order of the changes that led to them."""

from collections.abc import Sequence
from itertools import pairwise
from math import isnan
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.tui.widgets import cursor_motion
from charlm.tui.widgets.document import GAP, HEADER, TEXT, Block, TranscriptText
from charlm.tui.widgets.wrapping import wrap
from tests.tui.test_graphemes import FAMILY, PARTS

TEXTS = st.lists(st.sampled_from(PARTS), max_size=25).map("".join)
BLOCKS = st.lists(
    st.tuples(st.sampled_from(["you", "bot", "note"]), st.sampled_from(["", "NAME"]), TEXTS, st.booleans()), max_size=6
).map(lambda made: [Block(key, *one) for key, one in enumerate(made, 1)])


def load(blocks: Sequence[Block], width: int = 12) -> TranscriptText:
    document = TranscriptText(width)
    document.load(blocks)
    return document


def rows(document: TranscriptText) -> list[tuple[int, int, str]]:
    return [tuple(document.row(y)) for y in range(document.row_count)]  # type: ignore[misc]


def known_surprises(document: TranscriptText) -> list[float | None]:
    return [None if isnan(bits) else bits for bits in document.surprises]


def contents(document: TranscriptText) -> tuple[object, ...]:
    return document.slice(0, len(document)), known_surprises(document), document.spans, rows(document)


@given(BLOCKS, st.lists(st.integers(0, 30), max_size=6))
def test_streamed_text_is_wrapped_like_loaded_text(blocks: list[Block], cuts: list[int]) -> None:
    streamed = TranscriptText(12)
    for block in blocks:
        streamed.begin_block(block.key, block.author, block.label, block.inline)
        places = [0, *sorted(min(cut, len(block.text)) for cut in cuts), len(block.text)]
        for start, end in pairwise(places):
            streamed.append(block.text[start:end])
    assert contents(streamed) == contents(load(blocks))


@given(BLOCKS, st.data())
def test_remove_from_restores_the_rows_before(blocks: list[Block], data: st.DataObject) -> None:
    document = load(blocks)
    if blocks:
        keep = data.draw(st.integers(0, len(blocks) - 1))
        document.remove_from(blocks[keep].key)
        assert contents(document) == contents(load(blocks[:keep]))
        document.begin_block(100, "bot", "AGAIN")
        assert document.spans[-1].key == 100


@given(BLOCKS, st.integers(8, 30))
def test_rewrap_changes_the_rows_only(blocks: list[Block], width: int) -> None:
    document = load(blocks)
    document.rewrap(width)
    assert contents(document) == contents(load(blocks, width))
    document.rewrap(12)
    assert contents(document) == contents(load(blocks))


@given(BLOCKS)
def test_rows_contain_the_text_of_all_blocks(blocks: list[Block]) -> None:
    document = load(blocks)
    shown = "".join(text for kind, _, text in rows(document) if kind == TEXT)
    assert shown == "".join(block.text for block in blocks)
    for index, block in enumerate(blocks):
        start = document.span(block.key).start
        assert document.slice(start, document.span_end(index)) == block.text


@given(BLOCKS)
def test_every_offset_is_found_in_its_row_and_block(blocks: list[Block]) -> None:
    document = load(blocks)
    for index, span in enumerate(document.spans):
        for place in range(span.start, document.span_end(index)):
            assert document.span_index_at(place) == index
            row = document.row(document.row_at(place))
            assert row.kind == TEXT
            assert row.text[place - row.start] == document.slice(place, place + 1)


@given(BLOCKS)
def test_cursor_visits_every_cluster_once_and_returns(blocks: list[Block]) -> None:
    document = load(blocks)
    place = cursor_motion.nearest(document, 0, 1)
    if place is None:
        assert not any(block.text for block in blocks)
        return
    way = [place]
    while (place := cursor_motion.by_character(document, way[-1], 1)) != way[-1]:
        way.append(place)
    assert way == sorted(way)
    separators = {span.start - 1 for span in document.spans[1:] if not span.joined}
    steps = set()
    for one in way:
        steps.update(range(*cursor_motion.cluster_at(document, one)))
    assert steps == set(range(len(document))) - separators
    back = [way[-1]]
    while (place := cursor_motion.by_character(document, back[-1], -1)) != back[-1]:
        back.append(place)
    assert back == way[::-1]


def test_blocks_get_a_gap_between_and_a_label_above() -> None:
    document = load([Block(1, "you", "A", "x"), Block(2, "bot", "", "y"), Block(3, "bot", "B", "")])
    assert rows(document) == [
        (HEADER, 0, ""), (TEXT, 0, "x"), (GAP, 2, ""), (TEXT, 2, "y"), (GAP, 4, ""), (HEADER, 4, ""), (TEXT, 4, ""),
    ]  # fmt: skip


def test_inline_block_continues_the_line_unless_after_a_note() -> None:
    document = load(
        [
            Block(1, "you", "ignored", "Once upon ", inline=True),
            Block(2, "bot", "", "a time there was", inline=True),
            Block(-1, "note", "", "a note"),
            Block(3, "you", "", "more", inline=True),
        ]
    )
    texts = [text for kind, _, text in rows(document) if kind == TEXT]
    assert texts == ["Once upon a ", "time there ", "was", "a note", "more"]
    assert [span.joined for span in document.spans] == [False, True, False, False]


def test_cluster_may_span_two_blocks() -> None:
    document = load([Block(1, "you", "", "abcdefghi e", inline=True), Block(2, "bot", "", "\u0301!", inline=True)])
    assert cursor_motion.cluster_at(document, 11) == (10, 12)
    assert document.row(0).text == "abcdefghi e\u0301!"[:13]


def test_label_may_appear_and_disappear() -> None:
    document = load([Block(1, "you", "A", "x"), Block(2, "bot", "", "y")])
    document.set_label(1, "")
    document.set_label(2, "C")
    assert contents(document) == contents(load([Block(1, "you", "", "x"), Block(2, "bot", "C", "y")]))


def test_append_wraps_no_more_than_the_last_row(monkeypatch: pytest.MonkeyPatch) -> None:
    document = load([Block(1, "bot", "", "word " * 50_000 + "\n")], 76)
    spy = Mock(wraps=wrap)
    monkeypatch.setattr("charlm.tui.widgets.document.wrap", spy)
    for _ in range(300):
        document.append("x" * 10)
    assert sum(len(call.args[0]) for call in spy.call_args_list) < 300 * 100


def test_surprises_stay_with_their_characters() -> None:
    document = TranscriptText(12)
    document.begin_block(1, "you", "A")
    document.append("ab")
    document.begin_block(2, "bot", "B")
    document.append("cd", [1, 2])
    document.append("ef", [3])
    document.set_surprises(1, [8, 9, 10])
    assert known_surprises(document) == [8, 9, None, 1, 2, 3, None]


def test_cursor_moves_by_words_rows_and_blocks() -> None:
    document = load([Block(1, "you", "A", "one two\nthree"), Block(2, "bot", "B", f"four {FAMILY} five, six")], 12)
    place, words = 0, []
    while (after := cursor_motion.by_word(document, place, 1)) > place:
        place = after
        words.append(document.slice(place, place + 3))
    assert words == ["two", "thr", "fou", "fiv", "six", "x"]
    assert cursor_motion.by_word(document, document.span(2).start, -1) == 8
    assert cursor_motion.by_word(document, 2, -1) == 0
    assert cursor_motion.by_block(document, 3, 1) == document.span(2).start
    assert cursor_motion.by_block(document, document.span(2).start, -1) == 0
    assert cursor_motion.by_block(document, 3, -1) == 0
    assert cursor_motion.by_row(document, 5, 1, 5) == 12  # the last of a shorter row
    assert cursor_motion.by_row(document, 12, 1, 5) == document.span(2).start + 5  # past gap and header
    assert cursor_motion.by_row(document, document.span(2).start + 5, -1, 6) == 12
    assert cursor_motion.by_row(document, 0, -1, 0) == 0
    assert cursor_motion.to_row_edge(document, 1, 1) == 7
    assert cursor_motion.to_row_edge(document, 5, -1) == 0
    assert cursor_motion.word_at(document, 5) == (4, 7)


def test_half_a_flag_breaks_the_row_as_the_whole_flag_does() -> None:
    document = TranscriptText(12)
    document.begin_block(1, "bot", "")
    for one in "aaaaa \u202e🇯🇵":
        document.append(one)
    assert rows(document) == [(TEXT, 0, "aaaaa \u202e"), (TEXT, 7, "🇯🇵")]


def test_word_cut_short_returns_to_the_row_above() -> None:
    document = load([Block(1, "you", "", "aaaa bbbb cc", inline=True), Block(2, "bot", "", "dddd", inline=True)])
    assert document.row_count == 2
    document.remove_from(2)
    assert rows(document) == [(TEXT, 0, "aaaa bbbb cc")]
