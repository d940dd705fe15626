"""The X-ray: connects its panel, the probe, and the transcript's colours. Runs in the interface thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from charlm.tui.activation_probe import ActivationProbe, Pin, UnitColours, has_unit
from charlm.tui.notices import report_errors
from charlm.tui.textual_internals import forgotten
from charlm.tui.widgets.transcript import Transcript
from charlm.tui.widgets.xray import XRay

if TYPE_CHECKING:
    from charlm.chat.conversation import Conversation
    from charlm.chat.turns import Turn


class XRayController:
    """Decides which activations are computed and where they are shown."""

    def __init__(self, panel: XRay, transcript: Transcript, probe: ActivationProbe) -> None:
        self.panel = panel
        self._transcript = transcript
        self.probe = probe
        self._next: tuple[Conversation, Turn, int] | None = None  # to be shown next
        self._serving = False

    def show(self, conversation: Conversation, turn: Turn, character: int) -> None:
        """Show the activations at a character of a finished turn, as soon as they are computed."""
        if not self.probe.watching or turn.parent is None:  # the root, before the first turn
            self._next, self.panel.summary = None, None
            self.probe.forget()
            return
        self._next = conversation, turn, character
        if not self._serving:
            self._serving = True
            self.panel.run_worker(self._serve(), group="xray")

    async def _serve(self) -> None:
        """Compute the last place that was asked for, until there is none; places in between are skipped."""
        try:
            while (place := self._next) is not None:
                self._next = None
                with report_errors(self.panel):
                    summary = await asyncio.to_thread(self.probe.summary_at, *place)
                    if summary is not None:
                        self.panel.summary = summary
        finally:
            self._serving = False

    def set_pin(self, pin: Pin | None) -> None:
        """Forget the colours of another unit."""
        if pin != self.probe.pin:
            self.probe.pin = pin
            self.panel.pinned, self._transcript.unit_scale = pin, None
            self._transcript.document.clear_unit_values()

    def colour_turns(self, conversation: Conversation, turns: Sequence[Turn]) -> None:
        """Colour those turns that are not coloured yet; the pin goes with a model that lacks the unit."""
        if self.probe.pin is None:
            return
        if not has_unit(conversation.engine, self.probe.pin):
            self.set_pin(None)
            return
        missing = [turn for turn in turns if not self._transcript.document.has_unit_values(turn.id)]
        work = partial(self.probe.colour_turns, conversation, missing)
        self.panel.run_worker(forgotten(work), thread=True, exclusive=True, group="pin", exit_on_error=False)

    def set_colours(self, colours: UnitColours) -> None:
        """Colour characters, if the unit is still pinned."""
        if colours.pin == self.probe.pin:
            self._transcript.unit_scale = colours.scale
            self._transcript.document.set_unit_values(colours.turn.id, colours.first, colours.values)
