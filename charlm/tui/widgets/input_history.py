"""What was sent before, one step at a time; the text that was being written waits at the end."""

from __future__ import annotations

from collections.abc import Sequence


class InputHistory:
    """A walk through the past.

    Args:
        past: what was sent, the oldest first.

    Attributes:
        past: what was sent, the oldest first.
    """

    def __init__(self, past: Sequence[str] = ()) -> None:
        self.past = list(past)
        self._place = len(self.past)  # the draft's
        self._draft = ""

    def shows(self, text: str) -> bool:
        """Whether a text is what the walk has led to, unchanged."""
        return self._place < len(self.past) and self.past[self._place] == text

    def step(self, text: str, by: int) -> str | None:
        """Go on from a text.

        Args:
            text: that is shown now; if the walk did not lead there, it is kept as the draft.
            by: -1 for what was sent before, 1 for what was sent after.

        Returns:
            The text to show; None at either end.
        """
        if not self.shows(text):
            self._draft, self._place = text, len(self.past)
        if not 0 <= self._place + by <= len(self.past):
            return None
        self._place += by
        return self.past[self._place] if self._place < len(self.past) else self._draft

    def add(self, text: str) -> None:
        """Something was sent; the walk begins anew."""
        if text.strip() and self.past[-1:] != [text]:
            self.past.append(text)
        self._place, self._draft = len(self.past), ""
