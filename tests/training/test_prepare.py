"""A model's dialogue format: the user's word, then the text's own, then the base model's."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from charlm.config import FORMATS
from charlm.errors import CheckpointError
from charlm.text.dialogue import COLONS, MAX_NAMES, Dialogue
from charlm.text.format_detection import DetectedFormat
from charlm.training.prepare import DialogueChoice, choose_dialogue

PLAY = Dialogue("play", ("ANNA", "BEN"))
BASE = Dialogue("play", ("CLEO", "BEN"), "：")


def choose(dialogue: Dialogue, detected: str, requested: str, base: Dialogue | None) -> DialogueChoice:
    return choose_dialogue(DetectedFormat(dialogue, detected), requested, base)


@pytest.mark.parametrize("dialogue", [Dialogue(), Dialogue("lines"), Dialogue("transcript", ("A",)), PLAY])
def test_new_model_gets_detected_or_requested_format(dialogue: Dialogue) -> None:
    for format_name, chosen_by in (("auto", "text"), (dialogue.format, "user")):
        assert choose(dialogue, dialogue.format, format_name, None) == DialogueChoice(
            dialogue, chosen_by, dialogue.format
        )
        # A base that knows no turns has nothing to add.
        assert choose(dialogue, dialogue.format, format_name, Dialogue()).dialogue == dialogue


@pytest.mark.parametrize("base", [Dialogue("lines"), BASE])
def test_base_format_stays_for_text_without_turns(base: Dialogue) -> None:
    assert choose(Dialogue(), "plain", "auto", base) == DialogueChoice(base, "base", "plain")
    assert choose(Dialogue(), "plain", "plain", base) == DialogueChoice(Dialogue(), "user", "plain")
    assert choose(Dialogue("lines"), "plain", "lines", base) == DialogueChoice(Dialogue("lines"), "user", "plain")


def test_new_format_replaces_base_format_but_keeps_speakers() -> None:
    settled = choose(PLAY, "play", "auto", BASE)
    assert settled == DialogueChoice(Dialogue("play", ("ANNA", "BEN", "CLEO")), "text", "play")
    other = choose(PLAY, "play", "auto", Dialogue("transcript", ("Dan",)))
    assert other.dialogue == Dialogue("play", ("ANNA", "BEN", "Dan"))
    assert choose(Dialogue("lines"), "lines", "auto", BASE).dialogue == Dialogue("lines")
    many = Dialogue("play", tuple(f"G{number}" for number in range(MAX_NAMES)))
    assert choose(PLAY, "play", "auto", many).dialogue.names == (*PLAY.names, *many.names[:-2])


def test_requested_format_without_speakers_uses_base_colon() -> None:
    assert choose(Dialogue("play"), "plain", "play", BASE) == DialogueChoice(BASE, "user", "plain")
    spaced = Dialogue("transcript", ("A",), COLONS[2], spaced=True)
    assert choose(Dialogue("transcript"), "plain", "transcript", spaced).dialogue == spaced
    assert choose(Dialogue("play"), "plain", "play", spaced).dialogue == Dialogue("play", ("A",))


@pytest.mark.parametrize("format_name", FORMATS)
def test_dialogue_choice_survives_its_document(format_name: str) -> None:
    choice = DialogueChoice(Dialogue(format_name, colon="："), "user", "lines")
    document = json.loads(json.dumps(asdict(choice)))
    assert DialogueChoice.from_dict(document) == choice
    with pytest.raises(CheckpointError):
        DialogueChoice.from_dict({**document, "dialogue": {"format": "sonnet", "names": []}})
