"""The held-out part is made of whole pieces, a little more than a tenth, and always the same ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from charlm.corpora.build import assemble
from charlm.corpora.documents import HELD_OUT, MARGIN, CleaningReport, Document, split

names = st.text("abcdefgh", min_size=1, max_size=4)
units = st.lists(
    st.builds(Document, names, st.text("xyz\n", min_size=1, max_size=50).map(lambda text: f"-{text}-")), min_size=1
)


@given(units)
def test_every_piece_is_on_one_side_and_those_of_a_name_together(pieces: list[Document]) -> None:
    trained, held_out = split(pieces)
    assert sorted(trained + held_out, key=repr) == sorted(pieces, key=repr)
    assert not {unit.name for unit in trained} & {unit.name for unit in held_out}
    assert [unit for unit in pieces if unit in trained] == trained
    assert trained


@given(st.integers(300, 400))
def test_the_share_is_a_tenth_and_a_little(count: int) -> None:
    pieces = [Document(str(number), "x" * (number % 7 + 1)) for number in range(count)]
    _, held_out = split(pieces)
    share = sum(len(unit.text) for unit in held_out) / sum(len(unit.text) for unit in pieces)
    assert HELD_OUT <= share <= HELD_OUT + MARGIN


def test_the_choice_depends_on_names_and_not_on_the_order() -> None:
    pieces = [Document(str(number), "x" * 10) for number in range(100)]
    chosen = {unit.name for unit in split(pieces)[1]}
    assert {unit.name for unit in split(pieces[::-1])[1]} == chosen
    assert chosen != {str(number) for number in range(90, 100)}


def test_marked_pieces_are_held_out_in_their_order_and_no_others() -> None:
    pieces = [Document("a", "1"), Document("b", "2", last=True), Document("c", "3"), Document("d", "4", last=True)]
    assert [unit.name for unit in split(pieces)[1]] == ["b", "d"]


@given(units)
def test_the_text_ends_with_the_held_out_part(pieces: list[Document]) -> None:
    text, about = assemble(pieces)
    trained, held_out = split(pieces)
    assert text[about["begins"] :] == ("\n\n".join(unit.text for unit in held_out) + "\n" if held_out else "")
    assert text[: about["begins"]].rstrip("\n") == "\n\n".join(unit.text for unit in trained).rstrip("\n")
    assert about["characters"] == len(text) - about["begins"]
    assert (about["pieces"], about["of"]) == (len(held_out), len(pieces))


def test_a_tally_counts_by_reason_and_leaves_out_what_never_happened() -> None:
    tally = CleaningReport()
    tally.remove("spots", "abc")
    tally.remove("spots", 4, times=2)
    tally.remove("stripes", times=0)
    tally.change("hats", 3)
    tally.change("coats", 0)
    assert tally.to_dict() == {"removed": {"spots": {"count": 3, "characters": 7}}, "changed": {"hats": 3}}
