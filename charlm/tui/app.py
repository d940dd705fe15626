"""The chat as a Textual app.

Owns the layout, the keys, and which of the two threads does what: the interface, and a worker that loads the model or
lets it write (`charlm.tui.event_queue`). NumPy and the model are imported by the worker, after the first paint, and
so is whatever else that does not need.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.driver import Driver
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Footer

from charlm.errors import CharlmError, NotFoundError, UsageError
from charlm.text.sanitize import visible
from charlm.tui import preferences
from charlm.tui.activation_probe import ActivationsReady, Pin, UnitColours
from charlm.tui.event_queue import Began, Done, Event, EventQueue, Failed, Loaded, Surprises, Wrote
from charlm.tui.transcript_presenter import TranscriptPresenter
from charlm.tui.widgets.alternatives import Alternatives
from charlm.tui.widgets.conversations import ConversationsPanel
from charlm.tui.widgets.dials import DialsPanel
from charlm.tui.widgets.prompt import Prompt
from charlm.tui.widgets.status import StatusLine
from charlm.tui.widgets.transcript import Transcript
from charlm.tui.widgets.xray import XRay

if TYPE_CHECKING:
    from charlm.chat.commands import Command, Operation
    from charlm.chat.context_cache import CharScore
    from charlm.chat.conversation import Reply
    from charlm.chat.session import Session
    from charlm.chat.turns import Turn

FRAMES = 30  # a second
NARROW = 72  # columns; below, a panel takes the whole width
PANEL = 34  # columns of a panel; for a second one there must be as many more


class ChatApp(App[int]):
    """The app. It is a `charlm.chat.commands.ChatUI`.

    Args:
        wish: the fields of `charlm.chat.session.ChatOptions`.
        start: makes the session, in the worker; None opens the one that is wished for.

    Attributes:
        failure: why there is nothing to talk to; the app has ended at once.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help", tooltip="This help"),
        Binding("f2", "toggle_panel('conversations')", "Chats", tooltip="Conversations: open, search, rename, delete"),
        Binding("f3", "toggle_panel('dials')", "Dials", tooltip="Dials: how replies are drawn and shown"),
        Binding("f4", "heat", "Heat", tooltip="Colour every character by how much it surprised the model"),
        Binding("f5", "run('regenerate')", "Again", tooltip="Another reply; the old one stays, as a version"),
        Binding("f6", "run('undo')", "Undo", tooltip="Take the last step back, whatever it was"),
        Binding("f7", "run('redo')", "Take an undo back", show=False),
        Binding("f8", "edit_last", "Say something else instead of what you said last", show=False),
        Binding("f9", "run('continue')", "Let the model write on", show=False),
        Binding("ctrl+l", "look", "Look", tooltip="Move over the text, see what else might have come, branch there"),
        Binding("f10,ctrl+g", "toggle_panel('xray')", "X-ray", tooltip="X-ray: gates, memory, what may come next"),
        Binding("ctrl+n", "run('new')", "A new conversation", show=False),
        Binding("ctrl+o", "pick_model", "Choose among the models", show=False),
        Binding("ctrl+y", "copy_reply", "Copy the last reply, or what is selected", show=False),
        Binding("escape", "stop", "Stop the reply; or leave what is being done", show=False),
        Binding("ctrl+q", "leave", "Quit", tooltip="Leave; everything is saved", priority=True),
        # In an empty prompt.
        Binding("left", "version(-1)", "In an empty field: the version before", show=False),
        Binding("right", "version(1)", "In an empty field: the next version", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        # In the transcript; the prompt takes them as letters.
        Binding("e", "edit_here", "While you look: edit this turn", show=False),
        Binding("b", "branch_here", "While you look: let the model go on from here", show=False),
        Binding("left_square_bracket", "version_here(-1)", "While you look: the version before", show=False),
        Binding("right_square_bracket", "version_here(1)", "While you look: the next version", show=False),
        *(Binding(str(n), f"alternative({n})", f"Alternative {n}", show=False) for n in range(1, 10)),
    ]

    CSS = """
    #middle { height: 1fr; }
    #talk { width: 1fr; height: 1fr; }
    Transcript { height: 1fr; }
    Alternatives { display: none; }
    .panel { width: 34; height: 1fr; display: none; }
    #xray { width: 36%; min-width: 34; max-width: 56; }
    .shown { display: block; }
    .narrow .panel { width: 1fr; }
    .narrow #xray { width: 1fr; min-width: 0; max-width: 100%; }
    .narrow.covered #talk { display: none; }
    ToastRack { dock: top; align: right top; margin: 0; }  /* not over the prompt */
    Toast { margin: 0; padding: 0 1; }
    .narrow Toast { width: 100%; max-width: 100%; }
    """

    def __init__(self, wish: dict[str, Any], start: Callable[[], Session] | None = None) -> None:
        super().__init__()
        self.title = "charlm"
        self.failure: Exception | None = None
        self._wish = wish
        self._start = start
        self._inbox = EventQueue()
        self._session: Session | None = None
        self._unsent: list[str] = []  # written before there was a model
        self._busy = False
        self._written, self._since = 0, 0.0  # of the reply under way
        self._considered: dict[int, list[CharScore]] = {}
        self._editing: Turn | None = None
        self._commands: Sequence[Command] = ()

    # -- the screen ---------------------------------------------------------------------------------------------------

    def get_driver_class(self) -> type[Driver]:
        """What reads keys and writes to the terminal."""
        if sys.platform == "win32":
            return super().get_driver_class()
        from charlm.tui.driver import BrokenPipeTolerantDriver

        return BrokenPipeTolerantDriver

    def compose(self) -> ComposeResult:
        """Transcript over prompt, between two panels; a status line and the keys below."""
        self.transcript, self.prompt = Transcript(), Prompt()
        self.alternatives, self.status = Alternatives(), StatusLine()
        self.xray = XRay(id="xray", classes="panel")
        self.view = TranscriptPresenter(self.transcript)
        with Horizontal(id="middle"):
            yield ConversationsPanel(id="conversations", classes="panel")
            with Vertical(id="talk"):
                yield self.transcript
                yield self.alternatives
                yield self.prompt
            yield DialsPanel(id="dials", classes="panel")
            yield self.xray
        yield self.status
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Begin to load, and to empty the inbox."""
        theme = preferences.load().get("theme", "")
        if theme in self.available_themes:
            self.theme = theme
        self.theme_changed_signal.subscribe(self, lambda theme: preferences.remember("theme", theme.name))
        self.status.state = "loading ..."
        self.prompt.focus()
        self.set_interval(1 / FRAMES, self._empty_inbox)
        self._heed_signals()
        self._load()

    def _heed_signals(self) -> None:
        """Whoever ends the process, or takes its terminal away, ends the chat as Ctrl-Q does."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                with suppress(NotImplementedError, RuntimeError):  # a system or a thread that has no such thing
                    asyncio.get_running_loop().add_signal_handler(number, self._end, 128 + number)

    def on_resize(self, event: Resize) -> None:
        """Fold the panels where there is no room beside them."""
        self._fold(event.size.width)

    def _fold(self, width: int) -> None:
        screen = self.screen_stack[0]
        screen.set_class(width < NARROW, "narrow")
        screen.set_class(bool(screen.query(".panel.shown")), "covered")

    # -- the worker ---------------------------------------------------------------------------------------------------

    @work(thread=True, group="model", exit_on_error=False)
    def _load(self) -> None:
        try:
            self._inbox.put(Loaded(self._open()))
        except Exception as error:
            self._inbox.put(Failed(error, loading=True))

    def _open(self) -> Session:
        if self._start is not None:
            return self._start()
        from charlm.chat.session import ChatOptions, Session

        return Session(ChatOptions(**self._wish))

    @work(thread=True, group="model", exit_on_error=False)
    def _write(self, operation: Operation) -> None:
        self._inbox.write(self.session.conversation, operation)

    @work(thread=True, exclusive=True, group="heat", exit_on_error=False)
    def _warm(self, turns: Sequence[Turn]) -> None:
        self._inbox.warm(self.session.conversation, turns)

    @work(thread=True, group="xray", exit_on_error=False)
    def _look_into(self) -> None:
        self._inbox.probe.serve()

    @work(thread=True, exclusive=True, group="pin", exit_on_error=False)
    def _follow(self, turns: Sequence[Turn]) -> None:
        self._inbox.probe.follow(self.session.conversation, turns)

    def _empty_inbox(self) -> None:
        self._inbox.insist()
        for event in self._inbox.take():
            self._show(event)

    def _show(self, event: Event) -> None:
        match event:
            case Wrote(text, bits):
                self.transcript.document.append(text, bits)
                self.status.characters = (self.status.characters or 0) + len(text)
                self._clock(len(text))
            case Began(turn, text):
                self.view.begin(turn, text, self.session)
                self._written, self._since = 0, 0.0
                self._show_place(turn, len(text))
                self.status.state = "writing" if turn.author == "bot" else "reading"
            case Done(reply):
                self._finish(reply)
            case Surprises(turn, bits):
                if self.view.turn(turn.id) is turn:
                    self.transcript.document.set_surprises(turn.id, bits)
            case ActivationsReady(sight):
                self.xray.sight = sight
            case UnitColours(pin, key, first, values, scale):
                if pin == self._inbox.probe.pin:
                    self.transcript.unit_scale = scale
                    self.transcript.document.set_unit_values(key, first, values)
                    self._show_legend()
            case Loaded(session):
                with self._trying():
                    self._take_up(session)
            case Failed(error, loading):
                self._fail(error, loading=loading)

    def _clock(self, characters: int) -> None:
        now = time.monotonic()
        if not self._since:
            self._since = now
        elif now - self._since > 0.2:
            self.status.speed = self._written / (now - self._since)
        self._written += characters

    def _take_up(self, session: Session) -> None:
        """A model has been loaded: wake everything that waits for one."""
        from charlm.chat.commands import COMMANDS
        from charlm.chat.presets import presets
        from charlm.tui.commands import own_commands

        self._session = session
        self._commands = (*COMMANDS, *own_commands(self))
        self.prompt.substitute = session.substitute
        self.prompt.commands = [(one.name, f"{one.argument}  {one.help}".strip()) for one in self._commands]
        self.prompt.complete_argument = self._complete
        self.prompt.words_before_model_text = {
            one.name: one.spoken_after for one in self._commands if one.spoken_after is not None
        }
        self.prompt.sent_texts = [turn.text for turn in session.conversation.path if turn.author == "you"]
        self.show_conversation()
        # What is loaded stays: a full collection that visits all of it would stop the keys for 40 ms.
        gc.collect()
        gc.freeze()
        for text in self._unsent:
            self._submit(text)
        self._unsent.clear()
        self.query_one(DialsPanel).presets = presets()

    def _finish(self, reply: Reply) -> None:
        self._busy = False
        self._inbox.expect()
        if self.view.turns[-1:] != [reply.turn]:  # what began has gone again, or what ended had not begun
            self.show_conversation()
            if reply.reason == "cancelled":
                self.notify("stopped before it said anything", markup=False)
            return
        self.view.finish(reply.turn, self.session)
        if not reply.turn.text and reply.reason == "stop":
            self.notify("the model had nothing to say", markup=False)
        if self.transcript.heat:  # the reply came with its surprises, what it answers did not
            self._warm(self.view.turns[-2:])
        has_values = self.transcript.document.has_unit_values
        self._follow([turn for turn in self.view.turns[-2:] if not has_values(turn.id)])
        self._show_status()

    def _fail(self, error: Exception, *, loading: bool) -> None:
        self._busy = False
        self._inbox.expect()
        if loading and isinstance(error, NotFoundError) and not self._wish.get("model"):
            from charlm.registry import models
            from charlm.tui.screens.welcome import Welcome

            if next(models(), None) is None:
                self.push_screen(Welcome())
                return
        if loading:
            self.failure = error
            self.exit(1)
        else:
            self._complain(error)
            self.show_conversation()

    def _complain(self, error: Exception) -> None:
        if isinstance(error, CharlmError):
            text = error.message + (f"\n{error.hint}" if error.hint else "")
        else:
            text = f"something broke inside charlm: {type(error).__name__}: {error}"
        self.notify(visible(text), severity="error", markup=False, timeout=8)

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """Whatever goes wrong is told, and the chat goes on: nobody loses a conversation to a bug."""
        try:
            yield
        except Exception as error:
            self._complain(error)

    # -- a face -------------------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The chat."""
        if self._session is None:
            raise UsageError("the model is not there yet")
        return self._session

    def tell(self, text: str) -> None:
        """A line as a notification, more as a note under the conversation."""
        if "\n" in text or len(text) > 200:
            self.view.note(text)
            self.transcript.follow()
        else:
            self.notify(visible(text), markup=False)

    def draw(self, operation: Operation) -> None:
        """Let the model write."""
        if self._busy:
            raise UsageError("a reply is under way", "Esc stops it")
        _ = self.session
        self._busy = True
        self._inbox.expect()
        self.status.state = "thinking"
        self.transcript.follow()
        self._write(operation)

    def show_conversation(self) -> None:
        """Show the turns that are visible now, and what is known of them."""
        self._considered.clear()
        self.view.show(self.session)
        self._show_status()
        self._show_panels()
        if self.transcript.heat:
            self._warm(self.view.turns[::-1])

    def show_dials(self) -> None:
        """Show how the dials stand; they act on the very next character."""
        self._inbox.hurry()
        self._show_status()
        self._show_panels()

    def leave(self) -> None:
        """End the chat, once the reply under way is saved."""
        self._end(0)

    def _end(self, code: int) -> None:
        self.run_worker(self._leave(code), group="leave", exclusive=True)

    async def _leave(self, code: int) -> None:
        self._stop_writing()
        for _ in range(200):
            if self._session is None or not self._session.conversation.busy:
                break
            await asyncio.sleep(0.01)
        if self._session is not None:
            self._session.close()
        self.exit(code)

    def on_unmount(self) -> None:
        """Thread workers outlive the app unless they are told."""
        self._stop_writing()
        self._inbox.close()

    def _stop_writing(self) -> None:
        if self._session is not None:
            self._inbox.stop(self._session.conversation)

    # -- what it shows ------------------------------------------------------------------------------------------------

    def _show_status(self) -> None:
        session, status = self.session, self.status
        conversation = session.conversation
        status.model, status.state = session.name, "writing" if self._busy else "ready"
        status.seed = conversation.seed
        status.learned = learned.meter if (learned := conversation.learned) is not None else ""
        if not self._busy:  # else it grows with what is shown
            self._show_place(conversation.head, len(conversation.head.text))
        for sentence in session.news():
            self.notify(visible(sentence), markup=False, timeout=8)

    def _show_place(self, turn: Turn, characters: int) -> None:
        """Show which turn is the last, and how much has been read with so many characters of it."""
        versions = turn.siblings
        which = f"  {versions.index(turn) + 1}/{len(versions)}" if len(versions) > 1 else ""
        self.status.turn = f"turn {len(self.view.turns)}{which}"
        lead = self.session.conversation.lead(turn) if turn.parent is not None else ""
        self.status.characters = (turn.parent.characters if turn.parent is not None else 0) + len(lead) + characters

    def _show_panels(self) -> None:
        session = self.session
        panel = self.query_one(ConversationsPanel)
        if panel.has_class("shown"):
            with self._trying():
                panel.show(session.search(), session.number)
        self.query_one(DialsPanel).show(session.conversation.dials, session.conversation.seed)
        self.xray.held = session.conversation.dials.clamps
        self._show_xray()
        if self._inbox.probe.pin is not None and not self._busy:
            self._pin(self._inbox.probe.pin if self._inbox.probe.fits(session.engine) else None)

    def _pin(self, pin: Pin | None) -> None:
        """Colour everything by what a unit does, from the last turn up; a reply under way colours itself."""
        probe = self._inbox.probe
        if pin != probe.pin:
            probe.pin, self.xray.pinned, self.transcript.unit_scale = pin, pin, None
            self.transcript.document.clear_unit_values()
            self._show_legend()
        has_values = self.transcript.document.has_unit_values
        if pin is not None and not self._busy:
            self._follow([turn for turn in self.view.turns[::-1] if not has_values(turn.id)])

    def _show_xray(self) -> None:
        """See into the model at the character under the cursor, or the last one; a reply under way shows itself."""
        probe, panel = self._inbox.probe, self.xray
        probe.watching = panel.has_class("shown")
        if self._session is None or not probe.watching or self._busy:
            return
        if not self.view.turns:
            panel.sight = None
            return
        key, character = self.transcript.cursor or (0, 0)
        turn = self.view.turn(key) or self.view.turns[-1]
        if probe.ask(self.session.conversation, turn, character if turn.id == key else len(turn.text)):
            self._look_into()

    # -- what a person writes -----------------------------------------------------------------------------------------

    @on(Prompt.Submitted)
    def _take(self, event: Prompt.Submitted) -> None:
        if self._session is None:
            self._unsent.append(event.text)
            self.notify("the model is still loading; it will read this then", markup=False)
        else:
            self._submit(event.text)

    def _submit(self, text: str) -> None:
        from charlm.chat.commands import edit

        with self._trying():
            if self._editing is not None:
                turn = self._editing
                self._end_editing()
                edit(self, turn, text)
            elif text.startswith("/"):
                self._command(text)
            else:
                conversation = self.session.conversation
                self.draw(lambda piece, turn: conversation.say(text, piece, turn))

    def _command(self, line: str) -> None:
        """Run a slash command, whoever gave it. An edit under way is left: its turn may be gone afterwards."""
        from charlm.chat.commands import find

        with self._trying():
            command, argument = find(self._commands, line)
            if not command.anytime:
                self._idle()
                if self._editing is not None:
                    self._end_editing()
            command.run(self, argument)

    def _complete(self, name: str, beginning: str) -> Sequence[str]:
        found = [one for one in self._commands if one.name == name]
        return list(found[0].complete(self.session, beginning)) if found else []

    def _edit(self, turn: Turn) -> None:
        self._editing = turn
        self.prompt.takes_commands = False
        self.prompt.value = turn.text
        self.prompt.border_title = (
            f"other words for {'yours' if turn.author == 'you' else 'the reply'}; Esc leaves them"
        )
        self.prompt.focus()

    def _end_editing(self) -> None:
        self._editing = None
        self.prompt.takes_commands = True
        self.prompt.border_title = ""
        self.prompt.value = ""

    # -- keys ---------------------------------------------------------------------------------------------------------

    def action_run(self, name: str) -> None:
        """Run a slash command."""
        self._command(f"/{name}")

    @on(Prompt.Left)
    def action_stop(self) -> None:
        """Stop the reply; or leave what is being done."""
        if self._busy:
            self._stop_writing()
        elif self._editing is not None:
            self._end_editing()
        elif self.transcript.cursor is not None:
            self._end_look()
        else:
            for panel in self.query(".panel.shown"):
                self.action_toggle_panel(str(panel.id))
            self.prompt.focus()

    def action_leave(self) -> None:
        """Quit."""
        self.leave()

    async def action_quit(self) -> None:
        """Quit, as the command palette has it."""
        self.leave()

    def action_help(self) -> None:
        """Keys and commands."""
        from charlm.tui.screens.help import HelpScreen

        keys = [
            (binding.key, binding.tooltip or binding.description)
            for binding in self.BINDINGS
            if isinstance(binding, Binding) and not binding.key.isdigit()
        ]
        keys.append((self.COMMAND_PALETTE_BINDING, "The command palette: search what there is to do, and do it"))
        self.push_screen(HelpScreen(keys, [(f"/{one.name} {one.argument}", one.help) for one in self._commands]))

    def action_heat(self) -> None:
        """Colour every character by its surprise, or no longer."""
        with self._trying():
            self.transcript.heat = not self.transcript.heat
            self._show_legend()
            if self.transcript.heat and not self._busy:
                _ = self.session
                self._warm(self.view.turns[::-1])

    def _show_legend(self) -> None:
        transcript = self.transcript
        heat = transcript.heat_legend() if transcript.heat else ""
        self.status.note = heat if transcript.unit_scale is None else transcript.unit_scale.legend

    def action_toggle_panel(self, name: str) -> None:
        """Show a panel, or put it away."""
        with self._trying():
            middle = self.screen_stack[0].query_one("#middle")
            panel = middle.query_one(f"#{name}")
            panel.toggle_class("shown")
            beside = len(middle.query(".panel.shown"))
            if panel.has_class("shown") and self.size.width < NARROW + PANEL * (beside - 1):
                for other in middle.query(".panel").exclude(f"#{name}"):
                    other.remove_class("shown")
            self._fold(self.size.width)
            self._show_panels()
            if panel.has_class("shown"):
                panel.focus()
            else:
                self.prompt.focus()

    def action_version(self, step: int) -> None:
        """Another version of the last reply."""
        self.action_run("next" if step > 0 else "previous")

    def action_page(self, step: int) -> None:
        """Read further up or down, without leaving the prompt."""
        if step < 0:
            self.transcript.scroll_page_up(animate=False)
        else:
            self.transcript.scroll_page_down(animate=False)

    def action_edit_last(self) -> None:
        """Say something else instead of what was said last."""
        from charlm.chat.commands import last_turn

        with self._trying():
            self._edit(last_turn(self.session.conversation, "you"))

    def action_copy_reply(self) -> None:
        """Copy what is selected, else the last reply."""
        from charlm.chat.commands import last_turn
        from charlm.tui.clipboard import copy

        with self._trying():
            text = self.screen.get_selected_text() or last_turn(self.session.conversation, "bot").text
            copy(self, text)
            self.notify(f"copied {len(text):,} characters", markup=False)

    @work
    async def action_pick_model(self) -> None:
        """Choose among the models."""
        from charlm.model_info import cards
        from charlm.tui.screens.models import ModelPicker

        name = await self.push_screen_wait(ModelPicker(cards(), self.session.name))
        if name is not None:
            self._command(f"/model {name}")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette offers every slash command that needs nothing more."""
        yield from super().get_system_commands(screen)
        for one in self._commands:
            if not one.argument or one.argument.startswith("["):
                yield SystemCommand(one.name.replace("-", " "), one.help, lambda name=one.name: self.action_run(name))

    # -- looking ------------------------------------------------------------------------------------------------------

    def action_look(self) -> None:
        """Move a cursor over the transcript, to see what else might have come."""
        if self.transcript.cursor is None and self.view.turns:
            self.transcript.start_cursor(self.view.turns[-1].id)
            self.transcript.focus()
        else:
            self._end_look()

    @on(Transcript.Left)
    def _end_look(self) -> None:
        self.transcript.stop_cursor()
        self.alternatives.display = False
        self.prompt.focus()

    @on(Transcript.CursorMoved)
    async def _look(self, event: Transcript.CursorMoved) -> None:
        self._show_xray()
        turn = self.view.turn(event.key)
        if turn is None or self._busy:
            return
        with self._trying():
            if turn.id not in self._considered:
                consider = self.session.conversation.consider
                self._considered[turn.id] = await asyncio.to_thread(consider, turn)
            seen = self._considered[turn.id]
            if event.character < len(seen):
                self.alternatives.show(*seen[event.character], offered=turn.author == "bot")
                self.alternatives.display = True

    @on(Transcript.Opened)
    def _choose_alternative(self, event: Transcript.Opened) -> None:
        if self.alternatives.display:
            self.alternatives.focus()

    @on(Alternatives.Chosen)
    def _take_alternative(self, event: Alternatives.Chosen) -> None:
        self._branch(event.text)

    def action_branch_here(self) -> None:
        """Keep the reply up to the cursor, and let the model go on from there."""
        self._branch("")

    def _branch(self, instead: str) -> None:
        with self._trying():
            if self.transcript.cursor is None:
                return
            key, character = self.transcript.cursor
            turn = self.view.turn(key)
            if turn is not None and turn.author != "bot":
                raise UsageError("only a reply of the model's can branch", "e edits a turn of your own")
            if turn is not None:
                conversation = self.session.conversation
                self._end_look()
                self.draw(lambda piece, shown: conversation.branch_at(turn, character, instead, piece, shown))

    def action_alternative(self, number: int) -> None:
        """Put the alternative of that number in the character's place."""
        if self.alternatives.display:
            self.alternatives.choose(number - 1)

    def action_edit_here(self) -> None:
        """Put other words in the place of the turn under the cursor."""
        if (turn := self._turn_here()) is not None:
            self._end_look()
            self._edit(turn)

    def action_version_here(self, step: int) -> None:
        """Another version of the turn under the cursor."""
        from charlm.chat.commands import turn_to

        with self._trying():
            if (turn := self._turn_here()) is not None:
                self._end_look()
                turn_to(self, turn, step)

    def _turn_here(self) -> Turn | None:
        return None if self.transcript.cursor is None else self.view.turn(self.transcript.cursor[0])

    # -- panels -------------------------------------------------------------------------------------------------------

    @on(ConversationsPanel.Searched)
    def _search(self, event: ConversationsPanel.Searched) -> None:
        with self._trying():
            self.query_one(ConversationsPanel).show(self.session.search(event.query), self.session.number)

    @on(ConversationsPanel.Opened)
    def _open_conversation(self, event: ConversationsPanel.Opened) -> None:
        self._command(f"/open {event.number}")

    @on(ConversationsPanel.New)
    def _new_conversation(self) -> None:
        self.action_run("new")

    @on(ConversationsPanel.Deleted)
    def _delete_conversation(self, event: ConversationsPanel.Deleted) -> None:
        with self._trying():
            self._idle()
            self.session.remove(event.number)
            self.show_conversation()
            self.tell(f"deleted; /restore {event.number} brings it back")

    @on(ConversationsPanel.Renamed)
    @work
    async def _rename_conversation(self, event: ConversationsPanel.Renamed) -> None:
        from charlm.tui.screens.prompt_dialog import PromptDialog

        with self._trying():
            store = self.session.store
            present = store.summary(event.number).title if store is not None else ""
            title = await self.push_screen_wait(PromptDialog("What is it to be called?", present))
            if title and self.session.store is not None:
                self.session.store.rename(event.number, title)
                self._show_panels()

    @on(DialsPanel.Changed)
    def _turn_dials(self, event: DialsPanel.Changed) -> None:
        with self._trying():
            self.session.conversation.dials = event.dials
            self.xray.held = event.dials.clamps
            self._inbox.hurry()

    @on(DialsPanel.Reseeded)
    def _reseed(self, event: DialsPanel.Reseeded) -> None:
        self._command(f"/seed {event.seed}")

    @on(DialsPanel.PresetChosen)
    def _choose_preset(self, event: DialsPanel.PresetChosen) -> None:
        self._command(f"/preset {event.name}")

    @on(XRay.Pinned)
    def _pin_unit(self, event: XRay.Pinned) -> None:
        with self._trying():
            self._pin(None if event.unit is None else Pin(*event.unit))

    @on(XRay.Held)
    def _hold_units(self, event: XRay.Held) -> None:
        with self._trying():
            conversation = self.session.conversation
            conversation.dials = conversation.dials.with_clamps(event.units)
            self.show_dials()

    @on(XRay.Wanted)
    def _look_closer(self, event: XRay.Wanted) -> None:
        self._inbox.probe.width, self._inbox.probe.unit = event.width, event.unit
        self._show_xray()

    def _idle(self) -> None:
        if self._busy:
            raise UsageError("a reply is under way", "Esc stops it")


def run(wish: dict[str, Any]) -> int:
    """Open the app.

    Args:
        wish: the fields of `charlm.chat.session.ChatOptions`.

    Returns:
        The exit code.

    Raises:
        CharlmError: there is no such model or conversation, or it cannot be read.
    """
    app = ChatApp(wish)
    code = app.run()
    if app.failure is not None:
        raise app.failure
    return code or 0
