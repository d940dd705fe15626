"""Help: keys and commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.keys import format_key
from textual.widgets import Static

from charlm.tui.graphemes import one_line
from charlm.tui.screens.modal import Modal

Rows = Sequence[tuple[str, str]]

WIDGETS: Final[Sequence[tuple[str, Rows]]] = (
    (
        "Where you write",
        (
            ("Enter", "send; in an empty field, let the model go on"),
            ("ctrl+j", "a new line; also shift+Enter and alt+Enter, where the terminal knows them"),
            ("up, down", "in an empty field: texts that you sent before"),
            ("/", "a command; Tab or Enter completes it"),
        ),
    ),
    (
        "Panels",
        (
            ("Tab", "to an open panel, whose border is heavy then; and on, back to where you write"),
            ("Esc", "closes all panels"),
        ),
    ),
    (
        "Dials",
        (
            ("up, down", "another dial"),
            ("left, right", "less, more; also - and +"),
            ("a number", "typed, then Enter, sets the dial to it"),
            ("Enter", "on a preset applies it, on the seed draws a new one"),
        ),
    ),
    (
        "X-ray",
        (
            ("up, down", "another strip: a gate or the memory, over the units of a layer"),
            ("left, right", "another unit; with ctrl, those under another cell of the strip"),
            ("Enter", "pins the unit: it colours the whole conversation; once more lets it go"),
            ("layer:unit", "typed, then Enter, pins that unit"),
            ("a, c", "hold the unit's memory at 0, or at its value, while the model writes"),
            ("=value", "typed, then Enter, holds it there"),
            ("u", "lets all units go again"),
        ),
    ),
    (
        "Conversations",
        (
            ("Enter", "open"),
            ("/", "search"),
            ("n, r, delete", "new, rename, delete"),
        ),
    ),
    (
        "Alternatives",
        (("1 to 9", "put that one in the character's place, and go on from there"),),
    ),
)


class HelpScreen(Modal[None]):
    """A list that scrolls.

    Args:
        bindings: keys as Textual names them, with an explanation each.
        commands: with slash and arguments, with an explanation each.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,f1,enter", "dismiss", "Close", show=False)]

    DEFAULT_CSS = """
    HelpScreen > VerticalScroll { max-width: 84; }
    """

    def __init__(self, bindings: Rows, commands: Rows) -> None:
        super().__init__()
        keys = [(", ".join(format_key(key) for key in keys.split(",")), text) for keys, text in bindings]
        self.groups = [("Keys", keys), ("Commands", list(commands)), *WIDGETS]

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "help"
            scroll.border_subtitle = "Esc closes"
            yield Static()

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def on_resize(self) -> None:
        """Give the left column what it needs, up to two fifths."""
        widest = max(cell_len(one_line(left)) for _, rows in self.groups for left, _ in rows)
        room = min(84, self.size.width * 9 // 10) - 5
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=min(widest, room * 2 // 5), overflow="fold")
        table.add_column(overflow="fold")
        for title, rows in self.groups:
            table.add_row(Text(title, style="bold underline"))
            for left, right in rows:
                table.add_row(Text(one_line(left), style="bold"), Text(one_line(right)))
            table.add_row()
        self.query_one(Static).update(table)
