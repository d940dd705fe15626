"""Reads Japanese books in the notation of Aozora Bunko.

A file begins with an explanation of the notation, between two lines of hyphens. It ends with a colophon. Ruby (a
reading, in double angle brackets), notes (in square brackets, after a number sign) and headings are removed. A
reference mark and a note may stand for a character that the file's encoding lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.text.decoding import normalise

_RULE = re.compile(r"^-{20,}\n", re.MULTILINE)
_COLOPHON = re.compile(r"^\u5e95\u672c[\uff1a:]", re.MULTILINE)
_HEADING = re.compile(r"\uff3b\uff03[^\uff3d]*\u898b\u51fa\u3057[^\uff3d]*\uff3d")
_JIS_NOTE = re.compile(r"\u203b\uff3b\uff03[^\uff3d]*?([12])-(\d{1,2})-(\d{1,2})[^\uff3d]*\uff3d")
_NOTE = re.compile(r"\uff3b\uff03[^\uff3d]*\uff3d|\u300a[^\u300b]*\u300b|\uff5c")
OPENS: Final = "\u300c\u300e\uff08"


def documents(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield each book as a document, with an indent before each paragraph that does not begin with a bracket."""
    for path, text in files:
        lines = paragraphs(with_jis_characters(normalise(text)))
        yield Document(path, "\n".join(line if line[0] in OPENS else f"\u3000{line}" for line in lines))


def with_jis_characters(text: str) -> str:
    """Replace missing characters whose notes have their number in JIS X 0213 by the characters."""

    def character(note: re.Match[str]) -> str:
        plane, row, cell = map(int, note.groups())
        code = bytes([*([0x8F] if plane == 2 else []), 0xA0 + row, 0xA0 + cell])
        return code.decode("euc_jis_2004", errors="replace")

    return _JIS_NOTE.sub(character, text)


def paragraphs(text: str) -> list[str]:
    """Return the non-empty lines of the body, without ruby, notes and headings."""
    body = _RULE.split(text)[-1]
    if colophon := _COLOPHON.search(body):
        body = body[: colophon.start()]
    lines = (_NOTE.sub("", line).strip() for line in body.splitlines() if not _HEADING.search(line))
    return [line for line in lines if line]
