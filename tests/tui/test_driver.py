"""Input from the terminal: bytes that are not UTF-8, pastes with escape sequences, sequences that no terminal sends."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.events import Key, Paste
from textual.message import Message

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no such driver")

START, END = "\x1b[200~", "\x1b[201~"
PARTS = [
    "\x1b",
    "[",
    "]",
    "?",
    ";",
    ":",
    "<",
    "20",
    "7104656",
    "u",
    "~",
    "M",
    "R",
    "C",
    "\x07",
    "\r",
    "\x00",
    "a",
    "\ufffd",
]
hostile = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)


def parse(text: str, cuts: list[int] | None = None) -> list[Message]:
    """Return the messages of a text that arrives in pieces."""
    from charlm.tui.driver import InputParser

    parser = InputParser()
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts or [])})
    pieces = [text[a:b] for a, b in pairwise(places)]
    return [message for piece in pieces for message in parser.feed(piece)]


def pasted(messages: list[Message]) -> list[str]:
    return [one.text for one in messages if isinstance(one, Paste)]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("aa bb\ncc", "aa bb\ncc"),
        ("aa\x1b[31m bb\ncc", "aa bb\ncc"),
        ("aa\x1b[38;2;1;2;3mbb\x1b(B\x1b[m", "aabb"),
        ("aa\x1b]0;title\x07 bb", "aa bb"),
        ("aa\x1b]8;;http://a.b\x1b\\bb\x1b]8;;\x1b\\", "aabb"),
        ("aa\x1b]0;never ends\nbb", "aa]0;never ends\nbb"),
        ("aa\x1b", "aa"),
        ("aa\x07\x00\u202ebb\x9b\r\ncc", "aabb\ncc"),
        ("\x1b[200~aa", "aa"),
        ("", ""),
    ],
)
def test_paste_is_text_without_escape_sequences(sent: str, text: str) -> None:
    messages = parse(f"x{START}{sent}{END}y")
    assert pasted(messages) == [text]
    assert [one.key for one in messages if isinstance(one, Key)] == ["x", "y"]


@given(hostile.filter(lambda text: END not in text), st.lists(st.integers(0, 200)))
def test_paste_ends_at_its_end_however_it_arrives(text: str, cuts: list[int]) -> None:
    messages = parse(f"x{START}{text}{END}y", cuts)
    assert pasted(messages) == pasted(parse(START + text + END))
    assert [one.key for one in messages if isinstance(one, Key)] == ["x", "y"]


def test_paste_without_end_ends_after_a_pause() -> None:
    from charlm.tui.driver import InputParser

    parser = InputParser()
    parsed = [*parser.feed(START + "aa"), *parser.tick()]
    assert parsed == []
    parser.max_pause_seconds = 0.0
    assert pasted([*parser.tick()]) == ["aa"]
    assert isinstance(next(iter(parser.feed("y"))), Key)


@given(hostile, st.lists(st.integers(0, 200)))
def test_unknown_sequence_is_no_error_and_ends(text: str, cuts: list[int]) -> None:
    messages = parse(text + END + "\x1b[A", cuts)
    assert isinstance(messages[-1], Key)
    assert messages[-1].key == "up"
