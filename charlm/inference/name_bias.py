"""A bias towards names that a person has mentioned, while a model writes.

A network of a few million weights misspells an unseen name soon after it has read it. Each character that goes on with
one of the names gains some nats, as in speech recognition with names from an address book (Zhao et al. 2019,
"Shallow-Fusion End-to-End Contextual Biasing"). Where the model is sure of another character, the gain is too small to
matter: a conversation about Norwich still says "No".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from charlm.inference.state import Array
from charlm.text.vocabulary import Vocabulary

Node = dict[int, "Node"]  # of a prefix tree, by the next id; a negative key marks where a name can end
_END = -1  # if no letter follows
_END_ANYWHERE = -2  # in a script without capitals, where words follow each other without spaces
FIRST_SHARE = 0.5  # of the gain, for the first character of a name


@dataclass(frozen=True, eq=False)
class Names:
    """Names that a text is likely to repeat, and by how many nats each of their characters gains."""

    names: Iterable[str]
    gain: float
    vocabulary: Vocabulary
    tree: Node = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for name in self.names:
            node = self.tree
            for index in self.vocabulary.encode(name).tolist():
                node = node.setdefault(index, {})
            node[_END if name[-1:].upper() != name[-1:].lower() else _END_ANYWHERE] = {}


class NameBias:
    """Follows one stream: which names its last characters have begun. It ends once the stream has one of them."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._is_letter, self._others = _letters(names.vocabulary)
        self._begun: list[Node] = [names.tree]
        self._has_name = False

    def advance(self, index: int) -> None:
        """Read an id that follows."""
        is_letter = self._is_letter[index]
        self._has_name |= not is_letter and any(_END in node for node in self._begun)
        self._begun = [node[index] for node in self._begun if index in node]
        self._has_name |= any(_END_ANYWHERE in node for node in self._begun)
        if not is_letter and not self._has_name:
            self._begun.append(self._names.tree)

    def mix(self, logits: Array) -> Array | None:
        """Return the logits of the next id, (V,), with the gains added; None if no name can go on."""
        if not any(self._begun):
            return None
        mixed = logits.copy()
        if any(_END in node for node in self._begun):
            mixed[self._others] += self._names.gain
        for node in self._begun:
            share = FIRST_SHARE if node is self._names.tree else 1.0
            following = [index for index in node if index >= 0]
            mixed[following] = np.maximum(mixed[following], logits[following] + share * self._names.gain)
        return mixed


@lru_cache(maxsize=4)
def _letters(vocabulary: Vocabulary) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return whether each id is a letter, (V,), and the ids that are not."""
    is_letter = np.array([vocabulary.label(index).isalpha() for index in range(len(vocabulary))])
    return is_letter, np.flatnonzero(~is_letter)
