"""The chat screen: what is shown of a session, and the keys that change only what is shown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from charlm.errors import UsageError
from charlm.text.sanitize import visible
from charlm.tui.activation_probe import ActivationsReady, Pin, UnitColours
from charlm.tui.event_queue import EventQueue, TextWritten, TurnBegan, TurnScored
from charlm.tui.layout import PanelLayout
from charlm.tui.look import LookPane
from charlm.tui.notices import ERROR_SECONDS, report_errors
from charlm.tui.textual_internals import KeyBar, SteadyScreen, forgotten
from charlm.tui.widgets.conversations import ConversationsPanel
from charlm.tui.widgets.dials import DialsPanel
from charlm.tui.widgets.prompt import InputHistory, Prompt
from charlm.tui.widgets.status import StatusLine
from charlm.tui.widgets.transcript import Transcript
from charlm.tui.widgets.xray import XRay
from charlm.tui.xray_control import XRayController

if TYPE_CHECKING:
    from charlm.chat.commands import Command
    from charlm.chat.session import Session
    from charlm.chat.turns import Turn

SPEED_SECONDS = 0.2  # a reply is measured for that long before its speed is shown


class ChatScreen(SteadyScreen[None]):
    """Transcript and prompt between panels, above a status line."""

    def __init__(self, events: EventQueue) -> None:
        super().__init__()
        self.busy = False  # a reply is requested or in progress
        self.prompt, self.status, self.look = Prompt(), StatusLine(), LookPane()
        self.conversations = ConversationsPanel()
        self.dials = DialsPanel()
        self.transcript = self.look.transcript
        self.xray = XRayController(XRay(), self.transcript, events.probe)
        self._edited: Turn | None = None
        talk = Vertical(self.look, self.prompt, id="talk")
        self.panels = PanelLayout(self.conversations, talk, self.dials, self.xray.panel, prompt=self.prompt)
        self._events = events
        self.loaded: Session | None = None
        self.commands: Sequence[Command] = ()
        self._read = 0  # characters that the model has read
        self._written, self._began = 0, 0.0  # characters of the reply in progress; when the first was shown

    def compose(self) -> ComposeResult:
        yield self.panels
        yield self.status
        yield KeyBar(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.status.show(state="loading ...")
        self.prompt.focus()

    @property
    def session(self) -> Session:
        if self.loaded is None:
            raise UsageError("the model is not loaded yet")
        return self.loaded

    def start(self, session: Session, commands: Sequence[Command]) -> None:
        """Show a session that has been loaded."""
        self.loaded, self.commands = session, commands
        prompt = self.prompt
        prompt.substitute = session.substitute
        prompt.commands = [(one.name, f"{one.argument}  {one.help}".strip()) for one in commands]
        prompt.complete_argument = self._complete
        text_starts = {one.name: one.text_after for one in commands if one.text_after is not None}
        prompt.words_before_model_text = text_starts
        prompt.input_history = InputHistory([one.text for one in session.conversation.path if one.author == "you"])
        self.show_conversation()

    def _complete(self, name: str, beginning: str) -> Sequence[str]:
        found = [one for one in self.commands if one.name == name]
        return list(found[0].complete(self.session, beginning)) if found else []

    # -- a reply in progress ------------------------------------------------------------------------------------------

    def begin_request(self) -> None:
        self.busy = True
        self.status.show(state="thinking")
        self.transcript.follow()

    def show_event(self, event: TextWritten | TurnBegan | TurnScored | ActivationsReady | UnitColours) -> None:
        """Show what a worker has sent."""
        match event:
            case TextWritten(text, bits):
                self.transcript.document.append(text, bits)
                self._count(len(text))
            case TurnBegan(turn, text):
                self.look.begin_turn(turn, text, self.session)
                self._written, self._began = 0, 0.0
                self._show_turn(turn, len(text), "writing" if turn.author == "bot" else "reading")
            case TurnScored(turn, bits):
                if turn in self.look.turns[turn.depth - 1 : turn.depth]:
                    self.transcript.document.set_surprises(turn.id, bits)
            case ActivationsReady(summary):
                self.xray.panel.summary = summary
            case UnitColours():
                self.xray.set_colours(event)
                self._show_legend()

    def _count(self, characters: int) -> None:
        """Show how many characters were read, and how fast the reply is written."""
        now = time.monotonic()
        self._read += characters
        self._began = self._began or now
        self.status.show(characters=f"{self._read:,} characters")
        if now - self._began > SPEED_SECONDS:
            self.status.show(speed=f"{self._written / (now - self._began):,.0f} chars/s")
        self._written += characters

    def finish_turn(self, turn: Turn) -> None:
        """Show that the last turn is complete."""
        self.look.update_label(turn, self.session)
        self._colour(self.look.turns[-2:])
        self._show_status()

    # -- what is shown ------------------------------------------------------------------------------------------------

    def show_conversation(self) -> None:
        """Show the visible turns, and everything about them."""
        self.look.show_turns(self.session)
        self._show_status()
        self._show_panels()
        self._colour(self.look.turns[::-1])

    def show_dials(self) -> None:
        """Show the dials; they act on the next character."""
        self._events.skip_pause()
        self._show_status()
        self._show_panels()

    def _show_status(self) -> None:
        session = self.session
        conversation = session.conversation
        self.status.show(model=session.name, seed=f"seed {conversation.data.seed}", learned=conversation.memory)
        if not self.busy:  # a reply in progress shows itself
            self._show_turn(conversation.head, len(conversation.head.text), "ready")
        for sentence in session.news():
            self.notify(visible(sentence), markup=False, timeout=ERROR_SECONDS)

    def _show_turn(self, turn: Turn, characters: int, state: str) -> None:
        """Show the last turn, and how much was read with `characters` of it."""
        lead = self.session.conversation.data.lead(turn) if turn.parent is not None else ""
        self._read = (turn.parent.characters if turn.parent is not None else 0) + len(lead) + characters
        self.status.show(
            turn=f"turn {turn.depth}  {turn.version}".rstrip(), characters=f"{self._read:,} characters", state=state
        )

    def _show_panels(self) -> None:
        conversation = self.session.conversation
        if self.panels.is_open("conversations"):
            with report_errors(self):
                self.conversations.show(self.session.search(), self.session.number)
        if self.panels.is_open("dials"):
            self.dials.show(conversation.dials, conversation.data.seed)
        self.xray.panel.clamps = conversation.dials.clamps
        self._show_activations()

    @on(Transcript.CursorMoved)
    def _show_activations(self) -> None:
        """Show the activations at the cursor, or after the last turn; a reply in progress shows its own."""
        if self.loaded is not None and not self.busy:
            head = self.loaded.conversation.head
            self.xray.show(self.loaded.conversation, *(self.look.at_cursor or (head, len(head.text))))

    def _colour(self, turns: Sequence[Turn]) -> None:
        """Compute the colours of turns, in this order; a reply in progress colours itself."""
        if self.busy:
            return
        conversation = self.session.conversation
        if self.transcript.heat:
            work = partial(self._events.score_turns, conversation, turns)
            self.run_worker(forgotten(work), thread=True, exclusive=True, group="heat", exit_on_error=False)
        self.xray.colour_turns(conversation, turns)
        self._show_legend()

    def _show_legend(self) -> None:
        self.status.show(note=self.look.legend)

    # -- actions ------------------------------------------------------------------------------------------------------

    def action_heat(self) -> None:
        """Colour every character by its surprisal, or stop doing so."""
        with report_errors(self):
            self.transcript.heat = not self.transcript.heat
            self._show_legend()
            self._colour(self.look.turns[::-1])

    def action_toggle_panel(self, name: str) -> None:
        with report_errors(self):
            self.panels.toggle(name)
            self.xray.probe.watching = self.panels.is_open("xray")
            self._show_panels()

    def action_page(self, step: int) -> None:
        """Scroll the transcript from the prompt."""
        self.transcript.scroll_relative(y=step * self.transcript.size.height, animate=False)

    def action_look(self) -> None:
        self.look.toggle()

    def edit(self, turn: Turn) -> None:
        """Move a turn's text into the prompt, to replace it. A slash at its beginning is no command."""
        whose = "yours" if turn.author == "you" else "the reply"
        self._set_edit(turn, turn.text, f"other words for {whose}; Esc leaves them")
        self.prompt.focus()

    def end_edit(self) -> Turn | None:
        """Empty the prompt, and return the turn that was edited."""
        turn = self._edited
        if turn is not None:
            self._set_edit(None, "", "")
        return turn

    def _set_edit(self, turn: Turn | None, text: str, title: str) -> None:
        self._edited = turn
        self.prompt.takes_commands = turn is None
        self.prompt.value = text
        self.prompt.border_title = title

    def leave_mode(self) -> None:
        """End the edit; else the look; else close the panels."""
        if self.end_edit() is not None:
            return
        if self.look.looking:
            self.look.action_end()
            return
        for name in self.panels.open_panels:
            self.action_toggle_panel(name)
        self.prompt.focus()

    # -- messages -----------------------------------------------------------------------------------------------------

    @on(LookPane.Closed)
    def _end_look(self) -> None:
        self.prompt.focus()

    @on(LookPane.Edited)
    def _edit(self, event: LookPane.Edited) -> None:
        self.edit(event.turn)

    @on(ConversationsPanel.Searched)
    def _search(self, event: ConversationsPanel.Searched) -> None:
        with report_errors(self):
            self.conversations.show(self.session.search(event.query), self.session.number)

    @on(DialsPanel.Changed)
    def _change_dials(self, event: DialsPanel.Changed) -> None:
        with report_errors(self):
            self.session.conversation.dials = event.dials
            self.show_dials()

    @on(XRay.ClampsChanged)
    def _clamp_units(self, event: XRay.ClampsChanged) -> None:
        with report_errors(self):
            conversation = self.session.conversation
            conversation.dials = conversation.dials.with_clamps(event.clamps)
            self.show_dials()

    @on(XRay.Pinned)
    def _pin_unit(self, event: XRay.Pinned) -> None:
        with report_errors(self):
            self.xray.set_pin(None if event.unit is None else Pin(*event.unit))
            self._show_legend()
            self._colour(self.look.turns[::-1])

    @on(XRay.WidthChanged)
    def _set_xray_width(self, event: XRay.WidthChanged) -> None:
        self.xray.probe.width = event.width
        self._show_activations()
