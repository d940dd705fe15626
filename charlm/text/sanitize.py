"""Symbols for characters that would control a terminal, and stand-ins for those that a stream cannot encode.

A model may emit any character of its corpus. Escape sequences can move the cursor, rename the window or write to the
clipboard; bidirectional overrides can reorder text. On a screen they appear as symbols; a pipe gets them unchanged.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from io import TextIOWrapper

# C1, and characters that reorder or hide text: marks, embeddings, isolates, line separators, the tag block. Joiners
# stay: emoji and several scripts need them.
HIDDEN = "\x80-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f"
"""The inside of a character class."""

# Also C0, DEL, and halves of surrogate pairs, which cannot be encoded.
_HAZARDS = f"[\x00-\x08\x0b-\x1f\x7f{HIDDEN}\ud800-\udfff]"


def visible(text: str) -> str:
    """Return `text` with symbols for control characters, except newlines and tabs."""
    return re.sub(_HAZARDS, _symbol, text)  # compiled when it is first needed, which `charlm --help` never does


def _symbol(match: re.Match[str]) -> str:
    point = ord(match.group())
    if point < 0x20:
        return chr(0x2400 + point)
    return "\u2421" if point == 0x7F else f"<{point:02X}>"


def replace_lone_surrogates(text: str) -> str:
    """Return a text that UTF-8 can encode. A terminal may send halves of surrogate pairs."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def printable(name: str) -> str:
    """Return the name of a file with U+FFFD for bytes that are not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_ASCII = str.maketrans("‘’“”‐–—…•·›‹", "''\"\"---.**><")


def replace_unencodable(stream: object) -> None:
    """Let a text stream write stand-ins for characters that its encoding lacks, instead of failing."""
    if isinstance(stream, TextIOWrapper):
        codecs.register_error("charlm", _stand_ins)
        stream.reconfigure(errors="charlm")


def _stand_ins(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(_stand_in, error.object[error.start : error.end])), error.end


def _stand_in(character: str) -> str:
    """Return ASCII of the same width on a screen: similar, if there is such, or question marks."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return ""
    name = unicodedata.name(character, "")
    if name.startswith("BOX DRAWINGS"):
        direction = name.split()[-1]
        return {"HORIZONTAL": "-", "VERTICAL": "|"}.get(direction, "+")
    if "BLOCK" in name:
        return "#"
    plain = unicodedata.normalize("NFKD", character.translate(_ASCII))[0]
    width = 1 + (unicodedata.east_asian_width(character) in "WF")
    return plain.ljust(width) if plain.isascii() else "?" * width
