"""What a corpus itself knows about spelling: which words are names, and which are slips of the fingers."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from charlm.corpora.normalise_english import WORD, words

OFTEN: Final = 200
"""How many times more often than a slip the right word must come."""
RARE: Final = 3
"""So often at most comes a slip."""


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs, in lower case."""
    return Counter(word for text in texts for word in words(text))


def true_cases(texts: Iterable[str]) -> dict[str, str]:
    """How names and the like are written: as words are that mostly have a capital where no sentence begins."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        for match in WORD.finditer(text):
            at = match.start()
            if at and text[at - 1] in " (/" and text[at - 2] not in ".!?":
                counts[match[0].lower()][match[0]] += 1
    found = {}
    for lower, forms in counts.items():
        form, count = max(forms.items(), key=lambda item: (item[1], item[0]))
        shouted = form.isupper() and len(form) > 5
        if form != lower and count >= 5 and count > 0.6 * forms.total() and not shouted:
            found[lower] = form
    return found


def slips(counts: Mapping[str, int]) -> dict[str, str]:
    """Words that are another with two neighbours swapped, or with a letter doubled or not, and hundreds of times rarer.

    Args:
        counts: how often the corpus has each word.

    Returns:
        For each slip the word that was meant.
    """
    found = {}
    for word, count in counts.items():
        if count > RARE or len(word) < 3 or "'" in word:
            continue
        near = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
        if len(word) >= 5:
            near |= {word[:at] + word[at] + word[at:] for at in range(1, len(word))}
            near |= {word[:at] + word[at + 1 :] for at in range(1, len(word)) if word[at] == word[at - 1]}
        best = max(sorted(near - {word}), key=lambda form: counts.get(form, 0), default=word)
        if counts.get(best, 0) >= OFTEN * count:
            found[word] = best
    return found


def respell(text: str, meant: Mapping[str, str], cases: Mapping[str, str]) -> str:
    """Apply what `slips` and `true_cases` found; a text's first letter keeps its case."""

    def put(match: re.Match[str]) -> str:
        word = match[0]
        lower = word.lower()
        right = meant.get(lower, lower)
        if right in cases:
            return cases[right] if match.start() else cases[right][:1].upper() + cases[right][1:]
        if right != lower:
            return right.capitalize() if word[0].isupper() else right
        return word

    return WORD.sub(put, text)
