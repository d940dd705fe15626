"""Grapheme clusters: boundaries, widths, and the text drawn for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len, get_character_cell_size

from charlm.text.sanitize import visible
from charlm.tui.graphemes import (
    ELLIPSIS,
    MAX_CLUSTER_CODE_POINTS,
    boundary_after,
    boundary_before,
    character_name,
    clean_input,
    lay_out,
    measure,
    one_line,
    shorten,
)

FAMILY, FLAG, THUMB, HEART, KEYCAP = "👩‍👩‍👧", "🇯🇵", "👍🏽", "❤️", "1️⃣"
ACCENTED = "e\u0301"
CLUSTERS = ("a", " ", "日", ACCENTED, FAMILY, FLAG, THUMB, HEART, "한")
PARTS = [
    *"abc    \n\n\t",
    *"日本語かな、。「」ーっ",
    *"e\u0301\u0302\u200d\u200b\ufe0f\ufe0e\u1100\u1161\u11a8กำिक",
    *"👩❤♂👍\U0001f3fd🇯🇵🇩1\u20e3©",
    *"\x00\x07\x1b\r\x7f\x9b\u202e\u2066\u2028\ufeff\ud800\U000e0041",
    *(FAMILY, FLAG, THUMB, HEART, "word ", "longerword"),
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=80).map("".join)
CLEAN_TEXTS = st.lists(st.sampled_from(CLUSTERS), max_size=30).map("".join)


def split(text: str) -> list[str]:
    return [text[one.start : one.end] for one in lay_out(text)]


# -- boundaries -------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from((*CLUSTERS, "\t")), max_size=30))
def test_clusters_are_found_in_joined_text(clusters: list[str]) -> None:
    assert split("".join(clusters)) == clusters
    clean = "".join(clusters).replace("\t", "")
    assert sum(one.cells for one in lay_out(clean)) == cell_len(clean)


@given(TEXTS | st.text(max_size=40))
def test_clusters_of_any_text_leave_no_gaps(text: str) -> None:
    index = column = 0
    for one in lay_out(text):
        assert (one.start, one.column) == (index, column)
        assert one.end > one.start
        index, column = one.end, column + one.cells
    assert index == len(text)


@pytest.mark.parametrize("cluster", [FAMILY, FLAG, THUMB, HEART, KEYCAP, "日", "\u1112\u1161\u11ab", "🏴", "☺️"])
def test_wide_cluster_takes_two_cells(cluster: str) -> None:
    assert split(cluster * 2) == [cluster] * 2
    assert measure(cluster) == (2, cluster)


@pytest.mark.parametrize("cluster", ["e\u0301", "a\u0302\u0323", "कि", "ก", "☺", "\U0001f1ef"])
def test_narrow_cluster_takes_one_cell(cluster: str) -> None:
    assert split(cluster) == [cluster]
    assert measure(cluster) == (1, cluster)


@pytest.mark.parametrize("joined", [("a\u200d", "b"), ("日\u200d", "本"), ("a", "\U0001f3fd"), ("\n", "\u0301")])
def test_joiner_and_skin_tone_apply_to_pictures_only(joined: tuple[str, ...]) -> None:
    assert split("".join(joined)) == list(joined)


def test_cluster_with_many_marks_is_split_at_the_limit() -> None:
    assert max(map(len, split("e" + "\u0301" * 1000))) == MAX_CLUSTER_CODE_POINTS


@given(CLEAN_TEXTS, st.integers(0, 80))
def test_boundaries_around_an_index_are_the_nearest(text: str, index: int) -> None:
    index = min(index, len(text))
    boundaries = {one.start for one in lay_out(text)} | {len(text)}
    assert boundary_before(text, index) == max(one for one in boundaries if one <= index)
    assert boundary_after(text, index) == min(one for one in boundaries if one >= index)


# -- width and drawing ------------------------------------------------------------------------------------------------


@given(TEXTS | st.text(max_size=100))
def test_drawn_text_is_safe_and_as_wide_as_measured(text: str) -> None:
    for one in lay_out(text, 30):
        assert cell_len(one.drawn) == one.cells
        assert one.cells > 0 or text[one.start] == "\n"
        assert visible(one.drawn) == one.drawn
        assert not {"\n", "\t"} & set(one.drawn)
        one.drawn.encode()  # raises if a terminal cannot be sent it


def test_every_plain_character_is_measured_as_rich_does() -> None:
    for point in range(0x10000):
        character = chr(point)
        if character not in "\n\t" and visible(character) == character:
            [cluster] = lay_out(character)
            assert cluster.cells == (get_character_cell_size(character) or 1), hex(point)


@pytest.mark.parametrize(("mark", "drawn"), [("\u0301", "\u25cc\u0301"), ("\U0001f3fd", "\u25cc")])
def test_mark_without_a_letter_is_drawn_on_a_circle(mark: str, drawn: str) -> None:
    assert measure(mark) == (1, drawn)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [("\x1b", "\u241b"), ("\0", "\u2400"), ("\x9b", "<9B>"), ("\u202e", "<202E>"), ("\udc00", "<DC00>")],
)
def test_control_character_is_drawn_as_a_symbol(raw: str, shown: str) -> None:
    assert split(raw + "\u0301") == [raw, "\u0301"]
    assert measure(raw) == (len(shown), shown)


@pytest.mark.parametrize(
    ("cluster", "drawn"), [("👩\u200d", "👩"), ("a\u200d", "a\u200d"), ("❤\u200d\ufe0f", "❤\ufe0f")]
)
def test_joiner_without_a_second_picture_is_not_drawn(cluster: str, drawn: str) -> None:
    assert split(cluster) == [cluster]
    assert measure(cluster) == (cell_len(drawn), drawn)


def test_tab_reaches_the_next_stop_and_not_over_the_edge() -> None:
    assert [(one.column, one.cells) for one in lay_out("a\tb\t\tc", 20)] == [
        (0, 1), (1, 3), (4, 1), (5, 3), (8, 4), (12, 1),
    ]  # fmt: skip
    assert lay_out("abcdefghi\t", 10)[-1].cells == 1


# -- text for the screen ----------------------------------------------------------------------------------------------


@given(CLEAN_TEXTS, st.integers(0, 40))
def test_shortened_text_fits_and_ends_at_a_boundary(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= width
    if cell_len(text) <= width:
        assert short == text
    elif width:
        kept = short.removesuffix(ELLIPSIS)
        assert text.startswith(kept)
        assert kept != short
        assert len(kept) == boundary_before(text, len(kept))


def test_very_long_text_is_shortened() -> None:
    assert shorten("日" * 1_000_000, 5) == "日日" + ELLIPSIS


@given(st.text())
def test_one_line_has_no_control_characters(text: str) -> None:
    line = one_line(text)
    assert visible(line) == line
    assert not {"\n", "\t"} & set(line)
    line.encode()


@given(st.text(alphabet=st.characters(codec=None)))
def test_clean_input_is_safe_and_idempotent(text: str) -> None:
    clean = clean_input(text)
    assert visible(clean) == clean
    assert "\r" not in clean
    clean.encode()
    assert clean_input(clean) == clean


def test_clean_input_keeps_newlines_tabs_and_joiners() -> None:
    assert clean_input(f"a\tb\r\n{FAMILY}\rc\x1b[31m\u202ed") == f"a\tb\n{FAMILY}\nc[31md"


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("a", "a"),
        ("日", "日"),
        ("\n", "newline"),
        (" ", "space"),
        ("\t", "tab"),
        ("\x1b", "\u241b"),
        ("\u200b", "U+200B"),
        ("\u0301", "\u25cc\u0301"),
        ("<e3>", "<e3>"),
    ],
)
def test_character_name_of_special_characters(character: str, expected: str) -> None:
    assert character_name(character) == expected


@given(st.characters())
def test_character_name_is_never_blank(character: str) -> None:
    assert cell_len(character_name(character)) > 0
    assert not character_name(character).isspace()
