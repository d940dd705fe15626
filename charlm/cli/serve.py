"""`charlm serve`: models over HTTP, for programs that talk to OpenAI's interface."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from charlm.cli.command import charlm_command, complete_model
from charlm.cli.options import given, options_of
from charlm.cli.output import print_note
from charlm.config import ServeConfig
from charlm.errors import UsageError


@charlm_command(
    ("charlm serve", "all models, at http://127.0.0.1:8765/v1"),
    ("charlm serve novel smalltalk", "only these; the first is the default"),
    ("charlm serve --port 9000 --api-key secret", "with a key"),
    ("charlm serve --allow-origin null", "also for a page opened from a file, such as mikupad"),
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=complete_model)
@options_of(ServeConfig, group="Server")
def command(models: tuple[str, ...], **options: object) -> None:
    """Serve models over HTTP: with the interface of OpenAI's server, and a page for browsers.

    MODEL is a name that charlm models lists, or a path; the default is every model, your newest first. Ctrl-C stops.
    """
    from charlm.serve import require_server

    require_server()
    config = ServeConfig(**given(ServeConfig, options))
    paths = _paths(models)
    from charlm.serve.guard import is_loopback
    from charlm.serve.run import serve

    handler = _Notes()
    logging.getLogger("charlm.serve").addHandler(handler)
    logging.getLogger("uvicorn").addHandler(handler)
    if not is_loopback(config.host):
        key = "with the key" if config.api_key else "WITHOUT a key (--api-key sets one)"
        print_note(f"warning: every machine that reaches {config.host} can use these models, {key}")

    def announce(address: str) -> None:
        names = ", ".join(path.stem for path in paths)
        print_note(f"serving {names} at {address}/v1, and a page to talk to them at {address}; Ctrl-C stops")

    serve(paths, config, announce)


def _paths(names: tuple[str, ...]) -> list[Path]:
    """Return the files of models; raise UsageError if two have the same name."""
    from charlm.registry import default_model, find_model, models

    if not names:
        first = default_model()
        return [first, *(path for path in models() if path != first)]
    paths = list(dict.fromkeys(map(find_model, names)))
    if len({path.stem for path in paths}) < len(paths):
        raise UsageError("two models have the same name", "give one of them another name, by copying its file")
    return paths


class _Notes(logging.Handler):
    """Prints log messages as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        print_note(f"note: {self.format(record)}")
