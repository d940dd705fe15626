"""The screens over the chat: each is opened, used and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.app import App
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Label, OptionList, Static

from charlm.registry import ModelCard
from charlm.text.sanitize import visible
from charlm.tui.screens.help import HelpScreen
from charlm.tui.screens.models import ModelPicker
from charlm.tui.screens.prompt_dialog import PromptDialog
from charlm.tui.screens.welcome import Welcome
from tests.tui.widgets import SIZES, Size

CARDS = (
    ModelCard("harbour", Path("h"), "lstm 2x256", 5.2, 1.987, "plain"),
    ModelCard("broken [b]", Path("b"), error="this is no model file: \x1b[31m"),
    ModelCard("shakespeare", Path("s"), "gru 2x384", 9.2, None, "play"),
    ModelCard("日本語のモデル" * 9, Path("j"), "lstm 1x128", 1.0, 3.21, "lines"),
)


@asynccontextmanager
async def push(
    screen: Screen[Any], size: Size = (80, 24)
) -> AsyncIterator[tuple[App[None], Pilot[None], list[object]]]:
    """Show a screen, and collect its results."""
    results: list[object] = []
    app = App[None]()
    async with app.run_test(size=size) as pilot:
        app.push_screen(screen, results.append)
        await pilot.pause()
        await pilot.pause()
        yield app, pilot, results


def on_screen(app: App[Any]) -> list[str]:
    """The rows of the terminal."""
    return ["".join(segment.text for segment in line) for line in app.screen._compositor.render_strips()]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: HelpScreen([("f1", "Help")], [("/help", "this")]),
        lambda: ModelPicker(CARDS),
        lambda: ModelPicker([]),
        lambda: PromptDialog("What?" * 30, "日本語" * 30),
        Welcome,
    ],
)
async def test_screen_stays_within_terminal(size: Size, make: Any) -> None:
    async with push(make(), size) as (app, _pilot, _results):
        box = next(iter(app.screen.children))
        assert app.screen.region.contains_region(box.region)
        rows = on_screen(app)
        assert len(rows) == size[1]
        assert all(cell_len(row) == size[0] for row in rows)
        assert all(visible(row) == row for row in rows)


@pytest.mark.parametrize(
    ("make", "most"), [(lambda: PromptDialog("What?"), 6), (lambda: ModelPicker(CARDS[:1]), 5), (Welcome, 14)]
)
async def test_box_is_as_high_as_its_content(make: Any, most: int) -> None:
    async with push(make()) as (app, _, _):
        assert next(iter(app.screen.children)).region.height <= most


# -- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["escape", "q", "f1"])
async def test_help_closes_by_key(key: str) -> None:
    async with push(HelpScreen([], [])) as (app, pilot, _results):
        await pilot.press(key)
        assert not isinstance(app.screen, HelpScreen)


@pytest.mark.parametrize("size", SIZES)
async def test_help_lists_all_and_scrolls_to_last(size: Size) -> None:
    bindings = [("ctrl+l,f3", "Look"), ("left_square_bracket", "The version before [b]")]
    commands = [(f"/command{n} NUMBER [TEXT]", f"does the thing tally {n} 日本") for n in range(30)]
    async with push(HelpScreen(bindings, commands), size) as (app, pilot, _results):
        seen = "\n".join(on_screen(app))
        assert "ctrl+l, f3" in seen
        assert "[b]" in seen
        scroll = app.screen.query_one(VerticalScroll)
        await pilot.press("down")
        await pilot.pause()
        assert scroll.scroll_target_y > 0
        everything = app.screen.query_one(Static)
        whole = [everything.render_line(y).text for y in range(everything.size.height)]
        assert sum("tally" in line for line in whole) == 30
        assert all(cell_len(line) <= everything.size.width for line in whole)
        await pilot.press("end")
        while scroll.scroll_target_y != scroll.max_scroll_y:
            await pilot.pause()


# -- models -----------------------------------------------------------------------------------------------------------


async def test_picker_skips_unreadable_model() -> None:
    async with push(ModelPicker(CARDS, current="shakespeare")) as (app, pilot, results):
        seen = "\n".join(on_screen(app))
        for part in ("harbour", "lstm 2x256  plain  1.987 bits/char  5.2 MB", "this is no model file: \u241b[31m"):
            assert part in seen
        assert "\u25cf shakespeare" in seen
        assert "gru 2x384  play  not measured  9.2 MB" in seen
        await pilot.press("down", "enter")  # over the broken one
        assert results == ["shakespeare"]


@pytest.mark.parametrize("size", SIZES)
async def test_picker_shows_whole_error(size: Size) -> None:
    error = "/home/somebody/long/folder/broken.safetensors is no model file: its header is missing END"
    async with push(ModelPicker([ModelCard("broken", Path("b"), error=error)]), size) as (app, _pilot, _results):
        seen = "".join(row.strip().strip("\u2502").strip().ljust(1) for row in on_screen(app))
        assert error.replace(" ", "") in seen.replace(" ", "")


async def test_typing_narrows_picker_list() -> None:
    async with push(ModelPicker(CARDS)) as (app, pilot, results):
        await pilot.press(*"LINES")
        assert len(app.screen.query_one(OptionList).options) == 1
        await pilot.press("enter")
        assert results == ["日本語のモデル" * 9]


async def test_picker_without_match_chooses_nothing() -> None:
    async with push(ModelPicker(CARDS)) as (app, pilot, results):
        await pilot.press(*"broken", "enter", *"xyz", "enter")
        assert results == []
        assert "no model matches" in "\n".join(on_screen(app))
        await pilot.press("escape")
        assert results == [None]


async def test_click_chooses_readable_model() -> None:
    async with push(ModelPicker(CARDS)) as (_app, pilot, results):
        await pilot.click(OptionList, offset=(4, 2))  # cannot be read
        assert results == []
        await pilot.click(OptionList, offset=(4, 4))
        assert results == ["shakespeare"]


# -- questions --------------------------------------------------------------------------------------------------------


async def test_dialog_returns_answer_or_none() -> None:
    async with push(PromptDialog("What is it to be called? [b]", "日本\x1b\nold")) as (app, pilot, results):
        assert app.screen.query_one(Input).value == "日本 old"
        assert "[b]" in str(app.screen.query_one(Label).render())
        await pilot.press("!", "enter")
        assert results == ["日本 old!"]
    async with push(PromptDialog("?")) as (_, pilot, results):
        await pilot.press("x", "escape")
        assert results == [None]


# -- the first run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_welcome_shows_commands_that_make_model(size: Size) -> None:
    async with push(Welcome(), size) as (app, pilot, _results):
        seen = "\n".join(on_screen(app))
        assert "charlm train your-text.txt" in seen
        assert "charlm chat" in seen or size[1] == 12
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running
