"""Normalises careless English as people type it in a chat.

A small model spends capacity on all variation. Spelling `dont` as `don't`, final punctuation and the length of laughter
carry no meaning, so each gets one form. Each rule replaces a spelling by the only thing that it can mean. Ambiguous
words (`were`, `well`, `to`) stay unchanged.

    im doing good                         I'm doing good.
    AWESOME!!!! hahahaha soooo cool XD    Awesome! Haha so cool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from charlm.corpora.documents import read_table

CORRECTIONS: Final[dict[str, str]] = read_table("corrections.toml")
ALLOWED: Final = " .,?!'\"-:;()&%$/+"
"""Characters of a turn other than letters and digits."""

_AFTER_ITS = (
    "a|an|the|not|so|just|really|very|been|like|all|pretty|kind|kinda|too|hard|always|more|my|only|still|actually|super"
    "|good|nice|fun|cool|true|great|ok|okay|because|what|that|to|probably|definitely"
)
_AFTER_ILL = "be|go|have|try|do|see|get|take|check|let|just|probably|definitely|give|make|tell|say|never"
_AFTER_ID = "be|say|love|like|rather|have|want|go|probably|never|definitely|do|just|really|still|get"
_BY_PLACE = (
    ("ya", re.compile(r"(^|[.!?] )yah?\b", re.I), r"\1Yeah"),
    ("its", re.compile(r"(^|[.!?] )its\b", re.I), r"\1It's"),
    ("its", re.compile(rf"\b(i)ts (?=(?:{_AFTER_ITS}|\w+ing)\b)", re.I), r"\1t's "),
    ("lets", re.compile(r"(^|[.!?] )lets\b", re.I), r"\1Let's"),
    ("ill ", re.compile(rf"\bill (?=(?:{_AFTER_ILL})\b)", re.I), "I'll "),
    ("id ", re.compile(rf"\bid (?=(?:{_AFTER_ID})\b)", re.I), "I'd "),
)
"""Corrections at the beginning of a sentence or before certain words: a fast test, the pattern, the replacement."""

_SIGNS = (
    (re.compile(rf"[^A-Za-z0-9{re.escape(ALLOWED)}]"), " "),
    (re.compile(r"\s*\.(?:\s?\.)+"), "... "),
    (re.compile(r"[?!]*\?[?!]*"), "?"),
    (re.compile(r"([-!,:;/&\"'])\1+"), r"\1"),
    (re.compile(r"\(\s*\)"), " "),
    (re.compile(r"\s+([.,?!;:)])"), r"\1"),
    (re.compile(r"([,;!?])(?=[A-Za-z])"), r"\1 "),
    (re.compile(r"(?<=[a-z])\.(?=[A-Z][a-z])"), ". "),
    (re.compile(r"\.\.\.[.,;:]*"), "..."),
    (re.compile(r"[,;:]+([.?!])"), r"\1"),
    (re.compile(r"([?!])\.(?!\.)"), r"\1"),
    (re.compile(r"\s+"), " "),
)
_UNUSUAL = re.compile(r"[^A-Za-z0-9 ',.?!]|[,.?!][^ ]|\s[\s,.?!]")  # text without these needs no rule for signs

_QUOTES = str.maketrans("\u2019\u2018`\u201c\u201d\u2014\u2013", "'''\"\"--") | {0x2026: "..."}
_FACE = re.compile(
    r"(?<![\w(])(?:[:;=8][-'^]?[()\[\]DPpOoSs3/\\|]+|[xX][dD]+|[()]+[-']?[:;=]|<3+|\^_*\^|-_+-|[tT]_[tT])(?!\w)"
)
_STARRED = re.compile(r"\*+[^*\s][^*]*\*+")  # *waves*
_TITLE = re.compile(r"\b(mr|mrs|ms|dr|st)\.", re.I)
WORD: Final = re.compile(r"(?<!\d)[A-Za-z]+(?:'[A-Za-z]+)*")  # not the k of 90k
_LAUGHTER = re.compile(r"\b[bmw]?[wu]?a*(?:h+[ae]+){2,}h*\b", re.I)
_LAUGHS_ON = re.compile(r"\bhaha(?:[ ,.!]+haha)+\b", re.I)
_LAUGHS_LAST = re.compile(r"(?<=\w\w)[ ,]+haha(?=\s*(?:[.!?]|$))")
_LONG = re.compile(r"([A-Za-z])\1{2,}")
_ABBREVIATED = ("...", "i.e.", "e.g.", "etc.", "vs.", "a.m.", "p.m.", "u.s.")
_ENDS = (".", "!", "?", '."', '!"', '?"', ".)", "!)", "?)")
_EDGES = " ,;:-/&'"
_ASKS = re.compile(
    r"(?:(?:and|so|but|well|oh|ok|haha|hey|hi|hello) )*"
    r"(?:(?:what|who|where|how|why)\b(?:'s|'re)?(?! an? )|(?:is|was) (?:it|that|he|she|your) \w"
    r"|(?:do|does|did|are|were|have|can|could|will|would|should) (?:you|they|we|i|he|she|it|your|people) \w)"
)


def normalise(message: str, known: Mapping[str, int]) -> str:
    """Normalise a message: emoticons, stretched words, shouting, apostrophes, punctuation, ends of sentences.

    Args:
        message: as typed.
        known: count of each word in the corpus, in lower case; distinguishes `so` from `soo`.

    Returns:
        Sentences with a capital at the start and punctuation at the end; empty if there are no words.
    """
    text = _FACE.sub(" ", message.translate(_QUOTES))
    if "*" in text:
        text = _STARRED.sub(" ", text)
    text = _TITLE.sub(r"\1", text)
    text = _lower_shouting(text)
    text = _LAUGHTER.sub("haha", text)
    text = WORD.sub(lambda match: _word(match[0], known), text).replace("I.e.", "i.e.")
    lower = text.lower()
    for needle, pattern, correction in _BY_PLACE:
        if needle in lower:
            text = pattern.sub(correction, text)
    if "haha" in lower:
        text = _LAUGHS_LAST.sub("", _LAUGHS_ON.sub("haha", text))  # after a sentence it adds nothing
    return tidy(text)


def tidy(text: str) -> str:
    """Return English in plain characters, each sentence with a capital, the last one with punctuation.

    Returns:
        Empty if there are no words.
    """
    text = _lower_shouting(text.translate(_QUOTES))
    for _ in range(5):  # a rule may need the result of a later one; two passes are nearly always enough
        before = text
        if not _UNUSUAL.search(text):
            break
        for pattern, plain in _SIGNS:
            text = pattern.sub(plain, text)
        if text.count("(") != text.count(")"):
            text = text.replace("(", "").replace(")", "")
        if text.count('"') % 2:
            text = text.replace('"', "")
        if text == before:
            break
    text = text.strip(_EDGES)
    return sentences(text) if any(map(str.isalnum, text)) else ""


def sentences(text: str) -> str:
    """Capitalise each sentence, and end the last one with a full stop or question mark."""
    parts = [part for part in re.split(r"(?<=[.!?]) ", text) if part]
    for index, part in enumerate(parts):
        if index == 0 or not parts[index - 1].lower().endswith(_ABBREVIATED):
            at = next((place for place, letter in enumerate(part) if letter.isalnum()), 0)
            parts[index] = part[:at] + part[at : at + 1].upper() + part[at + 1 :]
    text = " ".join(parts)
    if text.endswith(_ENDS):
        return text
    return text.rstrip(_EDGES) + ("?" if _ASKS.match(parts[-1].lower()) else ".")


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return [word.lower() for word in WORD.findall(text)]


def _lower_shouting(text: str) -> str:
    """Return a text that is mostly capitals in lower case."""
    capitals = sum(map(str.isupper, text))
    return text.lower() if capitals > 4 and capitals > 0.6 * sum(map(str.isalpha, text)) else text


def _word(word: str, known: Mapping[str, int]) -> str:
    lower = word.lower()
    if lower.startswith("i'"):
        return "I" + lower[1:]
    if len(word) > 4 and word.isupper():
        word = lower  # shorter ones may be abbreviations
    if _LONG.search(lower):
        # A letter three times or more: the corpus decides between one and two.
        forms = [_LONG.sub(r"\1", lower), _LONG.sub(r"\1\1", lower)]
        lower = max(forms, key=lambda form: known.get(form, 0))
        word = lower.capitalize() if word[0].isupper() and not word.isupper() else lower
    if (correction := CORRECTIONS.get(lower)) is not None:
        return correction[:1].upper() + correction[1:] if word[0].isupper() and not word.isupper() else correction
    return "I" if word == "i" else word
