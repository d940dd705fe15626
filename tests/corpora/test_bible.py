"""A verse a line, chapters apart, books with their titles."""

from __future__ import annotations

import json

import pytest

from charlm.corpora import bible
from charlm.corpora.documents import CleaningReport, Document
from charlm.errors import CorpusError


def line(book: str, chapter: int, text: str) -> str:
    return json.dumps({"book": book, "chapter": chapter, "verse": 1, "text": text})


def test_verses_become_books_and_chapters() -> None:
    verses = [
        ("Ferry", 1, "And it went."),
        ("Ferry", 1, "And  it came "),
        ("Ferry", 2, "[]"),
        ("Ferry", 2, "Over."),
        ("2 Boats", 1, "Back."),
    ]
    report = CleaningReport()
    found = bible.documents([("k.jsonl", "\n".join(line(*verse) for verse in verses) + "\n")], report)
    assert found == [
        Document("Ferry", "FERRY\n\nAnd it went.\nAnd it came\n\nOver."),
        Document("2 Boats", "2 BOATS\n\nBack."),
    ]
    assert report.to_dict() == {
        "removed": {"verses without words": {"count": 1, "characters": 2}},
        "changed": {"verses with stray spaces": 1},
    }


@pytest.mark.parametrize("text", ["x", "{}", '{"book": "a", "chapter": "b", "text": "c"}'])
def test_source_of_another_format_raises(text: str) -> None:
    with pytest.raises(CorpusError, match="is not that of this version"):
        bible.documents([("k.jsonl", text)], CleaningReport())
