"""Errors as notifications."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from textual.app import App
from textual.widget import Widget

from charlm.errors import CharlmError, LeftError
from charlm.text.sanitize import visible

ERROR_SECONDS = 8


def show_error(node: App[Any] | Widget, error: Exception) -> None:
    """Show an error, with its hint."""
    if isinstance(error, CharlmError):
        text = error.message + (f"\n{error.hint}" if error.hint else "")
    else:
        text = f"something broke inside charlm: {type(error).__name__}: {error}"
    node.notify(visible(text), severity="error", markup=False, timeout=ERROR_SECONDS)


@contextmanager
def report_errors(node: App[Any] | Widget) -> Iterator[None]:
    """Show any error instead of raising it: a bug in one action must not end the chat."""
    try:
        yield
    except LeftError:
        pass
    except Exception as error:
        show_error(node, error)
