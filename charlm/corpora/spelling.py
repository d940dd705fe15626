"""Names and misspellings, found by word counts of the corpus itself."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from charlm.corpora.normalise_english import WORD, words

MIN_FREQUENCY_RATIO: Final = 200  # of the correct word to a misspelling
MAX_SLIP_COUNT: Final = 3  # occurrences of a misspelling


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Return the count of each word, in lower case."""
    return Counter(word for text in texts for word in words(text))


def true_cases(texts: Iterable[str]) -> dict[str, str]:
    """Return the spelling of words that mostly have a capital within sentences, such as names."""
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


def find_misspellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Return misspellings with their corrections.

    A misspelling is hundreds of times rarer than another word that differs by two swapped letters or a doubled letter.

    Args:
        counts: of each word in the corpus.
    """
    found = {}
    for word, count in counts.items():
        if count > MAX_SLIP_COUNT or len(word) < 3 or "'" in word:
            continue
        near = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
        if len(word) >= 5:
            near |= {word[:at] + word[at] + word[at:] for at in range(1, len(word))}
            near |= {word[:at] + word[at + 1 :] for at in range(1, len(word)) if word[at] == word[at - 1]}
        best = max(sorted(near - {word}), key=lambda form: counts.get(form, 0), default=word)
        if counts.get(best, 0) >= MIN_FREQUENCY_RATIO * count:
            found[word] = best
    return found


def correct(text: str, corrections: Mapping[str, str], cases: Mapping[str, str]) -> str:
    """Apply the results of `find_misspellings` and `true_cases`; a text's first letter keeps its case."""

    def put(match: re.Match[str]) -> str:
        word = match[0]
        lower = word.lower()
        right = corrections.get(lower, lower)
        if right in cases:
            return cases[right] if match.start() else cases[right][:1].upper() + cases[right][1:]
        if right != lower:
            return right.capitalize() if word[0].isupper() else right
        return word

    return WORD.sub(put, text)
