"""The prompt, driven by keys, pastes and clicks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual import events
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.widgets import Static
from textual.widgets.text_area import Document

from charlm.text.sanitize import visible
from charlm.tui.graphemes import lay_out
from charlm.tui.textual_internals import ClusterWrappedDocument
from charlm.tui.widgets.completions import Completions, choices
from charlm.tui.widgets.input_history import InputHistory
from charlm.tui.widgets.paste_placeholders import MAX_FIELD_CHARS, PastePlaceholders
from charlm.tui.widgets.prompt import Prompt
from tests.tui.test_graphemes import ACCENTED, CLUSTERS, FAMILY, FLAG, THUMB

SIZES = ((40, 12), (80, 24), (120, 40))
COMMANDS = (("regenerate", "another reply"), ("redo", "take an undo back"), ("model", "NAME  another model"))


class PromptApp(App[None]):
    """A prompt below something."""

    CSS = "#above { height: 1fr; }"
    BINDINGS = [(key, f"note('{key}')", "") for key in ("f6", "ctrl+y", "pageup", "escape")]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.noted: list[object] = []
        self.sent_before_leaving: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(id="above")
            yield Prompt()

    def on_mount(self) -> None:
        self.prompt.focus()
        self.prompt.cursor_blink = False

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        self.sent.append(event.text)

    def on_prompt_escaped(self) -> None:
        self.noted.append(Prompt.Escaped)
        self.sent_before_leaving = self.sent[:]

    def action_note(self, key: str) -> None:
        self.noted.append(key)

    @property
    def prompt(self) -> Prompt:
        return self.query_one(Prompt)

    def paste(self, text: str) -> None:
        self.post_message(events.Paste(text))

    def rows(self) -> list[str]:
        return [self.prompt.render_line(y).text for y in range(self.prompt.size.height)]


@asynccontextmanager
async def run(size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[PromptApp, Pilot[None]]]:
    app = PromptApp()
    async with app.run_test(size=size) as pilot:
        yield app, pilot


async def type_in(pilot: Pilot[None], text: str) -> None:
    for character in text:
        await pilot.press(character)


# -- sending ----------------------------------------------------------------------------------------------------------


async def test_enter_sends_and_clears() -> None:
    async with run() as (app, pilot):
        await type_in(pilot, "hi")
        await pilot.press("space", "日", "enter", "x", "enter", "enter")
        assert app.sent == ["hi 日", "x", ""]
        assert app.prompt.text == ""


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter", "alt+enter"])
async def test_new_line_keys_insert_a_newline(key: str) -> None:
    async with run() as (app, pilot):
        await pilot.press("a", key, "b")
        assert app.sent == []
        await pilot.press("enter")
        assert app.sent == ["a\nb"]


@pytest.mark.parametrize("size", SIZES)
async def test_prompt_grows_with_its_text_and_then_scrolls(size: tuple[int, int]) -> None:
    most = min(8, size[1] // 3)
    async with run(size=size) as (app, pilot):
        for lines in (1, 2, most, most + 1, most + 3):
            while app.prompt.document.line_count < lines:
                await pilot.press("ctrl+j")
            await pilot.pause()
            assert app.prompt.size.height == min(lines, most)
            assert app.prompt.region.bottom == size[1]
            assert app.prompt.scroll_offset.y == max(0, lines - most)  # the line that is being written can be seen
        await pilot.press("enter")
        await pilot.pause()
        assert app.prompt.size.height == 1


@pytest.mark.parametrize("size", SIZES)
async def test_long_line_wraps_and_grows_the_prompt(size: tuple[int, int]) -> None:
    async with run(size=size) as (app, pilot):
        app.prompt.value = "日本語の文章 and words " * 6
        await pilot.pause()
        assert app.prompt.size.height > 1
        assert all(cell_len(row) <= app.prompt.size.width for row in app.rows())
        await pilot.resize_terminal(36, 30)
        await pilot.pause()
        assert "".join(row.rstrip() for row in app.rows()).replace(" ", "") == app.prompt.text.replace(" ", "")


async def test_fast_keys_act_in_typed_order() -> None:
    async with run() as (app, pilot):
        app.prompt.commands = COMMANDS
        for key in [
            "a",
            "b",
            "backspace",
            "c",
            "ctrl+j",
            "d",
            "left",
            "e",
            "enter",
            "/",
            "r",
            "e",
            "enter",
            "x",
            "enter",
        ]:
            app.post_message(events.Key(key, key if len(key) == 1 else None))  # all at once
        await pilot.pause()
        assert app.sent == ["ac\ned", "/regenerate x"]


async def test_resize_keeps_the_cursor_visible() -> None:
    async with run(size=(120, 40)) as (app, pilot):
        app.prompt.value = "some words " * 40 + "END"
        for size in ((120, 40), (60, 20), (45, 20), (40, 12), (60, 20), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            await pilot.pause()
            assert any("END" in row for row in app.rows()), size


# -- pasting ----------------------------------------------------------------------------------------------------------


async def test_multi_line_paste_is_not_sent() -> None:
    async with run() as (app, pilot):
        app.paste("one\r\ntwo\rthree\n")
        await pilot.pause()
        assert app.sent == []
        assert app.prompt.text == "one\ntwo\nthree\n"
        await pilot.press("enter")
        assert app.sent == ["one\ntwo\nthree\n"]
        app.prompt.value = "two\nlines"  # the cursor is at its end
        await pilot.press("!", "enter")
        assert app.sent[-1] == "two\nlines!"


async def test_paste_drops_control_characters() -> None:
    async with run() as (app, pilot):
        app.paste("\x1b[31mred\x07\u202e\x9b\x0cend [/red] [@click=app.bell]x[/]")
        await pilot.pause()
        assert app.prompt.text == "[31mredend [/red] [@click=app.bell]x[/]"
        assert all(visible(row) == row for row in app.rows())


async def test_long_paste_is_one_word_until_sent() -> None:
    pasted = ("lorem ipsum\n" * 100_000)[: 1 << 20]
    async with run() as (app, pilot):
        await type_in(pilot, "ab")
        await pilot.press("left")
        app.paste(pasted)
        await pilot.pause()
        label = "[1,048,576 characters pasted]"
        assert app.prompt.text == f"a{label}b"
        assert app.prompt.value == f"a{pasted}b"
        # The cursor steps over it.
        await pilot.press("left")
        assert app.prompt.cursor_location == (0, 1)
        await pilot.press("right")
        assert app.prompt.cursor_location == (0, 1 + len(label))
        await pilot.press("ctrl+left")
        assert app.prompt.cursor_location == (0, 1)
        await pilot.press("ctrl+right")
        assert app.prompt.cursor_location == (0, 1 + len(label))
        # It is deleted as one, and comes back as one.
        await pilot.press("backspace")
        assert app.prompt.text == "ab"
        await pilot.press("ctrl+z")
        assert app.prompt.value == f"a{pasted}b"
        await pilot.press("enter")
        assert app.sent == [f"a{pasted}b"]
        # It is recalled as one, too.
        await pilot.press("up")
        assert len(app.prompt.text) < 100
        assert app.prompt.value == f"a{pasted}b"


async def test_placeholder_is_deleted_as_a_whole() -> None:
    async with run() as (app, pilot):
        app.paste("x" * (MAX_FIELD_CHARS + 1))
        await pilot.pause()
        await pilot.press("ctrl+w")
        assert app.prompt.text == ""


async def test_selected_placeholder_is_expanded() -> None:
    async with run() as (app, pilot):
        app.paste("x" * (MAX_FIELD_CHARS + 1))
        await pilot.pause()
        await pilot.press("f7")  # not TextArea's select all: an app has a better use for it
        assert app.prompt.selected_text == ""
        app.prompt.select_all()
        assert app.prompt.selected_text == "x" * (MAX_FIELD_CHARS + 1)


async def test_short_pastes_stay_editable() -> None:
    async with run() as (app, pilot):
        for _ in range(3):
            app.paste("y" * (MAX_FIELD_CHARS // 3))
            await pilot.pause()
        assert app.prompt.text == "y" * (MAX_FIELD_CHARS // 3) * 3
        app.paste("z" * MAX_FIELD_CHARS)
        await pilot.pause()
        assert "pasted]" in app.prompt.text
        await type_in(pilot, "abc")
        assert app.prompt.value.endswith("zabc")


@given(st.lists(st.tuples(st.text(max_size=5), st.sampled_from(("a" * 30, "b" * 30, "[30 characters pasted]" * 2)))))
def test_placeholders_expand_to_the_pasted_texts(parts: list[tuple[str, str]]) -> None:
    placeholders = PastePlaceholders()
    shown = "".join(typed + placeholders.shorten(long, room=20) for typed, long in parts)
    assert placeholders.expand(shown) == "".join(typed + long for typed, long in parts)
    assert set(placeholders.distinct_characters(shown)) == set(placeholders.expand(shown))
    assert len(placeholders.spans(shown)) == len(parts)


# -- history ----------------------------------------------------------------------------------------------------------


async def test_up_and_down_step_through_the_history() -> None:
    async with run() as (app, pilot):
        app.prompt.sent_texts = ["first", "second\nline"]
        await pilot.press("up")
        assert app.prompt.text == "second\nline"
        await pilot.press("up", "up")
        assert app.prompt.text == "first"
        await pilot.press("down", "down", "down")
        assert app.prompt.text == ""


async def test_history_returns_to_the_draft() -> None:
    async with run() as (app, pilot):
        app.prompt.sent_texts = ["first", "second"]
        await type_in(pilot, "draft")
        await pilot.press("up")  # to the beginning of the text
        assert app.prompt.text == "draft"
        await pilot.press("up", "up")
        assert app.prompt.text == "first"
        await pilot.press("down", "down")
        assert app.prompt.text == "draft"


async def test_recalled_command_opens_no_completions() -> None:
    async with run() as (app, pilot):
        app.prompt.commands = COMMANDS
        app.prompt.sent_texts = ["/model noise", "/re"]
        await pilot.press("up")
        assert not app.prompt.completing
        await pilot.press("up")
        assert app.prompt.text == "/model noise"


async def test_changed_recall_is_a_new_draft() -> None:
    async with run() as (app, pilot):
        app.prompt.sent_texts = ["one\ntwo"]
        await pilot.press("up", "!", "up")
        assert app.prompt.text == "one\ntwo!"
        assert app.prompt.cursor_location[0] == 0  # the key moved the cursor
        await pilot.press("enter", "up")
        assert app.prompt.text == "one\ntwo!"
        assert app.prompt.sent_texts == ["one\ntwo", "one\ntwo!"]


async def test_history_skips_blanks_and_repetitions() -> None:
    async with run() as (app, pilot):
        await pilot.press("a", "enter", "a", "enter", "space", "enter", "enter")
        assert app.sent == ["a", "a", " ", ""]
        assert app.prompt.sent_texts == ["a"]


@given(st.lists(st.text(min_size=1, max_size=3), max_size=5), st.text(max_size=3), st.integers(0, 8))
def test_history_steps_back_and_forward_are_inverse(past: list[str], draft: str, steps: int) -> None:
    recall = InputHistory(past)
    shown, seen = draft, []
    for _ in range(steps):
        if (text := recall.step(shown, -1)) is None:
            break
        seen.append(text)
        shown = text
    assert seen == past[::-1][:steps]
    for _ in seen:
        text = recall.step(shown, 1)
        assert text is not None
        shown = text
    assert shown == draft
    assert recall.step(shown, 1) is None


# -- unknown characters -----------------------------------------------------------------------------------------------


def underlined(app: PromptApp) -> str:
    segments = [one for y in range(app.prompt.size.height) for one in app.prompt.render_line(y)]
    return "".join(one.text for one in segments if one.style is not None and one.style.underline)


def replace(character: str) -> str | None:
    return None if character in "abcdefghijklmnopqrstuvwxyz \u00ea" else "?"


async def test_unknown_characters_are_marked_and_named() -> None:
    async with run() as (app, pilot):
        app.prompt.value = f"caf\u00e9 日本 {FAMILY}"
        await pilot.pause()
        assert underlined(app) == ""
        assert not app.prompt.border_subtitle
        app.prompt.substitute = replace
        await pilot.pause()
        assert underlined(app) == f"\u00e9日本{FAMILY}"
        assert app.prompt.border_subtitle is not None
        assert app.prompt.border_subtitle.startswith("\u00e9, 日, 本, ")
        assert app.prompt.border_subtitle.endswith("are read as ?")
        app.prompt.value = "cafe"
        await pilot.pause()
        assert underlined(app) == ""
        assert not app.prompt.border_subtitle


async def test_unknown_marks_apply_to_normalised_text() -> None:
    """A text is composed before it is read: e with a circumflex is one character, whichever way it was typed."""
    async with run() as (app, pilot):
        app.prompt.substitute = replace
        app.prompt.value = f"e\u0302 {ACCENTED}"
        await pilot.pause()
        assert underlined(app) == ACCENTED
        assert app.prompt.border_subtitle == "\u00e9 is read as ?"


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("/MODEL", ""),
        ("x/MODEL", "/MODEL"),
        ("/edit AbC", "AC"),
        ("/edit  AbC\n/edit D", "AC/D"),
        ("/branch 12 AbC", "AC"),
        ("/branch 12", ""),
        ("/edit", ""),
        ("/title A", ""),
        ("/branch\nA", ""),
    ],
)
async def test_model_text_of_a_command_is_marked(text: str, marked: str) -> None:
    async with run() as (app, pilot):
        app.prompt.substitute = replace
        app.prompt.words_before_model_text = {"edit": 0, "branch": 1}
        app.prompt.value = text
        await pilot.pause()
        assert underlined(app) == marked
        assert bool(app.prompt.border_subtitle) == bool(marked)


async def test_another_model_changes_the_marks() -> None:
    async with run() as (app, pilot):
        app.prompt.substitute = replace
        app.prompt.value = "日 ab"
        await pilot.pause()
        app.prompt.substitute = lambda character: "" if character == "a" else None
        await pilot.pause()
        assert underlined(app) == "a"
        assert app.prompt.border_subtitle == "a is left out"


async def test_unknown_characters_in_a_placeholder_are_named() -> None:
    async with run() as (app, pilot):
        app.prompt.substitute = replace
        app.paste("word " * MAX_FIELD_CHARS + "日")
        await pilot.pause()
        assert app.prompt.border_subtitle == "日 is read as ?"


@pytest.mark.parametrize("size", SIZES)
async def test_many_unknown_characters_fit_below(size: tuple[int, int]) -> None:
    async with run(size=size) as (app, pilot):
        app.prompt.substitute = replace
        app.prompt.value = "いろはにほへとちりぬるをわかよたれそつねならむ[/b]"
        await pilot.pause()
        assert app.prompt.border_subtitle is not None
        assert cell_len(app.prompt.border_subtitle) <= app.prompt.size.width
        assert "more are read as ?" in app.prompt.border_subtitle


# -- completion -------------------------------------------------------------------------------------------------------


def offered(app: PromptApp) -> list[str]:
    return [str(option.prompt) for option in app.query_one(Completions).options]


async def test_slash_opens_completions_above_the_prompt() -> None:
    async with run(size=(40, 12)) as (app, pilot):
        app.prompt.commands = COMMANDS
        await type_in(pilot, "/re")
        await pilot.pause()
        assert offered(app) == ["/redo        take an undo back", "/regenerate  another reply"][::-1]
        completions = app.query_one(Completions)
        assert completions.region.bottom == app.prompt.region.y
        assert completions.region.y >= 0
        assert app.prompt.has_focus
        assert app.query_one("#above").size.height == 9  # nothing moved to make room for it


async def test_long_command_is_separated_from_its_help() -> None:
    async with run() as (app, pilot):
        app.prompt.commands = [("a-very-very-long-command", "help"), ("a", "b")]
        await pilot.press("/")
        assert offered(app) == ["/a-very-very-long-command  help", "/a              b"]


@pytest.mark.parametrize("key", ["tab", "enter"])
async def test_tab_and_enter_accept_the_completion(key: str) -> None:
    async with run() as (app, pilot):
        app.prompt.commands = COMMANDS
        await type_in(pilot, "/re")
        await pilot.press("down", key)
        assert app.prompt.text == "/redo "
        assert app.sent == []
        assert app.prompt.has_focus
        await pilot.press("enter")
        assert app.sent == ["/redo "]


async def test_complete_command_is_sent_by_enter() -> None:
    async with run() as (app, pilot):
        app.prompt.commands = (*COMMANDS, ("re", "short"))
        await type_in(pilot, "/re")
        await pilot.press("enter")
        assert app.sent == ["/re"]


async def test_escape_closes_the_list_and_then_leaves() -> None:
    async with run() as (app, pilot):
        app.prompt.commands = COMMANDS
        await type_in(pilot, "/re")
        assert app.prompt.completing
        await pilot.press("escape")
        assert not app.prompt.completing
        assert not app.query_one(Completions).display
        assert app.noted == []
        await pilot.press("escape")
        assert app.noted == [Prompt.Escaped]
        await pilot.press("enter")
        assert app.sent == ["/re"]


async def test_escape_arrives_after_the_submitted_text() -> None:
    async with run() as (app, pilot):
        app.prompt.value = "hello"
        for key in ("enter", "escape"):
            app.post_message(events.Key(key, None))
        while Prompt.Escaped not in app.noted:
            await pilot.pause()
        assert app.sent_before_leaving == ["hello"]


async def test_arguments_are_completed() -> None:
    asked = []

    def complete(command: str, beginning: str) -> list[str]:
        asked.append((command, beginning))
        return [one for one in ("noise", "novel [b]") if one.startswith(beginning)]

    async with run() as (app, pilot):
        app.prompt.commands = COMMANDS
        app.prompt.complete_argument = complete
        await type_in(pilot, "/mo")
        await pilot.press("tab")
        assert app.prompt.text == "/model "
        assert asked[-1] == ("model", "")
        assert [one.rstrip() for one in offered(app)] == ["/model noise", "/model novel [b]"]
        await type_in(pilot, "nov")
        assert asked[-1] == ("model", "nov")
        await pilot.press("enter", "enter")
        assert app.sent == ["/model novel [b] "]


async def test_click_accepts_a_completion() -> None:
    async with run() as (app, pilot):
        app.prompt.commands = COMMANDS
        await type_in(pilot, "/re")
        await pilot.pause()
        await pilot.click(Completions, offset=(4, 2))
        assert app.prompt.text == "/redo "
        assert app.prompt.has_focus


async def test_blur_closes_the_completions() -> None:
    async with run() as (app, pilot):
        app.prompt.commands = COMMANDS
        await type_in(pilot, "/re")
        app.set_focus(None)
        await pilot.pause()
        assert not app.query_one(Completions).display


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/", ["/regenerate", "/redo", "/model"]),
        ("/RE", ["/regenerate", "/redo"]),
        ("/gen", ["/regenerate"]),
        ("/redo", ["/redo"]),
        ("/xyz", []),
        ("re", []),
        ("a /re", []),
        ("/re\n", []),
        ("/model x", []),
    ],
)
def test_choices_for_a_text(text: str, found: Sequence[str]) -> None:
    assert [one for one, _ in choices(text, COMMANDS, None)] == found


# -- grapheme clusters ------------------------------------------------------------------------------------------------


async def test_cursor_steps_over_whole_clusters() -> None:
    ones = ["a", FAMILY, ACCENTED, "日", FLAG, THUMB, "b"]
    async with run() as (app, pilot):
        app.prompt.value = "".join(ones)
        for count in range(len(ones) - 1, -1, -1):
            await pilot.press("left")
            assert app.prompt.cursor_location == (0, len("".join(ones[:count])))
            assert app.prompt.cursor_screen_offset.x == app.prompt.content_region.x + cell_len("".join(ones[:count]))
        for count in range(1, len(ones) + 1):
            await pilot.press("right")
            assert app.prompt.cursor_location == (0, len("".join(ones[:count])))
        for count in range(len(ones) - 1, -1, -1):
            await pilot.press("backspace")
            assert app.prompt.text == "".join(ones[:count])


async def test_delete_and_selection_take_whole_clusters() -> None:
    async with run() as (app, pilot):
        app.prompt.value = f"{FAMILY}{ACCENTED}x"
        await pilot.press("home", "delete")
        assert app.prompt.text == f"{ACCENTED}x"
        await pilot.press("shift+right")
        assert app.prompt.selected_text == ACCENTED


@pytest.mark.parametrize("size", SIZES)
async def test_row_has_its_measured_width_and_whole_clusters(size: tuple[int, int]) -> None:
    text = "".join(CLUSTERS) * 12
    async with run(size=size) as (app, pilot):
        app.prompt.substitute = replace
        app.prompt.value = text
        await pilot.press(*["left"] * 5)
        await pilot.pause()
        edges = {start for start, *_ in lay_out(text)}
        place = sum(len(row) for row in app.prompt.wrapped_document.get_sections(0)[: app.prompt.scroll_offset.y])
        for y in range(app.prompt.size.height):
            strip = app.prompt.render_line(y)
            assert cell_len(strip.text) == strip.cell_length == app.prompt.scrollable_content_region.width
            row = app.prompt.wrapped_document.get_sections(0)[app.prompt.scroll_offset.y + y]
            at = 0
            for segment in strip:
                assert at >= len(row) or place + at in edges
                at += len(segment.text)
            place += len(row)


async def test_click_moves_the_cursor_to_the_cluster() -> None:
    text = f"{FAMILY}日{ACCENTED}b"
    async with run() as (app, pilot):
        app.prompt.value = text
        await pilot.pause()
        for x, place in ((0, 0), (1, 0), (2, 5), (3, 5), (4, 6), (5, 8), (6, 9), (30, 9)):
            await pilot.click(Prompt, offset=(2 + x, 1))
            assert app.prompt.cursor_location == (0, place), x


@given(st.lists(st.sampled_from((*CLUSTERS, "word", "\t")), max_size=60), st.integers(8, 30))
def test_wrapped_rows_fit_and_rejoin_to_the_text(ones: list[str], width: int) -> None:
    text = "".join(ones)
    folded = ClusterWrappedDocument(Document(text), width)
    rows = folded.get_sections(0)
    assert "".join(rows) == text
    for row in rows:
        assert cell_len(row.rstrip().replace("\t", "")) <= width
    for y, row in enumerate(rows):
        for start, *_ in lay_out(row):
            location = (0, sum(map(len, rows[:y])) + start)
            offset = folded.location_to_offset(location)
            assert offset.y == y
            assert folded.offset_to_location(offset) == location


# -- other ------------------------------------------------------------------------------------------------------------


async def test_unused_keys_reach_the_app() -> None:
    async with run() as (app, pilot):
        await pilot.press("f6", "ctrl+y", "pageup")
        assert app.noted == ["f6", "ctrl+y", "pageup"]
        await pilot.press("a", "ctrl+z", "ctrl+y")
        assert app.prompt.text == "a"
        app.prompt.value = "line\n" * 30
        await pilot.pause()
        await pilot.press("pageup")
        assert app.noted == ["f6", "ctrl+y", "pageup"]
        assert app.prompt.cursor_location[0] < 30


@pytest.mark.parametrize("size", SIZES)
async def test_empty_prompt_shows_hints_that_fit(size: tuple[int, int]) -> None:
    async with run(size=size) as (app, pilot):
        await pilot.pause()
        shown = app.rows()[0]
        assert "Write something" in shown
        assert "Enter sends it" in shown
        assert ("new line" in shown) == (size[0] > 80)
        app.prompt.hints = ["[b]書いて[/b]"]
        await pilot.pause()
        assert "[b]書いて[/b]" in app.rows()[0]
