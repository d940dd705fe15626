"""The panel of the chat's settings: presets, one row per setting, and the seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.reactive import reactive

from charlm.errors import CharlmError
from charlm.tui.messages import CommandChosen
from charlm.tui.textual_internals import run_bindings

if TYPE_CHECKING:
    from charlm.config import ChatConfig
    from charlm.tui.widgets.dial_rows import PanelRow


class DialsPanel(VerticalScroll, inherit_bindings=False):
    """All settings, changed by keys, mouse and typed numbers. Its rows are made when settings are first shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("home", "move(-100)", "First", show=False),
        Binding("end", "move(100)", "Last", show=False),
        Binding("left,minus", "step(-1)", "Less", show=False),
        Binding("right,plus,equals_sign", "step(1)", "More", show=False),
        Binding("enter,space", "accept", "Set", show=False),
        Binding("escape", "cancel", "Discard the typed value", show=False),
        Binding("backspace", "delete_character", "Delete a character", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
    ]

    DEFAULT_CSS = """
    DialsPanel {
        padding: 0 1;
        scrollbar-size-vertical: 1;
        &:focus .-current { background: $block-hover-background; }
        & PanelRow { height: auto; width: 1fr; }
        & PresetsRow { margin-bottom: 1; }
    }
    """

    BORDER_TITLE = "dials"
    BORDER_SUBTITLE = "left, right or a number"

    presets: reactive[Mapping[str, Mapping[str, float]]] = reactive(dict, init=False)  # values by name

    @dataclass
    class Changed(Message):
        """The user changed a setting."""

        dials: ChatConfig

    def __init__(self) -> None:
        super().__init__(id="dials", disabled=True)
        self._dials: ChatConfig | None = None
        self._rows: list[PanelRow] = []
        self._index = 1

    def watch_presets(self) -> None:
        if self._dials is not None:
            self.show(self._dials)

    def on_blur(self) -> None:
        self._row.typed = None

    # -- what is shown ------------------------------------------------------------------------------------------------

    def show(self, dials: ChatConfig, seed: int | None = None) -> None:
        """Show the settings, without posting a message. Without a seed, the shown one stays."""
        if not self._rows:
            from charlm.tui.widgets.dial_rows import make_rows

            self._rows = make_rows()
            self._row.current = True
            self.mount_all(self._rows)
            self.disabled = False
        self._dials = dials
        for row in self._rows:
            row.show(dials, seed, self.presets)

    @property
    def _row(self) -> PanelRow:
        return self._rows[self._index]

    def _select(self, index: int) -> None:
        self._row.current, self._row.typed, self._row.problem = False, None, ""
        self._index = min(max(0, index), len(self._rows) - 1)
        self._row.current = True
        self.scroll_to_widget(self._row, animate=False)

    # -- keys and mouse -----------------------------------------------------------------------------------------------

    async def on_key(self, event: events.Key) -> None:
        """Type a character of a value; every other key is a binding."""
        row = self._row
        is_typed = event.character is not None and event.character in row.allowed
        if event.character is None or not is_typed or (event.character == " " and not row.typed):
            await run_bindings(self, event)
            return
        event.stop()
        row.problem = ""
        row.typed = ((row.typed or "") + event.character)[: row.max_typed]

    def on_click(self, event: events.Click) -> None:
        for index, row in enumerate(self._rows):
            if row is event.widget:
                self._select(index)
                meta = event.style.meta
                self._set(row.step(meta["by"]) if "by" in meta else meta.get("text"))

    def action_move(self, by: int) -> None:
        """Select another row, unless the typed value of this one is wrong."""
        if self._commit():
            self._select(self._index + by)

    def action_step(self, by: int) -> None:
        if self._commit():
            self._set(self._row.step(by))

    def action_accept(self) -> None:
        """Set the typed value; apply the chosen preset; remove the clamps; draw a seed."""
        if self._row.typed is not None:
            self._commit()
        else:
            self._set(self._row.text_on_enter())

    def action_delete_character(self) -> None:
        if self._row.typed is None:
            raise SkipAction
        self._row.typed = self._row.typed[:-1]

    def action_cancel(self) -> None:
        """Discard the typed value; if there is none, Escape is a key of the app."""
        if self._row.typed is None and not self._row.problem:
            raise SkipAction
        self._row.typed, self._row.problem = None, ""

    def _commit(self) -> bool:
        """Set the typed value, if there is one; return False if it is wrong."""
        text, self._row.typed = self._row.typed, None
        return self._set(text or None)

    def _set(self, text: str | None) -> bool:
        """Set the value of the current row, unless it is None; return False if it is wrong."""
        row, dials = self._row, self._dials
        if text is None or dials is None:
            return True
        row.problem = ""
        try:
            if row.is_command:
                row.accept(text)
                self.post_message(CommandChosen(f"/{row.name} {text}"))
            elif (changed := dials.with_text(str(row.name), text)) != dials:
                self.show(changed)
                self.post_message(self.Changed(changed))
        except CharlmError as error:
            row.problem = error.message
            return False
        return True
