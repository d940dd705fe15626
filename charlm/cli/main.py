"""The `charlm` command: finds the subcommand, and turns errors into one sentence and an exit code.

A command is imported when it is called, so that `--help` answers at once.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

import charlm
from charlm.cli import INTERRUPTED
from charlm.cli.command import CharlmGroup
from charlm.cli.output import print_note
from charlm.errors import CharlmError, UsageError
from charlm.text.sanitize import replace_unencodable

BROKEN_PIPE: Final = 141  # exit code: 128 + SIGPIPE
GC_THRESHOLD: Final = 100_000  # objects; the app creates 70,000 before its first screen

COMMANDS: Final = {  # most needed first
    "train": "Train a model on your text.",
    "sample": "Stream text from a model.",
    "chat": "Talk to a model.",
    "serve": "Serve models over HTTP, with OpenAI's interface.",
    "eval": "Measure a model on a text.",
    "score": "Find the most surprising lines of a text.",
    "adapt": "Let a model learn a text in one reading.",
    "bench": "Measure this machine, and charlm on it.",
    "xray": "Look at a model's gates and cells while it reads.",
    "memory": "Measure how long a model remembers.",
    "gradients": "Measure how far gradients reach.",
    "compare": "Train cells side by side.",
    "models": "List models, show and export them.",
    "corpora": "Build texts to train on.",
    "conversations": "List, search, export and replay conversations.",
    "completion": "Print the completion script of your shell.",
}


class LazyGroup(CharlmGroup):
    """Group whose commands are in `charlm.cli.NAME`, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"charlm.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command; raise UsageError with the nearest name if there is none."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            import difflib  # takes a millisecond

            near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            raise UsageError(f"no command {name!r}", f"did you mean {near[0]}?" if near else "charlm --help lists them")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of a pipe has closed it; click would call this a failure
            _close_stdout()
            return BROKEN_PIPE

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    examples=(
        ("charlm train novel.txt", "train for five minutes"),
        ("charlm sample novel -p 'It was a'", "continue a text"),
        ("charlm chat novel", "talk to it, or write together"),
        ("charlm score novel chapter7.txt", "find the most unusual lines"),
    ),
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "CHARLM",
        "show_default": True,
        "max_content_width": 100,
    },
    epilog="Environment variables set options: CHARLM_TRAIN_MINUTES=10 charlm train is charlm train --minutes 10.",
)
@click.version_option(charlm.__version__, prog_name="charlm")
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
def cli(debug: bool) -> None:
    """Train a character-level language model on your own text, stream from it, talk to it."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code: 0, 1 for a failure, 2 for a usage error, 130 if interrupted.
    """
    # Sampling multiplies matrices by vectors, where a second thread helps only the largest models. If another program
    # uses its core, each product waits for milliseconds. Must be set before NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Almost all objects of a start are code that stays. Collecting them takes 5 % of the time to the first character.
    gc.set_threshold(GC_THRESHOLD)
    for stream in (sys.stdout, sys.stderr):
        replace_unencodable(stream)
    debug = "--debug" in arguments[:1] or os.environ.get("CHARLM_DEBUG", "") not in ("", "0")
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return BROKEN_PIPE
    except Exception as error:
        if debug:
            raise
        _discard_stdout()
        return _report(error)
    return code


def _invoke(arguments: Sequence[str]) -> int:
    # Outside standalone mode click hands its own exits back as the command's value.
    result: object = cli.main(args=list(arguments), prog_name="charlm", standalone_mode=False)
    return result if isinstance(result, int) else 0


def _report(error: Exception) -> int:
    """Print an error in one sentence and a hint. Returns the exit code."""
    match error:
        case CharlmError(message=message, hint=hint):
            pass
        case OSError():  # a full disk, a folder without permission
            reason = error.strerror or str(error)
            message, hint = f"{error.filename}: {reason}" if error.filename else reason, None
        case _:
            message = f"something broke inside charlm: {type(error).__name__}: {error}"
            hint = "charlm --debug ... shows where"
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    print_note(message)
    if hint:
        click.secho("hint: ", fg="cyan", nl=False, err=True)
        print_note(hint)
    return error.exit_code if isinstance(error, CharlmError) else 1


def _discard_stdout() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _close_stdout()


def _close_stdout() -> None:
    # The pipe is closed; the interpreter would report an error when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
