"""Any text: normalised, without blank space at line ends or more than two blank lines together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.text.decoding import normalise


def units(sources: Mapping[str, Files], tally: CleaningReport, options: Mapping[str, Any]) -> list[Document]:
    """Each file as a piece, by its path.

    Args:
        sources: any texts.
        tally: counts.
        options: none.
    """
    found = []
    for files in sources.values():
        for path, text in files.items():
            lines = (line.rstrip() for line in normalise(text).split("\n"))
            if plain := re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip("\n"):
                found.append(Document(path, plain))
            else:
                tally.remove("empty files")
    return found
