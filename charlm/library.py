"""Where models are found by name.

A model's name is a path, or the name of a file in one of the folders that `folders` lists, in that order.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

from charlm.checkpoint import SUFFIX
from charlm.errors import NotFoundError
from charlm.files import home

LOCAL = Path("checkpoints")


def folders() -> list[Path]:
    """Where names are looked up: here, in the user's data folder, among the bundled models."""
    return [LOCAL, home() / "checkpoints", Path(__file__).parent / "checkpoints"]


def models() -> Iterator[Path]:
    """Every model file that has a name, the first folder's first; a name that an earlier folder has is left out."""
    seen = set()
    for folder in folders():
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if _is(Path.is_file, path) and path.stem not in seen:
                seen.add(path.stem)
                yield path


def find_model(name: str) -> Path:
    """The file of a model.

    Args:
        name: a path, or a name that `models` lists.

    Raises:
        NotFoundError: with near names, if there are any.
    """
    given = Path(name)
    if _is(Path.is_file, given) or (given.suffix == SUFFIX and _is(Path.exists, given)):
        return given
    for folder in folders():
        path = folder / f"{name.removesuffix(SUFFIX)}{SUFFIX}"
        if _is(Path.is_file, path):
            return path
    names = [path.stem for path in models()]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        hint = "did you mean " + " or ".join(near) + "?"
    else:
        hint = "charlm models lists what there is" if names else "charlm train FILE makes one"
    raise NotFoundError(f"no model named {name!r}", hint)


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except OSError:  # too long to be a name, as a prompt in the wrong place is, or where the user may not look
        return False


def newest_model() -> Path:
    """The model that was written last.

    Raises:
        NotFoundError: there is none.
    """
    newest = max(models(), key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        raise NotFoundError("there is no model yet", "charlm train FILE makes one")
    return newest
