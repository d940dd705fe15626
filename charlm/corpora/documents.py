"""What cleaning gives: a corpus in pieces, and a tally of what was removed and why.

Owns the held-out part too. Training validates on a text's end, so whole pieces, a little more than a tenth, are moved
there; which ones depends on a hash of their names, never on chance.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

HELD_OUT: Final = 0.1
"""The share that training holds out by default; the held-out part is at least that much."""
MARGIN: Final = 0.005  # how much more it may be

Files = Mapping[str, str]
"""Texts by their paths in an archive."""


@dataclass(frozen=True)
class Document:
    """A piece of a corpus that is held out as a whole: a play, a conversation, a module.

    Attributes:
        name: whatever tells it from others; pieces of one name are kept on one side of the split.
        text: without blank lines around it.
        last: whether it was chosen for the held-out part by name.
    """

    name: str
    text: str
    last: bool = False


@dataclass
class CleaningReport:
    """How often something was removed or changed, by reason.

    Attributes:
        removed: for each reason, how many and how many characters.
        changed: for each reason, how many.
    """

    removed: dict[str, list[int]] = field(default_factory=dict)
    changed: Counter[str] = field(default_factory=Counter)

    def remove(self, reason: str, text: str | int = 0, times: int = 1) -> None:
        """Count what was removed.

        Args:
            reason: what it was, in the plural: "stage directions".
            text: it, or how many characters it had.
            times: how many of them.
        """
        if times:
            counts = self.removed.setdefault(reason, [0, 0])
            counts[0] += times
            counts[1] += text if isinstance(text, int) else len(text)

    def change(self, reason: str, times: int = 1) -> None:
        """Count what was changed."""
        if times:
            self.changed[reason] += times

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        removed = {
            reason: {"count": count, "characters": characters}
            for reason, (count, characters) in sorted(self.removed.items())
        }
        return {"removed": removed, "changed": dict(sorted(self.changed.items()))}


Clean = Callable[[Mapping[str, Files], CleaningReport, Mapping[str, Any]], list[Document]]
"""What a cleaning module offers: texts by source and path, a tally to count in, options of the recipe -> pieces."""


def split(units: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """Divide a corpus into what is trained on and what is held out, both in their own order.

    Units marked `last` are held out if there are any; else units are, in the order of their names' hashes, until they
    are a tenth of the text, but for those that would make it much more. A single unit is not divided.
    """
    chosen = {unit.name for unit in units if unit.last} or by_hash(units)
    return [unit for unit in units if unit.name not in chosen], [unit for unit in units if unit.name in chosen]


def by_hash(units: Sequence[Document]) -> set[str]:
    """The names of pieces that are a tenth of these, but never of all."""
    sizes: Counter[str] = Counter()
    for unit in units:
        sizes[unit.name] += len(unit.text)
    total = sizes.total()
    chosen: set[str] = set()
    taken = 0
    for name in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if taken >= HELD_OUT * total:
            break
        if taken + sizes[name] <= (HELD_OUT + MARGIN) * total:
            chosen.add(name)
            taken += sizes[name]
    return chosen if len(chosen) < len(sizes) else set()
