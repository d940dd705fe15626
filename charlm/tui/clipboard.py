"""Copying, whatever the terminal can do."""

from __future__ import annotations

import contextlib
from typing import Any

from textual.app import App


def copy(app: App[Any], text: str) -> None:
    """Copy a text both ways: by the terminal (OSC 52), and by the system's clipboard where that has a tool."""
    app.copy_to_clipboard(text)
    import pyperclip

    with contextlib.suppress(pyperclip.PyperclipException):
        pyperclip.copy(text)
