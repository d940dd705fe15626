"""Making characters visible that would otherwise drive a terminal.

A model may emit anything that its corpus held. Escape sequences could move the cursor, rename the window or paste into
the clipboard; bidirectional overrides could reorder what was said. On a screen they appear as symbols; in a pipe they
pass unchanged.
"""

from __future__ import annotations

import re

# C0 and DEL, C1, and what reorders or hides text: marks, embeddings, isolates, line separators, the tag block.
# Halves of surrogate pairs, which cannot be sent at all.
# Joiners stay, because emoji and several scripts are made of them.
_HAZARDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """`text` with control characters as symbols; newlines and tabs stay what they are."""
    return _HAZARDS.sub(_symbol, text)


def _symbol(match: re.Match[str]) -> str:
    point = ord(match.group())
    if point < 0x20:
        return chr(0x2400 + point)
    return "\u2421" if point == 0x7F else f"<{point:02X}>"
