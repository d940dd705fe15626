"""Which dialogue format a model gets: by what its text shows, what the user says, and what the base model has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from charlm.text.dialogue import MAX_NAMES, Dialogue
from charlm.text.format_detection import DetectedFormat


@dataclass(frozen=True)
class DialogueChoice:
    """The format, and why it is this one.

    Attributes:
        dialogue: the format and its speakers.
        chosen_by: "text", "user" or "base".
        detected: the format that the text seems to have.
    """

    dialogue: Dialogue = field(default_factory=Dialogue)
    chosen_by: str = "text"
    detected: str = "plain"

    def to_dict(self) -> dict[str, Any]:
        """For the run's configuration."""
        return {"dialogue": self.dialogue.to_dict(), "chosen_by": self.chosen_by, "detected": self.detected}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DialogueChoice:
        """Read back what `to_dict` made.

        Raises:
            CheckpointError: it is damaged.
        """
        dialogue = Dialogue.from_dict(document["dialogue"])
        return cls(dialogue, str(document["chosen_by"]), str(document["detected"]))


def choose(heard: DetectedFormat, form: str, base: Dialogue | None) -> DialogueChoice:
    """Decide.

    A model that is fine-tuned on text without turns still knows how to talk, so it keeps its format; and it still knows
    its old speakers, after those of the new text.

    Args:
        heard: what was found in the text.
        form: what the user said; "auto" for nothing.
        base: the format of the model that is fine-tuned, if one is.
    """
    found = heard.dialogue
    chosen_by = "text" if form == "auto" else "user"
    if base is not None and chosen_by == "text" and not found.has_turns and base.has_turns:
        return DialogueChoice(base, "base", heard.detected)
    if base is not None and found.has_names and base.has_names:
        if not found.names and found.format == base.format:
            found = replace(found, colon=base.colon, spaced=base.spaced)
        found = replace(found, names=tuple(dict.fromkeys((*found.names, *base.names)))[:MAX_NAMES])
    return DialogueChoice(found, chosen_by, heard.detected)
