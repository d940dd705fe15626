"""The list of alternatives to a character."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import pytest
from rich.cells import cell_len
from textual.widgets import Static

from charlm.inference.generate import Alternative
from charlm.text.sanitize import visible
from charlm.tui.widgets.alternatives import Alternatives
from tests.tui.widgets import SIZES, ShownWidget, Size, rows, show

OPTIONS = (
    Alternative("e", 5, 0.61),
    Alternative("<e3>", 90, 0.2),
    Alternative("\n", 0, 0.1),
    Alternative("日", 7, 0.05),
    Alternative("\x1b", 8, 0.03),
    Alternative("[", 9, 0.00001),
)


def show_alternatives(size: Size = (80, 24)) -> AbstractAsyncContextManager[ShownWidget[Alternatives]]:
    return show(Alternatives(), size, above=[Static(classes="filler")])


def chosen(*texts: str) -> list[tuple[str, str]]:
    return [("Chosen", text) for text in texts]


async def test_rows_show_name_probability_and_bar() -> None:
    async with show_alternatives((80, 24)) as (alternatives, pilot, _):
        alternatives.show("e", 0.713, OPTIONS)
        await pilot.pause()
        assert [line.split()[:3] for line in rows(alternatives)] == [
            ["1", "e", "61.0%"],
            ["<e3>", "20.0%", rows(alternatives)[1].split()[2]],
            ["3", "newline", "10.0%"],
            ["4", "日", "5.0%"],
            ["5", "\u241b", "3.0%"],
            ["6", "[", "<0.1%"],
        ]
        bars = [line.count("\u2588") for line in rows(alternatives)]
        assert bars == sorted(bars, reverse=True)
        assert bars[0] == pytest.approx(3 * bars[1], abs=3)
        assert alternatives.border_title == "e, a surprise of 0.7 bits"
        assert [line.rstrip().endswith("\u25c2") for line in rows(alternatives)] == [True] + [False] * 5


@pytest.mark.parametrize("size", SIZES)
async def test_height_is_same_for_every_character(size: Size) -> None:
    heights = set()
    async with show_alternatives(size) as (alternatives, pilot, _):
        for character, options in (("e", OPTIONS), ("x", OPTIONS[:1]), ("日" * 30, OPTIONS * 3)):
            alternatives.show(character, None, options)
            await pilot.pause()
            heights.add(alternatives.outer_size.height)
            for line in rows(alternatives):
                assert cell_len(line) <= alternatives.size.width
                assert visible(line) == line
        assert len(heights) == 1
        assert heights.pop() <= max(4, min(8, size[1] // 2))


async def test_choose_by_number_skips_bytes() -> None:
    async with show_alternatives() as (alternatives, pilot, app):
        alternatives.show("e", 1, OPTIONS)
        for number in (2, 3, 9, 0, 4):
            alternatives.choose(number)
        await pilot.pause()
        assert app.posted == chosen("\n", "日")


@pytest.mark.parametrize("size", SIZES)
async def test_arrows_and_enter_skip_bytes(size: Size) -> None:
    async with show_alternatives(size) as (alternatives, pilot, app):
        alternatives.show("e", 1, OPTIONS)
        alternatives.focus()
        await pilot.press("enter", "down", "enter", "down", "down", "down")
        await pilot.pause()
        assert any("6 [" in line for line in rows(alternatives))  # the list scrolled to it
        await pilot.press("enter", *["up"] * 4, "enter")
        assert app.posted == chosen("e", "\n", "[", "e")


async def test_click_chooses_but_not_a_byte() -> None:
    async with show_alternatives() as (alternatives, pilot, app):
        alternatives.show("e", 1, OPTIONS)
        await pilot.pause()
        await pilot.click(Alternatives, offset=(5, 3))
        await pilot.click(Alternatives, offset=(5, 2))
        assert app.posted == chosen("\n")


@pytest.mark.parametrize(
    ("options", "offered", "subtitle"),
    [(OPTIONS, False, "what the model expected of you"), (OPTIONS[1:2], True, "")],
)
async def test_own_turn_and_bytes_offer_no_choice(options: Sequence[Alternative], offered: bool, subtitle: str) -> None:
    async with show_alternatives() as (alternatives, pilot, app):
        alternatives.show("e", 1, options, offered=offered)
        alternatives.focus()
        await pilot.press("enter", "down", "enter")
        await pilot.click(Alternatives, offset=(5, 3))
        assert app.posted == []
        assert alternatives.border_subtitle == subtitle
        assert not any(line.strip()[:1].isdigit() for line in rows(alternatives))
