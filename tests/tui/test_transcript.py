"""The transcript widget: what it draws, how it scrolls, what it selects, and its cursor."""

import random
from contextlib import asynccontextmanager

import pytest
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from charlm.text.sanitize import visible
from charlm.tui.widgets.document import Block
from charlm.tui.widgets.rendering import HEAT_BITS, NEWLINE_SYMBOL, heat_level
from charlm.tui.widgets.rendering import MARGIN_LEFT as LEFT
from charlm.tui.widgets.transcript import Transcript
from tests.tui.widgets import Shown, ShownWidget, Size, WidgetApp, show

TALK = [
    Block(1, "you", "ROMEO", "What light through yonder window breaks?"),
    Block(2, "bot", "JULIET  2/3", "Good morrow, cousin.\nIs the day so young?", surprises=[1.0] * 41),
]
LONG = [
    Block(1, "bot", "LONG", "".join(f"line {n} of a long story, told to no one in particular\n" for n in range(300)))
]
HOSTILE = (
    "\x1b[2J\x1b]0;title\x07 \x9b31m [/red] [@click=app.quit]x[/] \x00\x00 \u202eabc\u2066 \u200b\u200d\ufeff "
    "e" + "\u0301" * 500 + "\r\n\t\ud800 \U000e0041 " + "x" * 200 + "👩‍👩‍👧" * 30 + "日\u200d本\U0001f3fd \u2028\x85"
)
THEMES = ("textual-dark", "textual-light", "tokyo-night", "nord", "catppuccin-latte", "ansi-dark", "ansi-light")


@asynccontextmanager
async def show_blocks(blocks: list[Block], size: Size = (60, 21)) -> Shown[Transcript]:
    transcript = Transcript()
    transcript.document.load(blocks)  # before there is a screen
    async with show(transcript, size, below=[Input()]) as (_, pilot, app):
        yield transcript, pilot, app


@pytest.fixture
async def shown() -> Shown[Transcript]:
    async with show_blocks(TALK) as shown:
        yield shown


@pytest.fixture
def transcript(shown: ShownWidget[Transcript]) -> Transcript:
    return shown[0]


def strips(transcript: Transcript) -> list[Strip]:
    return transcript.render_lines(transcript.size.region)


def lines(transcript: Transcript) -> list[str]:
    return [strip.text.rstrip() for strip in strips(transcript)]


def selected(app: WidgetApp) -> str | None:
    return app.screen.get_selected_text()


def cell(transcript: Transcript, x: int, y: int) -> Segment:
    [segment] = strips(transcript)[y].crop(x, x + 1)
    return segment


def style_of(transcript: Transcript, x: int, y: int) -> Style:
    return cell(transcript, x, y).style or Style()


async def wheel(transcript: Transcript, pilot: Pilot[None], turns: int) -> None:
    kind = MouseScrollDown if turns > 0 else MouseScrollUp
    for _ in range(abs(turns)):
        transcript.post_message(kind(transcript, 5, 5, 0, 0, 0, False, False, False))
        await pilot.pause()


async def drag(pilot: Pilot[None], start: tuple[int, int], end: tuple[int, int]) -> None:
    await pilot.mouse_down(Transcript, offset=start)
    await pilot.hover(Transcript, offset=end)
    await pilot.mouse_up(Transcript, offset=end)
    await pilot.pause()


# -- drawing -----------------------------------------------------------------------------------------------------------


async def test_blocks_are_drawn_with_their_labels(transcript: Transcript) -> None:
    assert lines(transcript)[:8] == [
        "  ROMEO",
        "  What light through yonder window breaks?",
        "",
        "  JULIET  2/3",
        "  Good morrow, cousin.",
        "  Is the day so young?",
        "",
        "",
    ]


async def test_streamed_text_is_drawn() -> None:
    async with show_blocks([]) as (transcript, pilot, _):
        transcript.document.begin_block(1, "bot", "JULIET")
        for one in "Good morrow, cousin. " * 4:
            transcript.document.append(one)
        await pilot.pause()
        assert lines(transcript)[:3] == [
            "  JULIET",
            "  Good morrow, cousin. Good morrow, cousin. Good morrow,",
            "  cousin. Good morrow, cousin.",
        ]


