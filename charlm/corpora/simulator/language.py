"""What differs between languages: articles, capitals, and how people type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from charlm.corpora.simulator.phrases import VALUE_END, VALUE_START, unmarked
from charlm.errors import CorpusError

_MARKS: Final = f"[{VALUE_START}{VALUE_END}]*"
_ARTICLE: Final = re.compile(rf"\b([Aa])n?( {_MARKS})(?<=[{VALUE_START}{VALUE_END}])(\w[\w'-]*)")
_SENTENCE: Final = re.compile(rf"((?:^|[.!?]['\")]* ){_MARKS}['\"(]*{_MARKS})([a-z])")
_SPACE: Final = re.compile(rf" +(?={_MARKS}(?:[ .,!?]|$))|(?<=^[{VALUE_START}{VALUE_END}]{{2}}) +|^ +")
_ASKS: Final = re.compile(
    r"(?:^|.*[.!?,:] )(?:(?:and|so|or|but|ok|hm+|oh|hey|hi|well) )?(?:what|whats|what's|who|whos|who's|how|hows|how's|when|where|why|which|do|does|did|are|is|was"
    r"|am|can|could|will|would|have you|has|should|may i|shall|any)\b[^.!?]*",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(f"({VALUE_START}[^{VALUE_START}{VALUE_END}]*{VALUE_END})")
_CONSONANT: Final = re.compile(r"(?:uni(?![nm])|us[eu]|eu|ewe|one\b|once|ukulele|utopia|u-turn)", re.IGNORECASE)
_VOWEL: Final = re.compile(r"(?:[aeiou]|8|11\b|18\b|hour|honest|honou?r|heir|mri\b|x-ray)", re.IGNORECASE)


class Chance(Protocol):
    """Source of random choices."""

    def choose(self, count: int) -> int: ...
    def chance(self, share: float) -> bool: ...


class Language(Protocol):
    """Rules of a language."""

    def finish(self, text: str, is_last: bool = True) -> str:
        """Return a rendered phrasing as the model writes it."""

    def join(self, parts: Sequence[str]) -> str:
        """Return one turn of several phrasings."""

    def after(self, prefix: str, text: str) -> str:
        """Return a phrasing after words such as "by the way,"."""

    def typed(self, text: str, style: str, chance: Chance) -> str:
        """Return a rendered phrasing as a person types it."""


def article(word: str) -> str:
    """Return "a" or "an", as the word needs."""
    return "an" if _VOWEL.match(word) and not _CONSONANT.match(word) else "a"


class English:
    """English as it is typed."""

    contractions: Final = {
        "I'm": "I am", "don't": "do not", "can't": "cannot", "it's": "it is", "I've": "I have", "didn't": "did not",
        "I'll": "I will", "that's": "that is", "what's": "what is", "isn't": "is not", "doesn't": "does not",
        "I'd like": "I would like", "we're": "we are", "you're": "you are", "he's called": "he is called",
    }  # fmt: skip
    slang: Final = {
        "you": "u", "your": "ur", "are": "r", "because": "cuz", "going to": "gonna", "want to": "wanna", "please": "pls",
        "thanks": "thx", "really": "rly", "I don't know": "idk", "people": "ppl", "got to": "gotta", "yes": "yeah",
        "yeah": "yea", "okay": "ok", "tomorrow": "tmrw", "what's up": "wassup", "though": "tho",
        "for": "4", "to": "2", "kind of": "kinda", "something": "smth", "right now": "rn", "about": "abt", "though,": "tho",
        "doing": "doin", "good": "gud", "see you": "cya", "love": "luv", "favourite": "fav", "favorite": "fav",
    }  # fmt: skip
    slang_word: Final = re.compile(rf"\b(?:{'|'.join(sorted(slang, key=len, reverse=True))})\b(?!')")
    rare_slang: Final = frozenset(("for", "to", "good", "are", "love", "your"))
    neighbours: Final = {
        "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "k": "jl",
        "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb",
        "w": "qe", "y": "tu",
    }  # fmt: skip

    def finish(self, text: str, is_last: bool = True) -> str:
        text = _agreed(text)
        text = _SENTENCE.sub(lambda match: match[1] + match[2].upper(), text)
        if not re.search(r"[.!?\u2026:)][\"']?$", text.rstrip(VALUE_START + VALUE_END)):
            text += "?" if _ASKS.fullmatch(text) else "."
        return unmarked(text) if is_last else text

    def join(self, parts: Sequence[str]) -> str:
        return " ".join(parts)

    def after(self, prefix: str, text: str) -> str:
        if prefix.endswith(",") and not re.match(r"I\b", text):
            text = text[:1].lower() + text[1:]
        return f"{prefix} {text}"

    def typed(self, text: str, style: str, chance: Chance) -> str:
        text = _agreed(text)
        if style != "neat":
            text = self._slang(text, chance, 0.06 if style == "relaxed" else 0.3)
        if style == "neat" and chance.chance(0.15):
            for short, long in self.contractions.items():
                text = re.sub(rf"\b{short}\b(?!$)", long, text)
        if style == "neat" or (style == "relaxed" and chance.chance(0.5)):
            text = self.finish(text, is_last=False)
            text = re.sub(r"\bi(?='|\b)(?!\.e)", "I", text)
        if style == "relaxed":
            text = self._marks(text, chance, 0.5, 0.15, 0.1)
        elif style == "hurried":
            text = self._marks(text, chance, 0.85, 0.7, 0.5)
            text = text.lower() if chance.chance(0.8) else text
        if chance.chance({"neat": 0.01, "relaxed": 0.04, "hurried": 0.15}[style]):
            text = self._slip(text, chance)
        return unmarked(text)

    def _slang(self, text: str, chance: Chance, share: float) -> str:
        def replaced(match: re.Match[str]) -> str:
            word = match[0]
            rate = share * 0.2 if word in self.rare_slang else share
            return self.slang[word] if chance.chance(rate) else word

        return "".join(
            part if part[:1] == VALUE_START else self.slang_word.sub(replaced, part) for part in _VALUE.split(text)
        )

    def _marks(self, text: str, chance: Chance, end: float, apostrophes: float, commas: float) -> str:
        if (text.endswith(".") and chance.chance(end)) or (text.endswith("?") and chance.chance(end * 0.4)):
            text = text[:-1]
        elif text.endswith("!") and chance.chance(0.15):
            text += "!!"
        if chance.chance(apostrophes):
            text = re.sub(r"(?<=[a-z])'(?=(?:s|t|m|re|ve|ll|d)\b)|(?<=\bI)'(?=m|ve|ll|d)", "", text)
        if chance.chance(commas):
            text = text.replace(",", "")
        return text

    def _slip(self, text: str, chance: Chance) -> str:
        """Return a text with one slip of a finger outside the words of slots."""
        places = [
            match.span() for match in re.finditer(r"[a-z]{3,}", _VALUE.sub(lambda match: "#" * len(match[0]), text))
        ]
        if not places:
            return text
        start, end = places[chance.choose(len(places))]
        at = start + 1 + chance.choose(end - start - 2)
        kind, letter = chance.choose(4), text[at]
        if kind == 0:
            return text[:at] + text[at + 1] + letter + text[at + 2 :]
        if kind == 1:
            return text[:at] + text[at + 1 :]
        if kind == 2:
            return text[:at] + letter + text[at:]
        near = self.neighbours.get(letter, letter)
        return text[:at] + near[chance.choose(len(near))] + text[at + 1 :]


def _agreed(text: str) -> str:
    """Return a text with the right article before each slot and alternative, and without double spaces."""
    text = _SPACE.sub("", text).strip()
    return _ARTICLE.sub(lambda match: match[1] + ("n" if article(match[3]) == "an" else "") + match[2] + match[3], text)


class Japanese:
    """Japanese as it is typed."""

    def finish(self, text: str, is_last: bool = True) -> str:
        if not re.search("[\u3002\uff01\uff1f\u2026]$", text.rstrip(VALUE_START + VALUE_END)):
            text += "\u3002"
        return unmarked(text) if is_last else text

    def join(self, parts: Sequence[str]) -> str:
        return "".join(parts)

    def after(self, prefix: str, text: str) -> str:
        return prefix + text

    def typed(self, text: str, style: str, chance: Chance) -> str:
        if style == "neat":
            return self.finish(text)
        if text.endswith("\u3002") and chance.chance(0.6 if style == "relaxed" else 0.9):
            text = text[:-1]
        if style == "hurried" and chance.chance(0.5):
            text = text.replace("\u3001", "")
        return unmarked(text)


def language(name: str) -> Language:
    """Return the rules of a language."""
    if name not in ("english", "japanese"):
        raise CorpusError(f"no simulator for the language {name!r}", "it is english or japanese")
    return English() if name == "english" else Japanese()
