"""The held-out part has whole documents, a little more than a tenth, always the same ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from charlm.corpora.build import assemble
from charlm.corpora.documents import HELD_OUT_MARGIN, HELD_OUT_SHARE, CleaningReport, Document, split

names = st.text("abcdefgh", min_size=1, max_size=4)
documents = st.lists(
    st.builds(Document, names, st.text("xyz\n", min_size=1, max_size=50).map(lambda text: f"-{text}-")), min_size=1
)


@given(documents)
def test_split_keeps_documents_of_a_name_together(pieces: list[Document]) -> None:
    trained, held_out = split(pieces)
    assert sorted(trained + held_out, key=repr) == sorted(pieces, key=repr)
    assert not {document.name for document in trained} & {document.name for document in held_out}
    assert [document for document in pieces if document in trained] == trained
    assert trained


@given(st.integers(300, 400))
def test_held_out_share_is_a_little_over_a_tenth(count: int) -> None:
    pieces = [Document(str(number), "x" * (number % 7 + 1)) for number in range(count)]
    _, held_out = split(pieces)
    share = sum(len(document.text) for document in held_out) / sum(len(document.text) for document in pieces)
    assert HELD_OUT_SHARE <= share <= HELD_OUT_SHARE + HELD_OUT_MARGIN


def test_split_depends_on_names_and_not_on_order() -> None:
    pieces = [Document(str(number), "x" * 10) for number in range(100)]
    chosen = {document.name for document in split(pieces)[1]}
    assert {document.name for document in split(pieces[::-1])[1]} == chosen
    assert chosen != {str(number) for number in range(90, 100)}


def test_only_marked_documents_are_held_out_if_any() -> None:
    pieces = [Document("a", "1"), Document("b", "2", last=True), Document("c", "3"), Document("d", "4", last=True)]
    assert [document.name for document in split(pieces)[1]] == ["b", "d"]


@given(documents)
def test_text_ends_with_the_held_out_part(pieces: list[Document]) -> None:
    text, about = assemble(pieces)
    trained, held_out = split(pieces)
    assert text[about["begins"] :] == ("\n\n".join(document.text for document in held_out) + "\n" if held_out else "")
    assert text[: about["begins"]].rstrip("\n") == "\n\n".join(document.text for document in trained).rstrip("\n")
    assert about["characters"] == len(text) - about["begins"]
    assert (about["pieces"], about["of"]) == (len(held_out), len(pieces))


def test_report_counts_by_reason_and_omits_zeros() -> None:
    report = CleaningReport()
    report.remove("spots", "abc")
    report.remove("spots", 4, times=2)
    report.remove("stripes", times=0)
    report.change("hats", 3)
    report.change("coats", 0)
    assert report.to_dict() == {"removed": {"spots": {"count": 3, "characters": 7}}, "changed": {"hats": 3}}
