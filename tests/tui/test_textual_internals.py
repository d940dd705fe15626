"""Faults of Textual's that must not end the app. `run_test` raises what would."""

from __future__ import annotations

import pytest
from textual.app import ComposeResult
from textual.command import CommandPalette
from textual.css.query import NoMatches
from textual.pilot import Pilot
from textual.widgets import Input, OptionList
from textual.worker import WorkerFailed

from charlm.tui.screens.models import ModelPicker
from charlm.tui.textual_internals import ClusterTextArea, ReportingApp


class OneField(ReportingApp):
    def compose(self) -> ComposeResult:
        yield Input()


async def test_palette_opened_while_the_last_one_closes_does_nothing() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        app.action_command_palette()
        await pilot.pause()
        app.pop_screen()
        app.action_command_palette()
        await pilot.pause()
        assert len(app.screen_stack) == 1


async def test_palette_closed_while_it_opens_ends_nothing() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        app.action_command_palette()
        app.pop_screen()
        await pilot.pause()
        await pilot.press("a")
        assert app.query_one(Input).value == "a"
    assert app.crash is None


async def test_page_down_in_an_empty_palette_does_nothing() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        app.action_command_palette()
        await pilot.pause()
        await pilot.press(*"zzqq", "pagedown", "pagedown")
        assert isinstance(app.screen, CommandPalette)


async def test_page_down_in_a_list_that_is_not_laid_out_does_nothing() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        await app.mount(options := OptionList(*"abc"))
        await pilot.pause()
        options.set_options(["d", "e"])
        await app.run_action("page_down", options)
    assert app.crash is None


async def test_undo_that_hides_the_scrollbar_moves_the_cursor_back() -> None:
    app = OneField()
    async with app.run_test(size=(20, 6)) as pilot:
        await app.mount(area := ClusterTextArea("a"))
        area.styles.height = 3
        area.styles.border = ("none", "black")
        await pilot.pause()
        area.move_cursor((0, 1))
        area.insert("\n" * 8)
        await pilot.pause()
        assert area.show_vertical_scrollbar
        area.undo()
        await pilot.pause()
        assert (area.text, area.cursor_location) == ("a", (0, 1))


async def test_other_errors_end_the_app() -> None:
    app = OneField()
    with pytest.raises(WorkerFailed):
        async with app.run_test():
            app._handle_exception(WorkerFailed(NoMatches("No nodes match 'Input' on Chat()")))


async def wait_in_vain(app: OneField, pilot: Pilot[int]) -> None:
    worker = app.run_worker(app.push_screen_wait(ModelPicker([])))
    await pilot.pause()
    worker.cancel()
    await pilot.pause()


async def test_dialog_whose_result_nothing_waits_for_is_closed() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        await wait_in_vain(app, pilot)
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


async def test_list_of_models_closed_before_a_change_of_size_is_handled() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        app.push_screen(picker := ModelPicker([]))
        await pilot.pause()
        picker.dismiss(None)
        await pilot.pause()
        picker.on_resize()
        picker._show()
