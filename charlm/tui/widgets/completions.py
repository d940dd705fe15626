"""The list of completions above the prompt. It never has the focus; the prompt handles its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import on
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from charlm.tui.graphemes import one_line
from charlm.tui.textual_internals import TolerantList

COMPLETION_CELLS: Final = 14  # a longer completion pushes its explanation to the right


def choices(
    text: str, commands: Sequence[tuple[str, str]], complete_argument: Callable[[str, str], Iterable[str]] | None
) -> list[tuple[str, str]]:
    """Return the completions of a line that begins with a slash, with an explanation each.

    These are the commands with that beginning, an exact match first; without one, commands that contain the text.
    """
    if not text.startswith("/") or "\n" in text:
        return []
    command, space, beginning = text[1:].partition(" ")
    if space:
        found = complete_argument(command, beginning.lstrip()) if complete_argument is not None else ()
        rest = [(f"/{command} {one}", "") for one in dict.fromkeys(found)]
        return rest if [one for one, _ in rest] != [text] else []
    wanted = command.casefold()
    rows = sorted((row for row in commands if row[0].casefold().startswith(wanted)), key=lambda row: row[0] != command)
    rows = rows or [row for row in commands if wanted in row[0].casefold()]
    return [(f"/{one}", help_text) for one, help_text in rows]


class Completions(TolerantList, can_focus=False):
    """Is mounted before the prompt in a vertical layout, takes no room, and is drawn over the widget above.

    It calls `take` with a clicked completion.
    """

    DEFAULT_CSS = """
    Completions {
        display: none;
        overlay: screen;
        offset-y: -100%;
        constrain: inside inside;
        width: 100%;
        max-height: 8;
        border: round $border-blurred;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        scrollbar-size-vertical: 1;
        &.-open { display: block; }
        & > .option-list--option-highlighted {
            color: $block-cursor-foreground;
            background: $block-cursor-background;
            text-style: $block-cursor-text-style;
        }
    }
    """

    ALLOW_SELECT: ClassVar = False

    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__(markup=False)
        self._take = take

    def show(self, rows: Sequence[tuple[str, str]]) -> None:
        """Show rows of text and explanation; without rows, close."""
        self.set_class(bool(rows), "-open")
        left = [one_line(text) for text, _ in rows]
        width = min(max(map(cell_len, left), default=0), COMPLETION_CELLS)
        options = []
        for text, (completion, help_text) in zip(left, rows, strict=True):
            padding = " " * max(2, width - cell_len(text) + 2)
            options.append(Option(Content.assemble(text + padding, (one_line(help_text), "dim")), id=completion))
        self.set_options(options)
        self.highlighted = 0 if rows else None

    @property
    def highlighted_text(self) -> str:
        option = self.highlighted_option
        return "" if option is None else option.id or ""

    def move(self, by: int) -> None:
        """Highlight another row, from the last on to the first."""
        if self.option_count:
            self.highlighted = ((self.highlighted or 0) + by) % self.option_count

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._take(event.option.id or "")