async def test_inline_blocks_share_a_row_in_two_colours() -> None:
    blocks = [Block(1, "you", "", "Once upon a ", inline=True), Block(2, "bot", "", "time", inline=True)]
    async with show_blocks(blocks) as (transcript, _, _):
        assert lines(transcript)[0] == "  Once upon a time"
        assert style_of(transcript, LEFT, 0).color != style_of(transcript, LEFT + 12, 0).color


@pytest.mark.parametrize("size", [(60, 21), (40, 12), (6, 5), (120, 40)])
@pytest.mark.parametrize("heat", [False, True])
async def test_hostile_text_is_drawn_safely_and_fits(size: Size, heat: bool) -> None:
    block = Block(1, "bot", "\x1b[31m[/red]\n" + HOSTILE, HOSTILE, surprises=[9.0] * len(HOSTILE))
    async with show_blocks([block], size) as (transcript, pilot, _):
        transcript.heat = heat
        transcript.start_cursor(1)
        for y in range(0, transcript.virtual_size.height, size[1] - 1):
            transcript.scroll_to(y=y, animate=False)
            await pilot.pause()
            for strip in strips(transcript):
                assert strip.cell_length == transcript.size.width == sum(cell_len(one.text) for one in strip)
                assert visible(strip.text) == strip.text
                assert not set(strip.text) & set("\n\t")


async def test_markup_is_drawn_as_text() -> None:
    async with show_blocks([Block(1, "bot", "[b]A[/b]", "[/red] [@click=app.quit]x[/]")]) as (transcript, _, _):
        assert lines(transcript)[:2] == ["  [b]A[/b]", "  [/red] [@click=app.quit]x[/]"]


async def test_label_changes_and_blocks_are_removed(transcript: Transcript, pilot: Pilot[None]) -> None:
    transcript.document.set_label(2, "JULIET  stopped")
    assert lines(transcript)[3] == "  JULIET  stopped"
    transcript.document.remove_from(2)
    transcript.document.begin_block(2, "bot", "NURSE")
    transcript.document.append("Madam!")
    await pilot.pause()
    assert lines(transcript)[2:5] == ["", "  NURSE", "  Madam!"]
    transcript.document.load([])
    assert set(lines(transcript)) == {""}
    assert transcript.virtual_size.height == 0


async def test_append_renders_changed_rows_only(transcript: Transcript) -> None:
    before = strips(transcript)
    transcript.document.append(" Not yet.")
    after = strips(transcript)
    same = [one is other for one, other in zip(before, after, strict=True)]
    assert same[:5] == [True] * 5
    assert not same[5]


# -- scrolling ---------------------------------------------------------------------------------------------------------


async def test_streaming_follows_the_end() -> None:
    async with show_blocks(LONG) as (transcript, pilot, _):
        assert transcript.following
        for n in range(5):
            transcript.document.append(f"more {n}\n")
            assert transcript.scroll_offset.y == transcript.max_scroll_y
            await pilot.pause()
            assert lines(transcript)[-2] == f"  more {n}"
        assert transcript.unseen == 0


async def test_streaming_leaves_a_scrolled_view_in_place() -> None:
    async with show_blocks(LONG) as (transcript, pilot, _):
        await wheel(transcript, pilot, -3)
        assert not transcript.following
        seen = lines(transcript)
        transcript.document.append("much more\n" * 50)
        await pilot.pause()
        transcript.document.begin_block(2, "you", "ME")
        transcript.document.append("hello")
        await pilot.pause()
        assert transcript.unseen == 505
        assert lines(transcript)[:-1] == seen[:-1]
        assert lines(transcript)[-1].endswith("\u2193")
        transcript.follow()
        await pilot.pause()
        assert transcript.following
        assert transcript.unseen == 0
        assert lines(transcript)[-1] == "  hello"


