"""Dialogue formats: written turns are found again, and no turn can contain another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import FORMATS
from charlm.errors import CheckpointError, UsageError
from charlm.text.decoding import normalise
from charlm.text.dialogue import COLONS, MAX_NAME_CHARS, MAX_NAMES, Dialogue, is_name

ALL = [
    Dialogue("plain"),
    Dialogue("lines"),
    Dialogue("lines", primer="Who is it?\nMe.\n\n"),
    *[Dialogue("transcript", colon=colon, spaced=spaced) for colon, spaced in product(COLONS, (False, True))],
    *[Dialogue("play", colon=colon) for colon in COLONS],
]
NAMED = [one for one in ALL if one.has_names]

NAMES = st.sampled_from(["ANNA", "Ben 2", "Mrs. Oak", "1st goat", "太郎", "anna_b", "The Old Man", "O'Hara"])
# Text that resembles another turn, and any other.
TYPED = st.lists(
    st.sampled_from(["\n", "\n\n", "\r\n", " ", "\t", "\u2028", "\x85", "\x0b", "\x1c", "\ufeff", "\u3000"])
    | st.sampled_from(["e\u0301", "か\u3099"])
    | st.sampled_from(["ANNA:", "ANNA: ", "ANNA:\n", "ANNA：", "ANNA : no", "\n\nANNA:\nno", "yes", ":", "：", "a"])
    | st.text(max_size=5),
    max_size=12,
).map("".join)  # fmt: skip


def render(dialogue: Dialogue, turns: Sequence[tuple[str, str]]) -> str:
    """As a conversation puts them together."""
    return dialogue.beginning + dialogue.closing.join(dialogue.opening(name) + text for name, text in turns)


@pytest.mark.parametrize("dialogue", ALL, ids=str)
@given(text=TYPED)
@settings(max_examples=40)
def test_fit_ends_no_turn_and_is_idempotent(dialogue: Dialogue, text: str) -> None:
    fitted = dialogue.fit(text)
    assert dialogue.fit(fitted) == fitted == normalise(fitted)
    if dialogue.has_turns:
        assert dialogue.closing not in fitted
        assert fitted == fitted.strip()
        assert (fitted + dialogue.closing).find(dialogue.closing) == len(fitted)
        assert (dialogue.closing + fitted).rfind(dialogue.closing) == 0
    # Only white space and byte order marks are lost.
    assert "".join(fitted.replace("\ufeff", "").split()) == "".join(normalise(text).replace("\ufeff", "").split())


def test_fitting_keeps_lines_where_a_turn_may_have_them() -> None:
    assert all(dialogue.fit("\ufeff\ufeffyes") == "yes" for dialogue in ALL)
    text = "  one\r\ntwo \n\n three\n"
    assert Dialogue("plain").fit(text) == "  one\ntwo \n\n three\n"
    assert Dialogue("lines").fit(text) == Dialogue("transcript").fit(text) == "one two three"
    assert Dialogue("play").fit(text) == Dialogue("transcript", spaced=True).fit(text) == "one\ntwo\nthree"


@pytest.mark.parametrize("dialogue", NAMED, ids=str)
@settings(max_examples=40)
@given(turns=st.lists(st.tuples(NAMES, TYPED), max_size=8))
def test_rendered_turns_are_found_with_their_speakers(dialogue: Dialogue, turns: list[tuple[str, str]]) -> None:
    fitted = [(name, text) for name, raw in turns if (text := dialogue.fit(raw))]
    assert dialogue.speakers_in(render(dialogue, fitted)) == [name for name, _ in fitted]


@pytest.mark.parametrize("dialogue", [one for one in ALL if not one.has_names], ids=str)
@given(text=TYPED)
@settings(max_examples=40)
def test_formats_without_names_have_none(dialogue: Dialogue, text: str) -> None:
    assert dialogue.opening("ANNA") == ""
    assert dialogue.speakers_in(text) == []


def test_each_format_renders_turns() -> None:
    turns = [("ANNA", "Who is it?"), ("BEN", "It is the goat.")]
    assert render(Dialogue("plain"), turns) == "\nWho is it?It is the goat."
    assert render(Dialogue("lines"), turns) == "\n\nWho is it?\nIt is the goat."
    assert render(Dialogue("transcript"), turns) == "\n\nANNA: Who is it?\nBEN: It is the goat."
    assert render(Dialogue("transcript", spaced=True), turns) == "\n\nANNA: Who is it?\n\nBEN: It is the goat."
    assert render(Dialogue("transcript", colon="："), turns) == "\n\nANNA：Who is it?\nBEN：It is the goat."
    assert render(Dialogue("transcript", colon=" :"), turns) == "\n\nANNA : Who is it?\nBEN : It is the goat."
    assert render(Dialogue("play"), turns) == "\n\nANNA:\nWho is it?\n\nBEN:\nIt is the goat."
    assert render(Dialogue("play", colon="："), turns) == "\n\nANNA：\nWho is it?\n\nBEN：\nIt is the goat."


@pytest.mark.parametrize("dialogue", ALL, ids=str)
def test_reply_stops_at_the_text_between_turns(dialogue: Dialogue) -> None:
    assert dialogue.stops == ((dialogue.closing,) if dialogue.has_turns else ())
    assert dialogue.beginning.endswith(dialogue.closing)  # so that the first turn begins as every other


@pytest.mark.parametrize(
    "name",
    ["A", "ANNA", "First Citizen", "Henry 4", "1ST GOAT", "2nd man", "太郎", "Mr. Oak", "MRS. OAK", "J. R. Oak",
     "St. Ives", "anna_b", "O'Hara", "Jean-Luc", "Anna (aside)", "Élodie", "x" * MAX_NAME_CHARS],
)  # fmt: skip
def test_name_is_accepted_and_found(name: str) -> None:
    assert is_name(name)
    for dialogue in NAMED:
        assert dialogue.speakers_in(dialogue.opening(name) + "yes") == [name]


@pytest.mark.parametrize(
    "name",
    ["", " ", "\n", "Anna ", " Anna", "Anna:", "Anna：", "12", "12:03 Anna", "-", "(aside)", "He said. Then",
     "Who? Me", "Oh! He", "Well, Anna", "the one who came in from the rain", "ANNA\nBEN", "[12] Anna", "<anna>",
     "a/b", "x" * (MAX_NAME_CHARS + 1),
     "AN\x1bNA", "AN\u202eNA", '"Anna"', "太郎。"],
)  # fmt: skip
def test_other_text_is_no_name(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(CheckpointError, match="names are damaged"):
        Dialogue("play", (name,))
    for dialogue in NAMED:
        assert name not in dialogue.speakers_in(dialogue.opening(name) + "yes")


@given(st.text(st.characters(exclude_characters="\n"), max_size=MAX_NAME_CHARS))
def test_name_is_found_where_it_opens_a_turn(name: str) -> None:
    for dialogue in NAMED:
        assert dialogue.speakers_in(dialogue.beginning + dialogue.opening(name) + "yes") == [name] * is_name(name)


def test_names_are_completed_and_corrected() -> None:
    dialogue = Dialogue("play", ("ROMEO", "Rosaline", "ROSENCRANTZ", "Ros", "JULIET"))
    assert dialogue.complete_name("ro") == ["ROMEO", "Rosaline", "ROSENCRANTZ", "Ros"]
    assert dialogue.complete_name("") == list(dialogue.names)
    assert dialogue.complete_name("x") == []
    assert dialogue.speaker("romeo") == dialogue.speaker("Rom") == "ROMEO"
    assert dialogue.speaker("ros") == "Ros", "a whole name goes before the beginnings of others"
    assert dialogue.speaker("ro") == "ro", "several begin so"
    assert dialogue.speaker("NURSE") == "NURSE"
    assert Dialogue("play", ("Anna", "ANNA")).speaker("ANNA") == "ANNA"
    assert Dialogue("lines").speaker("ju") == "ju"


@pytest.mark.parametrize("dialogue", [*ALL, Dialogue("play", ("ANNA", "太郎")), Dialogue("transcript", ("A",) * 3)])
def test_dictionary_round_trip_is_exact(dialogue: Dialogue) -> None:
    assert Dialogue.from_dict(dialogue.to_dict()) == dialogue


@pytest.mark.parametrize(
    "change",
    [{"format": "sonnet"}, {"format": None}, {"format": []}, {"names": "ANNA"}, {"names": [1]}, {"names": [None]},
     {"names": [""]}, {"names": {"ANNA": 1}}, {"names": ["A"] * (MAX_NAMES + 1)}, {"names": ["AN\x1b[2JNA"]},
     {"names": [["ANNA"]]},
     {"colon": "\n"}, {"colon": None}, {"colon": []}, {"spaced": 1}, {"spaced": None}, {"more": 1}],
    ids=str,
)  # fmt: skip
def test_damaged_description_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        Dialogue.from_dict(Dialogue("transcript", ("ANNA",)).to_dict() | change)


def test_only_colon_and_spacing_may_be_missing() -> None:
    assert Dialogue.from_dict({"format": "play", "names": ["ANNA"]}) == Dialogue("play", ("ANNA",))
    for document in ({"names": ["ANNA"]}, {"format": "play"}):
        with pytest.raises(CheckpointError, match="damaged"):
            Dialogue.from_dict(document)


def test_unknown_format_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match="sonnet") as caught:
        Dialogue("sonnet")
    assert all(form in (caught.value.hint or "") for form in FORMATS)
