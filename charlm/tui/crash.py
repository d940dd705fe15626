"""The end of the app after an unforeseen error: the conversation is saved, and a report is written."""

from __future__ import annotations

import platform
import sys
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from charlm.errors import CharlmError
from charlm.files import write_rescue
from charlm.text.sanitize import visible

if TYPE_CHECKING:
    from charlm.chat.session import Session

MAX_WAIT_SECONDS = 2.0  # for a reply to end


def print_line(text: str) -> None:
    """Print a message, unless the terminal is gone."""
    with suppress(OSError):
        print(visible(text), file=sys.stderr, flush=True)


def save_session(session: Session) -> None:
    """Save and close a session after an error, which may be one of saving."""
    end = time.monotonic() + MAX_WAIT_SECONDS
    while session.conversation.busy and time.monotonic() < end:
        time.sleep(0.01)
    session.close(print_line)
    for message in session.news():
        print_line(message)


def end_after_crash(error: BaseException, session: Session | None, draft: str) -> int:
    """Save the session, write a report with the draft, and print its place. Returns the exit code."""
    from importlib.metadata import version

    from charlm.chat.export import to_json

    print_line(f"error: something broke inside charlm: {type(error).__name__}: {error}")
    parts = [f"charlm {version('charlm')}, Python {platform.python_version()}, {platform.platform()}"]
    parts += ["".join(traceback.format_exception(error)), f"Not sent:\n{draft}"]
    if session is not None:
        try:
            save_session(session)
        except Exception as failure:
            parts += ["Saving failed:", "".join(traceback.format_exception(failure))]
            parts.append(to_json(session.conversation.data))
    try:
        path = write_rescue("crash.txt", "\n\n".join(parts))
    except CharlmError as failure:
        print_line(f"{failure.message}\n" + "\n\n".join(parts))
    else:
        what = "the text that you had not sent and " if draft else ""
        print_line(f"hint: {path} has {what}a report; please send it to the authors, without your text")
    return 1
