"""The X-ray: it shows the model during a reply and afterwards, and changes no reply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from textual import events
from textual.widgets import Footer

from charlm.chat.replay import replay
from charlm.inference.context import encode_lossy
from charlm.tui.activation_probe import Pin
from charlm.tui.widgets.dial_rows import ClampRow
from charlm.tui.widgets.prompt import Prompt
from charlm.tui.widgets.xray import XRay, cell_of_unit
from tests.tui.chat import QUICK, Chat, OpenChat
from tests.tui.widgets import Size


def pane(chat: Chat) -> XRay:
    return chat.screen.xray.panel


def drawn(chat: Chat) -> list[str]:
    """Return the visible lines of the panel."""
    lines = [pane(chat).render_line(y).text.rstrip() for y in range(pane(chat).content_size.height)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


async def focus_xray(chat: Chat) -> None:
    """Send a text, then open the panel and focus it."""
    await chat.say("hello")
    await chat.press("f10", "tab")
    await chat.until(lambda: pane(chat).summary is not None)


async def focus_xray_during_reply(chat: Chat) -> None:
    await chat.press("f10")
    await chat.type("talk")
    await chat.until(lambda: pane(chat).summary is not None)
    pane(chat).focus()


async def pin_unit(chat: Chat) -> None:
    await chat.press(*"1:4", "enter")
    await chat.until(lambda: chat.screen.transcript.unit_scale is not None)


def norm_after(chat: Chat, text: str, layer: int = 0) -> float:
    """Return the norm of the memory after reading a text from the start."""
    engine = chat.engine
    state, _ = engine.prefill(engine.start(), encode_lossy(engine.vocabulary, text))
    return float(np.linalg.norm(state.layers[layer].c))


@pytest.mark.parametrize("key", ["f10", "ctrl+g"])
async def test_xray_key_opens_and_closes_panel(chat: Chat, key: str) -> None:
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
async def test_xray_after_reply_shows_last_character(open_chat: OpenChat, candidates: int) -> None:
    async with open_chat(dials=replace(QUICK, candidates=candidates)) as chat:
        await chat.press("f10")
        await chat.say("hello")
        await chat.until(lambda: pane(chat).summary is not None)
        conversation = chat.conversation
        summary: Any = pane(chat).summary
        assert summary.text == chat.turns[-1][-1]
        assert summary.layers[0].norm == pytest.approx(norm_after(chat, conversation.text()), abs=1e-3)
        assert len(drawn(chat)) == pane(chat).content_size.height
        assert drawn(chat)[1].startswith("layer 0")
        assert any(line.startswith("entropy") and line.endswith("bits") for line in drawn(chat))
        chat.assert_consistent()
        # Opened later, it shows the same.
        await chat.press("f10")
        pane(chat).summary = None
        await chat.press("f10")
        await chat.until(lambda: pane(chat).summary is not None)
        again: Any = pane(chat).summary
        assert again.layers[0].norm == pytest.approx(summary.layers[0].norm, abs=1e-3)
        assert again.entropies == pytest.approx(summary.entropies[-len(again.entropies) :], abs=1e-3)
        assert again.choices[0][1] == pytest.approx(summary.choices[0][1], abs=1e-3)


async def test_xray_follows_reply_and_takes_keys(open_chat: OpenChat) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=1_000_000, pace=500.0)) as chat:
        await chat.press("f10")
        await chat.type("talk")
        seen: list[Any] = []

        def moved() -> bool:
            if pane(chat).summary is not None and (not seen or seen[-1] is not pane(chat).summary):
                seen.append(pane(chat).summary)
            return len(seen) > 4

        await chat.until(moved)
        assert len({summary.layers[1].norm for summary in seen}) > 1
        assert chat.screen.busy
        pane(chat).focus()
        await chat.pilot.press("down", "right")
        assert pane(chat).place == (0, 1, 1)
        await chat.pilot.press("f10")
        assert not chat.app.events.probe.watching
        await chat.pilot.press("f10")
        count = len(seen)
        await chat.until(lambda: moved() and len(seen) > count + 1)
        await chat.press("escape")
        assert chat.conversation.head.reason == "cancelled"
        assert pane(chat).display  # Escape stopped the reply


async def test_xray_open_does_not_change_reply(open_chat: OpenChat) -> None:
    texts = []
    for watched in (False, True):
        async with open_chat(keep=False) as chat:
            if watched:
                await chat.press("f10")
            await chat.say("hello")
            texts.append(chat.turns)
    assert texts[0] == texts[1]


async def test_xray_while_looking_shows_character_at_cursor(chat: Chat) -> None:
    await chat.say("hello")
    await chat.press("f10", "ctrl+l")
    turn = chat.conversation.head
    for place in (0, 3):
        assert chat.screen.transcript.cursor == (turn.id, place)
        text = chat.conversation.text(turn.parent) + chat.conversation.data.lead(turn) + turn.text[: place + 1]
        await chat.until(
            lambda text=text: (
                pane(chat).summary is not None
                and pane(chat).summary.layers[0].norm == pytest.approx(norm_after(chat, text), abs=1e-3)
            )
        )
        assert pane(chat).summary.text == turn.text[place]  # type: ignore[union-attr]
        await chat.press("right", "right", "right")


async def test_xray_cursor_moves_over_strips_and_units(chat: Chat) -> None:
    await focus_xray(chat)
    hidden = chat.engine.config.hidden
    await chat.press("down", "end")
    assert pane(chat).place == (0, 1, hidden - 1)
    await chat.press("home", *["down"] * 99)
    assert pane(chat).place == (1, 5, 0)
    await chat.press(*"1:4", "enter")
    assert pane(chat).place == (1, 4, 4)  # the memory of that unit
    expected = chat.conversation.head.context.state.layers[1].c[0, 4]
    assert pane(chat).summary.layers[1].bands[4].values[4] == pytest.approx(expected, abs=1e-3)  # type: ignore[union-attr]
    await chat.press(*"9:9", "enter")
    assert "layers are 0 to 1" in drawn(chat)[-1]
    await chat.press("escape")
    assert pane(chat).display
    assert "unit 1:4" in drawn(chat)[-1]
    await chat.press("escape")
    assert not pane(chat).display


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (40, 6), (20, 8)])
async def test_xray_without_room_shows_less(open_chat: OpenChat, size: Size) -> None:
    async with open_chat(size=size) as chat:
        await chat.say("hello")
        await chat.press("f10")
        await chat.until(lambda: pane(chat).summary is not None)
        width, height = pane(chat).content_size
        assert len(drawn(chat)) <= height
        assert all(pane(chat).render_line(y).cell_length == width for y in range(height))
        text = "\n".join(drawn(chat))
        if size == (80, 24):
            assert "layer 1" in text
            assert "more rows" not in text
            assert chat.screen.transcript.size.width > 30
        elif size == (40, 12):
            assert "more rows" in text
            await chat.press(*["down"] * 11)
            assert any(line.startswith(" h") for line in drawn(chat))  # the strips scroll
        elif height < 3:
            assert "no room" in text
        await chat.press("f10")
        await chat.say("and again")


async def test_footer_at_80_columns_shows_every_key(open_chat: OpenChat) -> None:
    async with open_chat(size=(80, 24)) as chat:
        keys = list(chat.app.query_one(Footer).query("FooterKey"))
        assert "X-ray" in [str(key.description) for key in keys]  # type: ignore[attr-defined]
        assert all(key.region.right <= 80 for key in keys)


@pytest.mark.parametrize(("hidden", "width"), [(16, 16), (16, 5), (256, 22), (7, 3)])
def test_unit_lies_in_its_folded_cell(hidden: int, width: int) -> None:
    edges = [cell * hidden // width for cell in range(width + 1)]
    for unit in range(hidden):
        cell = cell_of_unit(unit, hidden, width)
        assert edges[cell] <= unit < edges[cell + 1]


def unit_values(chat: Chat, number: int) -> list[float]:
    return list(chat.screen.transcript.document.unit_values[chat.turn_range(number)])


async def until_coloured(chat: Chat) -> None:
    document = chat.screen.transcript.document
    await chat.until(lambda: all(document.has_unit_values(turn.id) for turn in chat.conversation.path))


def assert_coloured(chat: Chat, number: int, layer: int, signal: str, unit: int) -> None:
    """Compare a turn's unit values with those after reading the conversation from the start."""
    engine, turn = chat.engine, chat.conversation.path[number]
    ids = encode_lossy(engine.vocabulary, chat.conversation.text(turn))
    values = engine.forward_with_activations(engine.start(), ids).signals[layer][signal][-len(turn.text) :, unit]
    np.testing.assert_allclose(unit_values(chat, number), values, atol=1e-3)


