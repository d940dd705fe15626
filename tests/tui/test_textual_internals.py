"""Faults of Textual's that must not end the app. `run_test` raises what would."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import suppress
from itertools import count
from typing import ClassVar
from weakref import WeakSet, ref

import pytest
from rich.style import Style
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widgets import Input
from textual.widgets._footer import FooterKey
from textual.widgets._toast import Toast
from textual.worker import WorkerFailed

from charlm.tui.screens.models import ModelPicker
from charlm.tui.textual_internals import ClusterTextArea, KeyBar, ReportingApp, TolerantList, forgotten


class OneField(ReportingApp):
    def compose(self) -> ComposeResult:
        yield Input()


async def test_page_down_in_a_list_that_is_not_laid_out_does_nothing() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        options = TolerantList(*"abc")
        options.display = False
        await app.mount(options)
        await pilot.pause()
        options.action_first()
        options.action_page_down()
        assert options.highlighted == 0


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


async def wait_in_vain(app: OneField, pilot: Pilot[int]) -> None:
    worker = app.run_worker(app.push_screen_wait(ModelPicker([])))
    await pilot.pause()
    worker.cancel()
    await pilot.pause()


async def test_click_on_an_option_that_is_gone_does_nothing() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        options = TolerantList(*"abc")
        await app.mount(options)
        await pilot.pause()
        last = Style(meta={"option": 2})
        options.set_options("a")
        options.post_message(Click(options, 1, 1, 0, 0, 1, shift=False, meta=False, ctrl=False, style=last))
        await pilot.pause()
        assert options.option_count == 1


async def test_dialog_whose_result_nothing_waits_for_is_closed() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        await wait_in_vain(app, pilot)
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


class CountingPicker(ModelPicker):
    sizes = 0

    def on_resize(self) -> None:
        self.sizes += 1
        super().on_resize()


async def test_two_sizes_at_once_do_not_follow_each_other_forever() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        app.push_screen(picker := CountingPicker([]))
        await pilot.pause()
        for size in (Size(40, 12), app.size, Size(40, 12), app.size):
            picker.post_message(Resize(size, size))
            picker.call_later(lambda: None)  # between two sizes, else Textual takes only the last
        await asyncio.sleep(0.5)
        assert picker.sizes < 10


class WithKeyBar(ReportingApp):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f2", "bell", "Bell")]

    def compose(self) -> ComposeResult:
        yield KeyBar(compact=True)


async def test_removed_keys_are_forgotten() -> None:
    app = WithKeyBar()
    seen: WeakSet[FooterKey] = WeakSet()
    async with app.run_test() as pilot:
        for _ in range(5):
            seen.update(app.query(FooterKey))
            app.screen.refresh_bindings()
            await pilot.pause()
        for _ in range(100):  # they are removed by tasks of their own
            gc.collect()
            if len(seen) <= len(app.query(FooterKey)):
                break
            await asyncio.sleep(0.01)
        assert len(seen) <= len(app.query(FooterKey))


async def test_finished_worker_keeps_nothing_alive() -> None:
    class Model:
        def read(self) -> None:
            """Do nothing."""

    app, model = OneField(), Model()
    left = ref(model)
    async with app.run_test() as pilot:
        worker = app.run_worker(forgotten(model.read), thread=True)
        await worker.wait()
        del model
        await pilot.pause()
        assert left() is None


async def test_dialog_closed_twice_at_once_closes_no_other() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        app.push_screen(picker := ModelPicker([]))
        await pilot.pause()
        picker.dismiss(None)
        picker.dismiss(None)
        await pilot.pause()
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


async def test_crash_of_a_worker_is_its_own_error() -> None:
    async def fail() -> None:
        raise KeyError("nothing")

    app = OneField()
    with suppress(WorkerFailed):  # raised by Textual's test of an app
        async with app.run_test() as pilot:
            app.run_worker(fail())
            await pilot.pause()
    assert isinstance(app.crash, KeyError)
    assert app.crash.__traceback__ is not None


@pytest.mark.timeout(30)
@pytest.mark.parametrize("looks", range(1, 6))
async def test_notification_that_expires_before_it_is_shown_goes_away(
    looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = OneField()
    async with app.run_test(notifications=True) as pilot:
        clock = count(int(time.time()) + 1)  # of a slow machine: a look at it takes a second
        monkeypatch.setattr("textual.notifications.time", clock.__next__)
        app.notify("late", timeout=looks + 0.5)
        for _ in range(100):
            await pilot.pause(0.05)
            if not app.query(Toast):
                break
        assert not app.query(Toast)
