"""Finds built corpora by name.

They are in one folder: `corpora/` in a checkout, else in the user's data folder. If CHARLM_HOME is set, the folder is
there. A corpus is a text, NAME.txt, and a manifest, NAME.json, with its sources and its sha256; `charlm.corpora.build`
writes both. Any other .txt file in the folder has a name too.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from charlm.config import DataConfig
from charlm.corpora import catalogue, fetch
from charlm.errors import NotFoundError
from charlm.files import home


def folder() -> Path:
    """Return the folder of built corpora."""
    checkout = Path(__file__).parents[2]
    if "CHARLM_HOME" not in os.environ and (checkout / "pyproject.toml").is_file() and (checkout / "corpora").is_dir():
        return checkout / "corpora"
    return home() / "corpora"


def text_path(name: str) -> Path:
    """Return the path of a corpus's text, built or not."""
    return folder() / f"{name}.txt"


def manifest_path(name: str) -> Path:
    """Return the path of a corpus's manifest, built or not."""
    return folder() / f"{name}.json"


def built() -> list[str]:
    """Return the names of the texts in the folder."""
    return sorted(path.stem for path in folder().glob("*.txt") if path.is_file() and not path.name.startswith("."))


def manifest(name: str) -> dict[str, Any] | None:
    """Return a corpus's manifest; None if it is not built, or its text has changed."""
    found = _read_manifest(name)
    try:
        return found if found and fetch.sha256(text_path(name)) == found["text"]["sha256"] else None
    except OSError:
        return None


def _read_manifest(name: str) -> dict[str, Any] | None:
    try:
        found = json.loads(manifest_path(name).read_text(encoding="utf-8"))
        return found if found["text"]["sha256"] and found["sources"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def notices(sha256: str) -> list[str]:
    """Return the authors of the corpus with this sha256, with licences and titles; none if it is not built."""
    for path in sorted(folder().glob("*.json")):
        found = _read_manifest(path.stem)
        if found and found["text"]["sha256"] == sha256:
            rows = ((one["attribution"], one["licence"], one.get("title") or one["name"]) for one in found["sources"])
            return catalogue.credit_lines(rows)
    return []


def find(name: str) -> Path:
    """Return the path of a built corpus's text; NotFoundError has the command that builds it as a hint."""
    if (path := _built_path(name)) is not None:
        return path
    catalogue.find(name, folder())  # raises if there is no such corpus at all
    raise NotFoundError(f"the corpus {name!r} is not built yet", f"charlm corpora build {name}")


def resolve(paths: Sequence[str]) -> list[str]:
    """Return the inputs of a command line, with the names of corpora replaced by their files.

    A file or folder in the working folder takes precedence; `-` stays.

    Raises:
        NotFoundError: there is no file, folder or corpus of a name.
    """
    return [path if path == "-" or _exists(path) else str(_find_named(path)) for path in paths]


def with_corpora(data: DataConfig) -> DataConfig:
    """Replace names of corpora by their files, and the format "auto" by the one that a corpus declares."""
    declared = form(data.paths) if data.format == "auto" else None
    return replace(data, paths=tuple(resolve(data.paths)), format=declared or data.format)


def form(paths: Sequence[str]) -> str | None:
    """Return the dialogue format of a single corpus that `resolve` finds by name; None for other inputs."""
    if len(paths) != 1 or paths[0] == "-" or _exists(paths[0]):
        return None
    found = manifest(paths[0])
    return str(found["format"]) if found else None


def _find_named(name: str) -> Path:
    if (path := _built_path(name)) is not None:
        return path
    if not _is_bare(name):
        parent = Path(name).parent
        near = difflib.get_close_matches(Path(name).name, _names_in(parent), n=1, cutoff=0.6)
        raise NotFoundError(f"no such file or folder: {name}", f"did you mean {parent / near[0]}?" if near else None)
    recipes, texts = catalogue.recipes(folder()), built()
    if name in recipes:
        return find(name)
    hint = "list the corpora with charlm corpora list"
    if near := difflib.get_close_matches(name, [*recipes, *texts, *_names_in(Path())], n=3, cutoff=0.6):
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}?"
    elif texts:
        hint = f"corpora that are built: {', '.join(texts)}"
    raise NotFoundError(f"no file, folder or corpus named {name!r}", hint)


def _built_path(name: str) -> Path | None:
    path = text_path(name)
    return path if _is_bare(name) and _exists(str(path)) and path.is_file() else None


def _names_in(parent: Path) -> list[str]:
    try:
        return sorted(path.name for path in parent.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _is_bare(name: str) -> bool:
    return bool(name) and Path(name).name == name and not name.startswith(".")


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a name, or in a folder that the user may not read
        return False
