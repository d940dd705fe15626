"""Cleans any text: normalised, without spaces at line ends, with at most two blank lines in a row."""

from __future__ import annotations

import re
from collections.abc import Mapping

from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.text.decoding import normalise


def documents(sources: Mapping[str, Files], report: CleaningReport, options: Mapping[str, object]) -> list[Document]:
    """Return each file as a document, named by its path.

    Args:
        sources: any texts.
        report: counts removals and changes.
        options: none.
    """
    found = []
    for files in sources.values():
        for path, text in files.items():
            lines = (line.rstrip() for line in normalise(text).split("\n"))
            if plain := re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip("\n"):
                found.append(Document(path, plain))
            else:
                report.remove("empty files")
    return found
