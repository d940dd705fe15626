"""Output of the commands: lines, notes, tables, JSON and progress, as fits a pipe or a terminal."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import click

from charlm.text.sanitize import visible


def shown(text: str, stream: TextIO) -> str:
    """Return text for a stream: unchanged into a pipe, with control characters as symbols on a terminal."""
    return visible(text) if stream.isatty() else text


def is_live(stream: TextIO | None = None) -> bool:
    """Return whether a stream (stderr by default) is a terminal that can redraw lines."""
    return (stream or sys.stderr).isatty() and os.environ.get("TERM") != "dumb"


def has_colour(stream: TextIO) -> bool:
    """Return whether a stream is a terminal with colours."""
    return is_live(stream) and not os.environ.get("NO_COLOR")


def print_text(text: str, end: str = "\n") -> None:
    """Print a line on stdout: unchanged into a pipe, with control characters as symbols on a terminal."""
    sys.stdout.write(shown(text, sys.stdout) + end)  # click.echo would remove escape sequences on the way into a pipe
    sys.stdout.flush()


def print_note(text: str) -> None:
    """Print a message on stderr, with control characters as symbols."""
    click.echo(visible(text), err=True)


@contextmanager
def status_line() -> Iterator[Callable[[str, str], None]]:
    """Yield a function that prints a message and a detail on stderr.

    On a terminal the next message, or the end, erases it. Elsewhere each message is printed once, without its details.
    """
    if not is_live():
        print_once = functools.cache(print_note)
        yield lambda text, _detail: print_once(text)
        return
    import shutil  # which imports bz2 and lzma

    width = shutil.get_terminal_size().columns - 1
    try:
        yield lambda text, detail: click.echo(f"\r\x1b[2K{visible(text + detail)[:width]}", err=True, nl=False)
    finally:
        click.echo("\r\x1b[2K", err=True, nl=False)


def print_table(sides: str, rows: Iterable[Sequence[str]], heads: Sequence[str] = ()) -> None:
    """Print aligned columns on stdout.

    Args:
        sides: a character for each column: < aligns it to the left, > to the right.
        rows: their cells.
        heads: headings of the columns.
    """
    lines = [[shown(cell, sys.stdout) for cell in row] for row in (*([heads] if heads else []), *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)]
        print_text("  ".join(cells).rstrip())


def print_json(document: object, *, indent: int | None = None, stream: TextIO | None = None) -> None:
    """Print a document as JSON: in ASCII on a terminal, where control characters would act, else in UTF-8."""
    import json  # after --help has been printed

    stream = stream or sys.stdout
    text = json.dumps(document, indent=indent, ensure_ascii=stream.isatty())
    if any("\ud800" <= character <= "\udfff" for character in text):  # of a file name that is not UTF-8
        text = json.dumps(document, indent=indent)
    stream.write(text + "\n")
    stream.flush()


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """Show a bar if stderr is a terminal; yield a function that takes the amount done since its last call."""
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=not is_live()) as bar:
        yield bar.update
