"""The slash commands that only the app has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from charlm.chat.commands import Command

if TYPE_CHECKING:
    from charlm.chat.commands import ChatUI
    from charlm.tui.app import ChatApp


def own_commands(app: ChatApp) -> list[Command]:
    """What only the app can do."""

    def press(action: Callable[[], object]) -> Callable[[ChatUI, str], object]:
        return lambda face, argument: action()

    def show_xray() -> None:
        app.action_toggle_panel("xray")

    return [
        Command("help", "", "keys and commands", press(app.action_help), anytime=True),
        Command("heat", "", "colour every character by its surprise", press(app.action_heat), anytime=True),
        Command("xray", "", "gates, memory and what may come next", press(show_xray), anytime=True),
        Command("look", "", "move over a reply, see what else might have come", press(app.action_look)),
        Command("copy", "", "copy the last reply, or what is selected", press(app.action_copy_reply), anytime=True),
        Command("models", "", "choose among the models", press(app.action_pick_model)),
        Command("theme", "", "choose the colours", press(app.action_change_theme), anytime=True),
    ]