@pytest.mark.parametrize("way", ["wheel", "pagedown", "end", "ctrl+end", "down"])
async def test_reaching_the_end_follows_it_again(way: str) -> None:
    async with show_blocks(LONG) as (transcript, pilot, _):
        transcript.focus()
        await wheel(transcript, pilot, -8)
        for n in range(40):
            transcript.document.append(f"more {n}\n")
            if way == "wheel":
                await wheel(transcript, pilot, 1)
            elif way == "down":
                await pilot.press("down", "down")
            else:
                await pilot.press(way)
            if transcript.following:
                break
        assert transcript.following
        transcript.document.append("yet more\n" * 30)
        assert transcript.scroll_offset.y == transcript.max_scroll_y


async def test_keys_without_a_cursor_scroll() -> None:
    async with show_blocks(LONG) as (transcript, pilot, app):
        transcript.focus()
        await pilot.press("pageup", "up")
        assert transcript.max_scroll_y - transcript.scroll_offset.y == transcript.size.height
        assert not transcript.following
        await pilot.press("home")
        assert transcript.scroll_offset.y == 0
        await pilot.press("tab")
        assert app.focused is not transcript  # the key went on to the screen
        assert app.posted == []


@pytest.mark.parametrize("up", [0, 40])
async def test_resize_keeps_the_end_or_the_top_text(up: int) -> None:
    story = " ".join(f"word{n}" for n in range(3000))
    async with show_blocks([Block(1, "bot", "LONG", story)], (120, 40)) as (transcript, pilot, _):
        if up:
            transcript.scroll_to(y=transcript.max_scroll_y - up, animate=False)
        await pilot.pause()
        before, first = lines(transcript), transcript.scroll_offset.y
        word = before[0].split()[0]
        for size in ((60, 20), (40, 12), (90, 30)):
            await pilot.resize_terminal(*size)
            transcript.document.append(" more")
            await pilot.pause()
            assert transcript.following == (up == 0)
            if up:
                assert word in lines(transcript)[0].split()
            else:
                assert lines(transcript)[-1].split()[-1] == "more"
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        if up:
            assert transcript.scroll_offset.y == first
            assert lines(transcript)[:-1] == before[:-1]


async def test_removal_while_scrolled_up_follows_the_end() -> None:
    async with show_blocks([*TALK, Block(3, "bot", "LONG", LONG[0].text)]) as (transcript, pilot, _):
        await wheel(transcript, pilot, -2)
        transcript.document.remove_from(3)
        await pilot.pause()
        assert transcript.following
        assert lines(transcript)[5] == "  Is the day so young?"


# -- selection ---------------------------------------------------------------------------------------------------------


async def test_mouse_drag_selects_text(transcript: Transcript, pilot: Pilot[None], app: WidgetApp) -> None:
    await drag(pilot, (LEFT + 5, 1), (LEFT + 9, 1))
    assert selected(app) == "light"
    colours = [style_of(transcript, x, 1).bgcolor for x in (LEFT + 4, LEFT + 5, LEFT + 9, LEFT + 10)]
    assert colours[0] == colours[3] != colours[1] == colours[2]
    await drag(pilot, (LEFT + 33, 1), (LEFT + 3, 4))
    assert selected(app) == "breaks?\nGood"  # no labels, no blank lines
    await drag(pilot, (LEFT + 3, 5), (0, 4))
    assert selected(app) == "Good morrow, cousin.\nIs t"


async def test_drag_over_blank_space_selects_adjacent_text(pilot: Pilot[None], app: WidgetApp) -> None:
    await drag(pilot, (1, 4), (50, 5))
    assert selected(app) == TALK[1].text
    await drag(pilot, (30, 3), (50, 5))  # from the label
    assert selected(app) == TALK[1].text
    await drag(pilot, (0, 1), (40, 2))  # to the gap
    assert selected(app) == TALK[0].text
    await drag(pilot, (LEFT + 3, 5), (20, 15))  # to below everything
    assert selected(app) == "the day so young?"


