"""The dials: turned by keys, mouse and numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from charlm.chat.presets import PRESETS, apply_preset
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.settings import settings_of
from charlm.text.sanitize import visible
from charlm.tui.widgets.dial_rows import DialRow, PanelRow, PresetsRow, SeedRow
from charlm.tui.widgets.dials import DialsPanel
from charlm.tui.widgets.slider_scale import SliderScale

SIZES = ((40, 12), (80, 24), (120, 40))


class DialsApp(App[None]):
    """The panel alone."""

    BINDINGS = [("5", "note('5')", ""), ("escape", "note('escape')", "")]  # noqa: RUF012

    def __init__(self, **presets: dict[str, Any]) -> None:
        super().__init__()
        self.got: list[ChatConfig | int | str] = []
        self.noted: list[str] = []
        self.own = presets

    def compose(self) -> ComposeResult:
        yield DialsPanel()

    def on_mount(self) -> None:
        self.panel.presets = PRESETS | self.own
        self.panel.show(ChatConfig(), 7)
        self.panel.focus()

    def on_dials_panel_changed(self, event: DialsPanel.Changed) -> None:
        self.got.append(event.dials)

    def on_dials_panel_reseeded(self, event: DialsPanel.Reseeded) -> None:
        self.got.append(event.seed)

    def on_dials_panel_preset_chosen(self, event: DialsPanel.PresetChosen) -> None:
        self.got.append(event.name)

    def action_note(self, key: str) -> None:
        self.noted.append(key)

    @property
    def panel(self) -> DialsPanel:
        return self.query_one(DialsPanel)

    def row(self, name: str) -> DialRow:
        return next(row for row in self.query(DialRow) if row.setting.name == name)

    @property
    def current(self) -> PanelRow:
        return next(row for row in self.query(PanelRow) if row.current)


def text(row: PanelRow) -> str:
    return "\n".join(row.render_line(y).text for y in range(row.size.height))


async def go(pilot: Pilot[Any], name: str) -> None:
    """To a dial."""
    app = pilot.app
    assert isinstance(app, DialsApp)
    app.row(name).scroll_visible(animate=False)
    await pilot.pause()
    await pilot.click(app.row(name), offset=(0, 0))
    assert app.current is app.row(name)


# -- scales -----------------------------------------------------------------------------------------------------------

STOPS = {one.name: one.setting.stops for one in settings_of(ChatConfig) if one.setting.stops}
SCALES = st.sampled_from([SliderScale(stops) for stops in STOPS.values()])


def test_stops_are_valid_and_include_the_default() -> None:
    for name, stops in STOPS.items():
        assert [getattr(ChatConfig().with_text(name, f"{stop:g}"), name) for stop in stops] == list(stops)
        assert getattr(ChatConfig(), name) in stops


@given(SCALES, st.floats(0, 200_000))
def test_step_returns_the_next_stop_and_back(scale: SliderScale, value: float) -> None:
    up = scale.step(value, 1)
    assert up == value or (up in scale.stops and scale.index(up) > scale.index(value))
    down = scale.step(value, -1)
    assert down == value or (down in scale.stops and scale.index(down) < scale.index(value))
    if value in scale.stops and up != value:
        assert scale.step(up, -1) == value
    assert 0 <= scale.position(value) <= 1


@given(SCALES)
def test_steps_reach_every_stop(scale: SliderScale) -> None:
    value, seen = scale.stops[0], [scale.stops[0]]
    while (following := scale.step(value, 1)) != value:
        value = following
        seen.append(value)
    assert tuple(seen) == scale.stops
    assert [scale.stop_at(scale.position(stop)) for stop in scale.stops] == seen


# -- keys -------------------------------------------------------------------------------------------------------------


async def test_keys_change_the_current_setting() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        await pilot.press("right", "plus", "left")
        assert [dials.temperature for dials in app.got if isinstance(dials, ChatConfig)] == [0.7, 0.75, 0.7]
        await go(pilot, "candidates")
        await pilot.press("minus")
        assert app.got[-1] == ChatConfig(temperature=0.7, candidates=3)
        assert text(app.row("candidates")).split()[:2] == ["candidates", "3"]


async def test_step_at_the_end_of_a_scale_changes_nothing() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        await go(pilot, "top_k")
        await pilot.press("right")
        assert app.got == []
        assert "off" in text(app.row("top_k"))


@pytest.mark.parametrize(("name", "value"), [("temperature", 1.37), ("length", 123), ("pace", 33.5), ("top_k", 7)])
async def test_typed_number_is_set_by_enter(name: str, value: float) -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        await go(pilot, name)
        await pilot.press(*str(value), "9", "backspace")
        assert app.got == []
        assert str(value) in text(app.row(name))
        await pilot.press("enter")
        assert app.got == [ChatConfig().with_text(name, str(value))]
        assert app.noted == []  # digits are not the app's keys here


async def test_keys_sent_at_once_act_in_order() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        for key in ("1", "enter", "2", "left", "down", "7", "enter"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))  # all at once
        await pilot.pause()
        assert app.got == [
            ChatConfig(temperature=1),
            ChatConfig(temperature=2),
            ChatConfig(temperature=1.95),
            ChatConfig(temperature=1.95, top_k=7),
        ]


async def test_leaving_a_row_sets_the_typed_value_unless_escaped() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        await pilot.press("1", "down")
        assert app.got == [ChatConfig(temperature=1)]
        assert app.current is app.row("top_k")
        await pilot.press("5", "escape", "down")
        assert len(app.got) == 1
        assert app.noted == []
        await pilot.press("escape")
        assert app.noted == ["escape"]


@pytest.mark.parametrize(
    ("size", "name", "typed"),
    [
        ((40, 12), "temperature", "101"),
        ((40, 12), "length", "0"),
        ((80, 24), "top_p", "1.5"),
        ((80, 24), "candidates", "65"),
        ((120, 40), "top_k", "1.5"),
    ],
)
async def test_typed_value_out_of_range_is_refused_in_place(size: tuple[int, int], name: str, typed: str) -> None:
    app = DialsApp()
    async with app.run_test(size=size) as pilot:
        await go(pilot, name)
        before = text(app.row(name))
        await pilot.press(*typed, "enter")
        await pilot.pause()
        assert app.got == []
        with pytest.raises(UsageError) as caught:
            ChatConfig().with_text(name, typed)
        shown = " ".join(text(app.row(name)).split())
        assert caught.value.message in shown
        assert text(app.row(name)).splitlines()[0] == before
        await pilot.press("escape")
        await pilot.pause()
        assert text(app.row(name)) == before


async def test_row_with_a_wrong_value_is_left_at_second_try() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        await go(pilot, "min_p")
        await pilot.press("7", "down")
        assert app.current is app.row("min_p")
        assert app.row("min_p").problem
        await pilot.press("down")
        assert app.current is app.row("typical")
        assert not app.row("min_p").problem


async def test_click_on_buttons_and_bar_changes_the_setting() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        row = app.row("temperature")
        line = text(row)
        await pilot.click(row, offset=(line.index("\u2212"), 0))
        assert app.got == [ChatConfig(temperature=0.6)]
        await pilot.click(row, offset=(line.index("+"), 0))
        assert app.got[1:] == [ChatConfig()]
        await pilot.click(row, offset=(line.index("+") - 1, 0))
        assert app.got[2:] == [ChatConfig(temperature=2)]
        await pilot.click(app.row("pace"), offset=(0, 0))
        assert app.current is app.row("pace")


async def test_show_posts_no_message() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        app.panel.show(ChatConfig(temperature=1.2, pace=40), 99)
        await pilot.pause()
        assert app.got == []
        assert "1.2" in text(app.row("temperature"))
        assert "40" in text(app.row("pace"))
        assert "99" in text(app.query_one(SeedRow))


async def test_bar_marks_the_position_of_the_value() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        marks = []
        for value in (0.0, 0.5, 1.0, 2.0, 90.0):
            app.panel.show(ChatConfig(temperature=value), 0)
            await pilot.pause()
            marks.append(text(app.row("temperature")).index("\u25cf"))
        assert marks == sorted(marks)
        assert len(set(marks[:4])) == 4
        assert marks[3] == marks[4]


# -- seed and presets -------------------------------------------------------------------------------------------------


async def test_seed_is_stepped_typed_and_drawn() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        await pilot.press("end", "right", "left", "left")
        assert app.got == [8, 7, 6]
        await pilot.press(*"12345678901234567890", "enter")
        assert "seed is" in app.query_one(SeedRow).problem
        assert len(app.got) == 3
        await pilot.press(*"4321", "enter")
        assert app.got[-1] == 4321
        await pilot.press("enter")  # another one
        assert isinstance(app.got[-1], int)
        assert len(app.got) == 5


@pytest.mark.parametrize("choose", [lambda: ["enter"], lambda: ["space"]])
async def test_preset_is_chosen_and_the_active_one_marked(choose: Callable[[], list[str]]) -> None:
    app = DialsApp(drunk={"temperature": 1.5})
    async with app.run_test() as pilot:
        row = app.query_one(PresetsRow)
        assert row.active == "balanced"
        assert "\u2022balanced" in text(row)
        await pilot.press("home", "right", "right", *choose())
        assert app.got == ["wild"]
        assert row.active == "balanced"  # until the app says so
        app.panel.show(apply_preset(ChatConfig(), PRESETS["wild"]), 7)
        await pilot.pause()
        assert "\u2022wild" in text(row)
        app.panel.show(ChatConfig(temperature=0.123), 7)
        await pilot.pause()
        assert "\u2022" not in text(row)


async def test_click_on_a_preset_chooses_it() -> None:
    app = DialsApp()
    async with app.run_test() as pilot:
        row = app.query_one(PresetsRow)
        await pilot.click(row, offset=(text(row).index("precise") + 1, 0))
        assert app.got == ["precise"]


# -- room -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_every_row_is_reachable_and_fits_the_panel(size: tuple[int, int]) -> None:
    names = {"日本語のとても長いプリセットの名前": {"top_k": 3}, "[b]\x1b[31mbold[/b]": {"top_k": 4}}
    app = DialsApp(**names)  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        await pilot.press("home")
        for row in app.query(PanelRow):
            assert row.current
            await pilot.pause()
            assert app.panel.region.contains_region(row.region) or row.region.height > size[1] - 2
            for line in text(row).split("\n"):
                assert cell_len(line) <= row.size.width
                assert visible(line) == line
            assert text(row).endswith("+") or not isinstance(row, DialRow)
            await pilot.press("down")
        assert "[b]\u241b[31mbold[/b]" in text(app.query_one(PresetsRow))
