"""A person's text as the model reads it, and as it is shown."""

from __future__ import annotations

from charlm.text.dialogue import Dialogue
from charlm.text.vocabulary import Vocabulary


def fit_text(text: str, dialogue: Dialogue, vocabulary: Vocabulary) -> str:
    """Return a text without what would end the turn, and with unknown characters replaced."""
    # Fitted again, because a replacement may be white space. A model that does not know the end of a turn may use it as
    # a replacement.
    text = replace_unknown(dialogue.fit(replace_unknown(dialogue.fit(text), vocabulary)), vocabulary)
    return text.replace(dialogue.closing, "") if dialogue.closing else text


def replace_unknown(text: str, vocabulary: Vocabulary) -> str:
    """Replace unknown characters, and halves of characters that a terminal has cut."""
    return vocabulary.replace_unknown(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
