"""The status line: which texts are shown where there is not enough room for all."""

from __future__ import annotations

from typing import Final

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from charlm.text.sanitize import visible
from charlm.tui.widgets.status import StatusLine, StatusTexts

ALL: Final = StatusTexts(
    model="harbour",
    state="writing",
    turn="turn 7  2/3",
    learned="moved 1.2% +0.08 bits",
    speed="3,457 chars/s",
    characters="1,234,567 characters",
    seed="seed 1234567890",
    note="heat",
)


class StatusApp(App[None]):
    """The line alone."""

    def compose(self) -> ComposeResult:
        yield StatusLine()

    @property
    def status(self) -> StatusLine:
        return self.query_one(StatusLine)

    @property
    def shown(self) -> str:
        return self.status.render_line(0).text


async def test_wide_line_shows_every_text() -> None:
    app = StatusApp()
    async with app.run_test(size=(140, 40)) as pilot:
        app.status.show(**ALL)
        await pilot.pause()
        assert app.shown.split("   ")[:8] == list(ALL.values())


async def test_empty_text_is_left_out() -> None:
    app = StatusApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.status.show(state="loading ...")
        await pilot.pause()
        assert app.shown.strip() == "loading ..."
        app.status.show(characters="0 characters", model="")
        await pilot.pause()
        assert app.shown.split("   ")[:2] == ["loading ...", "0 characters"]


async def test_narrow_line_drops_least_important_texts() -> None:
    app = StatusApp()
    async with app.run_test(size=(120, 24)) as pilot:
        app.status.show(**ALL)
        for width in range(110, 8, -7):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            assert app.status.size.height == 1
            assert cell_len(app.shown) <= width
            present = [str(app.status.texts[name]) in app.shown for name in StatusLine.IMPORTANCE]
            assert present == sorted(present, reverse=True), width
            assert "writing" in app.shown or width < 10
        await pilot.resize_terminal(40, 12)
        await pilot.pause()
        assert "harbour" in app.shown
        assert "seed" not in app.shown


@pytest.mark.parametrize("width", [20, 40, 80])
async def test_hostile_and_wide_names_are_cut(width: int) -> None:
    app = StatusApp()
    async with app.run_test(size=(width, 12)) as pilot:
        app.status.show(state="ready", model="\x1b[31m[b]日本語の長い長い名前\u202e" * 5)
        await pilot.pause()
        assert cell_len(app.shown) <= width - 2
        assert visible(app.shown) == app.shown
        assert "ready" in app.shown
        assert "\u2026" in app.shown
