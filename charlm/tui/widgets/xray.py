"""The X-ray: what goes on in the model at one character.

Owns how it is drawn, and a cursor over units. What there is to be seen comes as a small plain value
(`charlm.insight.xray`), worked out elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from charlm.tui.graphemes import CHARACTER_NAMES, one_line, shorten
from charlm.tui.textual_internals import run_bindings

if TYPE_CHECKING:
    from charlm.insight.xray import ActivationSummary, SignalBand

LEFT: Final = 3  # cells before a strip
RIGHT: Final = 9  # after it: a mean and a share
LEAST: Final = Size(20, 3)  # cells; in fewer nothing can be shown
BLOCKS: Final = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
MOST_BITS: Final = 6.0  # of the sparkline
CHOICES: Final = 12
HINT: Final = "Enter pins, a ablates"

_TYPED: Final = frozenset("0123456789:=.-")


class XRay(Widget, can_focus=True):
    """The pane.

    Attributes:
        sight: what is seen; None before anything was.
        place: of the cursor: layer, number of the signal, unit.
        typed: a unit that is being typed; empty if none is.
        pinned: layer, index and signal of the unit that is followed; None if none is.
        held: the units whose memory is held, and at what.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Strip above", show=False),
        Binding("down", "move(1)", "Strip below", show=False),
        Binding("left", "unit(-1)", "Unit before", show=False),
        Binding("right", "unit(1)", "Next unit", show=False),
        Binding("ctrl+left,pageup", "group(-1)", "Cell before", show=False),
        Binding("ctrl+right,pagedown", "group(1)", "Next cell", show=False),
        Binding("home", "unit(-1000000)", "First unit", show=False),
        Binding("end", "unit(1000000)", "Last unit", show=False),
        Binding("enter", "accept", "Pin or unpin the unit", show=False),
        Binding("a", "hold(0)", "Ablate the unit: hold its memory at 0", show=False),
        Binding("c", "hold_here", "Clamp the unit: hold its memory where it is", show=False),
        Binding("u", "free", "Undo: let all units go", show=False),
        Binding("backspace", "rub_out", "Delete a digit", show=False),
        Binding("escape", "give_up", "Leave", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {"xray--aside", "xray--name", "xray--bar", "xray--cursor", "xray--problem"}

    DEFAULT_CSS = """
    XRay {
        border: round $border-blurred;
        border-title-color: $text-muted;
        border-subtitle-color: $text-muted;
        background: $surface;
        color: $foreground;
        &:focus { border: round $border; }
        & > .xray--aside { color: $text-muted; }
        & > .xray--name { color: $text-primary; text-style: bold; }
        & > .xray--bar { color: $primary; }
        & > .xray--cursor { text-style: reverse; }
        & > .xray--problem { color: $text-error; }
    }
    """

    sight: reactive[ActivationSummary | None] = reactive(None, layout=False)
    place: reactive[tuple[int, int, int]] = reactive((0, 0, 0))
    typed: reactive[str] = reactive("")
    pinned: reactive[tuple[int, int, str] | None] = reactive(None)

    held: reactive[Mapping[tuple[int, int], float]] = reactive(dict)

    class Held(Message):
        """A person wants the memory of units to be held while the model writes.

        Attributes:
            units: all that are to be, by layer and index, and at what.
        """

        def __init__(self, units: Mapping[tuple[int, int], float]) -> None:
            super().__init__()
            self.units = units

    class Pinned(Message):
        """A person wants a unit to be followed, or no longer.

        Attributes:
            unit: layer, index and signal; None for none.
        """

        def __init__(self, unit: tuple[int, int, str] | None) -> None:
            super().__init__()
            self.unit = unit

    class Wanted(Message):
        """Something else is to be seen.

        Attributes:
            width: cells of a strip.
            unit: layer and index of the unit under the cursor.
        """

        def __init__(self, width: int, unit: tuple[int, int]) -> None:
            super().__init__()
            self.width, self.unit = width, unit

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.border_title = "X-ray"
        self.border_subtitle = HINT
        self._rows: list[Strip] = []
        self._problem = ""

    # -- watchers and events ------------------------------------------------------------------------------------------

    def watch_sight(self) -> None:
        """Another moment; perhaps of another model."""
        self._go(*self.place)
        self._redraw()

    def watch_place(self) -> None:
        """The cursor has moved."""
        self._want()
        self._redraw()

    def watch_pinned(self) -> None:
        """Mark it."""
        self._redraw()

    def watch_held(self) -> None:
        """Say so."""
        self.border_subtitle = f"{len(self.held)} held, u lets go" if self.held else HINT
        self._redraw()

    def watch_typed(self) -> None:
        """Show it."""
        self._redraw()

    def on_resize(self) -> None:
        """Another width."""
        self._want()
        self._redraw()

    def on_focus(self) -> None:
        """The cursor is seen only then."""
        self._redraw()

    def on_blur(self) -> None:
        """What is half typed is given up."""
        self.typed, self._problem = "", ""
        self._redraw()

    def notify_style_update(self) -> None:
        """Other colours."""
        super().notify_style_update()
        self._redraw()

    async def on_key(self, event: events.Key) -> None:
        """Digits and a colon are a unit that is being typed."""
        if event.character is None or event.character not in _TYPED:
            await run_bindings(self, event)
            return
        event.stop()
        self._problem = ""
        self.typed = (self.typed + event.character)[:20]

    # -- the cursor ---------------------------------------------------------------------------------------------------

    @property
    def strip_width(self) -> int:
        """Cells that a strip may take."""
        return max(1, self.content_size.width - LEFT - RIGHT)

    @property
    def unit(self) -> tuple[int, int]:
        """Layer and index of the unit under the cursor."""
        layer, _, unit = self.place
        return layer, unit

    @property
    def signal(self) -> str:
        """The name of the one whose strip the cursor is on."""
        assert self.sight is not None
        layer, which, _ = self.place
        return self.sight.layers[layer].bands[which].name

    def _want(self) -> None:
        if self.content_size.width:
            self.post_message(self.Wanted(self.strip_width, self.unit))

    def _go(self, layer: int, signal: int, unit: int) -> None:
        """Put the cursor there, or as near as there is something."""
        if self.sight is not None:
            layer = min(max(0, layer), len(self.sight.layers) - 1)
            signal = min(max(0, signal), len(self.sight.layers[layer].bands) - 1)
            self.place = layer, signal, min(max(0, unit), self.sight.hidden - 1)

    def action_move(self, by: int) -> None:
        """To another strip."""
        if self.sight is not None:
            layer, signal, unit = self.place
            signals = len(self.sight.layers[0].bands)
            place = min(max(0, layer * signals + signal + by), signals * len(self.sight.layers) - 1)
            self._go(*divmod(place, signals), unit)

    def action_unit(self, by: int) -> None:
        """To another unit."""
        layer, signal, unit = self.place
        self._go(layer, signal, unit + by)

    def action_group(self, by: int) -> None:
        """To the units that another cell of the strip stands for."""
        if self.sight is not None:
            layer, signal, unit = self.place
            width, hidden = min(self.strip_width, self.sight.hidden), self.sight.hidden
            cell = min(max(0, _cell(unit, hidden, width) + by), width - 1)
            self._go(layer, signal, cell * hidden // width)

    def action_accept(self) -> None:
        """Pin the unit under the cursor, or that was typed; if it is pinned, no longer."""
        written, self.typed = self.typed, ""
        if not written:
            if self.sight is not None:
                here = (*self.unit, self.signal)
                self.post_message(self.Pinned(None if here == self.pinned else here))
            return
        written, equals, value = written.partition("=")
        written = written or "{}:{}".format(*self.unit)
        layer, _, unit = written.partition(":")
        sight = self.sight
        if sight is None or not (layer.isdecimal() and unit.isdecimal()):
            self._say(f"{written} is no unit: LAYER:UNIT, as in 1:37")
        elif not (int(layer) < len(sight.layers) and int(unit) < sight.hidden):
            self._say(f"layers are 0 to {len(sight.layers) - 1}, units 0 to {sight.hidden - 1}")
        else:
            names = [band.name for band in sight.layers[0].bands]
            self._go(int(layer), names.index(sight.memory), int(unit))
            if equals:
                self._hold(value)
            else:
                self.post_message(self.Pinned((int(layer), int(unit), sight.memory)))

    def action_hold(self, value: float) -> None:
        """Hold the memory of the unit under the cursor."""
        if self.sight is not None:
            self.post_message(self.Held({**self.held, self.unit: float(value)}))

    def action_hold_here(self) -> None:
        """Hold it at what it is now."""
        if self.sight is not None:
            bands = self.sight.layers[self.place[0]].bands
            value = next(band.value for band in bands if band.name == self.sight.memory)
            if value is not None:
                self.action_hold(float(f"{value:.4g}"))

    def action_free(self) -> None:
        """Hold none."""
        if not self.held:
            raise SkipAction
        self.post_message(self.Held({}))

    def _hold(self, written: str) -> None:
        try:
            self.action_hold(float(written))
        except ValueError:
            self._say(f"{written!r} is no value to hold a unit at")

    def action_rub_out(self) -> None:
        """Take back a digit."""
        self.typed = self.typed[:-1]

    def action_give_up(self) -> None:
        """Forget what was typed; if nothing was, Escape is a key for others."""
        if not self.typed and not self._problem:
            raise SkipAction
        self.typed = ""
        self._say("")

    def _say(self, problem: str) -> None:
        self._problem = problem
        self._redraw()

    # -- rendering ----------------------------------------------------------------------------------------------------

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As much as there is."""
        return container.height

    def render_line(self, y: int) -> Strip:
        """What was drawn when it last changed."""
        return self._rows[y] if y < len(self._rows) else Strip.blank(self.content_size.width, self.rich_style)

    def _redraw(self) -> None:
        width, height = self.content_size
        if not (self.is_mounted and width and height):
            return
        if width < LEAST.width or height < LEAST.height:
            drawn = [self._line("no room for an X-ray")]
        elif self.sight is None:
            drawn = [self._line("nothing was read yet", "xray--aside")]
        else:
            drawn = self._draw(self.sight, width, height)
        self._rows = [strip.adjust_cell_length(width, self.rich_style) for strip in drawn[:height]]
        self.refresh()

    def _draw(self, sight: ActivationSummary, width: int, height: int) -> list[Strip]:
        """Everything if there is room; else the strips scroll with the cursor, and what is left out is said."""
        layer, signal, _ = self.place
        body: list[Strip] = []
        chosen = 0
        for number, depth in enumerate(sight.layers):
            body.append(self._pair(f"layer {number}", f"|{sight.memory}| {depth.norm:.1f}", "xray--name"))
            for which, band in enumerate(depth.bands):
                if (number, which) == (layer, signal):
                    chosen = len(body)
                body.append(self._band(sight, number, which, band))
        below = height - 2  # the first line and the last
        entropy = self._entropy(sight, width)
        rest = below - len(body) - 1
        if rest >= 2:
            shown = min(rest, CHOICES, len(sight.choices))
            middle = [*body, entropy, *[self._choice(sight, n, width) for n in range(shown)]]
        else:
            # The likeliest characters matter more than strips that would have to be scrolled anyway.
            shown = min(3, max(0, (below - 4) // 2), len(sight.choices))
            strips = max(1, below - shown - (below > 3) - 1)
            first = min(max(0, chosen - strips // 2), max(0, len(body) - strips))
            hidden = len(body) - strips
            more = f"{hidden} more rows; up, down scroll"
            middle = [*body[first : first + strips], self._line(more, "xray--aside")]
            middle += [entropy] if below > 3 else []
            middle += [self._choice(sight, n, width) for n in range(shown)]
        head = self._pair("after", _shown(sight.text), "xray--aside")
        middle = middle[:below]
        middle += [self._line("")] * (below - len(middle))
        return [head, *middle, self._foot(sight)]

    def _band(self, sight: ActivationSummary, layer: int, which: int, band: SignalBand) -> Strip:
        here = self.place[:2] == (layer, which)
        name = Segment(f" {band.name}".ljust(LEFT)[:LEFT], self._look("xray--cursor" if here else ""))
        under = _cell(self.place[2], sight.hidden, len(band.steps)) if here else -1
        segments = [name]
        ground = sight.palette[0]
        for cell, step in enumerate(band.steps):
            style = _coloured(sight.palette[step], ground)
            block = BLOCKS[1 + step * 8 // len(sight.palette)]
            segments.append(Segment(block, style + _REVERSE if cell == under else style))
        room = self.strip_width - len(band.steps)
        share = "" if band.saturated is None else f"{band.saturated:.0%}"
        segments.append(Segment(f"{' ' * room}{_figure(band.mean):>5}{share:>4}", self.rich_style))
        return Strip(segments)

    def _entropy(self, sight: ActivationSummary, width: int) -> Strip:
        text = f" {sight.entropies[-1]:.2f} bits" if sight.entropies else ""
        room = max(0, width - len("entropy ") - len(text))
        line = "".join([BLOCKS[min(8, 1 + int(8 * bits / MOST_BITS))] for bits in sight.entropies[-room:]])
        return Strip(
            [
                Segment("entropy ", self._look("xray--aside")),
                Segment(line.rjust(room) if room else "", self._look("xray--bar")),
                Segment(text, self.rich_style),
            ]
        )

    def _choice(self, sight: ActivationSummary, number: int, width: int) -> Strip:
        text, p = sight.choices[number]
        name, share = _shown(text), f"{p:.0%}"
        named = 8
        room = max(1, width - named - 5)
        eighths = round(p * room * 8)
        bar = "\u2588" * (eighths // 8) + " \u258f\u258e\u258d\u258c\u258b\u258a\u2589"[eighths % 8]
        return Strip(
            [
                Segment(" " + name + " " * (named - 1 - cell_len(name)), self.rich_style),
                Segment(bar[:room].ljust(room), self._look("xray--bar")),
                Segment(f"{share:>5}", self.rich_style),
            ]
        )

    def _foot(self, sight: ActivationSummary) -> Strip:
        if self._problem:
            return self._line(self._problem, "xray--problem")
        if self.typed:
            return self._line(f"unit {self.typed}\u258f")
        layer, which, unit = self.place
        band = sight.layers[layer].bands[which]
        value = "" if band.value is None else f" {band.value:+.2f}"
        pinned = "  pinned" if (layer, unit, band.name) == self.pinned else ""
        held = f"  held {self.held[layer, unit]:g}" if (layer, unit) in self.held else ""
        return self._line(
            f"unit {layer}:{unit}  {band.name}{value}{pinned}{held}", "" if self.has_focus else "xray--aside"
        )

    def _pair(self, left: str, right: str, name: str) -> Strip:
        room = self.content_size.width - cell_len(left) - cell_len(right)
        return Strip([Segment(left, self._look(name)), Segment(" " * max(1, room) + right, self.rich_style)])

    def _line(self, text: str, name: str = "") -> Strip:
        return Strip([Segment(shorten(one_line(text), self.content_size.width), self._look(name))])

    def _look(self, name: str) -> Style:
        return self.get_component_rich_style(name) if name else self.rich_style


def _cell(unit: int, hidden: int, width: int) -> int:
    """Which of `width` cells a unit is folded into; see `charlm.insight.xray.fold`."""
    return ((unit + 1) * width - 1) // hidden


def _figure(value: float) -> str:
    """In at most five cells."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _shown(text: str) -> str:
    """A character as people name it, in at most seven cells."""
    return shorten(CHARACTER_NAMES.get(text) or one_line(text), 7)


@lru_cache(maxsize=1024)
def _coloured(colour: str, ground: str) -> Style:
    return Style(color=colour, bgcolor=ground)


_REVERSE: Final = Style(reverse=True)
