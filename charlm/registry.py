"""Models by name.

A model's name is a path (anything with a slash or the suffix), or that of a file in one of the folders of `folders`, in
their order. A repository on Hugging Face is hf:OWNER/NAME.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.config import ModelConfig
from charlm.errors import CharlmError, NotFoundError, UsageError
from charlm.files import SUFFIX, home

if TYPE_CHECKING:
    from charlm.checkpoint import ModelHeader

LOCAL = Path("checkpoints")
HUB = "hf:"  # begins the name of a repository on Hugging Face
BUNDLED = ("smalltalk", "shakespeare", "nihongo", "python", "english", "japanese")  # the first is the default model
BASES = ("english", "japanese", "python")  # bundled models that a new model may start from


def folders() -> list[Path]:
    """Return the folders with models: the local one, the user's data folder, the bundled models."""
    return [LOCAL, home() / "checkpoints", bundled_folder()]


def bundled_folder() -> Path:
    """Return the folder of the models that come with charlm: in the package, or in a checkout next to it."""
    package = Path(__file__).parent
    checkout = package.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else package) / "checkpoints"


def is_path(name: str) -> bool:
    """Return whether a model's name is a path: it has a slash or the suffix."""
    return Path(name).suffix == SUFFIX or Path(name).parent != Path() or name.startswith("./")


def models() -> Iterator[Path]:
    """Yield the file of every named model, folder by folder; the first of equal names wins."""
    seen = set()
    for folder in folders():
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if _is(Path.is_file, path) and path.stem not in seen:
                seen.add(path.stem)
                yield path


def find_model(name: str) -> Path:
    """Return the file of a model by its path, or by a name that `models` lists.

    A repository on Hugging Face is downloaded once, by huggingface_hub.

    Raises NotFoundError if there is none; the hint has similar names.
    """
    if name.startswith(HUB):
        return _hub_model(name.removeprefix(HUB))
    given = Path(name)
    if _is(Path.is_file, given) or (given.suffix == SUFFIX and _is(Path.exists, given)):
        return given
    if is_path(name) and _is(Path.is_file, path := Path(name + SUFFIX)):
        return path
    for folder in folders():
        path = folder / f"{name.removesuffix(SUFFIX)}{SUFFIX}"
        if _is(Path.is_file, path):
            return path
    import difflib  # takes a millisecond

    names = [path.stem for path in models()]
    similar = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if similar:
        hint = "did you mean " + " or ".join(similar) + "?"
    else:
        hint = "list the models with charlm models" if names else "make one with charlm train FILE"
    raise NotFoundError(f"no model named {name!r}", hint)


def _hub_model(repository: str) -> Path:
    """Return the model file of a repository: NAME.safetensors, or the only one."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        problem = f"{HUB}{repository} needs huggingface_hub, which is not installed"
        raise UsageError(problem, "pip install huggingface_hub") from error
    try:
        folder = Path(snapshot_download(repository, allow_patterns=f"*{SUFFIX}"))
    except (OSError, ValueError) as error:  # those of the network and of Hugging Face, and an impossible name
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise NotFoundError(f"{HUB}{repository} cannot be downloaded: {reason}", "write hf:OWNER/NAME") from error
    found = sorted(folder.glob(f"*{SUFFIX}"))
    named = [path for path in found if path.stem == repository.rpartition("/")[2]] or found
    if len(named) != 1:
        raise NotFoundError(f"{HUB}{repository} has {len(named)} files that may be its model, but needs one")
    return named[0]


def command_name(path: Path) -> str:
    """Return the shortest name that finds a model or its run from here, quoted for a shell."""
    is_local = path.parent == LOCAL
    name = path.stem if is_local else str(path).removesuffix(SUFFIX)
    is_found = (is_local or is_path(name)) and not name.startswith("-") and not _is(Path.is_file, Path(name))
    return shlex.quote(name if is_found else str(path))


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except OSError:  # too long for a name, or in a folder that the user may not read
        return False


def default_model() -> Path:
    """Return the user's newest model, or else the first bundled one; raise NotFoundError if there is none."""
    found = list(models())
    bundled = bundled_folder().resolve()
    own = [path for path in found if path.stem not in BUNDLED or path.parent.resolve() != bundled]
    if own:
        return max(own, key=lambda path: path.stat().st_mtime)
    if found:
        return min(found, key=lambda path: BUNDLED.index(path.stem))
    raise NotFoundError("there is no model yet", "make one with charlm train FILE")


@dataclass(frozen=True)
class ModelCard:
    """One line about a model, for lists."""

    name: str
    path: Path
    shape: str = ""  # cell, layers and width
    megabytes: float = 0.0  # of the file
    validation: float | None = None  # bits per character; None if it was not measured
    dialogue: str = ""  # format
    error: str = ""  # why the file cannot be read
    header: ModelHeader | None = None

    @property
    def loss(self) -> str:
        return "not measured" if self.validation is None else f"{self.validation:.3f} bits/char"

    @property
    def size(self) -> str:
        return f"{self.megabytes:.1f} MB"


def shape_text(config: ModelConfig) -> str:
    """Return cell, layers and width."""
    return f"{config.cell} {config.layers}x{config.hidden}"


def model_cards() -> list[ModelCard]:
    """Return the card of every named model; a card names the error of a file that cannot be read."""
    return [_card(path) for path in models()]


def _card(path: Path) -> ModelCard:
    from charlm.checkpoint import read_header  # imports NumPy, which a list of names can do without

    try:
        header = read_header(path)
    except CharlmError as error:
        return ModelCard(path.stem, path, error=error.message)
    nats = header.record.validation
    return ModelCard(
        name=path.stem,
        path=path,
        shape=shape_text(header.config),
        megabytes=path.stat().st_size / 1e6,
        validation=None if nats is None else nats / math.log(2),
        dialogue=header.dialogue.format,
        header=header,
    )
