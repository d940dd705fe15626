"""Helpers of the commands: texts named by arguments, progress, JSON, and stopping on Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO

import click

from charlm.cli.command import is_live

INTERRUPTED: Final = 130  # exit code: 128 + SIGINT

encoding_option = click.option("--encoding", default="utf-8", help="Encoding of the text.")
glob_option = click.option("--glob", "pattern", default="*", help="Read only these files of a folder.")
paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH...")
plot_option = click.option(
    "--plot", "plot_file", type=click.Path(path_type=Path), metavar="FILE", help="Write a plot; .svg or .png."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def find_texts(paths: tuple[str, ...], pattern: str = "*", encoding: str = "utf-8") -> list[Path]:
    """Return the text files that arguments name: files, the files of folders, - for standard input.

    Raises:
        CorpusError: a file does not exist, or a folder holds no text.
    """
    from charlm.text.decoding import STDIN
    from charlm.text.inputs import find_files

    found: list[Path] = []
    for path in paths:
        found += [STDIN] if path == "-" else find_files([Path(path)], pattern, encoding)[0]
    return found


def read_texts(paths: tuple[str, ...], pattern: str = "*", encoding: str = "utf-8") -> dict[str, str]:
    """Return the texts that arguments name, by file name, in that order."""
    from charlm.text.decoding import read_text

    return {str(file): "".join(read_text(file, encoding)) for file in find_texts(paths, pattern, encoding)}


def read_whole(path: str, encoding: str) -> str:
    """Return a file, a folder, or standard input for -, as one normalised text."""
    from charlm.text.decoding import normalise

    return normalise("".join(read_texts((path,), encoding=encoding).values()))


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """Show a bar if stderr is a terminal; yield a function that takes the amount done since its last call."""
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=not is_live()) as bar:
        yield bar.update


def print_json(document: Any, *, indent: int | None = None, stream: TextIO | None = None) -> None:
    """Print a document as JSON: in ASCII on a terminal, where control characters would act, else in UTF-8."""
    stream = stream or sys.stdout
    text = json.dumps(document, indent=indent, ensure_ascii=stream.isatty())
    if any("\ud800" <= character <= "\udfff" for character in text):  # of a file name that is not UTF-8
        text = json.dumps(document, indent=indent)
    stream.write(text + "\n")  # click.echo would remove escape sequences on the way into a pipe
    stream.flush()


@contextmanager
def stop_on_interrupt(stop: Callable[[], None], *, ignore_second: bool = False) -> Iterator[None]:
    """Call `stop` at the first Ctrl-C or SIGTERM. The second raises KeyboardInterrupt, or is ignored."""

    def handle(number: int, frame: FrameType | None) -> None:
        stop()
        signal.signal(number, signal.SIG_IGN if ignore_second else signal.default_int_handler)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
