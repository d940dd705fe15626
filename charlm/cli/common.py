"""Helpers of the commands: options that several share, texts named by arguments, and stopping on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from charlm.text.decoding import STDIN, normalise, read_text
from charlm.text.inputs import find_files

encoding_option = click.option("--encoding", default="utf-8", help="Encoding of the text.")
glob_option = click.option("--glob", "pattern", default="*", help="Read only these files of a folder.")
paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH...")
plot_option = click.option(
    "--plot", "plot_file", type=click.Path(path_type=Path), metavar="FILE", help="Write a plot; .svg or .png."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def find_texts(paths: tuple[str, ...], pattern: str = "*", encoding: str = "utf-8") -> list[Path]:
    """Return the text files that arguments name, - for standard input; raise CorpusError if there is none."""
    found: list[Path] = []
    for path in paths:
        found += [STDIN] if path == "-" else find_files([Path(path)], pattern, encoding)[0]
    return found


def read_texts(paths: tuple[str, ...], pattern: str = "*", encoding: str = "utf-8") -> dict[str, str]:
    """Return the texts that arguments name, by file name, in that order."""
    return {str(file): "".join(read_text(file, encoding)) for file in find_texts(paths, pattern, encoding)}


def read_whole(path: str, encoding: str) -> str:
    """Return a file, a folder, or standard input for -, as one normalised text."""
    return normalise("".join(read_texts((path,), encoding=encoding).values()))


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
