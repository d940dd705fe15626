"""The status line: what is shown where there is not room for all."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from charlm.text.sanitize import visible
from charlm.tui.widgets.status import StatusLine


class StatusApp(App[None]):
    """The line alone."""

    def compose(self) -> ComposeResult:
        yield StatusLine()

    @property
    def status(self) -> StatusLine:
        return self.query_one(StatusLine)

    def fill(self) -> None:
        status = self.status
        status.model, status.state, status.turn, status.note = "harbour", "writing", "turn 7  2/3", "heat"
        status.speed, status.characters, status.seed = 3456.7, 1_234_567, 1_234_567_890
        status.learned = "moved 1.2% +0.08 bits"

    @property
    def shown(self) -> str:
        return self.status.render_line(0).text


async def test_everything_is_shown_where_there_is_room() -> None:
    app = StatusApp()
    async with app.run_test(size=(140, 40)) as pilot:
        app.fill()
        await pilot.pause()
        assert app.shown.split("   ")[:8] == [
            "harbour",
            "writing",
            "turn 7  2/3",
            "moved 1.2% +0.08 bits",
            "3,457 chars/s",
            "1,234,567 characters",
            "seed 1234567890",
            "heat",
        ]


async def test_what_is_not_known_is_not_shown() -> None:
    app = StatusApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.status.state = "loading ..."
        await pilot.pause()
        assert app.shown.strip() == "loading ..."
        app.status.characters = 0
        await pilot.pause()
        assert app.shown.split("   ")[:2] == ["loading ...", "0 characters"]


async def test_the_least_important_fields_go_first_and_nothing_wraps() -> None:
    app = StatusApp()
    async with app.run_test(size=(120, 24)) as pilot:
        app.fill()
        fields = dict(app.status.fields())
        for width in range(110, 8, -7):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            assert app.status.size.height == 1
            assert cell_len(app.shown) <= width
            present = [fields[name] in app.shown for name in StatusLine.IMPORTANCE]
            assert present == sorted(present, reverse=True), width
            assert fields["state"] in app.shown or width < 10
        await pilot.resize_terminal(40, 12)
        await pilot.pause()
        assert "harbour" in app.shown
        assert "seed" not in app.shown


@pytest.mark.parametrize("width", [20, 40, 80])
async def test_hostile_and_wide_names_are_cut(width: int) -> None:
    app = StatusApp()
    async with app.run_test(size=(width, 12)) as pilot:
        app.status.state = "ready"
        app.status.model = "\x1b[31m[b]日本語の長い長い名前\u202e" * 5
        await pilot.pause()
        assert cell_len(app.shown) <= width - 2
        assert visible(app.shown) == app.shown
        assert "ready" in app.shown
        assert "\u2026" in app.shown
