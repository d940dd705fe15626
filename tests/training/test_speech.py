"""A model's dialogue format: the user's word, then the text's own, then the base model's."""

from __future__ import annotations

import pytest

from charlm.errors import CheckpointError
from charlm.text.detection import Heard
from charlm.text.dialogue import COLONS, FORMATS, MAX_NAMES, Dialogue
from charlm.training.speech import Speech, settle

PLAY = Dialogue("play", ("ANNA", "BEN"))
BASE = Dialogue("play", ("CLEO", "BEN"), "：")


@pytest.mark.parametrize("dialogue", [Dialogue(), Dialogue("lines"), Dialogue("transcript", ("A",)), PLAY])
def test_a_new_model_has_what_was_found_or_said(dialogue: Dialogue) -> None:
    for form, chosen_by in (("auto", "text"), (dialogue.format, "user")):
        assert settle(Heard(dialogue, dialogue.format), form, None) == Speech(dialogue, chosen_by, dialogue.format)
        # A base that knows no turns has nothing to add.
        assert settle(Heard(dialogue, dialogue.format), form, Dialogue()).dialogue == dialogue


@pytest.mark.parametrize("base", [Dialogue("lines"), BASE])
def test_a_base_keeps_its_format_where_the_text_has_none_and_nothing_is_said(base: Dialogue) -> None:
    assert settle(Heard(Dialogue(), "plain"), "auto", base) == Speech(base, "base", "plain")
    assert settle(Heard(Dialogue(), "plain"), "plain", base) == Speech(Dialogue(), "user", "plain")
    assert settle(Heard(Dialogue("lines"), "plain"), "lines", base) == Speech(Dialogue("lines"), "user", "plain")


def test_a_new_format_replaces_the_base_s_but_old_speakers_are_still_known() -> None:
    settled = settle(Heard(PLAY, "play"), "auto", BASE)
    assert settled == Speech(Dialogue("play", ("ANNA", "BEN", "CLEO")), "text", "play")
    other = settle(Heard(PLAY, "play"), "auto", Dialogue("transcript", ("Dan",)))
    assert other.dialogue == Dialogue("play", ("ANNA", "BEN", "Dan"))
    assert settle(Heard(Dialogue("lines"), "lines"), "auto", BASE).dialogue == Dialogue("lines")
    many = Dialogue("play", tuple(f"G{number}" for number in range(MAX_NAMES)))
    assert settle(Heard(PLAY, "play"), "auto", many).dialogue.names == (*PLAY.names, *many.names[:-2])


def test_a_format_said_of_a_text_without_speakers_is_written_as_the_base_did() -> None:
    assert settle(Heard(Dialogue("play"), "plain"), "play", BASE) == Speech(BASE, "user", "plain")
    spaced = Dialogue("transcript", ("A",), COLONS[2], spaced=True)
    assert settle(Heard(Dialogue("transcript"), "plain"), "transcript", spaced).dialogue == spaced
    assert settle(Heard(Dialogue("play"), "plain"), "play", spaced).dialogue == Dialogue("play", ("A",))


@pytest.mark.parametrize("form", FORMATS)
def test_what_a_run_keeps_is_read_back(form: str) -> None:
    speech = Speech(Dialogue(form, colon="："), "user", "lines")
    assert Speech.from_dict(speech.to_dict()) == speech
    with pytest.raises(CheckpointError):
        Speech.from_dict({**speech.to_dict(), "dialogue": {"format": "sonnet", "names": []}})
