"""The list of conversations and its search field."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from charlm.chat.storage.listing import ConversationSummary
from charlm.text.sanitize import visible
from charlm.tui.widgets.conversations import ConversationsPanel, age
from tests.tui.widgets import SIZES, Shown, ShownWidget, Size, WidgetApp, commands, show

NOW = 1_750_000_000.0


def summary(
    number: int, title: str, *, model: str = "harbour", turns: int = 2, updated: float = NOW, snippet: str = ""
) -> ConversationSummary:
    return ConversationSummary(number, title, model, "play", "Anna", "Bob", turns, 0, NOW, updated, snippet)


SUMMARIES = (
    summary(3, "A walk by the harbour", updated=NOW - 180, turns=12),
    summary(9, "日本語の題名", updated=NOW - 7200, turns=1),
    summary(4, "Old", updated=NOW - 400 * 86_400),
)


@pytest.fixture
async def shown(size: Size) -> Shown[ConversationsPanel]:
    async with show(ConversationsPanel(clock=lambda: NOW, search_delay=3600), size) as (panel, pilot, app):
        panel.show(SUMMARIES, 3)
        panel.focus()
        await pilot.pause()
        yield panel, pilot, app


@pytest.fixture
def panel(shown: ShownWidget[ConversationsPanel]) -> ConversationsPanel:
    return shown[0]


def lines(app: WidgetApp) -> list[str]:
    options = app.query_one(OptionList)
    return [options.render_line(y - options.scroll_offset.y).text for y in range(options.virtual_size.height)]


async def test_row_shows_title_age_turns_and_model(panel: ConversationsPanel, app: WidgetApp) -> None:
    assert [line.strip() for line in lines(app)] == [
        "\u25cf A walk by the harbour",
        "3 min  12 turns  harbour",
        "日本語の題名",
        "2 h  1 turn  harbour",
        "Old",
        "2024-05-11  2 turns  harbour",
    ]
    assert str(panel.border_subtitle).startswith("3")


async def test_search_result_shows_snippet(panel: ConversationsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    panel.show([summary(1, "Title", snippet="the [b]sea[/b]\nwas calm")], None)
    await pilot.pause()
    assert [line.strip() for line in lines(app)] == ["Title", "now  2 turns  harbour", "the [b]sea[/b] was calm"]


@pytest.mark.parametrize("size", SIZES)
async def test_hostile_titles_are_cut(panel: ConversationsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    titles = [
        "\x1b[31m\u202eevil\r\n[red]x[/red] " * 9,
        "題" * 300,
        "\U0001f469\u200d\U0001f467" * 90,
        "e\u0301" * 99,
        "",
    ]
    panel.show([summary(n, title, model=title, snippet=title) for n, title in enumerate(titles)], None)
    await pilot.pause()
    width = app.query_one(OptionList).scrollable_content_region.width
    assert len(lines(app)) == 14  # three lines each, the last without a snippet
    for line in lines(app):
        assert cell_len(line) == width
        assert visible(line) == line
    assert lines(app)[0].strip().startswith("\u241b[31m<202E>evil [red]x[/red]"[: width - 10])
    assert lines(app)[0].rstrip().endswith("\u2026")
    assert "untitled" in lines(app)[12]


async def test_keys_act_on_highlighted_conversation(pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.press("delete", "down", "r", "enter", "n")
    assert app.posted == [*commands("/delete 3"), ("Renamed", 9), *commands("/open 9", "/new")]


async def test_click_opens_conversation(pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.click(OptionList, offset=(5, 2))
    assert app.posted == commands("/open 9")


async def test_keys_in_empty_list_only_begin_new(panel: ConversationsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    panel.show([], None)
    app.query_one(OptionList).focus()
    await pilot.press("delete", "r", "enter", "n")
    assert app.posted == commands("/new")
    assert panel.border_subtitle == "none yet"


async def test_deletion_highlights_next_row(panel: ConversationsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.press("down")
    panel.show([row for row in SUMMARIES if row.number != 9], 3)
    await pilot.pause()
    await pilot.press("enter")
    assert app.posted == commands("/open 4")


async def test_highlight_after_reordering_stays(panel: ConversationsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.press("down")
    panel.show(SUMMARIES[::-1], 3)
    await pilot.pause()
    await pilot.press("enter")
    assert app.posted == commands("/open 9")


async def test_search_waits_for_enter_or_pause(pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.press("slash", "s", "e", "a")
    assert app.query_one(Input).value == "sea"
    assert app.posted == []
    await pilot.press("enter")  # or until Enter
    assert app.posted == [("Searched", "sea")]
    assert app.query_one(OptionList).has_focus


async def test_search_after_pause_begins_by_itself() -> None:
    async with show(ConversationsPanel(search_delay=0.01)) as (panel, pilot, app):
        panel.show(SUMMARIES, 3)
        panel.focus()
        await pilot.press("slash", "海")
        while not app.posted:
            await pilot.pause(0.01)
        await pilot.press("backspace")
        while len(app.posted) < 2:
            await pilot.pause(0.01)
        await pilot.press("space")  # the same search
        await pilot.press("enter")
        assert app.posted == [("Searched", "海"), ("Searched", "")]


async def test_focus_of_empty_list_is_in_search(panel: ConversationsPanel, pilot: Pilot[None], app: WidgetApp) -> None:
    panel.show([], None)
    panel.focus()
    await pilot.pause()
    assert app.query_one(Input).has_focus
    panel.show(SUMMARIES, 3)
    await pilot.press("down")
    assert app.query_one(OptionList).has_focus


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "now"), (0, "now"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86_400 * 2.5, "2 d")],
)
def test_age_of_conversation_in_words(seconds: float, said: str) -> None:
    assert age(NOW - seconds, NOW) == said
