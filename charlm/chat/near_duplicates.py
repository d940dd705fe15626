"""What was said already, so that it is not said again.

Owns when two sayings count as the same. Nothing here is random, and a reply that is drawn again is compared again with
the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Final, TypeVar

NEAR: Final = 0.85  # of both texts' characters are the same, in the same order
REMEMBERED: Final = 60  # replies: older ones may be given once more, and a turn costs the same however many there are
LONGEST: Final = 200  # characters that are compared

Saying = TypeVar("Saying")


def normalised(text: str) -> str:
    """Its words, whatever their case, punctuation and spacing; a text without letters or digits stands for itself."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(one if one.isalnum() else "" if one in "'\u2019" else " " for one in folded).split()
    return " ".join(words) or " ".join(folded.split())


def near(one: str, other: str) -> bool:
    """Whether two normalised texts say nearly the same: the same, or at least 85 % of their characters in a row.

    The share is that of `difflib.SequenceMatcher`: twice the matching characters over all characters, of the first 200
    of each.
    """
    if one == other:
        return True
    one, other = one[:LONGEST], other[:LONGEST]
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.real_quick_ratio() >= NEAR and matcher.quick_ratio() >= NEAR and matcher.ratio() >= NEAR


def first_new(choices: Sequence[Saying], text: Callable[[Saying], str], said: Sequence[str]) -> Saying:
    """The first choice that says something, and nothing nearly said before; else the first that says something.

    Args:
        choices: at least one, the best first.
        text: of a choice.
        said: before.
    """
    before = [one for one in map(normalised, said) if one]
    telling = [one for one in choices if text(one).strip()]
    for one in telling:
        words = normalised(text(one))
        if not any(near(words, other) for other in before):
            return one
    return (telling or choices)[0]
