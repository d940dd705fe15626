"""The app under test, and an engine that can be slowed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from charlm.config import ChatConfig
from charlm.errors import CheckpointError
from charlm.inference.context import encode_lossy
from charlm.inference.engine import Engine
from charlm.text.dialogue import Dialogue
from charlm.tui.app import ChatApp
from tests.conftest import PATIENCE

PLAY = Dialogue("play", ("Romeo", "Juliet"))
QUICK = ChatConfig(temperature=0.8, candidates=1, length=40)  # a repeated letter would magnify rounding


class ScriptedEngine(Engine):
    """An engine that can be slowed, held at a gate, and made to fail."""

    seconds = 0.0  # of a step
    steps_left: float = float("inf")  # until it fails
    waits = False  # a step waits at the gate

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.gate = threading.Event()
        self.gate.set()

    def step(self, state: Any, ids: Any) -> Any:
        self.waits = True
        assert self.gate.wait(PATIENCE)
        self.waits = False
        if self.seconds:
            time.sleep(self.seconds)
        self.steps_left -= 1
        if self.steps_left < 0:
            raise CheckpointError("the model fell over", "pick it up")
        return super().step(state, ids)


class Chat:
    """An app, its pilot, and its chat screen."""

    def __init__(self, app: ChatApp, pilot: Pilot[int]) -> None:
        self.app, self.pilot, self.screen = app, pilot, app.chat

    @property
    def conversation(self) -> Any:
        return self.app.session.conversation

    @property
    def engine(self) -> Any:
        return self.conversation.engine

    async def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                pytest.fail("the condition was never true")
            await self.pilot.pause(0.01)

    async def idle(self) -> None:
        await self.until(lambda: not self.screen.busy and not self.app.events)
        await self.pilot.pause()  # notes are messages, too

    async def stop_at_gate(self) -> None:
        """Press Escape while a step waits at the closed gate, and open it."""
        await self.until(lambda: self.engine.waits)
        await self.pilot.press("escape")
        await self.until(lambda: self.app.events.stopping is not None)
        self.engine.gate.set()
        await self.idle()

    async def type(self, text: str) -> None:
        self.screen.prompt.focus()
        self.screen.prompt.value = text
        await self.pilot.press("enter")

    async def say(self, text: str) -> None:
        await self.type(text)
        await self.idle()

    async def begin_reply(self, text: str, characters: int) -> None:
        """Send the first turn, and wait until more than some characters of the reply are shown."""
        await self.type(text)
        await self.until(lambda: len(self.shown) == 2 and len(self.shown[1]) > characters)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.idle()

    @property
    def turns(self) -> list[str]:
        return [turn.text for turn in self.conversation.path]

    @property
    def shown(self) -> list[str]:
        """Texts of the turns in the transcript."""
        document = self.screen.transcript.document
        spans = enumerate(document.spans)
        return [document.slice(one.start, document.span_end(n)) for n, one in spans if one.author != "note"]

    def status(self, name: str) -> str:
        return str(self.screen.status.texts.get(name, ""))

    @property
    def labels(self) -> list[str]:
        return [span.label for span in self.screen.transcript.document.spans]

    def surprises(self, number: int) -> list[float]:
        """Surprisals of a turn in the transcript."""
        return list(self.screen.transcript.document.surprises[self.turn_range(number)])

    def turn_range(self, number: int) -> slice:
        """The offsets of a turn in the transcript."""
        document = self.screen.transcript.document
        index = [index for index, span in enumerate(document.spans) if span.author != "note"][number]
        return slice(document.spans[index].start, document.span_end(index))

    def assert_consistent(self) -> None:
        """Transcript, model state and database hold the same text."""
        conversation = self.conversation
        assert self.shown == self.turns
        ids = encode_lossy(conversation.engine.vocabulary, conversation.text())
        state, _ = conversation.engine.prefill(conversation.engine.start(), ids)
        known = conversation.context(conversation.head).state
        for one, other in zip(state.arrays(), known.arrays(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
        session = self.app.session
        if session.store is not None and session.number is not None:
            opened = session.store.open(session.number, session.name, session.engine, session.dialogue)
            assert [turn.text for turn in opened.path] == self.turns

    @property
    def notes(self) -> str:
        return "\n".join(str(one.message) for one in self.app._notifications)


OpenChat = Callable[..., Any]
