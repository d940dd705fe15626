"""Text becomes rows: nothing is lost, cut inside a character or too wide, and it does not matter how it arrived."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len, get_character_cell_size

from charlm.text.sanitize import visible
from charlm.tui.widgets import wrapping
from charlm.tui.widgets.wrapping import LONGEST, MIN_WIDTH_CELLS, cluster_end, draw, lay_out, measure, wrap

FAMILY, FLAG, THUMB, HEART, KEYCAP = "👩‍👩‍👧", "🇯🇵", "👍🏽", "❤️", "1️⃣"
PARTS = [
    *"abc    \n\n\t",
    *"日本語かな、。「」ーっ",
    *"e\u0301\u0302\u200d\u200b\ufe0f\ufe0e\u1100\u1161\u11a8กำिक",
    *"👩❤♂👍\U0001f3fd🇯🇵🇩1\u20e3©",
    *"\x00\x07\x1b\r\x7f\x9b\u202e\u2066\u2028\ufeff\ud800\U000e0041",
    *(FAMILY, FLAG, THUMB, HEART, "word ", "longerword"),
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=80).map("".join)
PLAIN = st.text("ab  \n日。", max_size=150)
WIDTHS = st.integers(MIN_WIDTH_CELLS, 30)


def rows_of(text: str, width: int) -> list[str]:
    starts = wrap(text, width)
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def clusters(text: str) -> list[str]:
    found, start = [], 0
    while start < len(text):
        end = cluster_end(text, start, len(text))
        found.append(text[start:end])
        start = end
    return found


@given(TEXTS | PLAIN | st.text(max_size=100), WIDTHS)
def test_rows_rejoin_and_only_the_last_may_be_empty(text: str, width: int) -> None:
    rows = rows_of(text, width)
    assert "".join(rows) == text
    assert all(rows[:-1])
    assert (rows[-1] == "") == (text == "" or text.endswith("\n"))
    assert not any("\n" in row[:-1] for row in rows)


@given(TEXTS | PLAIN, WIDTHS)
def test_no_row_is_wider_than_the_width_but_for_one_space(text: str, width: int) -> None:
    for row in rows_of(text, width):
        cells = [cell for cell in lay_out(row, width) if cell.shown]
        assert sum(cell.cells for cell in cells if cell.column + cell.cells > width) <= 1
        assert not cells or cells[-1].column + cells[-1].cells <= width or row[cells[-1].start] in " \t"


@given(TEXTS, WIDTHS)
def test_no_cluster_is_cut(text: str, width: int) -> None:
    whole, place = {0}, 0
    for cluster in clusters(text):
        place += len(cluster)
        whole.add(place)
    assert whole.issuperset(wrap(text, width))


@given(TEXTS, TEXTS, WIDTHS)
def test_what_follows_changes_the_last_row_only(before: str, after: str, width: int) -> None:
    *done, last = wrap(before, width)
    assert wrap(before + after, width) == [*done, *wrap(before + after, width, start=last)]


@given(TEXTS | PLAIN, WIDTHS)
def test_cells_are_without_gaps_and_in_order(text: str, width: int) -> None:
    for row in rows_of(text, width):
        place = column = 0
        for cell in lay_out(row, width):
            assert (cell.start, cell.column) == (place, column)
            assert cell.end > cell.start
            place, column = cell.end, column + cell.cells
        assert place == len(row)


@given(TEXTS | st.text(max_size=100), WIDTHS)
def test_what_is_drawn_is_as_wide_as_measured_and_drives_no_terminal(text: str, width: int) -> None:
    for row in rows_of(text, width):
        for cell in lay_out(row, width):
            assert cell_len(cell.shown) == cell.cells
            assert cell.cells > 0 or row[cell.start] == "\n"
            assert visible(cell.shown) == cell.shown
            assert "\n" not in cell.shown
            assert "\t" not in cell.shown
            cell.shown.encode()  # raises if it cannot be sent


@given(PLAIN | TEXTS, WIDTHS)
def test_the_quick_way_and_the_careful_way_agree(text: str, width: int) -> None:
    careful, start = [0], 0
    while (start := wrapping._row_end_of_any(text, start, len(text), width)) >= 0:
        careful.append(start)
    assert wrap(text, width) == careful


@given(st.text("ab   \n", max_size=200), WIDTHS)
def test_a_row_breaks_as_late_as_it_can(text: str, width: int) -> None:
    expected, begun = [0], 0
    for line in text.split("\n"):
        column = 0
        for match in re.finditer(r" |[^ ]+", line):
            word, place = match.group(), begun + match.start()
            if column + len(word) > width + (word == " ") and column:
                expected.append(place)
                column = 0
            while len(word) > width:
                word, place = word[width:], place + width
                expected.append(place)
            column += len(word)
        begun += len(line) + 1
        expected.append(begun)
    assert wrap(text, width) == expected[:-1]


def test_characters_of_the_quick_way_are_what_it_takes_them_for() -> None:
    for point in range(0x110000):
        one = chr(point)
        if re.match(f"[{wrapping._NARROW}{wrapping._WIDE}]", one):
            assert get_character_cell_size(one) == (2 if one >= wrapping._FIRST_WIDE else 1), hex(point)
            assert visible(one) == one
            assert cluster_end("x" + one, 0, 2) == 1
            assert wrapping._kind(one) in ("other", "picture")


@pytest.mark.parametrize("cluster", [FAMILY, FLAG, THUMB, HEART, KEYCAP, "日", "\u1112\u1161\u11ab", "🏴", "☺️"])
def test_a_wide_cluster_is_one_and_two_cells_wide(cluster: str) -> None:
    assert clusters(cluster * 2) == [cluster] * 2
    assert measure(cluster) == 2
    assert draw(cluster) == cluster
    assert rows_of(cluster * 5, MIN_WIDTH_CELLS) == [cluster * 4, cluster]


@pytest.mark.parametrize("cluster", ["e\u0301", "a\u0302\u0323", "कि", "ก\u0e33"[:1], "☺", "\U0001f1ef"])
def test_a_narrow_cluster_is_one_and_a_cell_wide(cluster: str) -> None:
    assert clusters(cluster) == [cluster]
    assert measure(cluster) == 1
    assert draw(cluster) == cluster


def test_only_pictures_are_joined_and_coloured() -> None:
    assert clusters("a\u200db") == ["a\u200d", "b"]
    assert clusters("日\u200d本") == ["日\u200d", "本"]
    assert clusters("a\U0001f3fd") == ["a", "\U0001f3fd"]


def test_marks_without_a_letter_stand_on_a_circle() -> None:
    assert clusters("\n\u0301") == ["\n", "\u0301"]
    assert draw("\u0301") == "\u25cc\u0301"
    assert draw("\U0001f3fd") == "\u25cc"
    assert measure("\u0301") == measure("\u200b") == 1


def test_a_letter_carries_only_so_many_marks() -> None:
    assert max(map(len, clusters("e" + "\u0301" * 1000))) == LONGEST


@pytest.mark.parametrize(
    ("raw", "shown"),
    [("\x1b", "\u241b"), ("\0", "\u2400"), ("\x9b", "<9B>"), ("\u202e", "<202E>"), ("\udc00", "<DC00>")],
)
def test_hazards_are_symbols_of_their_width(raw: str, shown: str) -> None:
    assert clusters(raw + "\u0301") == [raw, "\u0301"]
    assert draw(raw) == shown
    assert measure(raw) == len(shown)


def test_japanese_breaks_between_characters_but_not_before_a_full_stop_or_after_a_bracket() -> None:
    assert rows_of("ああああ。", 8) == ["あああ", "あ。"]
    assert rows_of("あああ「あ」", 8) == ["あああ", "「あ」"]
    assert rows_of("ab ああああ", 8) == ["ab ああ", "ああ"]
    assert rows_of("。" * 5, 8) == ["。" * 4, "。"]


def test_one_space_hangs_over_the_edge() -> None:
    assert rows_of("longword next", 8) == ["longword ", "next"]
    assert rows_of("longword \nnext", 8) == ["longword \n", "next"]
    assert rows_of("longword  next", 8) == ["longword ", " next"]


def test_tabs_reach_to_the_next_stop_and_not_over_the_edge() -> None:
    assert [(cell.column, cell.cells) for cell in lay_out("a\tb\t\tc", 20)] == [
        (0, 1), (1, 3), (4, 1), (5, 3), (8, 4), (12, 1),
    ]  # fmt: skip
    assert lay_out("abcdefghi\t", 10)[-1].cells == 1
    assert rows_of("abcdefgh\tx", 8) == ["abcdefgh\t", "x"]


def test_a_very_long_word_is_cut_at_the_width() -> None:
    rows = rows_of("x" * 100_000, 77)
    assert {len(row) for row in rows[:-1]} == {77}
    assert rows_of(FAMILY * 1000, 9)[:-1] == [FAMILY * 4] * 249


def test_a_joiner_that_joins_nothing_is_not_drawn_after_a_picture() -> None:
    assert draw("👩\u200d") == "👩"
    assert draw("a\u200d") == "a\u200d"


def test_what_rich_would_measure_otherwise_is_drawn_without_its_marks() -> None:
    cluster = "❤\u200d\ufe0f"  # rich skips what follows a joiner
    assert clusters(cluster) == [cluster]
    assert cell_len(cluster) != measure(cluster) == cell_len(draw(cluster))
