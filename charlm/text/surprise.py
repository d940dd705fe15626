"""Text coloured by surprise, as HTML for notebooks: without a script, on a light page or a dark one."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from charlm.text.sanitize import visible

MAX_BITS: Final = 12.0  # of the strongest colour
_SYMBOLS: Final = {"\n": "\u21b5", "\t": "\u21e5", " ": "space"}


class Choice(Protocol):
    """A likely character at some place."""

    @property
    def text(self) -> str: ...
    @property
    def probability(self) -> float: ...


def surprise_html(characters: Iterable[tuple[str, float, Sequence[Choice]]]) -> str:
    """Return characters, each with its surprise in bits and its alternatives, on a colour as strong as the surprise.

    The title of a character, which a pointer shows, has the numbers.
    """
    spans = []
    for text, bits, choices in characters:
        likely = [f"{_name(choice.text)} {choice.probability:.1%}" for choice in choices]
        title = html.escape("\n".join([f"{_name(text)}: {bits:.1f} bits", *likely]))
        shown = "\u21b5\n" if text == "\n" else visible(text)
        colour = f"rgba(230,120,0,{0.8 * min(max(bits / MAX_BITS, 0), 1):.2f})"
        spans.append(f'<span style="background:{colour}" title="{title}">{html.escape(shown)}</span>')
    return f'<pre style="white-space:pre-wrap">{"".join(spans)}</pre>'


def _name(text: str) -> str:
    return _SYMBOLS.get(text) or visible(text)
