"""Helpers of the commands: options that several share, texts named by arguments, and stopping on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from charlm.cli.options import Callback
from charlm.text.decoding import STDIN, UTF8, Encoding, normalise, read_text
from charlm.text.inputs import find_files


def encoding_option(command: Callback) -> Callback:
    """Add --encoding and --encoding-errors. The command gets both as `encoding`, an `Encoding`."""
    errors = click.option(
        "--encoding-errors",
        type=click.Choice(["strict", "replace"]),
        default="strict",
        help="Refuse bytes that are not of the encoding, or replace them by a symbol.",
        is_eager=True,  # before the other option, which includes it
        expose_value=False,
        callback=lambda ctx, option, value: ctx.meta.update(encoding_errors=value),
    )
    name = click.option(
        "--encoding",
        default="utf-8",
        help="Encoding of the text.",
        callback=lambda ctx, option, value: Encoding(value, ctx.meta["encoding_errors"]),
    )
    return name(errors(command))


glob_option = click.option("--glob", "pattern", default="*", help="Read only these files of a folder.")
paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH...")
plot_option = click.option(
    "--plot", "plot_file", type=click.Path(path_type=Path), metavar="FILE", help="Write a plot; .svg or .png."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def find_texts(paths: tuple[str, ...], pattern: str = "*", encoding: Encoding = UTF8) -> list[Path]:
    """Return the text files that arguments name, - for standard input; raise CorpusError if there is none."""
    found: list[Path] = []
    for path in paths:
        found += [STDIN] if path == "-" else find_files([Path(path)], pattern, encoding)[0]
    return found


def read_texts(
    paths: tuple[str, ...], pattern: str = "*", encoding: Encoding = UTF8, format_name: str = "plain"
) -> dict[str, str]:
    """Return the texts that arguments name, by file name, in that order; chat exports become turns of the format."""
    from charlm.text.chat_exports import ExportReader

    exports = ExportReader(format_name)
    files = find_texts(paths, pattern, encoding)
    return {str(file): "".join(exports.read(read_text(file, encoding))) for file in files}


def read_whole(path: str, encoding: Encoding) -> str:
    """Return a file, a folder, or standard input for -, as one normalised text."""
    return normalise("".join(read_texts((path,), encoding=encoding).values()))


@contextmanager
def stop_on_interrupt(stop: Callable[[], None], *, ignore_second: bool = False) -> Iterator[None]:
    """Call `stop` at the first Ctrl-C, SIGTERM or SIGHUP. The second raises KeyboardInterrupt, or is ignored.

    A signal that the parent ignores stays ignored, as SIGHUP under `nohup`.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        stop()
        signal.signal(number, signal.SIG_IGN if ignore_second else signal.default_int_handler)

    numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    before = {one: signal.signal(one, handle) for one in numbers if signal.getsignal(one) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
