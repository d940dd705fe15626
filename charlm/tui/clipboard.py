"""The clipboard."""

from __future__ import annotations

import contextlib
from typing import Any

from textual.app import App


def copy(app: App[Any], text: str) -> None:
    """Copy a text by the terminal (OSC 52), and by the system's clipboard tool if there is one."""
    app.copy_to_clipboard(text)
    import pyperclip

    with contextlib.suppress(pyperclip.PyperclipException):
        pyperclip.copy(text)