@pytest.mark.parametrize("candidates", [1, 3])
async def test_pinned_unit_colours_old_and_new_turns(open_chat: OpenChat, candidates: int) -> None:
    async with open_chat(dials=replace(QUICK, candidates=candidates)) as chat:
        await focus_xray(chat)
        await pin_unit(chat)
        await until_coloured(chat)
        assert "unit 1:4 c" in chat.status("note")
        assert "pinned" in drawn(chat)[-1]
        for number in (0, 1):
            assert_coloured(chat, number, 1, "c", 4)
        # New turns are coloured too.
        await chat.say("and then?")
        await until_coloured(chat)
        for number in (2, 3):
            assert_coloured(chat, number, 1, "c", 4)
        strip = chat.screen.transcript.render_lines(chat.screen.transcript.size.region)[1]
        assert any(segment.style.bgcolor and segment.style.color for segment in strip if segment.text.strip())
        await chat.press("f6", "f7")  # after undo and redo the turn is coloured
        await until_coloured(chat)
        await chat.press("f10", "f10", "tab", "enter")
        assert chat.screen.transcript.unit_scale is None
        assert chat.status("note") == ""
        assert "pinned" not in drawn(chat)[-1]
        assert all(value != value for value in unit_values(chat, 1))


async def test_unit_pinned_during_reply_colours_it(open_chat: OpenChat) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=1_000_000, pace=400.0)) as chat:
        await focus_xray_during_reply(chat)
        await chat.pilot.press("down", "right", "right", "enter")
        await chat.until(lambda: chat.screen.transcript.unit_scale is not None)
        assert chat.screen.xray.probe.pin == (0, 2, "f")
        known = [value for value in unit_values(chat, 1) if value == value]
        assert all(0 <= value <= 1 for value in known)
        await chat.until(lambda: len([value for value in unit_values(chat, 1) if value == value]) > len(known) + 10)
        await chat.press("escape")
        await chat.until(lambda: chat.screen.transcript.document.has_unit_values(chat.conversation.head.id))
        assert_coloured(chat, 1, 0, "f", 2)
        await chat.press("f4")  # a pin hides heat until it is gone
        assert "unit" in chat.status("note")
        pane(chat).focus()
        await chat.press("enter")
        assert "surprise" in chat.status("note")


