"""Cleans any text: normalised, without spaces at line ends, with at most two blank lines in a row."""

from __future__ import annotations

import re
from collections.abc import Iterator

from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.text.decoding import normalise


def documents(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield each file as a document, named by its path."""
    for path, text in files:
        lines = (line.rstrip() for line in normalise(text).split("\n"))
        if plain := re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip("\n"):
            yield Document(path, plain)
        else:
            report.remove("empty files")
