"""`charlm chat`: parse, then hand over to the app or to the line mode."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from charlm.cli.command import CharlmCommand, complete_model, shown
from charlm.cli.options import check_together, given, options_of
from charlm.config import ChatConfig, LearnConfig


def _complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Speakers of the model's text, for the shell."""
    from charlm.checkpoint import read_header
    from charlm.cli.command import model_path

    return read_header(model_path(ctx.params.get("model"))).dialogue.complete_name(incomplete)


@click.command(
    cls=CharlmCommand,
    examples=(
        ("charlm chat", "talk to your newest model, or the bundled one"),
        ("charlm chat shakespeare --you ROMEO --bot JULIET", "choose who speaks"),
        ("charlm chat -c", "go on where the last conversation stood"),
        ("charlm chat novel --plain", "lines instead of the app; for screen readers too"),
        ("echo hello | charlm chat smalltalk", "a reply in a pipe"),
    ),
)
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("-c", "--continue", "resume", is_flag=True, help="Go on with the last conversation.")
@click.option("--id", "number", type=int, help="Go on with this conversation; see charlm conversations.")
@click.option("--you", shell_complete=_complete_name, help="Who you are, where the model's text names its speakers.")
@click.option("--bot", shell_complete=_complete_name, help="Who the model is.")
@click.option("--seed", type=int, help="Makes the same replies again.  [default: drawn]")
@click.option("--preset", help="Several dials at once: precise, balanced, wild, or one of your config.toml.")
@options_of(ChatConfig, exclude=("learn", "clamp"))
@click.option(
    "--learn/--no-learn",
    default=None,
    help="Learn from what you say, while you say it.  [default: learn, if the model's text has turns]",
)
@click.option("--rate", type=float, help=f"How fast it learns.  [default: {LearnConfig.rate:g}]")
@options_of(ChatConfig, "clamp")
@click.option("--no-save", is_flag=True, help="Do not write this conversation to the database.")
@click.option("--plain", is_flag=True, help="Lines instead of the app; also where there is no terminal.")
@click.option("--echo", is_flag=True, help="In a pipe: show what was said before each reply.")
@click.option("--json", "as_json", is_flag=True, help="Lines, and each reply as one of JSON.")
def command(**options: Any) -> int:
    """Talk to a model.

    MODEL is a name that charlm models lists, or a path; left out, your newest, or the bundled one. Every
    conversation is kept, on this machine only; charlm conversations lists, searches and exports them.
    """
    # The app draws on stderr.
    terminal = all(one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr)) and os.environ.get("TERM") != "dumb"
    wish = {name: options[name] for name in ("model", "resume", "number", "you", "bot", "seed", "preset")}
    check_together(options, exclusive=[("echo", "as_json")])
    dials = given(ChatConfig, {**options, "learn": None})
    if options["rate"] is not None or options["learn"] is not None:
        rate = LearnConfig.rate if options["rate"] is None else options["rate"]
        dials["learn"] = 0.0 if options["learn"] is False else rate
    ChatConfig(**dials)  # refuses a wrong value before anything is loaded
    if terminal and not options["plain"] and not options["as_json"]:
        # Textual reads it when it is imported. After a frame it waits one to two periods, and a key waits with it.
        os.environ.setdefault("TEXTUAL_FPS", "120")
        from charlm.tui.app import run  # imports neither NumPy nor the model; both load while the first screen is up

        return run({**wish, "dials": tuple(dials.items()), "keep": not options["no_save"]})
    from charlm.chat.session import ChatOptions, Session
    from charlm.cli.plain_chat import PlainChat

    session = Session(ChatOptions(**wish, dials=tuple(dials.items()), keep=not options["no_save"]))
    try:
        lines = PlainChat(session, prompts=sys.stdin.isatty(), echoes=options["echo"], as_json=options["as_json"])
        return lines.run()
    finally:
        session.close()
        for message in session.news():  # such as what could not be saved
            click.echo(shown(message, sys.stderr), err=True)
