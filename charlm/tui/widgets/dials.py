"""The panel of the chat's settings: presets, one row per setting, and the seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.reactive import reactive

from charlm.config import ChatConfig, SamplingConfig
from charlm.errors import CharlmError
from charlm.settings import settings_of
from charlm.tui.messages import CommandChosen
from charlm.tui.textual_internals import run_bindings
from charlm.tui.widgets.dial_rows import ClampRow, DialRow, PanelRow, PresetsRow, SeedRow, SettingRow


class DialsPanel(VerticalScroll, inherit_bindings=False):
    """All settings, changed by keys, mouse and typed numbers."""

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
        super().__init__(id="dials")
        self._dials: ChatConfig | None = None
        self._presets = PresetsRow()
        dials = [DialRow(one) if one.setting.stops else ClampRow(one) for one in settings_of(ChatConfig)]
        self._seed = SeedRow(next(one for one in settings_of(SamplingConfig) if one.name == "seed"))
        self._rows: list[PanelRow] = [self._presets, *dials, self._seed]
        self._index = 1
        self._row.current = True

    def compose(self) -> ComposeResult:
        yield from self._rows

    def watch_presets(self) -> None:
        self._presets.names = tuple(self.presets)
        self._presets.chosen = 0
        self._mark_active_preset()

    def on_blur(self) -> None:
        self._row.typed = None

    # -- what is shown ------------------------------------------------------------------------------------------------

    def show(self, dials: ChatConfig, seed: int) -> None:
        """Show the settings, without posting a message."""
        self._dials = dials
        for row in self._rows:
            if isinstance(row, SettingRow):
                row.value = seed if row is self._seed else getattr(dials, row.setting.name)
        self._mark_active_preset()

    def _mark_active_preset(self) -> None:
        dials = self._dials
        self._presets.active = next((name for name, values in self.presets.items() if _has(dials, values)), "")

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
        row, meta = event.widget, event.style.meta
        if not isinstance(row, PanelRow):
            return
        self._select(self._rows.index(row))
        if "by" in meta:
            self.action_step(meta["by"])
        elif "position" in meta and isinstance(row, DialRow):
            self._set(row, f"{row.scale.stop_at(meta['position']):g}")
        elif "preset" in meta and isinstance(row, PresetsRow):
            row.chosen = row.names.index(meta["preset"])
            self.action_accept()
        elif "is_new" in meta:
            self.action_accept()

    def action_move(self, by: int) -> None:
        """Select another row, unless the typed value of this one is wrong."""
        if self._commit():
            self._select(self._index + by)

    def action_step(self, by: int) -> None:
        row = self._row
        if not self._commit() or (text := row.step(by)) is None:
            return
        if isinstance(row, PresetsRow):
            row.chosen = row.names.index(text)
        else:
            self._set(row, text)

    def action_accept(self) -> None:
        """Set the typed value; apply the chosen preset; remove the clamps; draw a seed."""
        row = self._row
        if row.typed is not None:
            self._commit()
        elif isinstance(row, PresetsRow) and row.names:
            self.post_message(CommandChosen(f"/preset {row.names[row.chosen]}"))
        elif isinstance(row, SettingRow) and (text := row.text_on_enter()) is not None:
            self._set(row, text)

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
        return self._set(self._row, text) if text else True

    def _set(self, row: PanelRow, text: str) -> bool:
        row.problem = ""
        try:
            if row is self._seed:
                seed = row.setting.parse(text)
                row.setting.check(seed)
                row.value = seed
                self.post_message(CommandChosen(f"/seed {seed}"))
            elif isinstance(row, SettingRow) and self._dials is not None:
                dials = self._dials.with_text(row.setting.name, text)
                if dials != self._dials:
                    self.show(dials, self._seed.value)
                    self.post_message(self.Changed(dials))
        except CharlmError as error:
            row.problem = error.message
            return False
        return True


def _has(dials: ChatConfig | None, values: Mapping[str, float]) -> bool:
    return all(getattr(dials, name.replace("-", "_"), None) == value for name, value in values.items())
