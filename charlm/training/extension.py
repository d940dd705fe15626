"""Fits the weights of a base to a larger vocabulary.

A new character starts with the weights of the most similar known characters: the same letter in another case or
without its accent, else the mean of its script and Unicode category. Only its output bias follows its own frequency.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from charlm.checkpoint import Checkpoint, Tensors
from charlm.text.vocabulary import BYTES, Vocabulary


def extend(base: Checkpoint, vocabulary: Vocabulary, counts: NDArray[np.int64], fresh: Tensors) -> Tensors:
    """Return the base's weights for a larger vocabulary.

    Args:
        base: its ids keep their rows.
        vocabulary: holds all characters of the base.
        counts: of each id in the text, (V,).
        fresh: initial weights of that size, for ids without a similar one.
    """
    old = base.vocabulary
    known = {character: index for index, character in enumerate(old.characters)}
    sources = [_similar(character, known) for character in vocabulary.characters]
    if vocabulary.has_bytes:
        sources += [[len(known) + byte] if old.has_bytes else [] for byte in range(BYTES)]
    tensors = dict(base.tensors)
    for name in {"embedding", "output.w", "output.b"} & fresh.keys():
        old_rows, rows = base.tensors[name], fresh[name].copy()
        for index, similar in enumerate(sources):
            if similar:
                rows[index] = old_rows[similar].mean(axis=0)
        tensors[name] = rows
    old_ids = vocabulary.encode("".join(old.characters))
    for index, character in enumerate(vocabulary.characters):
        if character not in known and sources[index]:
            usual = counts[old_ids[sources[index]]].mean()
            tensors["output.b"][index] += np.log((counts[index] + 0.1) / (usual + 0.1))
    return tensors


def _similar(character: str, known: Mapping[str, int]) -> list[int]:
    """Return the ids of the most similar known characters: itself, one variant, or those of its kind."""
    plain = unicodedata.normalize("NFKD", character)[0]
    for variant in (character, character.swapcase(), plain, plain.swapcase(), character.casefold()[0]):
        if variant in known:
            return [known[variant]]
    for kind in (_script_and_category, unicodedata.category, _major_category):
        if own := [index for one, index in known.items() if kind(one) == kind(character)]:
            return own
    return []


def _script_and_category(character: str) -> tuple[str, str]:
    """Return the first word of a character's name, such as LATIN, HIRAGANA or CJK, and its category."""
    return unicodedata.name(character, "").partition(" ")[0], unicodedata.category(character)


def _major_category(character: str) -> str:
    return unicodedata.category(character)[0]
