"""The list of models, to choose one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from charlm.tui.graphemes import one_line
from charlm.tui.screens.modal import Modal
from charlm.tui.textual_internals import TolerantList
from charlm.tui.widgets.wrapping import MIN_WIDTH_CELLS, wrap

if TYPE_CHECKING:
    from charlm.registry import ModelCard


class ModelPicker(Modal[str | None]):
    """A list, and a field that filters it. Returns the name of a model, or None. The current model is marked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move('cursor_up')", "Up", show=False),
        Binding("down", "move('cursor_down')", "Down", show=False),
        Binding("pageup", "move('page_up')", "Page up", show=False),
        Binding("pagedown", "move('page_down')", "Page down", show=False),
    ]

    DEFAULT_CSS = """
    ModelPicker {
        & > Vertical { max-width: 72; padding: 0; }
        & Input, & Input:focus { padding: 0 1; }
        & OptionList {
            max-height: 100h;
            text-wrap: nowrap;
            text-overflow: ellipsis;
            scrollbar-size-vertical: 1;
            & > .option-list--option-highlighted {
                color: $block-cursor-foreground;
                background: $block-cursor-background;
                text-style: $block-cursor-text-style;
            }
        }
    }
    """

    def __init__(self, cards: Sequence[ModelCard], current: str = "") -> None:
        super().__init__()
        self._cards = cards
        self._current = current
        self._field = Input(placeholder="type to narrow down")
        self._list = TolerantList(markup=False, compact=True)
        self._list.can_focus = False  # keys are for the field; it passes some of them on

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "models"
            box.border_subtitle = "Enter, or Esc"
            yield self._field
            yield self._list

    def on_mount(self) -> None:
        self._show()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)  # errors are wrapped to the width

    @on(Input.Changed)
    def _show(self) -> None:
        if not self.is_attached:  # closed before its last change of size was handled
            return
        text = self._field.value.strip().casefold()
        width = self._list.scrollable_content_region.width
        found = [one for one in self._cards if text in f"{one.name} {one.shape} {one.dialogue}".casefold()]
        self._list.set_options(
            Option(_row(one, one.name == self._current, width), id=one.name, disabled=bool(one.error)) for one in found
        )
        if not found:
            hint = "no model matches" if self._cards else "no models yet; charlm train FILE makes one"
            self._list.add_option(Option(hint, disabled=True))
        self._list.action_first()

    @on(Input.Submitted)
    def _select(self) -> None:
        self._list.action_select()

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        if event.option.id is not None:
            self.dismiss(event.option.id)

    async def action_move(self, action: str) -> None:
        """Move in the list while the field has the focus."""
        await self.app.run_action(action, self._list)


def _row(card: ModelCard, current: bool, width: int) -> Content:
    about = one_line(card.error or f"{card.shape}  {card.dialogue}  {card.loss}  {card.size}")
    if card.error:
        places = [*wrap(about, max(MIN_WIDTH_CELLS, width - 3)), len(about)]
        about = "\n  ".join(about[start:end] for start, end in pairwise(places))
    return Content.assemble(
        ("\u25cf " if current else "  "),
        (one_line(card.name), "" if card.error else "bold"),
        "\n  ",
        (about, "$text-error" if card.error else "dim"),
    )
