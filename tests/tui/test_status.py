"""The status line: which texts are shown where there is not enough room for all."""

from __future__ import annotations

from typing import Final

import pytest
from rich.cells import cell_len

from charlm.text.sanitize import visible
from charlm.tui.widgets.status import StatusLine
from tests.tui.widgets import show

ALL: Final = {
    "model": "harbour",
    "state": "writing",
    "turn": "turn 7  2/3",
    "learned": "moved 1.2% +0.08 bits",
    "speed": "3,457 chars/s",
    "characters": "1,234,567 characters",
    "seed": "seed 1234567890",
    "note": "heat",
}


def text(line: StatusLine) -> str:
    return line.render_line(0).text


async def test_wide_line_shows_every_text() -> None:
    async with show(StatusLine(), (140, 40)) as (line, pilot, _):
        line.show(**ALL)
        await pilot.pause()
        assert text(line).split("   ")[:8] == list(ALL.values())


async def test_empty_text_is_left_out() -> None:
    async with show(StatusLine(), (80, 24)) as (line, pilot, _):
        line.show(state="loading ...")
        await pilot.pause()
        assert text(line).strip() == "loading ..."
        line.show(characters="0 characters", model="")
        await pilot.pause()
        assert text(line).split("   ")[:2] == ["loading ...", "0 characters"]


async def test_narrow_line_drops_least_important_texts() -> None:
    async with show(StatusLine(), (120, 24)) as (line, pilot, _):
        line.show(**ALL)
        for width in range(110, 8, -7):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            assert line.size.height == 1
            assert cell_len(text(line)) <= width
            present = [str(line.texts[name]) in text(line) for name in StatusLine.IMPORTANCE]
            assert present == sorted(present, reverse=True), width
            assert "writing" in text(line) or width < 10
        await pilot.resize_terminal(40, 12)
        await pilot.pause()
        assert "harbour" in text(line)
        assert "seed" not in text(line)


@pytest.mark.parametrize("width", [20, 40, 80])
async def test_hostile_and_wide_names_are_cut(width: int) -> None:
    async with show(StatusLine(), (width, 12)) as (line, pilot, _):
        line.show(state="ready", model="\x1b[31m[b]日本語の長い長い名前\u202e" * 5)
        await pilot.pause()
        assert cell_len(text(line)) <= width - 2
        assert visible(text(line)) == text(line)
        assert "ready" in text(line)
        assert "\u2026" in text(line)
