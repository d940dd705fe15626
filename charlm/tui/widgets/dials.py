"""The dials, a row each, and the presets.

Owns turning and typing. Which values are allowed, the dials themselves say; what happens when one is turned, the app
decides.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from textual import events
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.reactive import reactive

from charlm.config import ChatConfig
from charlm.errors import CharlmError
from charlm.tui.textual_internals import run_bindings
from charlm.tui.widgets.dial_rows import MOST_SEED, DialRow, HeldRow, PanelRow, PresetsRow, SeedRow
from charlm.tui.widgets.slider_scale import SCALES

_TYPED: Final = frozenset("0123456789.")
_TYPED_HELD: Final = _TYPED | frozenset(":=,-+ ")


class DialsPanel(VerticalScroll, inherit_bindings=False):
    """All dials.

    Attributes:
        presets: by name, the values that each sets.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("home", "move(-100)", "First", show=False),
        Binding("end", "move(100)", "Last", show=False),
        Binding("left,minus", "turn(-1)", "Less", show=False),
        Binding("right,plus,equals_sign", "turn(1)", "More", show=False),
        Binding("enter,space", "accept", "Set", show=False),
        Binding("escape", "give_up", "Leave as it was", show=False),
        Binding("backspace", "rub_out", "Delete a digit", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
    ]

    DEFAULT_CSS = """
    DialsPanel {
        width: 34;
        border: round $border-blurred;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
        padding: 0 1;
        background: $surface;
        scrollbar-size-vertical: 1;
        &:focus { border: round $border; }
        &:focus .-current { background: $block-hover-background; }
        & Row { height: auto; width: 1fr; }
        & PresetsRow { margin-bottom: 1; }
    }
    """

    presets: reactive[Mapping[str, Mapping[str, Any]]] = reactive(dict, init=False)

    class Changed(Message):
        """A person has turned a dial.

        Attributes:
            dials: as they now stand.
        """

        def __init__(self, dials: ChatConfig) -> None:
            super().__init__()
            self.dials = dials

    class Reseeded(Message):
        """A person wants other random numbers.

        Attributes:
            seed: to begin them with.
        """

        def __init__(self, seed: int) -> None:
            super().__init__()
            self.seed = seed

    class PresetChosen(Message):
        """A person has chosen a preset; the panel waits to be shown what that makes of the dials.

        Attributes:
            name: of it.
        """

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.border_title = "dials"
        self.border_subtitle = "left, right or a number"
        self._dials: ChatConfig | None = None
        self._presets = PresetsRow()
        self._held = HeldRow()
        self._seed = SeedRow()
        self._rows: list[PanelRow] = [self._presets, *map(DialRow, SCALES), self._held, self._seed]
        self._place = 1
        self._row.current = True

    def compose(self) -> ComposeResult:
        """The rows."""
        yield from self._rows

    def watch_presets(self) -> None:
        """Other presets."""
        self._presets.names = tuple(self.presets)
        self._presets.chosen = 0
        self._mark_active()

    def on_blur(self) -> None:
        """What is half typed is given up."""
        self._row.typed = None

    # -- what is shown ------------------------------------------------------------------------------------------------

    def show(self, dials: ChatConfig, seed: int) -> None:
        """Show how the dials stand; nothing is posted."""
        self._dials = dials
        for row in self._dial_rows():
            row.value = getattr(dials, row.scale.name)
        self._held.value = dials.clamp
        self._seed.value = seed
        self._mark_active()

    def _dial_rows(self) -> Iterator[DialRow]:
        return (row for row in self._rows if isinstance(row, DialRow))

    def _mark_active(self) -> None:
        matches = [
            name
            for name, values in self.presets.items()
            if all(getattr(self._dials, key.replace("-", "_"), None) == value for key, value in values.items())
        ]
        self._presets.active = matches[0] if matches else ""

    @property
    def _row(self) -> PanelRow:
        return self._rows[self._place]

    def _go(self, place: int) -> None:
        self._row.current, self._row.typed, self._row.problem = False, None, ""
        self._place = min(max(0, place), len(self._rows) - 1)
        self._row.current = True
        self.scroll_to_widget(self._row, animate=False)

    # -- keys and mouse -----------------------------------------------------------------------------------------------

    async def on_key(self, event: events.Key) -> None:
        """Digits are a value that is being typed."""
        row = self._row
        typed = _TYPED_HELD if isinstance(row, HeldRow) and (row.typed or event.character != " ") else _TYPED
        if event.character is None or event.character not in typed or isinstance(row, PresetsRow):
            await run_bindings(self, event)
            return
        event.stop()
        row.problem = ""
        row.typed = ((row.typed or "") + event.character)[: 60 if isinstance(row, HeldRow) else 20]

    def on_click(self, event: events.Click) -> None:
        """On a minus, a plus, a place of the bar, or a preset."""
        row, meta = event.widget, event.style.meta
        if not isinstance(row, PanelRow):
            return
        self._go(self._rows.index(row))
        if "by" in meta:
            self.action_turn(meta["by"])
        elif "at" in meta and isinstance(row, DialRow):
            self._set(row, f"{row.scale.at(meta['at']):g}")
        elif "preset" in meta and isinstance(row, PresetsRow):
            row.chosen = row.names.index(meta["preset"])
            self.action_accept()
        elif "new" in meta:
            self.action_accept()

    def action_move(self, by: int) -> None:
        """To another row; what was typed is set first, and where it cannot be, the row is not left."""
        if self._commit():
            self._go(self._place + by)

    def action_turn(self, by: int) -> None:
        """A step less, or more."""
        row = self._row
        if not self._commit():
            return
        text = row.stepped(by)
        if isinstance(row, PresetsRow):
            row.chosen = row.names.index(text) if text is not None else row.chosen
        elif text is not None:
            self._set(row, text)

    def action_accept(self) -> None:
        """Set what was typed; apply the preset; draw a new seed."""
        row = self._row
        if row.typed is not None:
            self._commit()
        elif isinstance(row, PresetsRow) and row.names:
            self.post_message(self.PresetChosen(row.names[row.chosen]))
        elif isinstance(row, HeldRow):
            self._set(row, "off")
        elif isinstance(row, SeedRow):
            self._set(row, str(random.getrandbits(32)))

    def action_rub_out(self) -> None:
        """Take back a digit."""
        if self._row.typed is None:
            raise SkipAction
        self._row.typed = self._row.typed[:-1]

    def action_give_up(self) -> None:
        """Forget what was typed; if nothing was, Escape is a key for others."""
        if self._row.typed is None and not self._row.problem:
            raise SkipAction
        self._row.typed, self._row.problem = None, ""

    def _commit(self) -> bool:
        """Set what was typed, if anything was; false if it cannot be."""
        text, self._row.typed = self._row.typed, None
        return self._set(self._row, text) if text else True

    def _set(self, row: PanelRow, text: str) -> bool:
        row.problem = ""
        if isinstance(row, SeedRow):
            if not text.isdecimal() or int(text) > MOST_SEED:
                row.problem = f"{text!r} is no seed: it is a whole number below 2^63"
                return False
            row.value = int(text)
            self.post_message(self.Reseeded(row.value))
        elif isinstance(row, DialRow | HeldRow) and self._dials is not None:
            try:
                dials = self._dials.with_text("clamp" if isinstance(row, HeldRow) else row.scale.name, text)
            except CharlmError as error:
                row.problem = error.message
                return False
            if dials != self._dials:
                self.show(dials, self._seed.value)
                self.post_message(self.Changed(dials))
        return True
