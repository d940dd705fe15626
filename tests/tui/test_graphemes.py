"""What looks like one character, how wide it is, and where a text is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from charlm.text.sanitize import visible
from charlm.tui.graphemes import ELLIPSIS, cluster_end, cluster_start, clusters, name, one_line, shorten, typeable

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
FLAG = "\U0001f1ef\U0001f1f5"
THUMB = "\U0001f44d\U0001f3fd"
ACCENTED = "e\u0301"
ONES = ("a", " ", "\t", "日", ACCENTED, FAMILY, FLAG, THUMB, "\u2764\ufe0f", "한")

texts = st.lists(st.sampled_from(tuple(one for one in ONES if one != "\t")), max_size=30).map("".join)


@given(st.lists(st.sampled_from(ONES), max_size=30))
def test_clusters_are_what_the_eye_sees(ones: list[str]) -> None:
    text = "".join(ones)
    assert [text[start:end] for start, end, _ in clusters(text)] == ones
    assert sum(cells for _, _, cells in clusters(text)) == cell_len(text)


@given(st.text(max_size=40))
def test_clusters_cover_any_text_without_gaps(text: str) -> None:
    place = 0
    for start, end, _ in clusters(text):
        assert start == place < end
        place = end
    assert place == len(text)


@given(texts, st.integers(0, 80))
def test_snapping_goes_to_the_nearest_edge_of_a_cluster(text: str, place: int) -> None:
    place = min(place, len(text))
    edges = {start for start, _, _ in clusters(text)} | {len(text)}
    assert cluster_start(text, place) == max(edge for edge in edges if edge <= place)
    assert cluster_end(text, place) == min(edge for edge in edges if edge >= place)


@given(texts, st.integers(0, 40))
def test_shortened_text_fits_and_is_a_beginning(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= width
    if cell_len(text) <= width:
        assert short == text
    elif width:
        kept = short.removesuffix(ELLIPSIS)
        assert text.startswith(kept)
        assert kept != short
        assert len(kept) == cluster_start(text, len(kept))


def test_a_very_long_text_is_shortened() -> None:
    assert shorten("日" * 1_000_000, 5) == "日日" + ELLIPSIS


@given(st.text())
def test_one_line_holds_nothing_that_drives_a_terminal(text: str) -> None:
    line = one_line(text)
    assert visible(line) == line
    assert "\n" not in line
    assert "\t" not in line
    line.encode()


@given(st.text(alphabet=st.characters(codec=None)))
def test_typeable_text_is_safe_and_keeps_the_rest(text: str) -> None:
    safe = typeable(text)
    assert visible(safe) == safe
    assert "\r" not in safe
    safe.encode()
    assert typeable(safe) == safe


def test_typeable_keeps_newlines_tabs_and_joiners() -> None:
    assert typeable(f"a\tb\r\n{FAMILY}\rc\x1b[31m\u202ed") == f"a\tb\n{FAMILY}\nc[31md"


@pytest.mark.parametrize(
    ("character", "called"),
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
def test_names(character: str, called: str) -> None:
    assert name(character) == called


@given(st.characters())
def test_every_character_has_a_name_that_can_be_seen(character: str) -> None:
    assert cell_len(name(character)) > 0
    assert not name(character).isspace()
