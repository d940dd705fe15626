"""A person's text as the model reads it, and as it is shown."""

from __future__ import annotations

from charlm.text.dialogue import Dialogue
from charlm.text.sanitize import replace_lone_surrogates
from charlm.text.vocabulary import Vocabulary


def fit_text(text: str, dialogue: Dialogue, vocabulary: Vocabulary) -> str:
    """Return a text without what would end the turn, and with unknown characters replaced."""
    # Fitted again, because a replacement may be white space. A model that does not know the end of a turn may use it as
    # a replacement.
    text = replace_unknown(dialogue.fit(replace_unknown(dialogue.fit(text), vocabulary)), vocabulary)
    return text.replace(dialogue.closing, "") if dialogue.closing else text


def replace_unknown(text: str, vocabulary: Vocabulary) -> str:
    """Replace unknown characters and lone surrogates."""
    return vocabulary.replace_unknown(replace_lone_surrogates(text))
