"""`charlm train --format`: detected or given, shown, and kept by a resume and a fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from charlm.checkpoint import load
from charlm.text.dialogue import Dialogue

from .conftest import HARBOUR, TINY, Charlm, Pipe
from .test_train import stop_at

PLAY = "".join(
    f"{'ANNA' if turn % 2 else 'BEN'}:\nIs that the {turn}th goat, or the one before?\n\n" for turn in range(99)
)
TALK = "\n".join(
    "how are you?\nfine, and you?\nwho is that goat?\n" + "it is mine.\n" * (turn % 3) for turn in range(40)
)
PROSE = "The keeper painted the gate, and when it was dry he painted it again, since it was there. " * 30


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for name, text in (("play", PLAY), ("talk", TALK), ("prose", PROSE)):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def planned(charlm: Charlm, *arguments: Any) -> dict[str, Any]:
    """Return the event that describes the planned run."""
    result = charlm("train", *arguments, "--json", "--steps", "2")
    assert result.code == 0, result.err
    event: dict[str, Any] = json.loads(result.out.splitlines()[0])
    assert event["event"] == "planned"
    return event


def dialogue_of(folder: Path, name: str) -> Dialogue:
    return load(folder / "checkpoints" / f"{name}.safetensors").dialogue


@pytest.mark.parametrize(
    ("text", "form", "dialogue", "detected"),
    [
        ("play", "auto", Dialogue("play", ("BEN", "ANNA")), "play"),
        ("talk", "auto", Dialogue("lines"), "lines"),
        ("prose", "auto", Dialogue(), "plain"),
        ("play", "plain", Dialogue(), "play"),
        ("prose", "play", Dialogue("play"), "plain"),
        ("talk", "transcript", Dialogue("transcript"), "lines"),
    ],
)
def test_format_is_detected_or_given_and_stored(
    charlm: Charlm, texts: Path, text: str, form: str, dialogue: Dialogue, detected: str
) -> None:
    event = planned(charlm, f"{text}.txt", "-o", "m", *TINY, "--format", form)
    assert Dialogue.from_dict(event["dialogue"]) == dialogue_of(texts, "m") == dialogue
    chosen_by = "text" if form == "auto" else "user"
    assert (event["dialogue_chosen_by"], event["dialogue_detected"]) == (chosen_by, detected)
    if dialogue.has_turns:
        assert dialogue.format in charlm("models", "show", "m").out
    primer = dialogue_of(texts, "m").primer
    assert primer.strip() in TALK
    assert bool(primer) == (dialogue.format == "lines")


def test_format_is_read_from_the_environment(charlm: Charlm, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLM_TRAIN_FORMAT", "lines")
    planned(charlm, "prose.txt", "-o", "m", *TINY)
    assert dialogue_of(texts, "m").format == "lines"


@pytest.mark.parametrize("form", ["auto", "transcript"])
@pytest.mark.parametrize("is_cached", [True, False])
def test_resume_keeps_the_format(charlm: Charlm, texts: Path, form: str, is_cached: bool) -> None:
    stop_at(charlm, 3, "train", "play.txt", "-o", "m", *TINY, "--steps", "9", "--quiet", "--format", form)
    before = dialogue_of(texts, "m")
    assert before.format == ("play" if form == "auto" else form)
    run = texts / "checkpoints" / "m.run"
    if not is_cached:
        for path in run.glob("*.ids"):
            path.unlink()
    refused = charlm("train", "--resume", "m", "--format", "lines")
    assert (refused.code, "--format cannot change" in refused.err) == (2, True)
    result = charlm("train", "--resume", "m", "--json")
    assert result.code == 0
    told = [json.loads(line) for line in result.out.splitlines()]
    assert ("cache_rebuilt" in [event["event"] for event in told]) != is_cached
    event = next(event for event in told if event["event"] == "planned")
    assert event["resumed_at"] == 3
    assert Dialogue.from_dict(event["dialogue"]) == dialogue_of(texts, "m") == before
    assert event["dialogue_chosen_by"] == ("text" if form == "auto" else "user")


def test_format_is_detected_in_stdin_and_several_files(charlm: Charlm, texts: Path, pipe: Pipe) -> None:
    pipe(PLAY.encode())
    planned(charlm, "-", "-o", "piped", *TINY)
    assert dialogue_of(texts, "piped").format == "play"
    planned(charlm, "play.txt", HARBOUR, "-o", "both", *TINY)
    assert {"ANNA", "FERRYMAN"} <= set(dialogue_of(texts, "both").names)
    planned(charlm, "prose.txt", "--val-file", "play.txt", "-o", "validated", *TINY)
    assert dialogue_of(texts, "validated") == Dialogue(), "the model learns nothing from the validation text"


def test_fine_tuning_keeps_or_changes_the_format(charlm: Charlm, texts: Path) -> None:
    tuning = ("--lanes", "8", "--chunk", "16", "--precision", "fp32", "--threads", "1")
    planned(charlm, "play.txt", "-o", "base", *TINY)
    base = dialogue_of(texts, "base")
    event = planned(charlm, "prose.txt", "--from", "base", "-o", "kept", *tuning)
    assert (dialogue_of(texts, "kept"), event["dialogue_chosen_by"]) == (base, "base")
    event = planned(charlm, "talk.txt", "--from", "base", "-o", "changed", *tuning)
    assert (dialogue_of(texts, "changed"), event["dialogue_chosen_by"]) == (Dialogue("lines"), "text")
    planned(charlm, HARBOUR, "--from", "base", "-o", "more", *tuning)
    assert dialogue_of(texts, "more").names[-2:] == base.names
    event = planned(charlm, "prose.txt", "--from", "base", "-o", "said", "--format", "plain", *tuning)
    assert (dialogue_of(texts, "said"), event["dialogue_chosen_by"]) == (Dialogue(), "user")
