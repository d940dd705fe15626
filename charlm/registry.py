"""Where models are found by name.

A model's name is a path, or the name of a file in one of the folders that `folders` lists, in that order.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from charlm.checkpoint import SUFFIX
from charlm.errors import NotFoundError
from charlm.files import home

LOCAL = Path("checkpoints")
BUNDLED = ("smalltalk", "shakespeare", "nihongo", "python")  # the first is who is talked to, unless somebody else is


def folders() -> list[Path]:
    """Where names are looked up: here, in the user's data folder, among the bundled models."""
    return [LOCAL, home() / "checkpoints", bundled_folder()]


def bundled_folder() -> Path:
    """Where the models stand that came with charlm: in the package, or in the checkout that it runs from."""
    package = Path(__file__).parent
    checkout = package.parent
    # Who moves their home with CHARLM_HOME means to see nothing of this checkout.
    if "CHARLM_HOME" not in os.environ and (checkout / "pyproject.toml").is_file():
        return checkout / "checkpoints"
    return package / "checkpoints"


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


def default_model() -> Path:
    """The model that is meant where none is named: the user's newest, or else the first of the bundled ones.

    Raises:
        NotFoundError: there is none.
    """
    found = list(models())
    own = [path for path in found if not _is_bundled(path)]
    if own:
        return max(own, key=lambda path: path.stat().st_mtime)
    for name in BUNDLED:
        for path in found:
            if path.stem == name:
                return path
    raise NotFoundError("there is no model yet", "charlm train FILE makes one")


def _is_bundled(path: Path) -> bool:
    return path.stem in BUNDLED and path.parent.resolve() == folders()[-1].resolve()
