"""Any text: normalised, without blank space at line ends or more than two blank lines together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from charlm.corpora.units import Files, Tally, Unit
from charlm.text.decoding import normalise


def units(sources: Mapping[str, Files], tally: Tally, options: Mapping[str, Any]) -> list[Unit]:
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
                found.append(Unit(path, plain))
            else:
                tally.remove("empty files")
    return found
