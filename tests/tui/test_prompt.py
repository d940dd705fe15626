"""The prompt, driven by keys, pastes and clicks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual import events
from textual.pilot import Pilot
from textual.widgets import Static
from textual.widgets.text_area import Document

from charlm.text.sanitize import visible
from charlm.tui.graphemes import lay_out
from charlm.tui.textual_internals import ClusterWrappedDocument
from charlm.tui.widgets.completions import Completions, choices
from charlm.tui.widgets.paste_placeholders import MAX_FIELD_CHARS, PastePlaceholders
from charlm.tui.widgets.prompt import InputHistory, Prompt
from tests.tui.test_graphemes import ACCENTED, CLUSTERS, FAMILY, FLAG, THUMB
from tests.tui.widgets import SIZES, Shown, ShownWidget, Size, WidgetApp, rows, show

COMMANDS = (("regenerate", "another reply"), ("redo", "take an undo back"), ("model", "NAME  another model"))


@pytest.fixture
async def shown(size: Size) -> Shown[Prompt]:
    above = [Static(classes="filler")]
    async with show(Prompt(), size, above=above, keys=["f6", "ctrl+y", "pageup", "escape"]) as (prompt, pilot, app):
        prompt.commands = COMMANDS
        prompt.cursor_blink = False
        prompt.focus()
        await pilot.pause()
        yield prompt, pilot, app


@pytest.fixture
def prompt(shown: ShownWidget[Prompt]) -> Prompt:
    return shown[0]


async def paste(pilot: Pilot[None], text: str) -> None:
    pilot.app.post_message(events.Paste(text))
    await pilot.pause()


def submitted(*texts: str) -> list[tuple[str, str]]:
    return [("Submitted", text) for text in texts]


async def type_in(pilot: Pilot[None], text: str) -> None:
    for character in text:
        await pilot.press(character)


# -- sending ----------------------------------------------------------------------------------------------------------


async def test_enter_sends_and_clears(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    await type_in(pilot, "hi")
    await pilot.press("space", "日", "enter", "x", "enter", "enter")
    assert app.posted == submitted("hi 日", "x", "")
    assert prompt.text == ""


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter", "alt+enter"])
async def test_new_line_keys_insert_a_newline(pilot: Pilot[None], app: WidgetApp, key: str) -> None:
    await pilot.press("a", key, "b")
    assert app.posted == []
    await pilot.press("enter")
    assert app.posted == submitted("a\nb")


@pytest.mark.parametrize("size", SIZES)
async def test_prompt_grows_with_its_text_and_then_scrolls(prompt: Prompt, pilot: Pilot[None], size: Size) -> None:
    most = min(8, size[1] // 3)
    for lines in (1, 2, most, most + 1, most + 3):
        while prompt.document.line_count < lines:
            await pilot.press("ctrl+j")
        await pilot.pause()
        assert prompt.size.height == min(lines, most)
        assert prompt.region.bottom == size[1]
        assert prompt.scroll_offset.y == max(0, lines - most)  # the line that is being written can be seen
    await pilot.press("enter")
    await pilot.pause()
    assert prompt.size.height == 1


@pytest.mark.parametrize("size", SIZES)
async def test_long_line_wraps_and_grows_the_prompt(prompt: Prompt, pilot: Pilot[None], size: Size) -> None:
    prompt.value = "日本語の文章 and words " * 6
    await pilot.pause()
    assert prompt.size.height > 1
    assert all(cell_len(row) <= prompt.size.width for row in rows(prompt))
    await pilot.resize_terminal(36, 30)
    await pilot.pause()
    assert "".join(row.rstrip() for row in rows(prompt)).replace(" ", "") == prompt.text.replace(" ", "")


async def test_fast_keys_act_in_typed_order(pilot: Pilot[None], app: WidgetApp) -> None:
    app.type_at_once("a", "b", "backspace", "c", "ctrl+j", "d", "left", "e", "enter", *"/re", "enter", "x", "enter")
    await pilot.pause()
    assert app.posted == submitted("ac\ned", "/regenerate x")


async def test_resize_keeps_the_cursor_visible(prompt: Prompt, pilot: Pilot[None]) -> None:
    prompt.value = "some words " * 40 + "END"
    for size in ((120, 40), (60, 20), (45, 20), (40, 12), (60, 20), (120, 40)):
        await pilot.resize_terminal(*size)
        await pilot.pause()
        await pilot.pause()
        assert any("END" in row for row in rows(prompt)), size


# -- pasting ----------------------------------------------------------------------------------------------------------


async def test_multi_line_paste_is_not_sent(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    await paste(pilot, "one\r\ntwo\rthree\n")
    assert app.posted == []
    assert prompt.text == "one\ntwo\nthree\n"
    await pilot.press("enter")
    assert app.posted == submitted("one\ntwo\nthree\n")
    prompt.value = "two\nlines"  # the cursor is at its end
    await pilot.press("!", "enter")
    assert app.posted[-1] == ("Submitted", "two\nlines!")


async def test_paste_drops_control_characters(prompt: Prompt, pilot: Pilot[None]) -> None:
    await paste(pilot, "\x1b[31mred\x07\u202e\x9b\x0cend [/red] [@click=app.bell]x[/]")
    assert prompt.text == "[31mredend [/red] [@click=app.bell]x[/]"
    assert all(visible(row) == row for row in rows(prompt))


async def test_long_paste_is_one_word_until_sent(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    pasted = ("lorem ipsum\n" * 100_000)[: 1 << 20]
    await type_in(pilot, "ab")
    await pilot.press("left")
    await paste(pilot, pasted)
    label = "[1,048,576 characters pasted]"
    assert prompt.text == f"a{label}b"
    assert prompt.value == f"a{pasted}b"
    # The cursor steps over it.
    await pilot.press("left")
    assert prompt.cursor_location == (0, 1)
    await pilot.press("right")
    assert prompt.cursor_location == (0, 1 + len(label))
    await pilot.press("ctrl+left")
    assert prompt.cursor_location == (0, 1)
    await pilot.press("ctrl+right")
    assert prompt.cursor_location == (0, 1 + len(label))
    # It is deleted as one, and comes back as one.
    await pilot.press("backspace")
    assert prompt.text == "ab"
    await pilot.press("ctrl+z")
    assert prompt.value == f"a{pasted}b"
    await pilot.press("enter")
    assert app.posted == submitted(f"a{pasted}b")
    # It is recalled as one, too.
    await pilot.press("up")
    assert len(prompt.text) < 100
    assert prompt.value == f"a{pasted}b"


async def test_placeholder_is_selected_and_deleted_as_a_whole(prompt: Prompt, pilot: Pilot[None]) -> None:
    await paste(pilot, "x" * (MAX_FIELD_CHARS + 1))
    await pilot.press("f7")  # not TextArea's select all: an app has a better use for it
    assert prompt.selected_text == ""
    prompt.select_all()
    assert prompt.selected_text == "x" * (MAX_FIELD_CHARS + 1)
    await pilot.press("end", "ctrl+w")
    assert prompt.text == ""


async def test_short_pastes_stay_editable(prompt: Prompt, pilot: Pilot[None]) -> None:
    for _ in range(3):
        await paste(pilot, "y" * (MAX_FIELD_CHARS // 3))
    assert prompt.text == "y" * (MAX_FIELD_CHARS // 3) * 3
    await paste(pilot, "z" * MAX_FIELD_CHARS)
    assert "pasted]" in prompt.text
    await type_in(pilot, "abc")
    assert prompt.value.endswith("zabc")


@given(st.lists(st.tuples(st.text(max_size=5), st.sampled_from(("a" * 30, "b" * 30, "[30 characters pasted]" * 2)))))
def test_placeholders_expand_to_the_pasted_texts(parts: list[tuple[str, str]]) -> None:
    placeholders = PastePlaceholders()
    shown = "".join(typed + placeholders.shorten(long, room=20) for typed, long in parts)
    assert placeholders.expand(shown) == "".join(typed + long for typed, long in parts)
    assert set(placeholders.distinct_characters(shown)) == set(placeholders.expand(shown))
    assert len(placeholders.spans(shown)) == len(parts)


# -- history ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draft", ["", "draft"])
async def test_up_and_down_step_from_the_draft_and_back(prompt: Prompt, pilot: Pilot[None], draft: str) -> None:
    prompt.input_history = InputHistory(["first", "second\nline"])
    if draft:
        await pilot.press(*draft, "up")  # to the beginning of the text
        assert prompt.text == draft
    await pilot.press("up")
    assert prompt.text == "second\nline"
    await pilot.press("up", "up")
    assert prompt.text == "first"
    await pilot.press("down", "down", "down")
    assert prompt.text == draft


async def test_recalled_command_opens_no_completions(prompt: Prompt, pilot: Pilot[None]) -> None:
    prompt.input_history = InputHistory(["/model noise", "/re"])
    await pilot.press("up")
    assert not prompt.completing
    await pilot.press("up")
    assert prompt.text == "/model noise"


async def test_changed_recall_is_a_new_draft(prompt: Prompt, pilot: Pilot[None]) -> None:
    prompt.input_history = InputHistory(["one\ntwo"])
    await pilot.press("up", "!", "up")
    assert prompt.text == "one\ntwo!"
    assert prompt.cursor_location[0] == 0  # the key moved the cursor
    await pilot.press("enter", "up")
    assert prompt.text == "one\ntwo!"
    assert prompt.input_history.texts == ["one\ntwo", "one\ntwo!"]


async def test_history_skips_blanks_and_repetitions(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.press("a", "enter", "a", "enter", "space", "enter", "enter")
    assert app.posted == submitted("a", "a", " ", "")
    assert prompt.input_history.texts == ["a"]


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


def underlined(prompt: Prompt) -> str:
    segments = [one for y in range(prompt.size.height) for one in prompt.render_line(y)]
    return "".join(one.text for one in segments if one.style is not None and one.style.underline)


def replace(character: str) -> str | None:
    return None if character in "abcdefghijklmnopqrstuvwxyz \u00ea" else "?"


async def test_unknown_characters_are_marked_and_named(prompt: Prompt, pilot: Pilot[None]) -> None:
    prompt.value = f"caf\u00e9 日本 {FAMILY}"
    await pilot.pause()
    assert underlined(prompt) == ""
    assert not prompt.border_subtitle
    prompt.substitute = replace
    await pilot.pause()
    assert underlined(prompt) == f"\u00e9日本{FAMILY}"
    assert prompt.border_subtitle is not None
    assert prompt.border_subtitle.startswith("\u00e9, 日, 本, ")
    assert prompt.border_subtitle.endswith("are read as ?")
    prompt.value = "cafe"
    await pilot.pause()
    assert underlined(prompt) == ""
    assert not prompt.border_subtitle


async def test_unknown_marks_apply_to_normalised_text(prompt: Prompt, pilot: Pilot[None]) -> None:
    """A text is composed before it is read: e with a circumflex is one character, whichever way it was typed."""
    prompt.substitute = replace
    prompt.value = f"e\u0302 {ACCENTED}"
    await pilot.pause()
    assert underlined(prompt) == ACCENTED
    assert prompt.border_subtitle == "\u00e9 is read as ?"


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
async def test_model_text_of_a_command_is_marked(prompt: Prompt, pilot: Pilot[None], text: str, marked: str) -> None:
    prompt.substitute = replace
    prompt.words_before_model_text = {"edit": 0, "branch": 1}
    prompt.value = text
    await pilot.pause()
    assert underlined(prompt) == marked
    assert bool(prompt.border_subtitle) == bool(marked)


async def test_another_model_changes_the_marks(prompt: Prompt, pilot: Pilot[None]) -> None:
    prompt.substitute = replace
    prompt.value = "日 ab"
    await pilot.pause()
    prompt.substitute = lambda character: "" if character == "a" else None
    await pilot.pause()
    assert underlined(prompt) == "a"
    assert prompt.border_subtitle == "a is left out"


async def test_unknown_characters_in_a_placeholder_are_named(prompt: Prompt, pilot: Pilot[None]) -> None:
    prompt.substitute = replace
    await paste(pilot, "word " * MAX_FIELD_CHARS + "日")
    assert prompt.border_subtitle == "日 is read as ?"


@pytest.mark.parametrize("size", SIZES)
async def test_many_unknown_characters_fit_below(prompt: Prompt, pilot: Pilot[None], size: Size) -> None:
    prompt.substitute = replace
    prompt.value = "いろはにほへとちりぬるをわかよたれそつねならむ[/b]"
    await pilot.pause()
    assert prompt.border_subtitle is not None
    assert cell_len(prompt.border_subtitle) <= prompt.size.width
    assert "more are read as ?" in prompt.border_subtitle


# -- completion -------------------------------------------------------------------------------------------------------


def offered(app: WidgetApp) -> list[str]:
    return [str(option.prompt) for option in app.query_one(Completions).options]


@pytest.mark.parametrize("size", [(40, 12)])
async def test_slash_opens_completions_above_the_prompt(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    await type_in(pilot, "/re")
    await pilot.pause()
    assert offered(app) == ["/redo        take an undo back", "/regenerate  another reply"][::-1]
    completions = app.query_one(Completions)
    assert completions.region.bottom == prompt.region.y
    assert completions.region.y >= 0
    assert prompt.has_focus
    assert app.query_one(".filler").size.height == 9  # nothing moved to make room for it


async def test_long_command_is_separated_from_its_help(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    prompt.commands = [("a-very-very-long-command", "help"), ("a", "b")]
    await pilot.press("/")
    assert offered(app) == ["/a-very-very-long-command  help", "/a              b"]


@pytest.mark.parametrize("key", ["tab", "enter"])
async def test_tab_and_enter_accept_a_completion(prompt: Prompt, pilot: Pilot[None], app: WidgetApp, key: str) -> None:
    await type_in(pilot, "/re")
    await pilot.press("down", key)
    assert prompt.text == "/redo "
    assert app.posted == []
    assert prompt.has_focus
    await pilot.press("enter")
    assert app.posted == submitted("/redo ")


async def test_complete_command_is_sent_by_enter(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    prompt.commands = (*COMMANDS, ("re", "short"))
    await type_in(pilot, "/re")
    await pilot.press("enter")
    assert app.posted == submitted("/re")


async def test_escape_closes_the_list_and_then_leaves(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    await type_in(pilot, "/re")
    assert prompt.completing
    await pilot.press("escape")
    assert not prompt.completing
    assert not app.query_one(Completions).display
    assert app.keys == app.posted == []
    await pilot.press("escape")
    assert app.posted == [("Escaped",)]
    await pilot.press("enter")
    assert app.posted == [("Escaped",), *submitted("/re")]


async def test_escape_arrives_after_the_submitted_text(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    prompt.value = "hello"
    app.type_at_once("enter", "escape")
    while len(app.posted) < 2:
        await pilot.pause()
    assert app.posted == [("Submitted", "hello"), ("Escaped",)]


async def test_arguments_are_completed(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    asked = []

    def complete(command: str, beginning: str) -> list[str]:
        asked.append((command, beginning))
        return [one for one in ("noise", "novel [b]") if one.startswith(beginning)]

    prompt.complete_argument = complete
    await type_in(pilot, "/mo")
    await pilot.press("tab")
    assert prompt.text == "/model "
    assert asked[-1] == ("model", "")
    assert [one.rstrip() for one in offered(app)] == ["/model noise", "/model novel [b]"]
    await type_in(pilot, "nov")
    assert asked[-1] == ("model", "nov")
    await pilot.press("enter", "enter")
    assert app.posted == submitted("/model novel [b] ")


async def test_click_accepts_a_completion(prompt: Prompt, pilot: Pilot[None]) -> None:
    await type_in(pilot, "/re")
    await pilot.pause()
    await pilot.click(Completions, offset=(4, 2))
    assert prompt.text == "/redo "
    assert prompt.has_focus


async def test_blur_closes_the_completions(pilot: Pilot[None], app: WidgetApp) -> None:
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


async def test_cursor_steps_over_whole_clusters(prompt: Prompt, pilot: Pilot[None]) -> None:
    ones = ["a", FAMILY, ACCENTED, "日", FLAG, THUMB, "b"]
    prompt.value = "".join(ones)
    for count in range(len(ones) - 1, -1, -1):
        await pilot.press("left")
        assert prompt.cursor_location == (0, len("".join(ones[:count])))
        assert prompt.cursor_screen_offset.x == prompt.content_region.x + cell_len("".join(ones[:count]))
    for count in range(1, len(ones) + 1):
        await pilot.press("right")
        assert prompt.cursor_location == (0, len("".join(ones[:count])))
    for count in range(len(ones) - 1, -1, -1):
        await pilot.press("backspace")
        assert prompt.text == "".join(ones[:count])


async def test_delete_and_selection_take_whole_clusters(prompt: Prompt, pilot: Pilot[None]) -> None:
    prompt.value = f"{FAMILY}{ACCENTED}x"
    await pilot.press("home", "delete")
    assert prompt.text == f"{ACCENTED}x"
    await pilot.press("shift+right")
    assert prompt.selected_text == ACCENTED


@pytest.mark.parametrize("size", SIZES)
async def test_row_has_its_measured_width_and_whole_clusters(prompt: Prompt, pilot: Pilot[None], size: Size) -> None:
    text = "".join(CLUSTERS) * 12
    prompt.substitute = replace
    prompt.value = text
    await pilot.press(*["left"] * 5)
    await pilot.pause()
    edges = {start for start, *_ in lay_out(text)}
    place = sum(len(row) for row in prompt.wrapped_document.get_sections(0)[: prompt.scroll_offset.y])
    for y in range(prompt.size.height):
        strip = prompt.render_line(y)
        assert cell_len(strip.text) == strip.cell_length == prompt.scrollable_content_region.width
        row = prompt.wrapped_document.get_sections(0)[prompt.scroll_offset.y + y]
        at = 0
        for segment in strip:
            assert at >= len(row) or place + at in edges
            at += len(segment.text)
        place += len(row)


async def test_click_moves_the_cursor_to_the_cluster(prompt: Prompt, pilot: Pilot[None]) -> None:
    text = f"{FAMILY}日{ACCENTED}b"
    prompt.value = text
    await pilot.pause()
    for x, place in ((0, 0), (1, 0), (2, 5), (3, 5), (4, 6), (5, 8), (6, 9), (30, 9)):
        await pilot.click(Prompt, offset=(2 + x, 1))
        assert prompt.cursor_location == (0, place), x


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


async def test_unused_keys_reach_the_app(prompt: Prompt, pilot: Pilot[None], app: WidgetApp) -> None:
    await pilot.press("f6", "ctrl+y", "pageup")
    assert app.keys == ["f6", "ctrl+y", "pageup"]
    await pilot.press("a", "ctrl+z", "ctrl+y")
    assert prompt.text == "a"
    prompt.value = "line\n" * 30
    await pilot.pause()
    await pilot.press("pageup")
    assert app.keys == ["f6", "ctrl+y", "pageup"]
    assert prompt.cursor_location[0] < 30


@pytest.mark.parametrize("size", SIZES)
async def test_empty_prompt_shows_hints_that_fit(prompt: Prompt, size: Size) -> None:
    shown = rows(prompt)[0]
    assert "Write something" in shown
    assert "Enter sends it" in shown
    assert ("new line" in shown) == (size[0] > 80)
