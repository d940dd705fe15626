"""Near-duplicate blocking: a reply is not to repeat an earlier text.

Owns when two texts count as the same. Nothing is random: a reply that is drawn again is compared with the same texts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Final, TypeVar

MIN_DUPLICATE_RATIO: Final = 0.85  # of `difflib.SequenceMatcher`: twice the matching characters over all characters
MAX_AVOIDED_REPLIES: Final = 60  # older ones may be repeated; so a turn costs the same in a long conversation
MAX_COMPARED_CHARS: Final = 200

Choice = TypeVar("Choice")


def normalised(text: str) -> str:
    """Return the words, without case, punctuation or spacing; a text without letters or digits stays as it is."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(one if one.isalnum() else "" if one in "'\u2019" else " " for one in folded).split()
    return " ".join(words) or " ".join(folded.split())


def are_near_duplicates(one: str, other: str) -> bool:
    """Return whether the beginnings of two normalised texts are nearly the same."""
    if one == other:
        return True
    matcher = SequenceMatcher(None, one[:MAX_COMPARED_CHARS], other[:MAX_COMPARED_CHARS], autojunk=False)
    bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)  # the fastest first
    return all(bound() >= MIN_DUPLICATE_RATIO for bound in bounds)


def first_new(choices: Sequence[Choice], text: Callable[[Choice], str], avoid: Sequence[str]) -> Choice:
    """Return the first choice whose text is not blank and repeats none of `avoid`; else the first that is not blank."""
    earlier = [one for one in map(normalised, avoid) if one]
    written = [one for one in choices if text(one).strip()]
    for one in written:
        words = normalised(text(one))
        if not any(are_near_duplicates(words, other) for other in earlier):
            return one
    return (written or choices)[0]
