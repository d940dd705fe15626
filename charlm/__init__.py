"""charlm: character-level language models on your own text, on your own machine.

The names below are loaded when they are first used, so that importing the package costs nothing and torch is only
imported by training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charlm.api import Model, load, train
    from charlm.errors import CharlmError

__version__ = "0.1.0"
__all__ = ["CharlmError", "Model", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    if name in ("Model", "load", "train"):
        from charlm import api

        return getattr(api, name)
    if name == "CharlmError":
        from charlm.errors import CharlmError

        return CharlmError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
