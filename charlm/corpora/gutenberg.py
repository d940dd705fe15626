"""Reads plain-text books as Project Gutenberg formats them: hard-wrapped lines, blank lines between paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.text.decoding import normalise

MIN_PROSE_CHARS: Final = 250  # the first paragraph this long ends the title page, the contents and the list of persons
MAX_VERSE_CHARS: Final = 55  # lines this short keep their line breaks: verse, lists, letterheads

_START = re.compile(r"^\*\*\* ?START OF.*$", re.MULTILINE)
_END = re.compile(r"^(?:\*\*\* ?END OF|End of (?:the )?Project Gutenberg).*", re.MULTILINE | re.DOTALL)
_NOTE = re.compile(r"Gutenberg|^Produced by|^Transcribed|^\[(?:Illustration|Last |This file)|[\w.]+@[\w.]+")
_PICTURE = re.compile(r"\[(?:Picture|Illustration):[^\]]*\]\s*")
_EMPHASIS = re.compile(r"_([^_]+)_")


def documents(files: Files, report: CleaningReport) -> Iterator[Document]:
    """Yield each book as a document, a paragraph a line."""
    for path, text in files:
        yield Document(path, "\n\n".join(map(unwrap, paragraphs(normalise(text)))))


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of the body as printed, without title page, notes on the edition and marks of emphasis."""
    if start := _START.search(text):
        text = text[start.end() :]
    found = [block.strip("\n") for block in re.split(r"\n\s*\n", _END.sub("", text)) if block.strip()]
    first = next((at for at, block in enumerate(found) if _is_prose(block)), 0)
    cleaned = (_EMPHASIS.sub(r"\1", _PICTURE.sub("", block)) for block in found[first:] if not _NOTE.search(block))
    return [block for block in cleaned if re.search("[a-z]", block)]


def unwrap(paragraph: str) -> str:
    """Return a paragraph on one line; verse keeps its lines."""
    lines = [line.rstrip() for line in paragraph.split("\n")]
    if len(lines) > 1 and max(map(len, lines)) <= MAX_VERSE_CHARS:
        return "\n".join(lines)
    return " ".join(" ".join(lines).split())


def _is_prose(block: str) -> bool:
    return len(block) >= MIN_PROSE_CHARS and not _NOTE.search(block) and sum(map(str.islower, block)) > 0.6 * len(block)
