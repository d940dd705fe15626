"""The status line: which model, what it does, how fast, how much it has read.

Owns which fields are shown where there is not room for all. Knows nothing of what they mean.
"""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from charlm.tui.graphemes import one_line, shorten

_GAP = 3  # cells between two fields


class StatusLine(Widget):
    """One line. A field that is None or empty is not shown, and where there is no room the least important ones go."""

    IMPORTANCE: ClassVar = ("state", "model", "note", "turn", "learned", "speed", "characters", "seed")
    """The fields, the most important first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"status--model", "status--state", "status--note"}

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        width: 1fr;
        padding: 0 1;
        background: $panel;
        color: $foreground 75%;
        text-wrap: nowrap;
        & .status--model { color: $text-primary; text-style: bold; }
        & .status--state { color: $foreground; }
        & .status--note { color: $text-warning; }
    }
    """

    model: reactive[str] = reactive("")
    """Its name."""

    state: reactive[str] = reactive("")
    """What it does: "ready", "writing", "loading ..."."""

    speed: reactive[float | None] = reactive(None)
    """Characters a second."""

    characters: reactive[int | None] = reactive(None)
    """That it has read of the conversation."""

    turn: reactive[str] = reactive("")
    """Where the conversation stands: "turn 7  2/3"."""

    learned: reactive[str] = reactive("")
    """How far the model has moved while it learned, and what that saves."""

    seed: reactive[int | None] = reactive(None)
    """Of the random numbers."""

    note: reactive[str | Content] = reactive("")
    """Anything else; content keeps its colours."""

    def fields(self) -> list[tuple[str, str]]:
        """What there is to say, in the order in which it stands on the line: names and texts."""
        speed = None if self.speed is None else f"{self.speed:,.0f} chars/s"
        characters = None if self.characters is None else f"{self.characters:,} characters"
        seed = None if self.seed is None else f"seed {self.seed}"  # to be typed again, so without separators
        found = (
            ("model", self.model),
            ("state", self.state),
            ("turn", self.turn),
            ("learned", self.learned),
            ("speed", speed),
            ("characters", characters),
            ("seed", seed),
            ("note", self.note),
        )
        return [(name, one_line(str(text))) for name, text in found if text]

    def render(self) -> Content:
        """As many fields as there is room for; the state and then the model are cut rather than left out."""
        width = self.content_size.width
        fields = dict(self.fields())
        kept: dict[str, str] = {}
        for name in self.IMPORTANCE:
            if name not in fields:
                continue
            room = width - sum(cell_len(text) + _GAP for text in kept.values())
            if cell_len(fields[name]) <= room:
                kept[name] = fields[name]
            else:
                if name in ("state", "model") and room > 3:
                    kept[name] = shorten(fields[name], room)
                break  # nothing less important is shown in its place
        parts = []
        for name in fields:
            if name == "note" and isinstance(self.note, Content) and name in kept:
                parts.append(self.note)
            elif name in kept:
                known = f"status--{name}" in self.COMPONENT_CLASSES
                style = self.get_visual_style(f"status--{name}", partial=True) if known else ""
                parts.append(Content.styled(kept[name], style))
        return Content(" " * _GAP).join(parts)
