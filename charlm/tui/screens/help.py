"""Help: keys and commands."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

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


class HelpScreen(Modal[None]):
    """A list that scrolls: keys as Textual names them, and commands with slash and arguments, each explained."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,f1,enter", "dismiss", "Close", show=False)]

    DEFAULT_CSS = """
    HelpScreen > VerticalScroll { max-width: 84; }
    """

    def __init__(self, bindings: Rows, commands: Rows) -> None:
        super().__init__()
        keys = [(", ".join(format_key(key) for key in keys.split(",")), text) for keys, text in bindings]
        widgets = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
        self.groups: dict[str, Rows] = {
            "Keys": keys,
            "Commands": commands,
            **{title: list(rows.items()) for title, rows in widgets.items()},
        }

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "help"
            scroll.border_subtitle = "Esc closes"
            yield Static()

    def on_resize(self) -> None:
        """Give the left column what it needs, up to two fifths."""
        widest = max(cell_len(one_line(left)) for rows in self.groups.values() for left, _ in rows)
        room = min(84, self.size.width * 9 // 10) - 5
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=min(widest, room * 2 // 5), overflow="fold")
        table.add_column(overflow="fold")
        for title, rows in self.groups.items():
            table.add_row(Text(title, style="bold underline"))
            for left, right in rows:
                table.add_row(Text(one_line(left), style="bold"), Text(one_line(right)))
            table.add_row()
        self.query_one(Static).update(table)
