"""Where built corpora stand, and how their names are found.

They stand in one folder: `corpora/` of the checkout that charlm runs from, or else in the user's data folder, and there
always if CHARLM_HOME moves that. Each is a text, NAME.txt, and a manifest, NAME.json, which tells what it was made of
and its sha256; both are written by `charlm.corpora.build`. Any other .txt file in the folder goes by its name too.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from charlm.config import DataConfig
from charlm.corpora import catalogue, fetch
from charlm.errors import NotFoundError
from charlm.files import home

TEXT = ".txt"
MANIFEST = ".json"


def folder() -> Path:
    """Where built corpora stand."""
    checkout = Path(__file__).parents[2]
    if "CHARLM_HOME" not in os.environ and (checkout / "pyproject.toml").is_file() and (checkout / "corpora").is_dir():
        return checkout / "corpora"
    return home() / "corpora"


def text_path(name: str) -> Path:
    """Where a corpus's text stands, or will."""
    return folder() / f"{name}{TEXT}"


def manifest_path(name: str) -> Path:
    """Where a corpus's manifest stands, or will."""
    return folder() / f"{name}{MANIFEST}"


def built() -> Iterator[str]:
    """The names of the texts in the folder."""
    texts = (path for path in folder().glob(f"*{TEXT}") if path.is_file() and not path.name.startswith("."))
    return iter(sorted(path.stem for path in texts))


def manifest(name: str) -> dict[str, Any] | None:
    """What a corpus was made of; None if it was not built, or was changed since."""
    try:
        found = json.loads(manifest_path(name).read_text(encoding="utf-8"))
        whole = fetch.sha256(text_path(name)) == found["text"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if whole else None


def find(name: str) -> Path:
    """A corpus's text.

    Raises:
        NotFoundError: there is none, with the command that builds it if it can be.
    """
    if (path := _standing(name)) is not None:
        return path
    recipe = catalogue.find(name, folder())
    raise NotFoundError(f"the corpus {name!r} is not built yet", f"charlm corpora build {recipe.name}")


def resolve(paths: Sequence[str]) -> list[str]:
    """A command line's inputs, with the names of corpora replaced by their files.

    A file or folder of that name in the working folder comes first; `-` stays.

    Raises:
        NotFoundError: neither a file, a folder nor a corpus goes by a name.
    """
    return [path if path == "-" or _exists(path) else str(_named(path)) for path in paths]


def with_corpora(data: DataConfig) -> DataConfig:
    """Replace names of corpora by their files, and the format "auto" by the one that a corpus declares."""
    declared = form(data.paths) if data.format == "auto" else None
    return replace(data, paths=tuple(resolve(data.paths)), format=declared or data.format)


def form(paths: Sequence[str]) -> str | None:
    """The dialogue format of a single corpus that `resolve` finds by its name; None for anything else."""
    if len(paths) != 1 or paths[0] == "-" or _exists(paths[0]):
        return None
    found = manifest(paths[0])
    return str(found["format"]) if found else None


def _named(name: str) -> Path:
    if (path := _standing(name)) is not None:
        return path
    if _is_bare(name):
        known = [*catalogue.recipes(folder()), *built()]
        if name in known:
            raise NotFoundError(f"the corpus {name!r} is not built yet", f"charlm corpora build {name}")
        near = difflib.get_close_matches(name, [*known, *_beside(Path())], n=3, cutoff=0.6)
        there = list(built())
        hint = "did you mean " + " or ".join(dict.fromkeys(near)) + "?" if near else None
        if hint is None and there:
            hint = "corpora that are built: " + ", ".join(there)
        raise NotFoundError(
            f"no file, folder or corpus named {name!r}", hint or "charlm corpora list tells which corpora there are"
        )
    near = difflib.get_close_matches(Path(name).name, _beside(Path(name).parent), n=1, cutoff=0.6)
    hint = f"did you mean {Path(name).parent / near[0]}?" if near else None
    raise NotFoundError(f"no such file or folder: {name}", hint)


def _standing(name: str) -> Path | None:
    path = text_path(name)
    return path if _is_bare(name) and _exists(str(path)) and path.is_file() else None


def _beside(parent: Path) -> list[str]:
    try:
        return sorted(path.name for path in parent.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _is_bare(name: str) -> bool:
    return bool(name) and Path(name).name == name and not name.startswith(".")


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long to be a name, or where the user may not look
        return False
