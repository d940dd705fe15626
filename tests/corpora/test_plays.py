"""A cleaned play consists of speeches only."""

from __future__ import annotations

import pytest

from charlm.corpora import plays
from charlm.corpora.documents import CleaningReport
from charlm.text.format_detection import detect

PLAY = r"""# The Ferry

## ACT I

### Prologue

Two shores, alike in water and in mud.

### SCENE I. The harbour. A lamp.

_Enter FERRYMAN and BOY, with a crab, the crab in a
basket, and a Captain_

**FERRYMAN**@@
Good morning, boy.@@
The tide is\--look--upon the turn.

**BOY**@@
_\[Aside]_@@
He says so every day.

_Rings the bell_

And every day it is.

**Captain & BOY**@@
Over, over!

*Exeunt.*

EPILOGUE

**CAPTAIN OF THE GREY HERON & HARBOURMASTER OF LOWHAVEN**@@
Stay, &amp; c.

_Exeunt_
""".replace("@@", "  ")  # two spaces end a line in Markdown


def test_play_keeps_only_speeches(report: CleaningReport) -> None:
    assert plays.play(PLAY, report) == (
        "Prologue:\nTwo shores, alike in water and in mud.\n\n"
        "FERRYMAN:\nGood morning, boy.\nThe tide is--look--upon the turn.\n\n"
        "BOY:\nHe says so every day.\nAnd every day it is.\n\n"
        "Captain and BOY:\nOver, over!\n\n"
        "Both:\nStay, &c."
    )
    assert report.removed["stage directions"][0] == 5
    assert report.removed["headings"][0] == 5
    assert report.changed["long lists of speakers shortened"] == 1


def test_speaker_cut_in_two_is_joined(report: CleaningReport) -> None:
    text = "**BOY**\nWho comes?\nBISHOP\n\n**OF LOWHAVEN**\nI do.\n\n_Enter the Ghost_\n\n**of a crab**\nAnd I."
    assert plays.play(text, report) == "BOY:\nWho comes?\n\nBISHOP OF LOWHAVEN:\nI do.\n\nGhost of a crab:\nAnd I."
    assert report.changed["speakers' names joined"] == 2


@pytest.mark.parametrize(
    "words",
    [
        "_Takes the bread\nStop!",
        "Stop!\n_Takes the bread",
        "[Within]_\nStop!",
        "\\[To the crab]\nStop!",
        "Stop! _Takes the bread_",
        "__\\[ ]_ Stop!",
    ],
)
def test_open_stage_direction_ends_with_its_paragraph(words: str, report: CleaningReport) -> None:
    found = plays.play(f"**BOY**\n{words}\n\n**CRAB**\nNever.\n\n**BOY**\nEver.", report)
    assert found.endswith("CRAB:\nNever.\n\nBOY:\nEver.")
    assert not set(found) & set("_[]\\*")
    assert report.removed["stage directions"][0] == 1


def test_lines_without_a_speaker_are_removed(report: CleaningReport) -> None:
    found = plays.play(
        "attending on a barge\n\n1\\. Two trumpets\nand a drum\n\n**BOY**\nWell.\n\n**CRAB**\n_Exit_", report
    )
    assert found == "BOY:\nWell."
    assert report.removed["lines without a speaker"] == [1, len("attending on a barge")]


def test_source_errors_are_repaired(report: CleaningReport) -> None:
    assert plays.play("**SU FFOLK**\nsha$l I?\n\n**BOY**\nYes.", report) == "SUFFOLK:\nshall I?\n\nBOY:\nYes."
    assert report.changed["errors of the source corrected"] == 2


def test_options_leave_out_and_hold_out_by_name(report: CleaningReport) -> None:
    files = [(f"plays/{name}.md", f"**{name.upper()}**\nI speak.") for name in ("ant", "bee", "cow", "dog")]
    found = plays.documents(files, report, leave_out=["bee"], held_out=["cow", "ant"])
    assert [(document.name, document.last) for document in found] == [("dog", False), ("cow", True), ("ant", True)]
    assert report.removed["plays left out"][0] == 1


def test_cleaned_play_is_detected_as_a_play(report: CleaningReport) -> None:
    text = "\n\n".join(f"**{name}**\nWhat say you, number {at}?" for at in range(20) for name in ("BOY", "CRAB"))
    assert detect(plays.play(text, report)).format == "play"
