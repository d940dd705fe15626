"""The dials: turned by keys, mouse and numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.pilot import Pilot

from charlm.chat.presets import PRESETS, apply_preset
from charlm.config import ChatConfig
from charlm.errors import UsageError
from charlm.settings import settings_of
from charlm.text.sanitize import visible
from charlm.tui.widgets.dial_rows import DialRow, PanelRow, PresetsRow, SeedRow, SliderScale
from charlm.tui.widgets.dials import DialsPanel
from tests.tui.widgets import SIZES, Shown, ShownWidget, Size, WidgetApp, commands, rows, show


@pytest.fixture
async def shown(size: Size) -> Shown[DialsPanel]:
    async with show(DialsPanel(), size, keys=["5", "escape"]) as (panel, pilot, app):
        panel.presets = PRESETS
        panel.show(ChatConfig(), 7)
        panel.focus()
        await pilot.pause()
        while panel.show_vertical_scrollbar != (panel.virtual_size.height > panel.size.height):
            await pilot.pause()
        yield panel, pilot, app


@pytest.fixture
def panel(shown: ShownWidget[DialsPanel]) -> DialsPanel:
    return shown[0]


def dial(panel: DialsPanel, name: str) -> DialRow:
    return next(row for row in panel.query(DialRow) if row.setting.name == name)


def current(panel: DialsPanel) -> PanelRow:
    return next(row for row in panel.query(PanelRow) if row.current)


def text(row: PanelRow) -> str:
    return "\n".join(rows(row))


async def select(panel: DialsPanel, pilot: Pilot[None], name: str) -> None:
    row = dial(panel, name)
    while True:
        row.scroll_visible(animate=False)
        await pilot.pause()
        if panel.region.contains_point(row.region.offset):  # the panel may have scrolled since
            await pilot.click(row, offset=(0, 0))
            break
    assert current(panel) is row


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


async def test_keys_change_the_current_setting(panel: DialsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.press("right", "plus", "left")
    assert app.posted == [("Changed", ChatConfig(temperature=value)) for value in (0.7, 0.75, 0.7)]
    await select(panel, pilot, "candidates")
    await pilot.press("minus")
    assert app.posted[-1] == ("Changed", ChatConfig(temperature=0.7, candidates=3))
    assert text(dial(panel, "candidates")).split()[:2] == ["candidates", "3"]
    await select(panel, pilot, "top_k")
    await pilot.press("right")  # it is at the end of its scale
    assert len(app.posted) == 4
    assert "off" in text(dial(panel, "top_k"))


@pytest.mark.parametrize(("name", "value"), [("temperature", 1.37), ("length", 123), ("pace", 33.5), ("top_k", 7)])
async def test_typed_number_is_set_by_enter(
    panel: DialsPanel, pilot: Pilot[None], app: WidgetApp, name: str, value: float
) -> None:
    await select(panel, pilot, name)
    await pilot.press(*str(value), "9", "backspace")
    assert app.posted == []
    assert str(value) in text(dial(panel, name))
    await pilot.press("enter")
    assert app.posted == [("Changed", ChatConfig().with_text(name, str(value)))]
    assert app.keys == []  # digits are not the app's keys here


async def test_keys_sent_at_once_act_in_order(pilot: Pilot[None], app: WidgetApp) -> None:
    app.type_at_once("1", "enter", "2", "left", "down", "7", "enter")
    await pilot.pause()
    assert app.posted == [
        ("Changed", ChatConfig(temperature=1)),
        ("Changed", ChatConfig(temperature=2)),
        ("Changed", ChatConfig(temperature=1.95)),
        ("Changed", ChatConfig(temperature=1.95, top_k=7)),
    ]


async def test_row_left_sets_typed_value_unless_escaped(panel: DialsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.press("1", "down")
    assert app.posted == [("Changed", ChatConfig(temperature=1))]
    assert current(panel) is dial(panel, "top_k")
    await pilot.press("5", "escape", "down")
    assert len(app.posted) == 1
    assert app.keys == []
    await pilot.press("escape")
    assert app.keys == ["escape"]


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
async def test_typed_value_out_of_range_is_refused_in_place(
    panel: DialsPanel, pilot: Pilot[None], app: WidgetApp, name: str, typed: str
) -> None:
    await select(panel, pilot, name)
    before = text(dial(panel, name))
    await pilot.press(*typed, "enter")
    await pilot.pause()
    assert app.posted == []
    with pytest.raises(UsageError) as caught:
        ChatConfig().with_text(name, typed)
    shown = " ".join(text(dial(panel, name)).split())
    assert caught.value.message in shown
    assert text(dial(panel, name)).splitlines()[0] == before
    await pilot.press("escape")
    await pilot.pause()
    assert text(dial(panel, name)) == before


async def test_row_with_a_wrong_value_is_left_at_second_try(panel: DialsPanel, pilot: Pilot[None]) -> None:
    await select(panel, pilot, "min_p")
    await pilot.press("7", "down")
    assert current(panel) is dial(panel, "min_p")
    assert dial(panel, "min_p").problem
    await pilot.press("down")
    names = [one.name for one in settings_of(ChatConfig)]
    assert current(panel) is dial(panel, names[names.index("min_p") + 1])
    assert not dial(panel, "min_p").problem


async def test_click_on_button_or_bar_changes_setting(panel: DialsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    row = dial(panel, "temperature")
    line = text(row)
    await pilot.click(row, offset=(line.index("\u2212"), 0))
    assert app.posted == [("Changed", ChatConfig(temperature=0.6))]
    await pilot.click(row, offset=(line.index("+"), 0))
    assert app.posted[1:] == [("Changed", ChatConfig())]
    await pilot.click(row, offset=(line.index("+") - 1, 0))
    assert app.posted[2:] == [("Changed", ChatConfig(temperature=2))]
    await pilot.click(dial(panel, "pace"), offset=(0, 0))
    assert current(panel) is dial(panel, "pace")


async def test_show_posts_no_message(panel: DialsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    panel.show(ChatConfig(temperature=1.2, pace=40), 99)
    await pilot.pause()
    assert app.posted == []
    assert "1.2" in text(dial(panel, "temperature"))
    assert "40" in text(dial(panel, "pace"))
    assert "99" in text(panel.query_one(SeedRow))


async def test_bar_marks_the_position_of_the_value(panel: DialsPanel, pilot: Pilot[None]) -> None:
    marks = []
    for value in (0.0, 0.5, 1.0, 2.0, 90.0):
        panel.show(ChatConfig(temperature=value), 0)
        await pilot.pause()
        marks.append(text(dial(panel, "temperature")).index("\u25cf"))
    assert marks == sorted(marks)
    assert len(set(marks[:4])) == 4
    assert marks[3] == marks[4]


# -- seed and presets -------------------------------------------------------------------------------------------------


async def test_seed_is_stepped_typed_and_drawn(panel: DialsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.press("end", "right", "left", "left")
    assert app.posted == commands("/seed 8", "/seed 7", "/seed 6")
    await pilot.press(*"12345678901234567890", "enter")
    assert "seed is" in panel.query_one(SeedRow).problem
    assert len(app.posted) == 3
    await pilot.press(*"4321", "enter")
    assert app.posted[3:] == commands("/seed 4321")
    await pilot.press("enter")  # another one
    assert len(app.posted) == 5
    assert str(app.posted[4][1]).startswith("/seed ")


@pytest.mark.parametrize("key", ["enter", "space"])
async def test_preset_is_chosen_and_marked(panel: DialsPanel, pilot: Pilot[None], app: WidgetApp, key: str) -> None:
    panel.presets = PRESETS | {"drunk": {"temperature": 1.5}}
    panel.show(ChatConfig(), 7)
    row = panel.query_one(PresetsRow)
    assert row.active == "balanced"
    assert "\u2022balanced" in text(row)
    await pilot.press("home", "right", "right", key)
    assert app.posted == commands("/preset wild")
    assert row.active == "balanced"  # until the app says so
    panel.show(apply_preset(ChatConfig(), PRESETS["wild"]), 7)
    await pilot.pause()
    assert "\u2022wild" in text(row)
    panel.show(ChatConfig(temperature=0.123), 7)
    await pilot.pause()
    assert "\u2022" not in text(row)


async def test_click_on_a_preset_chooses_it(panel: DialsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    row = panel.query_one(PresetsRow)
    await pilot.click(row, offset=(text(row).index("precise") + 1, 0))
    assert app.posted == commands("/preset precise")


# -- room -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_every_row_is_reachable_and_fits(panel: DialsPanel, pilot: Pilot[None], size: Size) -> None:
    names = {"日本語のとても長いプリセットの名前": {"top_k": 3.0}, "[b]\x1b[31mbold[/b]": {"top_k": 4.0}}
    panel.presets = PRESETS | names
    panel.show(ChatConfig(), 7)
    await pilot.press("home")
    for row in panel.query(PanelRow):
        assert row.current
        await pilot.pause()
        assert panel.region.contains_region(row.region) or row.region.height > size[1] - 2
        for line in text(row).split("\n"):
            assert cell_len(line) <= row.size.width
            assert visible(line) == line
        assert text(row).endswith("+") or not isinstance(row, DialRow)
        await pilot.press("down")
    assert "[b]\u241b[31mbold[/b]" in text(panel.query_one(PresetsRow))
