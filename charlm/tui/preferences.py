"""What the app remembers from one start to the next: its theme.

A small JSON file beside the conversations, read before the first paint; a damaged one counts as none.
"""

from __future__ import annotations

import json

from charlm.errors import OutputError
from charlm.files import home, write_bytes

_NAME = "preferences.json"


def load() -> dict[str, str]:
    """What was remembered."""
    try:
        document = json.loads((home() / _NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = document.items() if isinstance(document, dict) else ()
    return {key: value for key, value in known if isinstance(key, str) and isinstance(value, str)}


def remember(key: str, value: str) -> None:
    """Keep something, if there is room; it is not worth an error."""
    document = load() | {key: value}
    try:
        write_bytes(home() / _NAME, json.dumps(document, indent=1).encode())
    except OutputError:
        return
