"""Line breaking: rows lose no text, cut no cluster, and do not depend on how the text arrived."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.tui.graphemes import lay_out
from charlm.tui.widgets.wrapping import MIN_WIDTH_CELLS, wrap
from tests.tui.test_graphemes import FAMILY, FLAG, HEART, TEXTS

PLAIN = st.text("ab  \n日。", max_size=150)
WIDTHS = st.integers(MIN_WIDTH_CELLS, 30)


def rows_of(text: str, width: int) -> list[str]:
    starts = wrap(text, width)
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


@given(TEXTS | PLAIN | st.text(max_size=100), WIDTHS)
def test_rows_rejoin_to_the_text(text: str, width: int) -> None:
    rows = rows_of(text, width)
    assert "".join(rows) == text
    assert all(rows[:-1])
    assert (rows[-1] == "") == (text == "" or text.endswith("\n"))
    assert not any("\n" in row[:-1] for row in rows)


@given(TEXTS | PLAIN, WIDTHS)
def test_row_exceeds_the_width_by_one_space_at_most(text: str, width: int) -> None:
    for row in rows_of(text, width):
        cells = [cell for cell in lay_out(row, width) if cell.drawn]
        assert sum(cell.cells for cell in cells if cell.column + cell.cells > width) <= 1
        assert not cells or cells[-1].column + cells[-1].cells <= width or row[cells[-1].start] in " \t"


@given(TEXTS, WIDTHS)
def test_row_break_cuts_no_cluster(text: str, width: int) -> None:
    assert {*(one.start for one in lay_out(text)), len(text)}.issuperset(wrap(text, width))


@given(TEXTS, TEXTS, WIDTHS)
def test_appended_text_changes_the_last_row_only(before: str, after: str, width: int) -> None:
    *done, last = wrap(before, width)
    assert wrap(before + after, width) == [*done, *wrap(before + after, width, start=last)]


@given(PLAIN, WIDTHS)
def test_fast_and_general_path_break_alike(text: str, width: int) -> None:
    """A combining mark on every letter rules out the fast path, and changes neither width nor breaks."""
    marked = re.sub(r"\S", "\\g<0>\u0301", text)
    assert [row.replace("\u0301", "") for row in rows_of(marked, width)] == rows_of(text, width)


@given(st.text("ab   \n", max_size=200), WIDTHS)
def test_row_breaks_as_late_as_possible(text: str, width: int) -> None:
    expected, line_start = [0], 0
    for line in text.split("\n"):
        column = 0
        for match in re.finditer(r" |[^ ]+", line):
            word, index = match.group(), line_start + match.start()
            if column + len(word) > width + (word == " ") and column:
                expected.append(index)
                column = 0
            while len(word) > width:
                word, index = word[width:], index + width
                expected.append(index)
            column += len(word)
        line_start += len(line) + 1
        expected.append(line_start)
    assert wrap(text, width) == expected[:-1]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("ああああ。", ["あああ", "あ。"]),
        ("あああ「あ」", ["あああ", "「あ」"]),
        ("ab ああああ", ["ab ああ", "ああ"]),
        ("。" * 5, ["。" * 4, "。"]),
    ],
)
def test_japanese_punctuation_stays_with_its_neighbour(text: str, rows: list[str]) -> None:
    assert rows_of(text, 8) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("longword next", ["longword ", "next"]),
        ("longword \nnext", ["longword \n", "next"]),
        ("longword  next", ["longword ", " next"]),
        ("abcdefgh\tx", ["abcdefgh\t", "x"]),
    ],
)
def test_one_space_hangs_over_the_edge(text: str, rows: list[str]) -> None:
    assert rows_of(text, 8) == rows


def test_very_long_word_is_cut_at_the_width() -> None:
    rows = rows_of("x" * 100_000, 77)
    assert {len(row) for row in rows[:-1]} == {77}
    assert rows_of(FAMILY * 1000, 9)[:-1] == [FAMILY * 4] * 249


@pytest.mark.parametrize("cluster", [FAMILY, FLAG, HEART])
def test_wide_clusters_fill_a_row(cluster: str) -> None:
    assert rows_of(cluster * 5, MIN_WIDTH_CELLS) == [cluster * 4, cluster]