async def test_selection_returns_the_original_text() -> None:
    text = "a\tb\u202ec e\u0301e 👩‍👩‍👧日本 " + "word " * 20
    async with show_blocks([Block(1, "bot", "", text)], (40, 12)) as (transcript, pilot, app):
        shown = lines(transcript)[0]
        assert shown.startswith("  a   b<202E>c e\u0301e 👩‍👩‍👧日本 word")
        await drag(pilot, (LEFT, 0), (LEFT + 2, 0))
        assert selected(app) == "a\t"
        await drag(pilot, (LEFT + 7, 0), (LEFT + 13, 0))
        assert selected(app) == "\u202ec e\u0301"
        await drag(pilot, (LEFT + 13, 0), (LEFT + 16, 0))
        assert selected(app) == "e\u0301e 👩‍👩‍👧"
        await drag(pilot, (LEFT, 0), (39, 11))
        assert selected(app) == text


async def test_selection_stays_on_its_text_and_holds_the_view() -> None:
    async with show_blocks(LONG) as (transcript, pilot, app):
        y = next(y for y, line in enumerate(lines(transcript)) if "line 295 " in line)
        await drag(pilot, (LEFT, y), (LEFT + 7, y))
        seen = lines(transcript)
        transcript.document.append("more\n" * 30)
        await pilot.pause()
        assert lines(transcript)[:-1] == seen[:-1]
        assert transcript.unseen
        await pilot.resize_terminal(40, 15)
        await pilot.pause()
        assert selected(app) == "line 295"
        app.screen.clear_selection()
        await pilot.pause()
        assert transcript.following
        assert transcript.scroll_offset.y == transcript.max_scroll_y
        assert lines(transcript)[-2] == "  more"


