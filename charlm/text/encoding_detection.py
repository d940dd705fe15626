"""Guesses encodings of bytes, for hints. Text is decoded only with the encoding that the user gives."""

from __future__ import annotations

_CANDIDATES = (
    *("utf_16", "utf_32", "utf_16_le", "utf_16_be", "utf_32_le", "utf_32_be"),
    *("cp932", "euc_jp", "gb18030", "big5", "euc_kr"),
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256"),
)


def likely_encodings(data: bytes) -> list[str]:
    """Return the names of likely encodings other than UTF-8, the likeliest first."""
    from charset_normalizer import from_bytes  # imported here, because it takes 0.1 s

    if is_iso_2022_jp(data):
        return ["iso2022-jp"]
    # Of encodings that fit equally well, western European Windows is the likeliest.
    found = sorted(from_bytes(data, cp_isolation=list(_CANDIDATES)), key=lambda one: (one.chaos, -one.coherence))
    names = [name for one in found for name in one.could_be_from_charset]
    if found and "cp1252" in names:
        tied = (found[0].chaos, found[0].coherence)
        first = [name for one in found if (one.chaos, one.coherence) == tied for name in one.could_be_from_charset]
        names = ["cp1252"] * ("cp1252" in first) + names
    return [name.replace("_", "-") for name in dict.fromkeys(names) if name in _CANDIDATES]


def is_iso_2022_jp(data: bytes) -> bool:
    """Return whether ASCII bytes switch to Japanese by escape sequences, as in old mail."""
    return b"\x1b" in data and (b"\x1b$B" in data or b"\x1b$@" in data)


def is_damaged_utf8(data: bytes) -> bool:
    """Return whether bytes are UTF-8 except for a few."""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    return len(text) - len(text.encode("ascii", "ignore")) > 5 * bad
