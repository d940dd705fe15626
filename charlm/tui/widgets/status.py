"""The status line: the model, its state, its speed, the size of the context.

Owns which texts are shown where there is not enough room for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from charlm.tui.graphemes import one_line, shorten

_GAP = 3  # cells between two texts
_STYLES = {"model": "$text-primary bold", "state": "$foreground", "note": "$text-warning"}
_ORDER = ("model", "state", "turn", "learned", "speed", "characters", "seed", "note")


class StatusLine(Widget):
    """One line. The least important texts are left out where there is no room."""

    IMPORTANCE: ClassVar = ("state", "model", "note", "turn", "learned", "speed", "characters", "seed")

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        width: 1fr;
        padding: 0 1;
        background: $panel;
        color: $foreground 75%;
        text-wrap: nowrap;
    }
    """

    texts: reactive[Mapping[str, str | Content]] = reactive(dict)

    def show(self, **texts: str | Content) -> None:
        """Change some of the texts, by their names; an empty one is not shown, and content keeps its colours."""
        assert texts.keys() <= set(_ORDER)
        self.texts = {**self.texts, **texts}

    def render(self) -> Content:
        """As many texts as there is room for; the state and the model are cut rather than left out."""
        room = self.content_size.width
        kept: dict[str, Content] = {}
        for name in self.IMPORTANCE:
            original = self.texts.get(name, "")
            text = one_line(str(original))
            if not text:
                continue
            if cell_len(text) > room:
                if name not in ("state", "model") or room <= _GAP:
                    break  # nothing less important is shown in its place
                text = shorten(text, room)
            kept[name] = original if isinstance(original, Content) else Content.styled(text, _STYLES.get(name, ""))
            room -= cell_len(text) + _GAP
        return Content(" " * _GAP).join([kept[name] for name in _ORDER if name in kept])
