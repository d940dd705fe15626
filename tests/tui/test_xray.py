"""The X-ray pane: it shows what the model does, while it writes and afterwards, and never disturbs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from textual.widgets import Footer

from charlm.chat.replay import replay
from charlm.inference.scoring import spell
from charlm.tui.activation_probe import Pin
from charlm.tui.screens.help import HelpScreen
from charlm.tui.widgets.dial_rows import HeldRow
from charlm.tui.widgets.prompt import Prompt
from charlm.tui.widgets.xray import XRay, _cell
from tests.tui.test_app import QUICK, Chat, Open, open_chat

__all__ = ["open_chat"]  # a fixture


def pane(chat: Chat) -> XRay:
    return chat.app.query_one(XRay)


def drawn(chat: Chat) -> list[str]:
    return [strip.text.rstrip() for strip in pane(chat)._rows]


def norm_after(chat: Chat, text: str, layer: int = 0) -> float:
    """Of the memory, as reading everything from the start gives it."""
    engine = chat.engine
    state, _ = engine.prefill(engine.start(), spell(engine.vocabulary, text)[0])
    return float(np.linalg.norm(state.layers[layer].c))


@pytest.mark.parametrize("key", ["f10", "ctrl+g"])
async def test_a_key_toggles_it(open_chat: Open, key: str) -> None:
    async with open_chat() as chat:
        assert not pane(chat).display
        await chat.press(key)
        assert pane(chat).display
        assert drawn(chat) == ["nothing was read yet"]
        await chat.press(key)
        assert not pane(chat).display
        assert isinstance(chat.app.focused, Prompt)
        await chat.type("/xray")
        assert pane(chat).display


@pytest.mark.parametrize("candidates", [1, 3])
async def test_after_a_reply_it_shows_its_last_character(open_chat: Open, candidates: int) -> None:
    async with open_chat(dials=replace(QUICK, candidates=candidates)) as chat:
        await chat.press("f10")
        await chat.say("hello")
        await chat.until(lambda: pane(chat).sight is not None)
        conversation = chat.conversation
        sight: Any = pane(chat).sight
        assert sight.text == chat.turns[-1][-1]
        assert sight.layers[0].norm == pytest.approx(norm_after(chat, conversation.text()), abs=1e-3)
        assert len(drawn(chat)) == pane(chat).content_size.height
        assert drawn(chat)[1].startswith("layer 0")
        assert any(line.startswith("entropy") and line.endswith("bits") for line in drawn(chat))
        chat.assert_true()
        # Opened later, it sees the same.
        await chat.press("f10")
        pane(chat).sight = None
        await chat.press("f10")
        await chat.until(lambda: pane(chat).sight is not None)
        again: Any = pane(chat).sight
        assert again.layers[0].norm == pytest.approx(sight.layers[0].norm, abs=1e-3)
        assert again.entropies == pytest.approx(sight.entropies[-len(again.entropies) :], abs=1e-3)
        assert again.choices[0][1] == pytest.approx(sight.choices[0][1], abs=1e-3)


async def test_it_follows_a_reply_and_keys_still_work(open_chat: Open) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=1_000_000, pace=500.0)) as chat:
        await chat.press("f10")
        await chat.type("talk")
        seen: list[Any] = []

        def moved() -> bool:
            if pane(chat).sight is not None and (not seen or seen[-1] is not pane(chat).sight):
                seen.append(pane(chat).sight)
            return len(seen) > 4

        await chat.until(moved)
        assert len({sight.layers[1].norm for sight in seen}) > 1
        assert chat.app._busy
        pane(chat).focus()
        await chat.pilot.press("down", "right")
        assert pane(chat).place == (0, 1, 1)
        await chat.pilot.press("f10")
        assert not chat.app._inbox.probe.watching
        await chat.pilot.press("f10")
        count = len(seen)
        await chat.until(lambda: moved() and len(seen) > count + 1)
        await chat.press("escape")
        assert chat.conversation.head.reason == "cancelled"
        assert pane(chat).display  # Escape was for the reply
        chat.assert_true()


async def test_it_does_not_change_what_is_said(open_chat: Open) -> None:
    said = []
    for watched in (False, True):
        async with open_chat(keep=False) as chat:
            if watched:
                await chat.press("f10")
            await chat.say("hello")
            said.append(chat.turns)
    assert said[0] == said[1]


async def test_it_shows_the_character_under_the_cursor(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("hello")
        await chat.press("f10", "ctrl+l")
        turn = chat.conversation.head
        for place in (0, 3):
            assert chat.app.transcript.cursor == (turn.id, place)
            text = chat.conversation.text(turn.parent) + chat.conversation.lead(turn) + turn.text[: place + 1]
            await chat.until(
                lambda text=text: (
                    pane(chat).sight is not None
                    and pane(chat).sight.layers[0].norm == pytest.approx(norm_after(chat, text), abs=1e-3)
                )
            )
            assert pane(chat).sight.text == turn.text[place]  # type: ignore[union-attr]
            await chat.press("right", "right", "right")


async def test_a_cursor_goes_over_strips_and_units(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("hello")
        await chat.press("f10")
        await chat.until(lambda: pane(chat).sight is not None)
        hidden = chat.engine.config.hidden
        await chat.press("down", "end")
        assert pane(chat).place == (0, 1, hidden - 1)
        await chat.press("home", *["down"] * 99)
        assert pane(chat).place == (1, 5, 0)
        await chat.press("1", ":", "4", "enter")
        assert pane(chat).place == (1, 4, 4)  # the memory of that unit
        expected = chat.conversation.head.snapshot.state.layers[1].c[0, 4]
        await chat.until(lambda: pane(chat).sight.layers[1].bands[4].value is not None)  # type: ignore[union-attr]
        assert pane(chat).sight.layers[1].bands[4].value == pytest.approx(expected, abs=1e-3)  # type: ignore[union-attr]
        await chat.press("9", ":", "9", "enter")
        assert "layers are 0 to 1" in drawn(chat)[-1]
        await chat.press("escape")
        assert pane(chat).display
        assert "unit 1:4" in drawn(chat)[-1]
        await chat.press("escape")
        assert not pane(chat).display


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (40, 6), (20, 8)])
async def test_it_folds_where_there_is_no_room(open_chat: Open, size: tuple[int, int]) -> None:
    async with open_chat(size=size) as chat:
        await chat.say("hello")
        await chat.press("f10")
        await chat.until(lambda: pane(chat).sight is not None)
        width, height = pane(chat).content_size
        assert len(drawn(chat)) <= height
        assert all(strip.cell_length == width for strip in pane(chat)._rows)
        text = "\n".join(drawn(chat))
        if size == (80, 24):
            assert "layer 1" in text
            assert "more rows" not in text
            assert chat.app.transcript.size.width > 30
        elif size == (40, 12):
            assert "more rows" in text
            await chat.press(*["down"] * 11)
            assert any(line.startswith(" h") for line in drawn(chat))  # the strips scroll
        elif height < 3:
            assert "no room" in text
        await chat.press("f10")
        await chat.say("and again")
        chat.assert_true()


async def test_two_panels_where_there_is_room_for_one(open_chat: Open) -> None:
    async with open_chat(size=(80, 24)) as chat:
        await chat.press("f3", "f10")
        assert [str(one.id) for one in chat.app.query(".panel.shown")] == ["xray"]
    async with open_chat(size=(120, 30)) as chat:
        await chat.press("f3", "f10")
        assert len(chat.app.query(".panel.shown")) == 2


async def test_every_key_of_the_footer_is_seen_at_80_columns(open_chat: Open) -> None:
    async with open_chat(size=(80, 24)) as chat:
        keys = list(chat.app.query_one(Footer).query("FooterKey"))
        assert "X-ray" in [str(key.description) for key in keys]  # type: ignore[attr-defined]
        assert all(key.region.right <= 80 for key in keys)


async def test_the_help_tells_of_it(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.press("f1")
        screen = chat.app.screen
        assert isinstance(screen, HelpScreen)
        assert any("X-ray" in title for title, _ in screen._groups)
        await chat.press("escape")


@pytest.mark.parametrize(("hidden", "width"), [(16, 16), (16, 5), (256, 22), (7, 3)])
def test_a_unit_is_under_the_cell_it_was_folded_into(hidden: int, width: int) -> None:
    edges = [cell * hidden // width for cell in range(width + 1)]
    for unit in range(hidden):
        cell = _cell(unit, hidden, width)
        assert edges[cell] <= unit < edges[cell + 1]


def unit_values(chat: Chat, number: int) -> list[float]:
    document = chat.app.transcript.document
    return list(document.unit_values[document.spans[number].start : document.span_end(number)])


def values_of(chat: Chat, number: int, layer: int, signal: str, unit: int) -> Any:
    """What a unit did at each character of a turn, as reading everything from the start gives it."""
    conversation, engine = chat.conversation, chat.engine
    turn = conversation.path[number]
    text = conversation.text(turn)
    look = engine.forward_with_activations(engine.start(), spell(engine.vocabulary, text)[0])
    return look.signals[layer][signal][-len(turn.text) :, unit]


@pytest.mark.parametrize("candidates", [1, 3])
async def test_a_pinned_unit_colours_what_was_said(open_chat: Open, candidates: int) -> None:
    async with open_chat(dials=replace(QUICK, candidates=candidates)) as chat:
        await chat.say("hello")
        await chat.press("f10")
        await chat.until(lambda: pane(chat).sight is not None)
        await chat.press("1", ":", "4", "enter")
        await chat.until(lambda: chat.app.transcript.unit_scale is not None)
        document = chat.app.transcript.document
        keys = [turn.id for turn in chat.conversation.path]
        await chat.until(lambda: all(document.has_unit_values(key) for key in keys))
        assert "unit 1:4 c" in str(chat.app.status.note)
        assert "pinned" in drawn(chat)[-1]
        for number in (0, 1):
            np.testing.assert_allclose(unit_values(chat, number), values_of(chat, number, 1, "c", 4), atol=1e-3)
        # And so is what comes.
        await chat.say("and then?")
        await chat.until(lambda: all(document.has_unit_values(turn.id) for turn in chat.conversation.path))
        for number in (2, 3):
            np.testing.assert_allclose(unit_values(chat, number), values_of(chat, number, 1, "c", 4), atol=1e-3)
        strip = chat.app.transcript.render_lines(chat.app.transcript.size.region)[1]
        assert any(segment.style.bgcolor and segment.style.color for segment in strip if segment.text.strip())
        await chat.press("f6", "f7")  # undone and done again it is still coloured
        await chat.until(lambda: all(document.has_unit_values(turn.id) for turn in chat.conversation.path))
        await chat.press("f10", "f10", "enter")
        assert chat.app.transcript.unit_scale is None
        assert chat.app.status.note == ""
        assert "pinned" not in drawn(chat)[-1]
        assert all(value != value for value in unit_values(chat, 1))
        chat.assert_true()


async def test_a_unit_is_pinned_from_its_strip_while_a_reply_streams(open_chat: Open) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=1_000_000, pace=400.0)) as chat:
        await chat.press("f10")
        await chat.type("talk")
        await chat.until(lambda: pane(chat).sight is not None)
        pane(chat).focus()
        await chat.pilot.press("down", "right", "right", "enter")
        await chat.until(lambda: chat.app.transcript.unit_scale is not None)
        assert chat.app._inbox.probe.pin == (0, 2, "f")
        known = [value for value in unit_values(chat, 1) if value == value]
        assert all(0 <= value <= 1 for value in known)
        await chat.until(lambda: len([value for value in unit_values(chat, 1) if value == value]) > len(known) + 10)
        await chat.press("escape")
        await chat.until(lambda: chat.app.transcript.document.has_unit_values(chat.conversation.head.id))
        np.testing.assert_allclose(unit_values(chat, 1), values_of(chat, 1, 0, "f", 2), atol=1e-3)
        await chat.press("f4")  # the pin comes before heat, and heat is there when it goes
        assert "unit" in str(chat.app.status.note)
        pane(chat).focus()
        await chat.press("enter")
        assert "surprise" in str(chat.app.status.note)


async def test_another_model_has_other_units(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("hello")
        await chat.press("f10")
        await chat.until(lambda: pane(chat).sight is not None)
        await chat.press("1", ":", "4", "enter")
        await chat.until(lambda: chat.app.transcript.unit_scale is not None)
        chat.app._pin(Pin(7, 0, "c"))
        await chat.press("f6")
        assert chat.app._inbox.probe.pin is None
        assert pane(chat).pinned is None


async def test_holding_a_unit_changes_what_is_said_and_is_undone_with_a_key(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("hello")
        free = chat.turns[-1]
        await chat.press("f10")
        await chat.until(lambda: pane(chat).sight is not None)
        await chat.press("1", ":", "4", "enter", "a")
        assert chat.conversation.dials.clamp == "1:4=0"
        assert "held 0" in drawn(chat)[-1]
        await chat.press("=", "-", "3", ".", "5", "enter")
        assert chat.conversation.dials.clamps == {(1, 4): -3.5}
        await chat.press("0", ":", "2", "=", "9", "enter")
        assert chat.conversation.dials.clamps == {(1, 4): -3.5, (0, 2): 9}
        assert "2 held" in str(pane(chat).border_subtitle)
        await chat.type("/seed 1")
        await chat.press("f6")
        await chat.say("hello")
        held = chat.turns[-1]
        assert held != free
        chat.assert_true()  # it remembers the text as it reads it by itself
        assert replay(chat.conversation).difference is None
        # The strips show it as it was drawn.
        pane(chat).focus()
        await chat.press("1", ":", "4", "enter")
        await chat.until(lambda: pane(chat).sight.layers[1].bands[4].value == -3.5)  # type: ignore[union-attr]
        await chat.press("u")
        assert chat.conversation.dials.clamp == ""
        assert "held" not in drawn(chat)[-1]
        await chat.type("/seed 1")
        await chat.press("f6")
        await chat.say("hello")
        assert chat.turns[-1] == free
        chat.assert_true()


async def test_a_unit_is_held_where_it_is(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.say("hello")
        await chat.press("f10")
        await chat.until(lambda: pane(chat).sight is not None)
        await chat.press("end", "c")
        hidden = chat.engine.config.hidden
        value = float(chat.conversation.head.snapshot.state.layers[0].c[0, -1])
        assert chat.conversation.dials.clamps == {(0, hidden - 1): pytest.approx(value, abs=1e-3)}
        await chat.press("=", ".", ".", "enter")
        assert "is no value" in drawn(chat)[-1]


async def test_a_unit_is_held_while_a_reply_streams(open_chat: Open) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=1_000_000, pace=400.0)) as chat:
        await chat.press("f10")
        await chat.type("talk")
        await chat.until(lambda: pane(chat).sight is not None)
        pane(chat).focus()
        await chat.pilot.press("=", "5", "enter")
        await chat.until(lambda: pane(chat).sight.layers[0].bands[4].value == 5)  # type: ignore[union-attr]
        await chat.pilot.press("u")
        await chat.until(lambda: pane(chat).sight.layers[0].bands[4].value != 5)  # type: ignore[union-attr]
        await chat.press("escape")
        settings = chat.conversation.head.passages[-1].settings
        assert [setting.dials.clamp for setting in settings] == ["", "0:0=5", ""]
        chat.assert_true()
        assert replay(chat.conversation).difference is None


async def test_units_are_held_by_the_dial_and_the_command_too(open_chat: Open) -> None:
    async with open_chat() as chat:
        await chat.type("/clamp 1:4=0.5")
        assert chat.conversation.dials.clamps == {(1, 4): 0.5}
        assert pane(chat).held == {(1, 4): 0.5}
        await chat.type("/clamp 9:4=0")
        assert "there is no unit 9:4" in chat.notes
        await chat.press("f3", *["down"] * 11)  # the row before the seed's
        row = chat.app.query_one(HeldRow)
        assert row.current
        assert "1:4=0.5" in str(row.render())
        await chat.press("0", ":", "1", "=", "-", "1", "enter")
        assert chat.conversation.dials.clamps == {(0, 1): -1}
        await chat.press("9", "enter")
        assert "does not say" in row.problem
        await chat.press("left")
        assert chat.conversation.dials.clamp == ""
        assert pane(chat).held == {}
