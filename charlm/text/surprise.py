"""Text coloured by surprise, as HTML for notebooks: without a script, on a light page or a dark one."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

from charlm.text.sanitize import visible

MAX_BITS: Final = 12.0  # of the strongest colour
_SYMBOLS: Final = {"\n": "\u21b5", "\t": "\u21e5", " ": "space"}


def surprise_html(characters: Iterable[tuple[str, float, Sequence[tuple[str, int, float]]]]) -> str:
    """Return characters on a colour as strong as their surprise.

    A character has its surprise in bits and its alternatives: text, id and probability. A pointer shows them.
    """
    spans = []
    for text, bits, choices in characters:
        likely = [f"{_name(choice)} {probability:.1%}" for choice, _, probability in choices]
        title = html.escape("\n".join([f"{_name(text)}: {bits:.1f} bits", *likely]))
        shown = "\u21b5\n" if text == "\n" else visible(text)
        colour = f"rgba(230,120,0,{0.8 * min(max(bits / MAX_BITS, 0), 1):.2f})"
        spans.append(f'<span style="background:{colour}" title="{title}">{html.escape(shown)}</span>')
    return f'<pre style="white-space:pre-wrap">{"".join(spans)}</pre>'


def _name(text: str) -> str:
    return _SYMBOLS.get(text) or visible(text)
