"""Errors that a user can cause or meet. Bugs in charlm are assertions, never one of these."""

from __future__ import annotations


class CharlmError(Exception):
    """Base of all errors that are shown to the user. Message (one sentence) and hint (imperative) have no full stop."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CharlmError):
    """An impossible option or argument."""

    exit_code = 2


class LeftError(UsageError):
    """A conversation that was left while another thread read it. The app does not show it."""


class CorpusError(CharlmError):
    """Text that cannot be read or trained on."""


class CheckpointError(CharlmError):
    """A damaged or foreign model, resume or state file."""


class NotFoundError(CharlmError):
    """A name or path that does not exist."""


class TrainingError(CharlmError):
    """A run that cannot start or continue."""


class OutputError(CharlmError):
    """A file that cannot be written."""
