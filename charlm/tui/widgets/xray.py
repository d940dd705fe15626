"""The X-ray panel: the model's activations at one character.

Draws an `ActivationSummary` (`charlm.insight.xray`) and moves a cursor over the units. Computes no activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from charlm.tui.graphemes import bar, character_name, one_line, shorten
from charlm.tui.textual_internals import run_bindings
from charlm.tui.widgets.rendering import style_of

if TYPE_CHECKING:
    from charlm.insight.xray import ActivationSummary, SignalBand

LEFT_CELLS: Final = 3  # before a strip: the signal's name
RIGHT_CELLS: Final = 9  # after a strip: its mean and the saturated share
NAME_CELLS: Final = 8  # of a likely character
MIN_SIZE: Final = Size(20, 3)  # cells
BLOCKS: Final = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
MAX_BITS: Final = 6.0  # of the entropy line
MAX_CHOICES: Final = 12
MAX_TYPED_CHARS: Final = 20

_TYPED: Final = frozenset("0123456789:=.-")
_REVERSE: Final = Style(reverse=True)


class XRay(Widget, can_focus=True):
    """The panel."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move_strip(-1)", "Strip above", show=False),
        Binding("down", "move_strip(1)", "Strip below", show=False),
        Binding("left", "move_unit(-1)", "Unit before", show=False),
        Binding("right", "move_unit(1)", "Next unit", show=False),
        Binding("ctrl+left,pageup", "move_group(-1)", "Cell before", show=False),
        Binding("ctrl+right,pagedown", "move_group(1)", "Next cell", show=False),
        Binding("home", "move_unit(-1000000)", "First unit", show=False),
        Binding("end", "move_unit(1000000)", "Last unit", show=False),
        Binding("enter", "accept", "Pin or unpin the unit", show=False),
        Binding("a", "clamp(0)", "Ablate the unit: hold its memory at 0", show=False),
        Binding("c", "clamp_here", "Clamp the unit: hold its memory at its value", show=False),
        Binding("u", "free", "Free all clamped units", show=False),
        Binding("backspace", "delete", "Delete a digit", show=False),
        Binding("escape", "cancel", "Leave", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {"xray--aside", "xray--name", "xray--bar", "xray--cursor", "xray--problem"}

    DEFAULT_CSS = """
    XRay {
        color: $foreground;
        & > .xray--aside { color: $text-muted; }
        & > .xray--name { color: $text-primary; text-style: bold; }
        & > .xray--bar { color: $primary; }
        & > .xray--cursor { text-style: reverse; }
        & > .xray--problem { color: $text-error; }
    }
    """

    BORDER_TITLE = "X-ray"
    BORDER_SUBTITLE = "Enter pins, a ablates"

    summary: reactive[ActivationSummary | None] = reactive(None, layout=False)
    place: reactive[tuple[int, int, int]] = reactive((0, 0, 0))  # the cursor: layer, number of the signal, unit
    typed: reactive[str] = reactive("")  # a unit that is being typed
    problem: reactive[str] = reactive("")  # with the typed unit
    pinned: reactive[tuple[int, int, str] | None] = reactive(None)  # layer, index and signal of the pinned unit
    clamps: reactive[Mapping[tuple[int, int], float]] = reactive(dict)  # values of clamped units, by layer and index

    @dataclass
    class ClampsChanged(Message):
        """The user clamped units, or freed them."""

        clamps: Mapping[tuple[int, int], float]

    @dataclass
    class Pinned(Message):
        """The user pinned a unit (layer, index, signal), or unpinned it (None)."""

        unit: tuple[int, int, str] | None

    @dataclass
    class WidthChanged(Message):
        """The strips have another width, in cells."""

        width: int

    def __init__(self) -> None:
        super().__init__(id="xray")
        self._rows: list[Strip] = []  # empty until a line is needed after a change

    # -- watchers and events ------------------------------------------------------------------------------------------

    def watch_summary(self) -> None:
        """Keep the cursor within the model, which may be another one."""
        self._go(*self.place)

    def watch_clamps(self) -> None:
        self.border_subtitle = f"{len(self.clamps)} held, u lets go" if self.clamps else self.BORDER_SUBTITLE

    def on_resize(self) -> None:
        if self.content_size.width:
            self.post_message(self.WidthChanged(self._strip_width))

    def on_blur(self) -> None:
        self.typed = self.problem = ""

    async def on_key(self, event: events.Key) -> None:
        """Add to the unit that is being typed."""
        if event.character is None or event.character not in _TYPED:
            await run_bindings(self, event)
            return
        event.stop()
        self.problem = ""
        self.typed = (self.typed + event.character)[:MAX_TYPED_CHARS]

    # -- the cursor ---------------------------------------------------------------------------------------------------

    def _go(self, layer: int, signal: int, unit: int) -> None:
        """Move the cursor, within the model."""
        if (summary := self.summary) is not None:
            layer = min(max(0, layer), len(summary.layers) - 1)
            signal = min(max(0, signal), len(summary.layers[layer].bands) - 1)
            self.place = layer, signal, min(max(0, unit), summary.hidden - 1)

    def action_move_strip(self, by: int) -> None:
        if self.summary is not None:
            layer, signal, unit = self.place
            signals = len(self.summary.layers[0].bands)
            place = min(max(0, layer * signals + signal + by), signals * len(self.summary.layers) - 1)
            self._go(*divmod(place, signals), unit)

    def action_move_unit(self, by: int) -> None:
        layer, signal, unit = self.place
        self._go(layer, signal, unit + by)

    def action_move_group(self, by: int) -> None:
        """Move to the first unit of another cell of the strip."""
        if self.summary is not None:
            layer, signal, unit = self.place
            hidden = self.summary.hidden
            width = min(self._strip_width, hidden)
            cell = min(max(0, cell_of_unit(unit, hidden, width) + by), width - 1)
            self._go(layer, signal, cell * hidden // width)

    # -- pinning and clamping -----------------------------------------------------------------------------------------

    def action_accept(self) -> None:
        """Pin the unit at the cursor, or unpin it; pin or clamp the unit that was typed."""
        typed, self.typed = self.typed, ""
        summary, (layer, signal, unit) = self.summary, self.place
        if typed:
            self._accept(typed)
        elif summary is not None:
            here = (layer, unit, summary.layers[layer].bands[signal].name)
            self.post_message(self.Pinned(None if here == self.pinned else here))

    def _accept(self, typed: str) -> None:
        summary, (layer, _, unit) = self.summary, self.place
        at, equals, value = typed.partition("=")
        at = at or f"{layer}:{unit}"
        typed_layer, _, typed_unit = at.partition(":")
        if summary is None or not (typed_layer.isdecimal() and typed_unit.isdecimal()):
            self.problem = f"{at} is no unit: LAYER:UNIT, as in 1:37"
            return
        layer, unit = int(typed_layer), int(typed_unit)
        if not (layer < len(summary.layers) and unit < summary.hidden):
            self.problem = f"layers are 0 to {len(summary.layers) - 1}, units 0 to {summary.hidden - 1}"
            return
        names = [band.name for band in summary.layers[layer].bands]
        self._go(layer, names.index(summary.memory), unit)
        if not equals:
            self.post_message(self.Pinned((layer, unit, summary.memory)))
            return
        try:
            self.action_clamp(float(value))
        except ValueError:
            self.problem = f"{value!r} is no value to hold a unit at"

    def action_clamp(self, value: float) -> None:
        if self.summary is not None:
            layer, _, unit = self.place
            self.post_message(self.ClampsChanged({**self.clamps, (layer, unit): float(value)}))

    def action_clamp_here(self) -> None:
        """Clamp the memory of the unit at the cursor to the value that is shown."""
        if (summary := self.summary) is not None:
            layer, _, unit = self.place
            memory = next(band for band in summary.layers[layer].bands if band.name == summary.memory)
            self.action_clamp(float(f"{memory.values[unit]:.4g}"))

    def action_free(self) -> None:
        if not self.clamps:
            raise SkipAction
        self.post_message(self.ClampsChanged({}))

    def action_delete(self) -> None:
        self.typed = self.typed[:-1]

    def action_cancel(self) -> None:
        """Discard the typed unit; without one, the app handles Escape."""
        if not self.typed and not self.problem:
            raise SkipAction
        self.typed = self.problem = ""

    # -- rendering ----------------------------------------------------------------------------------------------------

    @property
    def _strip_width(self) -> int:
        return max(1, self.content_size.width - LEFT_CELLS - RIGHT_CELLS)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return container.height

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        self._rows = []
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        if len(self._rows) != height:
            self._rows = [row.adjust_cell_length(width, self.rich_style) for row in self._draw(width, height)]
        return self._rows[y]

    def _draw(self, width: int, height: int) -> list[Strip]:
        if width < MIN_SIZE.width or height < MIN_SIZE.height:
            rows = [self._line("no room for an X-ray")]
        elif self.summary is None:
            rows = [self._line("nothing was read yet", "xray--aside")]
        else:
            rows = self._draw_summary(self.summary, height)
        return [*rows, *[self._line("")] * height][:height]

    def _draw_summary(self, summary: ActivationSummary, height: int) -> list[Strip]:
        """Draw everything if there is room; otherwise scroll the strips with the cursor."""
        strips: list[Strip] = []
        current = 0
        for number, layer in enumerate(summary.layers):
            strips.append(self._pair(f"layer {number}", f"|{summary.memory}| {layer.norm:.1f}", "xray--name"))
            for signal, band in enumerate(layer.bands):
                if (number, signal) == self.place[:2]:
                    current = len(strips)
                strips.append(self._strip(summary, number, signal, band))
        room = height - 2  # without the first line and the last
        entropy = [self._entropy(summary)]
        free = room - len(strips) - 1
        if free >= 2:
            choices = min(free, MAX_CHOICES)
        else:  # likely characters matter more than strips, which scroll anyway
            choices = min(3, max(0, (room - 4) // 2))
            visible = max(1, room - min(choices, len(summary.choices)) - (room > 3) - 1)
            first = min(max(0, current - visible // 2), max(0, len(strips) - visible))
            more = f"{len(strips) - visible} more rows; up, down scroll"
            strips = [*strips[first : first + visible], self._line(more, "xray--aside")]
            entropy = entropy if room > 3 else []
        rows = [*strips, *entropy, *[self._choice(text, p) for text, p in summary.choices[:choices]]][:room]
        rows += [self._line("")] * (room - len(rows))
        return [self._pair("after", _name(summary.text), "xray--aside"), *rows, self._foot(summary)]

    def _strip(self, summary: ActivationSummary, layer: int, signal: int, band: SignalBand) -> Strip:
        here = self.place[:2] == (layer, signal)
        at_cursor = cell_of_unit(self.place[2], summary.hidden, len(band.levels)) if here else -1
        segments = [
            Segment(f" {band.name}".ljust(LEFT_CELLS)[:LEFT_CELLS], self._style("xray--cursor" if here else ""))
        ]
        palette = summary.palette
        for cell, step in enumerate(band.levels):
            style = style_of(palette[step], palette[0])
            block = BLOCKS[1 + step * 8 // len(palette)]
            segments.append(Segment(block, style + _REVERSE if cell == at_cursor else style))
        room = " " * (self._strip_width - len(band.levels))
        mean = f"{band.mean:.2f}" if abs(band.mean) < 10 else f"{band.mean:.0f}"
        share = "" if band.saturated is None else f"{band.saturated:.0%}"
        segments.append(Segment(f"{room}{mean:>5}{share:>4}", self.rich_style))
        return Strip(segments)

    def _entropy(self, summary: ActivationSummary) -> Strip:
        text = f" {summary.entropies[-1]:.2f} bits" if summary.entropies else ""
        room = max(0, self.content_size.width - len("entropy ") - len(text))
        line = "".join([BLOCKS[min(8, 1 + int(8 * bits / MAX_BITS))] for bits in summary.entropies[-room:]])
        bars = Segment(line.rjust(room) if room else "", self._style("xray--bar"))
        return Strip([Segment("entropy ", self._style("xray--aside")), bars, Segment(text, self.rich_style)])

    def _choice(self, text: str, p: float) -> Strip:
        name = _name(text)
        room = max(1, self.content_size.width - NAME_CELLS - 5)
        head = Segment(" " + name + " " * (NAME_CELLS - 1 - cell_len(name)), self.rich_style)
        likelihood = Segment(bar(p, room).ljust(room), self._style("xray--bar"))
        return Strip([head, likelihood, Segment(f"{p:>5.0%}", self.rich_style)])

    def _foot(self, summary: ActivationSummary) -> Strip:
        if self.problem:
            return self._line(self.problem, "xray--problem")
        if self.typed:
            return self._line(f"unit {self.typed}\u258f")
        layer, signal, unit = self.place
        band = summary.layers[layer].bands[signal]
        pinned = "  pinned" if (layer, unit, band.name) == self.pinned else ""
        clamped = f"  held {self.clamps[layer, unit]:.3g}" if (layer, unit) in self.clamps else ""
        text = f"unit {layer}:{unit}  {band.name} {band.values[unit]:+.2f}{pinned}{clamped}"
        return self._line(text, "" if self.has_focus else "xray--aside")

    def _pair(self, left: str, right: str, style: str) -> Strip:
        room = self.content_size.width - cell_len(left) - cell_len(right)
        return Strip([Segment(left, self._style(style)), Segment(" " * max(1, room) + right, self.rich_style)])

    def _line(self, text: str, style: str = "") -> Strip:
        return Strip([Segment(shorten(one_line(text), self.content_size.width), self._style(style))])

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(name) if name else self.rich_style


def cell_of_unit(unit: int, hidden: int, width: int) -> int:
    """Return which of `width` cells a unit is folded into; see `charlm.insight.xray.bin_means`."""
    return ((unit + 1) * width - 1) // hidden


def _name(text: str) -> str:
    return shorten(character_name(text), NAME_CELLS - 1)
