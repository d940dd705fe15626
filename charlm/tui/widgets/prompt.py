"""The prompt of the chat: an editor with sending, input history, and completion of slash commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from charlm.tui.graphemes import shorten
from charlm.tui.widgets.completions import Completions, choices
from charlm.tui.widgets.editor import Editor

_COMMAND = re.compile(r"/(\S+) ")

# Shown in an empty prompt.
HINTS: Final = ("Write something", "Enter sends it", "/ lists commands", "ctrl+j begins a new line")


class InputHistory:
    """A position in the sent texts, the oldest first, with the unsent draft at their end."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.texts = list(texts)
        self._position = len(self.texts)  # the draft's
        self._draft = ""

    def is_at(self, text: str) -> bool:
        """Return whether a text is the one that the last step led to, unchanged."""
        return self._position < len(self.texts) and self.texts[self._position] == text

    def step(self, text: str, by: int) -> str | None:
        """Return the text before (-1) or after (1) the shown one, or None at the end. An edited text is the draft."""
        if not self.is_at(text):
            self._draft, self._position = text, len(self.texts)
        if not 0 <= self._position + by <= len(self.texts):
            return None
        self._position += by
        return self.texts[self._position] if self._position < len(self.texts) else self._draft

    def add(self, text: str) -> None:
        """Add a sent text and return to the end; blanks and repetitions are not added."""
        if text.strip() and self.texts[-1:] != [text]:
            self.texts.append(text)
        self._position, self._draft = len(self.texts), ""


class Prompt(Editor):
    """An editor that sends its text. It mounts the list of completions before itself, in a vertical layout."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", show=False),
        Binding("ctrl+j,shift+enter,alt+enter", "new_line", "New line", show=False),
        Binding("tab", "complete", "Complete", show=False),
        Binding("escape", "leave", "Close the list, or stop", show=False),
    ]

    @dataclass
    class Submitted(Message):
        """A person has sent a text."""

        text: str  # whole; empty if Enter was pressed in an empty prompt

    class Escaped(Message):
        """Escape was pressed while no list was open.

        A message, so that it arrives after the `Submitted` of an Enter just before it; a key would overtake that.
        """

    def __init__(self) -> None:
        # TextArea's __init__ already loads a text, which uses these attributes.
        self.commands: Sequence[tuple[str, str]] = ()  # name without the slash, and help
        self.takes_commands = True  # otherwise a text that begins with a slash is for the model
        self.words_before_model_text: Mapping[str, int] = {}  # of commands whose argument the model reads
        self.complete_argument: Callable[[str, str], Iterable[str]] | None = None  # command, beginning -> arguments
        self.input_history = InputHistory()
        self._completions = Completions(self._accept)
        super().__init__()

    # -- watchers and events ------------------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        assert isinstance(self.parent, Widget)
        await self.parent.mount(self._completions, before=self)

    def on_resize(self) -> None:
        """Show as many hints as there is room for."""
        text = HINTS[0]
        for hint in HINTS[1:]:
            longer = f"{text}  \u00b7  {hint}"
            if cell_len(longer) > self.content_size.width:
                break
            text = longer
        self.placeholder = Content(shorten(text, self.content_size.width))

    def on_blur(self) -> None:
        self._offer([])

    # -- text ---------------------------------------------------------------------------------------------------------

    @property
    def model_text_start(self) -> int:
        """Index of the first character that the model will read: none of a command, or a part of its argument."""
        if not (self.takes_commands and self.text.startswith("/")):
            return 0
        command = _COMMAND.match(self.text)
        if command is None or command[1] not in self.words_before_model_text:
            return len(self.text)
        words = r"\S+ " * self.words_before_model_text[command[1]]
        before = re.compile(words).match(self.text, command.end())
        return len(self.text) if before is None else before.end()

    def update_suggestion(self) -> None:
        super().update_suggestion()
        offers = self.takes_commands and self.cursor_at_end_of_text
        self._offer(choices(self.text, self.commands, self.complete_argument) if offers else [])

    # -- completion ---------------------------------------------------------------------------------------------------

    @property
    def completing(self) -> bool:
        """True while the list of completions is open."""
        return self._completions.option_count > 0

    def _offer(self, rows: Sequence[tuple[str, str]]) -> None:
        if rows or self.completing:
            self._completions.show(rows)

    def _accept(self, text: str) -> None:
        self.load_text(f"{text} ")

    # -- actions ------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("cursor_left", "cursor_right"):
            return bool(self.text)
        return self.completing if action == "complete" else super().check_action(action, parameters)

    def action_send(self) -> None:
        """Accept the highlighted completion, or send the text if it is complete."""
        if self.completing and self._completions.highlighted_text != self.text:
            self.action_complete()
            return
        text = self.value
        self.input_history.add(text)
        self.load_text("")
        self.post_message(self.Submitted(text))

    def action_new_line(self) -> None:
        self.replace("\n", *self.selection, maintain_selection_offset=False)

    def action_complete(self) -> None:
        self._accept(self._completions.highlighted_text)

    def action_leave(self) -> None:
        if self.completing:
            self._offer([])
        else:
            self.post_message(self.Escaped())

    def action_cursor_up(self, select: bool = False) -> None:
        if select or not self._move_in_list(-1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        if select or not self._move_in_list(1):
            super().action_cursor_down(select)

    def _move_in_list(self, by: int) -> bool:
        """Move in the completions or the input history; return false if the key is for the text."""
        if self.completing:
            self._completions.move(by)
            return True
        is_recalled = self.input_history.is_at(self.value) and self.cursor_at_end_of_text
        if self.text and not is_recalled and not (by < 0 and self.cursor_at_start_of_text):
            return False
        text = self.input_history.step(self.value, by)
        if text is None:
            return False
        self.load_text(text)
        self._offer([])
        return True