async def test_pin_of_missing_unit_is_dropped(chat: Chat) -> None:
    await focus_xray(chat)
    await pin_unit(chat)
    chat.screen.xray.set_pin(Pin(7, 0, "c"))
    await chat.press("f6")
    assert chat.screen.xray.probe.pin is None
    assert pane(chat).pinned is None


async def test_clamped_unit_changes_reply_until_freed(chat: Chat) -> None:
    await chat.say("hello")
    free = chat.turns[-1]
    await chat.press("f10", "tab")
    await chat.until(lambda: pane(chat).summary is not None)
    await chat.press("1", ":", "4", "enter", "a")
    assert chat.conversation.dials.clamp == "1:4=0"
    assert "held 0" in drawn(chat)[-1]
    await chat.press(*"=-3.5", "enter")
    assert chat.conversation.dials.clamps == {(1, 4): -3.5}
    await chat.press(*"0:2=9", "enter")
    assert chat.conversation.dials.clamps == {(1, 4): -3.5, (0, 2): 9}
    assert "2 held" in str(pane(chat).border_subtitle)
    await chat.type("/seed 1")
    await chat.press("f6")
    await chat.say("hello")
    clamped = chat.turns[-1]
    assert clamped != free
    chat.assert_consistent()  # the state is that of an unclamped reading
    assert replay(chat.conversation).difference is None
    # The strips show the clamped value.
    pane(chat).focus()
    await chat.press(*"1:4", "enter")
    await chat.until(lambda: pane(chat).summary.layers[1].bands[4].values[4] == -3.5)  # type: ignore[union-attr]
    await chat.press("u")
    assert chat.conversation.dials.clamp == ""
    assert "held" not in drawn(chat)[-1]
    await chat.type("/seed 1")
    await chat.press("f6")
    await chat.say("hello")
    assert chat.turns[-1] == free


async def test_end_then_c_clamps_last_unit_at_its_value(open_chat: OpenChat) -> None:
    async with open_chat(size=(80, 24)) as chat:
        await focus_xray(chat)
        for key in ("end", "c"):  # at once, as from a terminal that lags
            chat.app.post_message(events.Key(key, "c" if key == "c" else None))
        await chat.until(lambda: chat.conversation.dials.clamps)
        hidden = chat.engine.config.hidden
        value = float(chat.conversation.head.context.state.layers[0].c[0, -1])
        assert chat.conversation.dials.clamps == {(0, hidden - 1): pytest.approx(value, abs=1e-3)}
        await chat.press(*"=..", "enter")
        assert "is no value" in drawn(chat)[-1]


async def test_unit_clamped_during_reply_acts_at_once(open_chat: OpenChat) -> None:
    async with open_chat(model="novel", dials=replace(QUICK, length=1_000_000, pace=400.0)) as chat:
        await focus_xray_during_reply(chat)
        await chat.pilot.press("=", "5", "enter")
        await chat.until(lambda: pane(chat).summary.layers[0].bands[4].values[0] == 5)  # type: ignore[union-attr]
        await chat.pilot.press("u")
        await chat.until(lambda: pane(chat).summary.layers[0].bands[4].values[0] != 5)  # type: ignore[union-attr]
        await chat.press("escape")
        settings = chat.conversation.head.segments[-1].settings
        assert [setting.dials.clamp for setting in settings] == ["", "0:0=5", ""]
        chat.assert_consistent()
        assert replay(chat.conversation).difference is None


async def test_clamp_by_command_and_dial_reaches_xray(chat: Chat) -> None:
    await chat.type("/clamp 1:4=0.5")
    assert chat.conversation.dials.clamps == {(1, 4): 0.5}
    assert pane(chat).clamps == {(1, 4): 0.5}
    await chat.type("/clamp 9:4=0")
    assert "there is no unit 9:4" in chat.notes
    await chat.press("f3", "tab")
    row = chat.app.query_one(ClampRow)
    for _ in range(30):
        if row.current:
            break
        await chat.press("down")
    assert row.current
    assert "1:4=0.5" in str(row.render())
    await chat.press(*"0:1=-1", "enter")
    assert chat.conversation.dials.clamps == {(0, 1): -1}
    await chat.press("9", "enter")
    assert "not a clamped unit" in row.problem
    await chat.press("left")
    assert chat.conversation.dials.clamp == ""
    assert pane(chat).clamps == {}
