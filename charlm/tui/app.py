"""The chat as a Textual app.

Owns the layout, the keys, and which thread does what: the interface, and workers that load the model and let it write
(`charlm.tui.event_queue`). Workers import NumPy and load the model after the first frame.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.screen import Screen

from charlm.errors import NotFoundError, UsageError
from charlm.text.sanitize import visible
from charlm.tui.crash import end_after_crash, print_line
from charlm.tui.event_queue import Event, EventQueue, Failed, Loaded, ReplyFinished
from charlm.tui.look import LookPane
from charlm.tui.messages import CommandChosen
from charlm.tui.notices import report_errors, show_error
from charlm.tui.preferences import load_theme, save_theme
from charlm.tui.screens.chat import ChatScreen
from charlm.tui.textual_internals import ReportingApp, forgotten
from charlm.tui.widgets.conversations import ConversationsPanel
from charlm.tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from charlm.chat.commands import Command, Operation
    from charlm.chat.reply import Reply
    from charlm.chat.session import Session

FRAMES_PER_SECOND = 30
MAX_NOTIFICATION_CHARS = 200
GC_THRESHOLD = 1000  # objects; removed widgets are cycles, a megabyte at each change of the keys in the last line
MAX_LEAVE_SECONDS = 2.0  # waited for a reply to end
LARGE_BLOCK_BYTES = 1 << 20  # such as weights
_M_MMAP_THRESHOLD = -3  # of glibc's mallopt


class ChatApp(ReportingApp):
    """The app; a `charlm.chat.commands.ChatUI`. A worker opens its session with `charlm.chat.session.ChatOptions`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help", tooltip="This help"),
        Binding("f2", "screen.toggle_panel('conversations')", "Chats", tooltip="Open, search, rename or delete chats"),
        Binding("f3", "screen.toggle_panel('dials')", "Dials", tooltip="Dials: how replies are drawn and shown"),
        Binding("f4", "screen.heat", "Heat", tooltip="Colour every character by how much it surprised the model"),
        Binding("f5", "run('regenerate')", "Again", tooltip="Another reply; the old one stays, as a version"),
        Binding("f6", "run('undo')", "Undo", tooltip="Take the last step back, of any kind"),
        Binding("f7", "run('redo')", "Take an undo back", show=False),
        Binding("f8", "edit_last", "Say something else instead of what you said last", show=False),
        Binding("f9", "run('continue')", "Let the model write on", show=False),
        Binding("ctrl+l", "screen.look", "Look", tooltip="Move over the text, see alternatives, branch there"),
        Binding("f10,ctrl+g", "screen.toggle_panel('xray')", "X-ray", tooltip="Gates, memory and what may come next"),
        Binding("ctrl+n", "run('new')", "A new conversation", show=False),
        Binding("ctrl+o", "pick_model", "Choose among the models", show=False),
        Binding("ctrl+y", "copy_reply", "Copy the last reply, or what is selected", show=False),
        Binding("escape", "stop", "Stop the reply; or leave what is being done", show=False),
        Binding("ctrl+q", "quit", "Quit", tooltip="Leave; everything is saved", priority=True),
        Binding("ctrl+z", "suspend_process", "Back to the shell; fg returns", show=False, priority=True),
        # In an empty prompt.
        Binding("left", "run('previous')", "In an empty field: the version before", show=False),
        Binding("right", "run('next')", "In an empty field: the next version", show=False),
        Binding("pageup", "screen.page(-1)", "Page up", show=False),
        Binding("pagedown", "screen.page(1)", "Page down", show=False),
    ]

    ENABLE_COMMAND_PALETTE = False  # the prompt completes slash commands

    CSS = """
    ToastRack { dock: top; align: right top; margin: 0; }  /* not over the prompt */
    Toast { margin: 0; padding: 0 1; }
    .-narrow Toast { width: 100%; max-width: 100%; }
    """

    def __init__(self, options: Mapping[str, Any], open_session: Callable[[], Session] | None = None) -> None:
        super().__init__()
        self.title = "charlm"
        self.failure: Exception | None = None  # why the session could not be opened; the app has ended
        self.events = EventQueue()
        self.chat = ChatScreen(self.events)
        self.show_conversation, self.show_dials = self.chat.show_conversation, self.chat.show_dials
        self._options = options
        self._open_session = open_session or partial(_open_session, options)
        self.unsent: list[str] = []  # submitted before the model was loaded
        self._leaving = False

    # -- start --------------------------------------------------------------------------------------------------------

    def get_driver_class(self) -> type[Driver]:
        if sys.platform == "win32":
            return super().get_driver_class()
        from charlm.tui.driver import TolerantDriver

        return TolerantDriver

    def get_default_screen(self) -> Screen[None]:
        return self.chat

    def on_mount(self) -> None:
        if (theme := load_theme()) in self.available_themes:
            self.theme = theme
        self.theme_changed_signal.subscribe(self, lambda theme: save_theme(theme.name))
        self.set_interval(1 / FRAMES_PER_SECOND, self._handle_events)
        self._install_signal_handlers()
        self._load()

    def _install_signal_handlers(self) -> None:
        """End the chat as Ctrl-Q does when the process or its terminal is ended."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                with suppress(NotImplementedError, RuntimeError):  # not supported by the system or in this thread
                    asyncio.get_running_loop().add_signal_handler(number, self.leave, 128 + number)

    @work(thread=True, group="model", exit_on_error=False)
    def _load(self) -> None:
        try:
            self.events.put(Loaded(self._open_session()))
        except Exception as error:
            self.events.put(Failed(error, loading=True))

    def _start(self, session: Session) -> None:
        """Start the chat with a loaded model."""
        from charlm.chat.commands import COMMANDS
        from charlm.chat.presets import presets

        self.chat.start(session, [*COMMANDS, *self._app_commands()])
        # Loaded objects stay: a full collection that visits all of them would stop the keys for 40 ms.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        for text in self.unsent:
            self._submit(text)
        self.unsent.clear()
        self.chat.dials.presets = presets()

    def _app_commands(self) -> list[Command]:
        """Return the slash commands that only the app has."""
        from charlm.chat.commands import Command

        def command(name: str, help_: str, action: Callable[[], object], *, anytime: bool = True) -> Command:
            return Command(name, "", help_, lambda ui, argument: action(), anytime=anytime)

        return [
            command("help", "keys and commands", self.action_help),
            command("heat", "colour every character by its surprise", self.chat.action_heat),
            command("xray", "gates, memory and what may come next", lambda: self.chat.action_toggle_panel("xray")),
            command("look", "move over a reply, see what else might have come", self.chat.action_look, anytime=False),
            command("copy", "copy the last reply, or what is selected", self.action_copy_reply),
            command("models", "choose among the models", self.action_pick_model, anytime=False),
            Command("theme", "NAME", "choose the colours", self._set_theme, self._complete_theme, anytime=True),
        ]

    def _set_theme(self, ui: object, name: str) -> None:
        if name not in self.available_themes:
            raise UsageError(f"there is no theme {name!r}", "a space after /theme lists them")
        self.theme = name

    def _complete_theme(self, session: Session, start: str) -> list[str]:
        return sorted(name for name in self.available_themes if name.startswith(start))

    # -- events of the workers ----------------------------------------------------------------------------------------

    def _handle_events(self) -> None:
        self.events.resend_stop()
        for event in self.events.drain():
            self._handle(event)

    def _handle(self, event: Event) -> None:
        match event:
            case ReplyFinished(reply):
                self._finish(reply)
            case Loaded(session):
                with report_errors(self):
                    self._start(session)
            case Failed(error, loading):
                self._fail(error, loading=loading)
            case _:
                self.chat.show_event(event)

    def _finish(self, reply: Reply) -> None:
        self._end_request()
        if reply.text and self.chat.look.turns[-1:] == [reply.turn]:
            self.chat.finish_turn(reply.turn)
            return
        self.show_conversation()  # the reply is empty, or was withdrawn, or never began
        if reply.reason == "cancelled":
            self.notify("stopped before it said anything", markup=False)
        elif not reply.turn.text:
            self.notify("the model had nothing to say", markup=False)

    def _end_request(self) -> None:
        self.chat.busy = False
        self.events.stopping = None

    def _fail(self, error: Exception, *, loading: bool) -> None:
        self._end_request()
        if not loading:
            show_error(self, error)
            self.show_conversation()
            return
        if isinstance(error, NotFoundError) and not self._options.get("model"):
            from charlm.registry import models
            from charlm.tui.screens.welcome import Welcome

            if next(models(), None) is None:
                self.push_screen(Welcome())
                return
        self.failure = error
        self.exit(1)

    # -- ChatUI -------------------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        return self.chat.session

    def show_note(self, text: str) -> None:
        """Show a line as a notification, more as a note below the conversation."""
        if "\n" in text or len(text) > MAX_NOTIFICATION_CHARS:
            self.chat.look.add_note(text)
        else:
            self.notify(visible(text), markup=False)

    def generate(self, operation: Operation) -> None:
        """Let the model write a reply."""
        self._require_idle()
        work = partial(self.events.generate, self.session.conversation, operation)
        self.events.stopping = None
        self.chat.begin_request()
        self.run_worker(forgotten(work), thread=True, group="model", exit_on_error=False)

    def leave(self, code: int = 0) -> None:
        """End the chat, after the reply in progress is saved. The exit code is 1 if something could not be saved."""
        if not self._leaving:
            self._leaving = True
            self.run_worker(self._leave(code), group="leave")

    async def _leave(self, code: int) -> None:
        self._stop_writing()
        if (session := self.chat.loaded) is not None:
            end = time.monotonic() + MAX_LEAVE_SECONDS
            while session.conversation.busy and time.monotonic() < end:
                await asyncio.sleep(0.01)
            if not await asyncio.to_thread(session.close, self._show_wait):
                code = code or 1
        self.exit(code)

    def _show_wait(self, text: str) -> None:
        """Show until the end why the chat is not saved yet. Called in another thread."""
        self.call_later(partial(self.notify, visible(text), markup=False, severity="warning", timeout=60))

    def on_unmount(self) -> None:
        """End the worker threads, which would outlive the app."""
        self._stop_writing()
        self.events.close()

    def _stop_writing(self) -> None:
        if self.chat.loaded is not None:
            self.events.stop(self.chat.loaded.conversation)

    def _require_idle(self) -> None:
        if self.chat.busy:
            raise UsageError("a reply is in progress", "Esc stops it")
        if self._leaving:
            raise UsageError("the chat is being saved, and ends then")

    # -- the prompt ---------------------------------------------------------------------------------------------------

    @on(Prompt.Submitted)
    def _take(self, event: Prompt.Submitted) -> None:
        if self.chat.loaded is None:
            self.unsent.append(event.text)
            self.notify("the model is still loading; it will read this then", markup=False)
        else:
            self._submit(event.text)

    def _submit(self, text: str) -> None:
        from charlm.chat.commands import edit_turn

        with report_errors(self):
            if (turn := self.chat.end_edit()) is not None:
                edit_turn(self, turn, text)
            elif text.startswith("/"):
                self.run_command(text)
            else:
                conversation = self.session.conversation
                self.generate(lambda observer: conversation.say(text, observer))

    def run_command(self, line: str) -> None:
        """Run a slash command. One that changes the conversation ends an edit, whose turn it may hide."""
        from charlm.chat.commands import find_command

        with report_errors(self):
            command, argument = find_command(self.chat.commands, line)
            if not command.anytime:
                self._require_idle()
                self.chat.end_edit()
            command.run(self, argument)

    # -- keys ---------------------------------------------------------------------------------------------------------

    def action_run(self, name: str) -> None:
        self.run_command(f"/{name}")

    @on(Prompt.Escaped)
    def action_stop(self) -> None:
        """Stop the reply; else end what the user is doing."""
        if self.chat.busy:
            self._stop_writing()
        else:
            self.chat.leave_mode()

    async def action_quit(self) -> None:
        self.leave()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave Ctrl-Z to the prompt without a shell that could continue the process."""
        if action != "suspend_process":
            return True
        return sys.platform != "win32" and not self.is_headless and os.getsid(0) != os.getpgrp()

    def action_suspend_process(self) -> None:
        """Stop the process and its group, as a terminal does at Ctrl-Z; continue when the shell continues it."""
        with self.suspend():
            os.kill(0, signal.SIGTSTP)

    def action_help(self) -> None:
        from charlm.tui.screens.help import HelpScreen

        keys = [
            (binding.key, binding.tooltip or binding.description)
            for binding in (*self.BINDINGS, *LookPane.BINDINGS)
            if isinstance(binding, Binding) and not binding.key.isdigit()
        ]
        self.push_screen(HelpScreen(keys, [(f"/{one.name} {one.argument}", one.help) for one in self.chat.commands]))

    def action_edit_last(self) -> None:
        from charlm.chat.commands import last_turn

        with report_errors(self):
            self.chat.edit(last_turn(self.session.conversation, "you"))

    def action_copy_reply(self) -> None:
        """Copy the selected text, or else the last reply."""
        from charlm.chat.commands import last_turn

        with report_errors(self):
            text = self.screen.get_selected_text() or last_turn(self.session.conversation, "bot").text
            self.copy_to_clipboard(text)
            self.notify(f"copied {len(text):,} characters", markup=False)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by the terminal (OSC 52), and by the system's clipboard tool if there is one."""
        import pyperclip

        super().copy_to_clipboard(text)
        with suppress(pyperclip.PyperclipException):
            pyperclip.copy(text)

    @work
    async def action_pick_model(self) -> None:
        from charlm.registry import model_cards
        from charlm.tui.screens.models import ModelPicker

        name = await self.push_screen_wait(ModelPicker(model_cards(), self.session.name))
        if name is not None:
            self.run_command(f"/model {name}")

    # -- messages of the chat screen ----------------------------------------------------------------------------------

    @on(LookPane.VersionChosen)
    def _choose_version(self, event: LookPane.VersionChosen) -> None:
        from charlm.chat.commands import show_version

        with report_errors(self):
            show_version(self, event.turn, event.step)

    @on(LookPane.Branched)
    def _branch(self, event: LookPane.Branched) -> None:
        with report_errors(self):
            if event.turn.author != "bot":
                raise UsageError("only a reply of the model's can branch", "e edits a turn of your own")
            conversation = self.session.conversation
            self.chat.look.action_end()
            self.generate(lambda observer: conversation.branch_at(event.turn, event.character, event.text, observer))

    @on(CommandChosen)
    def _run_chosen(self, event: CommandChosen) -> None:
        self.run_command(event.line)

    @on(ConversationsPanel.Renamed)
    @work
    async def _rename_conversation(self, event: ConversationsPanel.Renamed) -> None:
        from charlm.tui.screens.prompt_dialog import PromptDialog

        with report_errors(self):
            store = self.session.store
            if store is None:
                return
            dialog = PromptDialog("What is it to be called?", store.summary(event.number).title)
            if title := await self.push_screen_wait(dialog):
                store.rename(event.number, title)
                self.show_dials()


def _open_session(options: Mapping[str, Any]) -> Session:
    from charlm.chat.session import ChatOptions, Session

    return Session(ChatOptions(**options))


def _return_large_blocks() -> None:
    """Let glibc return each large block to the system once it is freed.

    Its threshold for that grows with the blocks that are freed, and then each thread keeps those of former models.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def run(options: Mapping[str, object]) -> int:
    """Open the app and return its exit code; see `ChatApp`. Raise what prevents opening the session."""
    _return_large_blocks()
    app = ChatApp(options)
    code = app.run()
    if app.crash is not None:
        return end_after_crash(app.crash, app.chat.loaded, "\n".join([*app.unsent, app.chat.prompt.value]))
    if app.failure is not None:
        raise app.failure
    for message in app.chat.loaded.news() if app.chat.loaded is not None else ():
        print_line(message)  # such as what could not be saved
    return code or 0