async def test_multiple_clicks_select_word_and_block(pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.double_click(Transcript, offset=(LEFT + 6, 1))
    assert selected(app) == "light"
    await pilot.triple_click(Transcript, offset=(LEFT + 6, 4))
    assert selected(app) == TALK[1].text


async def test_load_clears_the_selection(transcript: Transcript, pilot: Pilot[None], app: WidgetApp) -> None:
    await drag(pilot, (LEFT + 5, 1), (LEFT + 9, 1))
    transcript.document.load(LONG)
    await pilot.pause()
    assert not selected(app)


# -- heat --------------------------------------------------------------------------------------------------------------


def test_heat_level_of_surprises() -> None:
    assert [heat_level(bits) for bits in (0, -1e-9, 0.49, 0.5, 1.5, 3.9, 4, 7, 9.9, 10, 99)] == [
        0, 0, 0, 1, 2, 3, 4, 6, 6, 7, 7,
    ]  # fmt: skip
    assert heat_level(float("nan")) == -1


async def test_heat_levels_look_different() -> None:
    text = "abcdefgh??\nz"
    async with show_blocks([Block(1, "bot", "", text, surprises=[*HEAT_BITS])]) as (transcript, pilot, _):
        plain = [style_of(transcript, LEFT + x, 0) for x in range(10)]
        assert len({(style.color, style.bgcolor) for style in plain}) == 1
        transcript.heat = True
        await pilot.pause()
        hot = [style_of(transcript, LEFT + x, 0) for x in range(10)]
        looks = [(style.color, style.bgcolor, style.bold, style.underline, style.dim) for style in hot]
        assert len(set(looks[:8])) == 8
        assert looks[8] == looks[9]  # unknown
        transcript.document.set_surprises(1, [0.0] * 8 + [12.0] * 2)
        await pilot.pause()
        assert lines(transcript)[0] == "  " + text[:10]
        transcript.document.set_surprises(1, [0.0] * 11)
        await pilot.pause()
        assert lines(transcript)[0] == "  " + text[:10] + NEWLINE_SYMBOL


async def test_cluster_heat_is_the_sum_of_its_characters() -> None:
    async with show_blocks([Block(1, "bot", "", "e\u0301x", surprises=[4, 6, 10])]) as (transcript, pilot, _):
        transcript.heat = True
        await pilot.pause()
        first, second = (style_of(transcript, LEFT + x, 0) for x in (0, 1))
        assert (first.color, first.bgcolor) == (second.color, second.bgcolor)


async def test_heat_legend_uses_the_theme_colours() -> None:
    async with show_blocks([]) as (transcript, pilot, app):
        legend = transcript.heat_legend()
        assert str(legend) == "surprise  0  0.5  1.5  2.5  4  5.5  7  10  bits"
        styles = {str(span.style) for span in legend.spans}
        assert len(styles) == len(HEAT_BITS)
        app.theme = "textual-light"
        await pilot.pause()
        assert len({str(span.style) for span in transcript.heat_legend().spans} - styles) >= 6


async def test_heat_levels_differ_in_16_colours(transcript: Transcript, pilot: Pilot[None], app: WidgetApp) -> None:
    for theme in THEMES:
        app.theme = theme
        await pilot.pause()
        styles = transcript.renderer.palette.heat[::2]
        Strip.render_ansi.cache_clear()
        assert len({Strip.render_ansi(style, ColorSystem.STANDARD) for style in styles}) == 4, theme


async def test_theme_change_repaints(transcript: Transcript, pilot: Pilot[None], app: WidgetApp) -> None:
    cells = ((0, 0), (LEFT, 0), (LEFT, 1), (LEFT, 4), (5, 9))
    before = [style_of(transcript, x, y).bgcolor for x, y in cells]
    app.theme = "textual-light"
    await pilot.pause()
    after = [style_of(transcript, x, y).bgcolor for x, y in cells]
    assert all(one != other for one, other in zip(before, after, strict=True))


# -- cursor ------------------------------------------------------------------------------------------------------------


def reversed_cells(transcript: Transcript) -> list[tuple[int, int]]:
    found = []
    for y, strip in enumerate(strips(transcript)):
        x = 0
        for segment in strip:
            if segment.style is not None and segment.style.reverse:
                found += [(x + n, y) for n in range(segment.cell_length)]
            x += segment.cell_length
    return found


async def test_cursor_moves_by_clusters_and_posts_messages() -> None:
    text = "e\u0301👩‍👩‍👧日\nx"
    async with show_blocks([TALK[0], Block(2, "bot", "B", text)]) as (transcript, pilot, app):
        transcript.start_cursor(2)
        await pilot.pause()
        assert app.focused is transcript
        assert transcript.cursor == (2, 0)
        seen, cursors = [reversed_cells(transcript)], [transcript.cursor]
        for _ in range(5):
            await pilot.press("right")
            seen.append(reversed_cells(transcript))
            cursors.append(transcript.cursor)
        assert seen == [[(2, 4)], [(3, 4), (4, 4)], [(5, 4), (6, 4)], [(7, 4)], [(2, 5)], [(2, 5)]]
        assert cursors == [(2, character) for character in (0, 2, 7, 8, 9, 9)]
        assert app.posted == [("CursorMoved",)] * 5
        await pilot.press("home", "shift+tab", "shift+tab")
        assert transcript.cursor == (1, 0)
        await pilot.press("ctrl+right", "ctrl+right", "ctrl+left", "end")
        assert transcript.cursor == (1, 39)
        await pilot.press("right")
        assert transcript.cursor == (2, 0)
        await pilot.press("ctrl+home")
        assert transcript.cursor == (1, 0)
        await pilot.press("ctrl+end")
        assert transcript.cursor == (2, 9)
        transcript.stop_cursor()
        await pilot.pause()
        assert transcript.cursor is None
        assert reversed_cells(transcript) == []


async def test_cursor_up_and_down_keep_the_column() -> None:
    async with show_blocks([Block(1, "bot", "", "a long first line\nhi\nanother long line")]) as (transcript, pilot, _):
        transcript.start_cursor(1)
        await pilot.press(*["right"] * 9, "down", "down")
        assert transcript.cursor == (1, 21 + 9)
        await pilot.press("up")
        assert transcript.cursor == (1, 20)
        await pilot.press("up")
        assert transcript.cursor == (1, 9)


async def test_cursor_stays_visible() -> None:
    async with show_blocks(LONG) as (transcript, pilot, _):
        transcript.start_cursor(1)
        assert transcript.cursor is not None
        rng = random.Random(1)
        for _ in range(25):
            await pilot.press(rng.choice(["pageup", "pagedown", "up", "down", "home", "end", "ctrl+left", "left"]))
            assert len(reversed_cells(transcript)) == 1
        await pilot.press("ctrl+home")
        assert reversed_cells(transcript) == [(LEFT, 1)]
        await pilot.press("escape")


async def test_streaming_leaves_the_cursor_in_place() -> None:
    async with show_blocks(LONG) as (transcript, pilot, _):
        transcript.start_cursor(1)
        await pilot.pause()
        where, seen = transcript.cursor, reversed_cells(transcript)
        transcript.document.append("more\n" * 30)
        await pilot.pause()
        assert transcript.cursor == where
        assert reversed_cells(transcript) == seen
        assert transcript.unseen == 150
        transcript.stop_cursor()
        assert transcript.scroll_offset.y == transcript.max_scroll_y
        assert transcript.unseen == 0


async def test_click_moves_an_existing_cursor(transcript: Transcript, pilot: Pilot[None]) -> None:
    await pilot.click(Transcript, offset=(LEFT + 5, 1))
    assert transcript.cursor is None
    transcript.start_cursor(2)
    await pilot.click(Transcript, offset=(LEFT + 5, 1))
    assert transcript.cursor == (1, 5)


async def test_cursor_of_removed_text_moves_to_the_end(transcript: Transcript, pilot: Pilot[None]) -> None:
    transcript.start_cursor(2)
    transcript.document.remove_from(2)
    await pilot.pause()
    assert transcript.cursor == (1, 39)
    transcript.document.load([])
    await pilot.pause()
    assert transcript.cursor is None


async def test_cursor_bindings_need_a_cursor(transcript: Transcript, pilot: Pilot[None], app: WidgetApp) -> None:
    transcript.focus()
    await pilot.pause()
    assert not {"left", "right"} & app.screen.active_bindings.keys()
    transcript.start_cursor(2)
    await pilot.pause()
    assert {"left", "right"} <= app.screen.active_bindings.keys()


async def test_resize_keeps_the_cursor_visible() -> None:
    async with show_blocks(LONG, (100, 40)) as (transcript, pilot, _):
        transcript.start_cursor(1)
        await pilot.press("ctrl+end", "up")
        where = transcript.cursor
        for size in ((30, 10), (100, 40), (50, 15)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert transcript.cursor == where
            assert len(reversed_cells(transcript)) == 1


async def test_click_leaves_the_focus_in_the_input(pilot: Pilot[None], app: WidgetApp) -> None:
    app.query_one(Input).focus()
    await pilot.click(Transcript, offset=(5, 1))
    await pilot.press("x")
    assert app.query_one(Input).value == "x"


async def test_scroll_bar_follows_the_position() -> None:
    async with show_blocks(LONG) as (transcript, pilot, _):
        bar = transcript.vertical_scrollbar
        transcript.document.append("more\n" * 300)
        await pilot.pause()
        assert bar.window_virtual_size == transcript.virtual_size.height
        assert bar.position == transcript.scroll_offset.y
        await pilot.press("tab")
        transcript.scroll_to(y=100, animate=False)
        await pilot.pause()
        assert bar.position == 100
        transcript.document.load([])
        await pilot.pause()
        assert bar.window_virtual_size == 0


async def test_cells_right_of_a_row_belong_to_its_last_character() -> None:
    text = "word " * 20 + "\nend"
    async with show_blocks([Block(1, "bot", "", text)]) as (transcript, pilot, app):
        assert lines(transcript)[:3] == ["  " + "word " * 10 + "word", "  " + ("word " * 9)[:-1], "  end"]
        await drag(pilot, (LEFT, 0), (58, 0))
        assert selected(app) == "word " * 11
        await drag(pilot, (58, 0), (LEFT + 3, 1))
        assert selected(app) == " word"
        await drag(pilot, (58, 1), (LEFT, 2))
        assert selected(app) == "\ne"


async def test_joiner_does_not_hide_the_next_character() -> None:
    async with show_blocks([Block(1, "bot", "", "日\u200d本a\u200db|")]) as (transcript, _, _):
        assert cell(transcript, LEFT + 6, 0).text == "|"


async def test_cursor_on_an_undrawn_newline_is_on_the_space_before() -> None:
    async with show_blocks([Block(1, "bot", "", "x" * 56 + " \nmore")]) as (transcript, pilot, _):
        transcript.start_cursor(1)
        await pilot.press("end")
        assert transcript.cursor == (1, 57)
        assert reversed_cells(transcript) == [(LEFT + 56, 0)]
