"""`charlm chat`: open the app or the line mode."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from charlm.cli.command import charlm_command, complete_model, model_path
from charlm.cli.options import check_together, given, option, options_of
from charlm.cli.output import is_live, print_note
from charlm.config import CHAT_LEARN_RATE, JAPANESE_LEARN_RATE, ChatConfig


def _complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the speakers of the model that begin with the incomplete word."""
    from charlm.checkpoint import read_header

    return read_header(model_path(ctx.params.get("model"))).dialogue.complete_name(incomplete)


@charlm_command(
    ("charlm chat", "talk to your newest model, or the bundled one"),
    ("charlm chat shakespeare --you ROMEO --bot JULIET", "choose who speaks"),
    ("charlm chat -c", "continue the last conversation"),
    ("charlm chat novel --plain", "lines instead of the app, as for screen readers"),
    ("echo hello | charlm chat smalltalk", "a reply in a pipe"),
)
@click.argument("model", required=False, shell_complete=complete_model)
@option("-c", "--continue", "resume", group="Conversation", is_flag=True, help="Continue the last conversation.")
@option("--id", "number", group="Conversation", type=int, help="Continue this one; see charlm conversations.")
@option("--you", group="Conversation", shell_complete=_complete_name, help="Your speaker, if the text names speakers.")
@option("--bot", group="Conversation", shell_complete=_complete_name, help="The model's speaker.")
@option("--seed", group="Conversation", type=int, help="Repeat the same replies.  [default: drawn]")
@option("--no-save", group="Conversation", is_flag=True, help="Do not write this conversation to the database.")
@option("--preset", group="Reply", help="Several settings at once: precise, balanced, wild, or your own (config.toml).")
@options_of(ChatConfig, group="Reply", exclude=("learn", "clamp"))
@option(
    "--learn/--no-learn",
    group="Reply",
    default=None,
    help="Learn from your messages.  [default: learn, if the text of the model has turns]",
)
@option(
    "--rate",
    group="Reply",
    type=float,
    help=f"How fast it learns.  [default: {CHAT_LEARN_RATE:g}; {JAPANESE_LEARN_RATE:g} for a Japanese model]",
)
@options_of(ChatConfig, "clamp", group="Reply")
@option("--plain", group="Interface", is_flag=True, help="Lines instead of the app; also without a terminal.")
@option("--echo", group="Interface", is_flag=True, help="In a pipe: show your message before each reply.")
@option("--json", "as_json", group="Interface", is_flag=True, help="Lines, and each reply as a JSON object.")
def command(**options: Any) -> int:
    """Talk to a model.

    MODEL is a name that charlm models lists, or a path; the default is your newest, or the bundled one. Conversations
    are stored on this machine only; charlm conversations lists, searches and exports them.
    """
    is_terminal = all(one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr)) and is_live()
    chosen = {name: options[name] for name in ("model", "resume", "number", "you", "bot", "seed", "preset", "learn")}
    check_together(options, exclusive=[("echo", "as_json")])
    dials = given(ChatConfig, {**options, "learn": None})
    if options["rate"] is not None or options["learn"] is False:
        dials["learn"] = 0.0 if options["learn"] is False else options["rate"]
    ChatConfig(**dials)  # refuses a wrong value before anything is loaded
    if is_terminal and not options["plain"] and not options["as_json"]:
        # Textual reads it at its import. It draws one to two periods after a frame, and a key waits as long.
        os.environ.setdefault("TEXTUAL_FPS", "120")
        from charlm.tui.app import run  # NumPy and the model are imported while the first screen is visible

        return run({**chosen, "dials": tuple(dials.items()), "keep": not options["no_save"]})
    from charlm.chat.session import ChatOptions, Session
    from charlm.cli.plain_chat import PlainChat

    session = Session(ChatOptions(**chosen, dials=tuple(dials.items()), keep=not options["no_save"]))
    try:
        lines = PlainChat(session, prompts=sys.stdin.isatty(), echoes=options["echo"], as_json=options["as_json"])
        code = lines.run()
    finally:
        is_saved = session.close(print_note)
        for message in session.news():  # such as what could not be saved
            print_note(message)
    return code if is_saved else code or 1
