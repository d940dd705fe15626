"""The theme, kept from one start to the next in a small JSON file in the user's data folder."""

from __future__ import annotations

import json
from contextlib import suppress

from charlm.errors import OutputError
from charlm.files import home, write_bytes

_NAME = "preferences.json"


def load_theme() -> str:
    """Return the saved theme; empty if there is none, or if the file is damaged."""
    try:
        theme = json.loads((home() / _NAME).read_text(encoding="utf-8"))["theme"]
    except (OSError, ValueError, TypeError, LookupError):
        return ""
    return theme if isinstance(theme, str) else ""


def save_theme(theme: str) -> None:
    """Save the theme; a failure is ignored."""
    with suppress(OutputError):
        write_bytes(home() / _NAME, json.dumps({"theme": theme}, indent=1).encode())
