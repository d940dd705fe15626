"""Personal data in text: addresses, numbers, accounts, full names.

A model that has read an address may write it. These patterns prefer false positives: a phone number is any run of seven
digits or more that is not part of a larger number. They expect text in lower case.
"""

from __future__ import annotations

import re
from typing import Final

LINK: Final = re.compile(
    r"\b(?:https?:|ftp:|www\.)\S+|\b[a-z0-9-]{2,}\.(?:com|org|net|edu|gov|info|io|tv|me|ly|co\.uk|co\.jp)\b\S*"
)
KINDS: Final = {
    "e-mail addresses": re.compile(r"@\s?[\w-]+(?:\s?\.\s?[a-z]{2,})+|\b(?:at|\(at\)) [\w]+ (?:dot|\(dot\)) \w+"),
    "links": LINK,
    "phone numbers": re.compile(r"(?<![\w.,])\+?(?:\d[\s().-]{0,2}){6,14}\d(?![\w%])"),
    "handles": re.compile(r"(?<!\S)@\w{3,}"),
    "street addresses": re.compile(
        r"\b\d{1,5} (?:[nsew]\.?|north|south|east|west)\b(?: \d+)?"
        r"|\b\d{1,5} (?!(?:min|minutes?|hours?|hr|miles?) )(?:[a-z]+ ){1,2}"
        r"(?:street|avenue|ave|road|drive|boulevard|blvd)\b"
        r"|\b(?:apt|apartment|unit|dorm|room)\.? ?#?\d+|\bzip ?code\b"
    ),
    "talk of last names, numbers and accounts": re.compile(
        r"\b(?:(?:my|your|ur|his|her) (?:(?:phone |cell )?number|e-?mail|address|snap(?:chat)?|insta(?:gram)?|ig"
        r"|(?:user|screen) ?name|handle|venmo|facebook)|(?:add|follow|text|call|message|find) me (?:on|at)|phone number"
        r"|net ?id|(?:last|full) names?"
        r"|(?:snapchat|instagram|insta|facebook|fb|gmail|venmo|whatsapp) (?:name|account|is))\b"
    ),
}
FULL_NAME: Final = re.compile(r"\bname(?:'s| is| was) [A-Z]\w+ (?:[A-Z]\.? )?[A-Z]\w+")
"""First and last name, found by capitals; "her name is Ann" has none."""


def found(text: str) -> str | None:
    """Return the first kind of personal data in a text, or None."""
    lower = text.lower()
    for kind, pattern in KINDS.items():
        if pattern.search(lower):
            return kind
    return "full names" if FULL_NAME.search(text) else None
