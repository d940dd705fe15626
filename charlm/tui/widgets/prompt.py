"""Where a person writes.

Owns sending, what was said before (up and down), and the completion of slash commands. Knows no model and no commands:
it is told both, and says what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from charlm.tui.graphemes import shorten
from charlm.tui.widgets.completions import Completions, choices
from charlm.tui.widgets.editor import Editor
from charlm.tui.widgets.input_history import InputHistory

_COMMAND = re.compile(r"/(\S+) ")

HINTS: Final = ("Write something", "Enter sends it", "/ lists commands", "ctrl+j begins a new line")


class Prompt(Editor):
    """A field that sends its text.

    It stands in a vertical layout; the list of completions is put before it.

    Attributes:
        commands: that can be completed, without the slash, and what each does.
        spoken: commands by name part of whose argument is for the model: after how many of its words that begins.
        complete_argument: given a command and the beginning of what follows it, what may follow.
        takes_commands: whether a text that begins with a slash is a command, and not for the model.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", show=False),
        Binding("ctrl+j,shift+enter,alt+enter", "new_line", "New line", show=False),
        Binding("tab", "complete", "Complete", show=False),
        Binding("escape", "leave", "Close the list, or stop", show=False),
    ]

    hints: reactive[Sequence[str]] = reactive(HINTS, init=False)
    """What an empty prompt says, as far as there is room."""

    class Submitted(Message):
        """A person has sent something.

        Attributes:
            prompt: that it was written in.
            text: what, whole; empty if Enter was pressed in an empty prompt.
        """

        def __init__(self, prompt: Prompt, text: str) -> None:
            super().__init__()
            self.prompt = prompt
            self.text = text

        @property
        def control(self) -> Prompt:
            """The prompt."""
            return self.prompt

    class Left(Message):
        """Escape was pressed, and not to close a list. It comes after what was sent before it."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        # What the initialiser already needs comes before it.
        self.commands: Sequence[tuple[str, str]] = ()
        self.spoken: Mapping[str, int] = {}
        self.complete_argument: Callable[[str, str], Iterable[str]] | None = None
        self.takes_commands = True
        self._recall = InputHistory()
        self._choices: list[str] = []
        self._completions = Completions(self._take)
        super().__init__(id=id, classes=classes)

    async def on_mount(self) -> None:
        """Put the list of completions before this."""
        assert isinstance(self.parent, Widget)
        await self.parent.mount(self._completions, before=self)

    def on_resize(self) -> None:
        """Say as much as there is room for."""
        self.watch_hints(self.hints)

    def on_blur(self) -> None:
        """The list of completions is only for who writes."""
        self._offer([])

    def watch_hints(self, hints: Sequence[str]) -> None:
        """Another conversation may need other hints."""
        text = ""
        for hint in hints:
            longer = f"{text}  \u00b7  {hint}" if text else hint
            if text and cell_len(longer) > self.content_size.width:
                break
            text = longer
        self.placeholder = Content(shorten(text, self.content_size.width))

    @property
    def past(self) -> list[str]:
        """What was sent, the oldest first; what is sent is added."""
        return self._recall.past

    @past.setter
    def past(self, past: Sequence[str]) -> None:
        self._recall = InputHistory(past)

    @property
    def unread(self) -> int:
        """A command is not for the model, but what follows some of them is."""
        if not (self.takes_commands and self.text.startswith("/")):
            return 0
        words = _COMMAND.match(self.text)
        if words is None or words[1] not in self.spoken:
            return len(self.text)
        begins = re.compile(r"\S+ " * self.spoken[words[1]]).match(self.text, words.end())
        return len(self.text) if begins is None else begins.end()

    def update_suggestion(self) -> None:
        """The text has changed."""
        super().update_suggestion()
        offers = self.takes_commands and self.cursor_at_end_of_text
        self._offer(choices(self.text, self.commands, self.complete_argument) if offers else [])

    # -- what was said before -----------------------------------------------------------------------------------------

    def action_cursor_up(self, select: bool = False) -> None:
        """In the list of completions, in the past, or in the text."""
        if select or not (self._choose(-1) or self._walk(-1)):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """In the list of completions, in the past, or in the text."""
        if select or not (self._choose(1) or self._walk(1)):
            super().action_cursor_down(select)

    def _walk(self, by: int) -> bool:
        """Show what was sent before, or after; false if the key is for moving in the text."""
        unchanged = self._recall.shows(self.value) and self.cursor_at_end_of_text
        if not (unchanged or (by < 0 and self.cursor_at_start_of_text) or not self.text):
            return False
        text = self._recall.step(self.value, by)
        if text is None:
            return False
        self.load_text(text)
        self._offer([])
        return True

    def action_cursor_left(self, select: bool = False) -> None:
        """To the left; in an empty prompt this is a key for others."""
        self._skip_if_empty()
        super().action_cursor_left(select)

    def action_cursor_right(self, select: bool = False) -> None:
        """To the right; in an empty prompt this is a key for others."""
        self._skip_if_empty()
        super().action_cursor_right(select)

    def _skip_if_empty(self) -> None:
        if not self.text:
            raise SkipAction

    # -- completion ---------------------------------------------------------------------------------------------------

    @property
    def completing(self) -> bool:
        """Whether the list of completions is open."""
        return bool(self._choices)

    def _offer(self, rows: Sequence[tuple[str, str]]) -> None:
        if rows or self._choices:
            self._choices = [text for text, _ in rows]
            self._completions.show(rows)

    def _choose(self, by: int) -> bool:
        self._completions.move(by)
        return self.completing

    def _take(self, place: int) -> None:
        self.load_text(self._choices[place] + " ")

    def action_complete(self) -> None:
        """Take the chosen completion; without one, Tab is a key for others."""
        if not self.completing:
            raise SkipAction
        self._take(self._completions.highlighted or 0)

    def action_leave(self) -> None:
        """Close the list; without one, Escape is for others.

        They are told as they are told of what was sent. As a key it would overtake an Enter that came just before it.
        """
        if self.completing:
            self._offer([])
        else:
            self.post_message(self.Left())

    # -- sending ------------------------------------------------------------------------------------------------------

    def action_new_line(self) -> None:
        """Begin a new line."""
        self.replace("\n", *self.selection, maintain_selection_offset=False)

    def action_send(self) -> None:
        """Take the chosen completion, or send the text if there is nothing to complete."""
        if self.completing and self._choices[self._completions.highlighted or 0] != self.text:
            self.action_complete()
            return
        text = self.value
        self._recall.add(text)
        self.load_text("")
        self.post_message(self.Submitted(self, text))
