"""Chooses a model's dialogue format from its text, the user's option and the base model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from charlm.text.dialogue import MAX_NAMES, Dialogue
from charlm.text.format_detection import DetectedFormat


@dataclass(frozen=True)
class DialogueChoice:
    """A format and the reason for it."""

    dialogue: Dialogue = field(default_factory=Dialogue)
    chosen_by: str = "text"  # "text", "user" or "base"
    detected: str = "plain"  # the format that the text seems to have

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DialogueChoice:
        """Return the choice of a run's config.json.

        Raises:
            CheckpointError: the document is damaged.
        """
        dialogue = Dialogue.from_dict(document["dialogue"])
        return cls(dialogue, str(document["chosen_by"]), str(document["detected"]))


def choose(found: DetectedFormat, requested: str, base: Dialogue | None) -> DialogueChoice:
    """Choose the format of a model.

    A model that is fine-tuned on text without turns keeps its format. With named turns it keeps its speakers, after
    those of the new text.

    Args:
        found: format of the text.
        requested: the user's option, or "auto".
        base: format of the model that is fine-tuned.
    """
    dialogue = found.dialogue
    chosen_by = "text" if requested == "auto" else "user"
    if base is not None and chosen_by == "text" and not dialogue.has_turns and base.has_turns:
        return DialogueChoice(base, "base", found.detected)
    if base is not None and dialogue.has_names and base.has_names:
        if not dialogue.names and dialogue.format == base.format:
            dialogue = replace(dialogue, colon=base.colon, spaced=base.spaced)
        dialogue = replace(dialogue, names=tuple(dict.fromkeys((*dialogue.names, *base.names)))[:MAX_NAMES])
    return DialogueChoice(dialogue, chosen_by, found.detected)
