"""`charlm completion SHELL`: print the completion script that click generates."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from charlm.cli.command import charlm_command


@charlm_command(
    ('eval "$(charlm completion bash)"', "in ~/.bashrc"),
    ("charlm completion fish > ~/.config/fish/completions/charlm.fish", "for fish"),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a script that completes commands, options and model names in your shell."""
    from charlm.cli.main import cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(cli, {}, "charlm", "_CHARLM_COMPLETE").source())
