"""The result of cleaning: documents, and a report of removals and changes with their reasons.

Owns the held-out part too. Training validates on the end of a text, so whole documents, a little more than a tenth, are
moved there. A hash of their names selects them.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

HELD_OUT_SHARE: Final = 0.1  # at least, as training holds out by default
HELD_OUT_MARGIN: Final = 0.005  # above that share

Files = Sequence[tuple[str, str]]
"""Path and text of each file of a source."""


@dataclass(frozen=True)
class Document:
    """A part of a corpus that is held out as a whole: a play, a conversation, a module."""

    name: str  # documents of the same name stay on one side of the split
    text: str  # without blank lines around it
    last: bool = False  # selected for the held-out part by name


@dataclass
class CleaningReport:
    """Counts of removals and changes, by reason."""

    removed: dict[str, list[int]] = field(default_factory=dict)  # for each reason, how many and their characters
    changed: Counter[str] = field(default_factory=Counter)

    def remove(self, reason: str, text: str | int = 0, times: int = 1) -> None:
        """Count removals.

        Args:
            reason: in the plural: "stage directions".
            text: the removed text, or its number of characters.
            times: number of removals.
        """
        if times:
            counts = self.removed.setdefault(reason, [0, 0])
            counts[0] += times
            counts[1] += text if isinstance(text, int) else len(text)

    def change(self, reason: str, times: int = 1) -> None:
        self.changed[reason] += times

    def to_dict(self) -> dict[str, object]:
        """Return plain data for the manifest."""
        removed = {
            reason: {"count": count, "characters": characters}
            for reason, (count, characters) in sorted(self.removed.items())
        }
        return {
            "removed": removed,
            "changed": {reason: count for reason, count in sorted(self.changed.items()) if count},
        }


def split(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """Split a corpus into a training part and a held-out part, both in the given order.

    Documents marked `last` are held out if there are any. Otherwise documents are, in the order of their names' hashes,
    until they are a tenth of the text; documents that would exceed it much are skipped. A single one is not divided.
    """
    chosen = {document.name for document in documents if document.last} or by_hash(documents)
    trained = [document for document in documents if document.name not in chosen]
    return trained, [document for document in documents if document.name in chosen]


def by_hash(documents: Sequence[Document], share: float = HELD_OUT_SHARE) -> set[str]:
    """Return the names of documents that are this share of the text, by default a tenth; never of all."""
    sizes: Counter[str] = Counter()
    for document in documents:
        sizes[document.name] += len(document.text)
    total = sizes.total()
    chosen: set[str] = set()
    taken = 0
    for name in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if taken >= share * total:
            break
        if taken + sizes[name] <= (share + HELD_OUT_MARGIN) * total:
            chosen.add(name)
            taken += sizes[name]
    return chosen if len(chosen) < len(sizes) else set()


def read_table(name: str) -> dict[str, Any]:
    """Return a TOML file of this package: words or corrections of a cleaning module."""
    return tomllib.loads(resources.files("charlm.corpora").joinpath(name).read_text(encoding="utf-8"))
