"""History of sent texts, with the unsent draft at its end."""

from __future__ import annotations

from collections.abc import Sequence


class InputHistory:
    """A position in the sent texts, the oldest first."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.texts = list(texts)
        self._position = len(self.texts)  # the draft's
        self._draft = ""

    def is_at(self, text: str) -> bool:
        """Return whether a text is the one that the last step led to, unchanged."""
        return self._position < len(self.texts) and self.texts[self._position] == text

    def step(self, text: str, by: int) -> str | None:
        """Return the text before (-1) or after (1) the shown one, or None at the end. An edited text is the draft."""
        if not self.is_at(text):
            self._draft, self._position = text, len(self.texts)
        if not 0 <= self._position + by <= len(self.texts):
            return None
        self._position += by
        return self.texts[self._position] if self._position < len(self.texts) else self._draft

    def add(self, text: str) -> None:
        """Add a sent text and return to the end; blanks and repetitions are not added."""
        if text.strip() and self.texts[-1:] != [text]:
            self.texts.append(text)
        self._position, self._draft = len(self.texts), ""
