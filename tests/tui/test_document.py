"""A transcript's text and rows: however they came about, they are what they would be if all had come at once."""

from collections.abc import Sequence
from itertools import pairwise
from math import isnan

from hypothesis import given
from hypothesis import strategies as st

from charlm.tui.widgets import cursor_motion
from charlm.tui.widgets.document import GAP, HEADER, TEXT, Block, Document
from tests.tui.test_graphemes import FAMILY, PARTS

TEXTS = st.lists(st.sampled_from(PARTS), max_size=25).map("".join)
BLOCKS = st.lists(
    st.tuples(st.sampled_from(["you", "bot", "note"]), st.sampled_from(["", "NAME"]), TEXTS, st.booleans()), max_size=6
).map(lambda made: [Block(key, *one) for key, one in enumerate(made, 1)])


def loaded(blocks: Sequence[Block], width: int = 12) -> Document:
    document = Document(width)
    document.load(blocks)
    return document


def picture(document: Document) -> list[tuple[int, int, str]]:
    return [tuple(document.row(y)) for y in range(document.rows)]  # type: ignore[misc]


def whole(document: Document) -> tuple[object, ...]:
    known = [None if isnan(bits) else bits for bits in document.surprises]
    return document.slice(0, len(document)), known, document.spans, picture(document)


@given(BLOCKS, st.lists(st.integers(0, 30), max_size=6))
def test_text_in_pieces_is_folded_like_text_at_once(blocks: list[Block], cuts: list[int]) -> None:
    streamed = Document(12)
    for block in blocks:
        streamed.begin(block.key, block.author, block.label, block.inline)
        places = [0, *sorted(min(cut, len(block.text)) for cut in cuts), len(block.text)]
        for start, end in pairwise(places):
            streamed.append(block.text[start:end])
    assert whole(streamed) == whole(loaded(blocks))


@given(BLOCKS, st.data())
def test_what_is_taken_away_was_never_there(blocks: list[Block], data: st.DataObject) -> None:
    document = loaded(blocks)
    if blocks:
        keep = data.draw(st.integers(0, len(blocks) - 1))
        document.truncate(blocks[keep].key)
        assert whole(document) == whole(loaded(blocks[:keep]))
        document.begin(100, "bot", "AGAIN")
        assert document.spans[-1].key == 100


@given(BLOCKS, st.integers(8, 30))
def test_folding_anew_changes_the_rows_only(blocks: list[Block], width: int) -> None:
    document = loaded(blocks)
    document.wrap(width)
    assert whole(document) == whole(loaded(blocks, width))
    document.wrap(12)
    assert whole(document) == whole(loaded(blocks))


@given(BLOCKS)
def test_rows_hold_the_text_of_all_blocks(blocks: list[Block]) -> None:
    document = loaded(blocks)
    shown = "".join(row for kind, _, row in picture(document) if kind == TEXT)
    assert shown == "".join(block.text for block in blocks)
    for index, block in enumerate(blocks):
        start = document.span(block.key).start
        assert document.slice(start, document.end(index)) == block.text


@given(BLOCKS)
def test_every_place_is_found_in_its_row_and_block(blocks: list[Block]) -> None:
    document = loaded(blocks)
    for index, span in enumerate(document.spans):
        for place in range(span.start, document.end(index)):
            assert document.index_at(place) == index
            row = document.row(document.row_at(place))
            assert row.kind == TEXT
            assert row.text[place - row.start] == document.slice(place, place + 1)


@given(BLOCKS)
def test_the_cursor_steps_on_every_cluster_once_and_back(blocks: list[Block]) -> None:
    document = loaded(blocks)
    place = cursor_motion.settle(document, 0, 1)
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
        steps.update(range(*cursor_motion.cluster(document, one)))
    assert steps == set(range(len(document))) - separators
    back = [way[-1]]
    while (place := cursor_motion.by_character(document, back[-1], -1)) != back[-1]:
        back.append(place)
    assert back == way[::-1]


def test_blocks_have_a_gap_between_them_and_a_label_over_them() -> None:
    document = loaded([Block(1, "you", "A", "x"), Block(2, "bot", "", "y"), Block(3, "bot", "B", "")])
    assert picture(document) == [
        (HEADER, 0, ""), (TEXT, 0, "x"), (GAP, 2, ""), (TEXT, 2, "y"), (GAP, 4, ""), (HEADER, 4, ""), (TEXT, 4, ""),
    ]  # fmt: skip


def test_inline_blocks_go_on_where_the_last_one_ended_but_not_in_a_note() -> None:
    document = loaded(
        [
            Block(1, "you", "ignored", "Once upon ", inline=True),
            Block(2, "bot", "", "a time there was", inline=True),
            Block(-1, "note", "", "a note"),
            Block(3, "you", "", "more", inline=True),
        ]
    )
    rows = [row for kind, _, row in picture(document) if kind == TEXT]
    assert rows == ["Once upon a ", "time there ", "was", "a note", "more"]
    assert [span.joined for span in document.spans] == [False, True, False, False]


def test_a_cluster_may_begin_in_one_block_and_end_in_the_next() -> None:
    document = loaded([Block(1, "you", "", "abcdefghi e", inline=True), Block(2, "bot", "", "\u0301!", inline=True)])
    assert cursor_motion.cluster(document, 11) == (10, 12)
    assert document.row(0).text == "abcdefghi e\u0301!"[:13]


def test_a_label_may_come_and_go() -> None:
    document = loaded([Block(1, "you", "A", "x"), Block(2, "bot", "", "y")])
    assert not document.label(1, "B")
    assert document.label(1, "")
    assert document.label(2, "C")
    assert whole(document) == whole(loaded([Block(1, "you", "", "x"), Block(2, "bot", "C", "y")]))


def test_a_block_may_have_another_key() -> None:
    document = loaded([Block(1, "you", "", "x"), Block(2, "bot", "", "y")])
    document.rekey(2, 7)
    assert 2 not in document
    assert document.span(7).start == 2


def test_surprises_stay_with_their_characters() -> None:
    document = Document(12)
    document.begin(1, "you", "A")
    document.append("ab")
    document.begin(2, "bot", "B")
    document.append("cd", [1, 2])
    document.append("ef", [3])
    document.set_surprises(1, [8, 9, 10])
    known = [None if isnan(bits) else bits for bits in document.surprises]
    assert known == [8, 9, None, 1, 2, 3, None]


def test_a_cursor_goes_by_words_rows_and_blocks() -> None:
    document = loaded([Block(1, "you", "A", "one two\nthree"), Block(2, "bot", "B", f"four {FAMILY} five, six")], 12)
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
    assert cursor_motion.to_edge(document, 1, 1) == 7
    assert cursor_motion.to_edge(document, 5, -1) == 0
    assert cursor_motion.around(document, 5, whole=False) == (4, 7)
    assert cursor_motion.around(document, 5, whole=True) == (0, 13)


def test_half_a_flag_does_not_change_where_the_row_before_it_breaks() -> None:
    document = Document(12)
    document.begin(1, "bot", "")
    for one in "aaaaa \u202e🇯🇵":
        document.append(one)
    assert picture(document) == [(TEXT, 0, "aaaaa \u202e"), (TEXT, 7, "🇯🇵")]


def test_a_word_that_is_shorter_again_goes_back_to_the_row_above() -> None:
    document = loaded([Block(1, "you", "", "aaaa bbbb cc", inline=True), Block(2, "bot", "", "dddd", inline=True)])
    assert document.rows == 2
    document.truncate(2)
    assert picture(document) == [(TEXT, 0, "aaaa bbbb cc")]
