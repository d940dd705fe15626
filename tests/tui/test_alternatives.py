"""The list of alternatives to a character."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.widgets import Static

from charlm.inference.generate import Alternative
from charlm.text.sanitize import visible
from charlm.tui.widgets.alternatives import Alternatives

SIZES = ((40, 12), (80, 24), (120, 40))
OPTIONS = (
    Alternative("e", 5, 0.61),
    Alternative("<e3>", 90, 0.2),
    Alternative("\n", 0, 0.1),
    Alternative("日", 7, 0.05),
    Alternative("\x1b", 8, 0.03),
    Alternative("[", 9, 0.00001),
)


class AlternativesApp(App[None]):
    """The list below something."""

    CSS = "Static { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self.chosen: list[str] = []

    def compose(self) -> ComposeResult:
        yield Static()
        yield Alternatives()

    def on_alternatives_chosen(self, event: Alternatives.Chosen) -> None:
        self.chosen.append(event.text)

    @property
    def list(self) -> Alternatives:
        return self.query_one(Alternatives)

    @property
    def lines(self) -> list[str]:
        return [self.list.render_line(y).text for y in range(self.list.size.height)]


async def test_rows_show_name_probability_and_bar() -> None:
    app = AlternativesApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.list.show("e", 0.713, OPTIONS)
        await pilot.pause()
        assert [line.split()[:3] for line in app.lines] == [
            ["1", "e", "61.0%"],
            ["<e3>", "20.0%", app.lines[1].split()[2]],
            ["3", "newline", "10.0%"],
            ["4", "日", "5.0%"],
            ["5", "\u241b", "3.0%"],
            ["6", "[", "<0.1%"],
        ]
        bars = [line.count("\u2588") for line in app.lines]
        assert bars == sorted(bars, reverse=True)
        assert bars[0] == pytest.approx(3 * bars[1], abs=3)
        assert app.list.border_title == "e, a surprise of 0.7 bits"
        assert [line.rstrip().endswith("\u25c2") for line in app.lines] == [True] + [False] * 5


@pytest.mark.parametrize("size", SIZES)
async def test_height_is_same_for_every_character(size: tuple[int, int]) -> None:
    app = AlternativesApp()
    heights = set()
    async with app.run_test(size=size) as pilot:
        for character, options in (("", ()), ("e", OPTIONS), ("x", OPTIONS[:1]), ("日" * 30, OPTIONS * 3)):
            app.list.show(character, None, options)
            await pilot.pause()
            heights.add(app.list.outer_size.height)
            for line in app.lines:
                assert cell_len(line) <= app.list.size.width
                assert visible(line) == line
        assert len(heights) == 1
        assert heights.pop() <= max(4, min(8, size[1] // 2))


async def test_choose_by_number_skips_bytes() -> None:
    app = AlternativesApp()
    async with app.run_test() as pilot:
        app.list.show("e", 1, OPTIONS)
        for number in (2, 3, 9, 0, 4):
            app.list.choose(number)
        await pilot.pause()
        assert app.chosen == ["\n", "日"]


@pytest.mark.parametrize("size", SIZES)
async def test_arrows_and_enter_skip_bytes(size: tuple[int, int]) -> None:
    app = AlternativesApp()
    async with app.run_test(size=size) as pilot:
        app.list.show("e", 1, OPTIONS)
        app.list.focus()
        await pilot.press("enter", "down", "enter", "down", "down", "down")
        await pilot.pause()
        assert any("6 [" in line for line in app.lines)  # the list scrolled to it
        await pilot.press("enter", *["up"] * 4, "enter")
        assert app.chosen == ["e", "\n", "[", "e"]


async def test_click_chooses_but_not_a_byte() -> None:
    app = AlternativesApp()
    async with app.run_test() as pilot:
        app.list.show("e", 1, OPTIONS)
        await pilot.pause()
        await pilot.click(Alternatives, offset=(5, 3))
        await pilot.click(Alternatives, offset=(5, 2))
        assert app.chosen == ["\n"]


async def test_own_turn_offers_no_choice() -> None:
    app = AlternativesApp()
    async with app.run_test() as pilot:
        app.list.show("e", 1, OPTIONS, offered=False)
        app.list.focus()
        await pilot.press("enter", "down", "enter")
        await pilot.click(Alternatives, offset=(5, 3))
        assert app.chosen == []
        assert "branch" not in str(app.list.border_subtitle)
        assert [line.split()[:2] for line in app.lines[::3]] == [["e", "61.0%"], ["日", "5.0%"]]


async def test_bytes_alone_offer_no_choice() -> None:
    app = AlternativesApp()
    async with app.run_test() as pilot:
        app.list.show("日", 9, OPTIONS[1:2])
        app.list.focus()
        await pilot.press("enter", "down", "enter")
        assert app.chosen == []
        assert not app.list.border_subtitle
