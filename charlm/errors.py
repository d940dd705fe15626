"""What can go wrong in a user's hands, and what to do next.

    CharlmError                    one sentence, and a hint
    ├── UsageError                 an option or argument that cannot be (exit code 2)
    ├── CorpusError                text that cannot be read or trained on
    ├── CheckpointError            a model, resume or state file that is not what it should be
    ├── NotFoundError              a name that nothing goes by
    ├── TrainingError              a run that cannot start or go on
    └── OutputError                something that cannot be written

Our own bugs are assertions, never one of these.
"""

from __future__ import annotations


class CharlmError(Exception):
    """The user's situation, in one sentence.

    Args:
        message: what is wrong, one sentence without a full stop.
        hint: what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CharlmError):
    """An option or argument that cannot be."""

    exit_code = 2


class CorpusError(CharlmError):
    """Text that cannot be read or trained on."""


class CheckpointError(CharlmError):
    """A model, resume or state file that is not what it should be."""


class NotFoundError(CharlmError):
    """A name that nothing goes by."""


class TrainingError(CharlmError):
    """A run that cannot start or go on."""


class OutputError(CharlmError):
    """Something that cannot be written."""
