"""The command line: one file a command; parse, call, render."""

from typing import Final

INTERRUPTED: Final = 130  # exit code: 128 + SIGINT
