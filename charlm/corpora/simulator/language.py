"""Rules of languages: articles, capitals, end marks, and the manners of typing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from typing import Any, Final, Protocol

from charlm.corpora.simulator.phrases import VALUE_END, VALUE_START, unmarked
from charlm.errors import CorpusError

_MARK: Final = f"[{VALUE_START}{VALUE_END}]"
_ARTICLE: Final = re.compile(rf"\b([Aa])n?( {_MARK}*)(?<={_MARK})(\w[\w'-]*)")
_SENTENCE: Final = re.compile(rf"((?:^|[.!?]['\")]* ){_MARK}*['\"(]*{_MARK}*)([a-z])")
_SPACE: Final = re.compile(rf" +(?={_MARK}*(?:[ .,!?]|$))|(?<=^{_MARK}{{2}}) +|^ +|,(?=(?: |{_MARK})*$)")
_ASKS: Final = re.compile(
    r"(?:.*[.!?,:] )?(?:(?:and|so|or|but|ok|hm+|oh|hey|hi|well) )?"
    r"(?:what(?:'?s)?|who(?:'?s)?|how(?:'?s)?|when(?= is| was| are| did| do| were| will)|where|why|which|do|does|did"
    r"|are|is|can|could|will|would|have you|has|should|may i|shall)\b(?!')[^.!?]*",
    re.IGNORECASE,
)
_ENDS: Final = re.compile(r"[.!?\u2026:)][\"']?$")
_VALUE: Final = re.compile(f"({VALUE_START}[^{VALUE_START}{VALUE_END}]*{VALUE_END})")
_SAD: Final = re.compile(
    r"\b(?:sorry|sad|loss|hard|pity|hurts?|unkind|unfair|grief|pain|lonely|worry|tears?|heavy)\b", re.IGNORECASE
)
_SAD_JAPANESE: Final = re.compile("\u3064\u3089|\u60b2|\u6b8b\u5ff5|\u5927\u5909|\u3054\u3081\u3093|\u8f9b")
_CONSONANT: Final = re.compile(r"(?:uni(?![nm])|us[eu]|eu|ewe|one\b|once|ukulele|utopia|u-turn)", re.IGNORECASE)
_VOWEL: Final = re.compile(r"(?:[aeiou]|8|11\b|18\b|hour|honest|honou?r|heir|x-ray)", re.IGNORECASE)


class Chance(Protocol):
    """Source of random choices."""

    def choose(self, count: int) -> int: ...
    def chance(self, share: float) -> bool: ...


class Language(Protocol):
    """Rules of a language."""

    def finish(self, text: str, is_last: bool = True) -> str:
        """Return a rendered phrasing as the model writes it; the last one of a turn loses its marks."""

    def join(self, parts: Sequence[str]) -> str:
        """Return one turn of several phrasings."""

    def after(self, prefix: str, text: str) -> str:
        """Return a phrasing after words such as "by the way,"."""

    def typed(self, text: str, style: str, chance: Chance) -> str:
        """Return a turn as a person types it: "neat", "relaxed" or "hurried"."""

    def is_sad(self, reply: str) -> bool:
        """Return whether a reply is about something sad. The person does not answer "Great." to it."""


def article(word: str) -> str:
    """Return the indefinite article of a word, "a" or "an"."""
    return "an" if _VOWEL.match(word) and not _CONSONANT.match(word) else "a"


def _typing_tables(name: str) -> dict[str, Any]:
    text = resources.files("charlm.corpora.simulator").joinpath(name, "typing.toml").read_text("utf-8")
    return tomllib.loads(text)


def _outside_values(text: str, change: Callable[[str], str]) -> str:
    """Return a text with everything changed except the words of slots."""
    return "".join(part if part[:1] == VALUE_START else change(part) for part in _VALUE.split(text))


class English:
    """English as it is typed."""

    def __init__(self) -> None:
        tables = _typing_tables("english")
        self.contractions, self.neighbours, self.rare = (
            tables["contractions"],
            tables["neighbours"],
            tables["rare_slang"],
        )
        self.slang: dict[str, str] = tables["slang"] | self.rare
        self.slang_word = re.compile(rf"\b(?:{'|'.join(sorted(self.slang, key=len, reverse=True))})\b(?!')")

    def finish(self, text: str, is_last: bool = True) -> str:
        text = _agreed(text)
        text = _SENTENCE.sub(lambda match: match[1] + match[2].upper(), text)
        if not _ENDS.search(text.rstrip(VALUE_START + VALUE_END)):
            text += "?" if _ASKS.fullmatch(text) else "."
        return unmarked(text) if is_last else text

    def join(self, parts: Sequence[str]) -> str:
        return " ".join(parts)

    def after(self, prefix: str, text: str) -> str:
        if prefix[-1] not in ".!?" and not re.match(r"I\b", text):
            text = text[:1].lower() + text[1:]
        return f"{prefix} {text}"

    def typed(self, text: str, style: str, chance: Chance) -> str:
        text = _agreed(text)
        if style != "neat":
            text = self._with_slang(text, chance, 0.06 if style == "relaxed" else 0.3)
        elif chance.chance(0.15):
            for short, long in self.contractions.items():
                text = re.sub(rf"\b{short}\b(?!$)", long, text)
        if style == "neat" or (style == "relaxed" and chance.chance(0.5)):
            text = re.sub(r"\bi(?='|\b)(?!\.e)", "I", self.finish(text, is_last=False))
        if style == "relaxed":
            text = _marks_left_out(text, chance, end=0.5, apostrophes=0.15, commas=0.1)
        elif style == "hurried":
            text = _marks_left_out(text, chance, end=0.85, apostrophes=0.7, commas=0.5)
            text = text.lower() if chance.chance(0.8) else text
        if chance.chance({"neat": 0.01, "relaxed": 0.04, "hurried": 0.15}[style]):
            text = self._with_slip(text, chance)
        return unmarked(text)

    def is_sad(self, reply: str) -> bool:
        return bool(_SAD.search(reply))

    def _with_slang(self, text: str, chance: Chance, share: float) -> str:
        """Return a text with a share of its words shortened, outside the words of slots."""

        def replaced(match: re.Match[str]) -> str:
            word = match[0]
            return self.slang[word] if chance.chance(share * 0.2 if word in self.rare else share) else word

        return _outside_values(text, lambda part: self.slang_word.sub(replaced, part))

    def _with_slip(self, text: str, chance: Chance) -> str:
        """Return a text with one slip of a finger, outside the words of slots."""
        hidden = _VALUE.sub(lambda match: "#" * len(match[0]), text)
        places = [match.span() for match in re.finditer(r"[a-z]{3,}", hidden)]
        if not places:
            return text
        start, end = places[chance.choose(len(places))]
        at = start + 1 + chance.choose(end - start - 2)
        letter = text[at]
        near = self.neighbours.get(letter, letter)
        other = near[chance.choose(len(near))]
        slips = (text[at + 1] + letter, text[at + 1], letter + text[at : at + 2], other + text[at + 1])
        return text[:at] + slips[chance.choose(len(slips))] + text[at + 2 :]


def _agreed(text: str) -> str:
    """Return a text with the right article before each slot and alternative, and without double spaces."""
    return _ARTICLE.sub(
        lambda match: match[1] + article(match[3])[1:] + match[2] + match[3], _SPACE.sub("", text).strip()
    )


def _marks_left_out(text: str, chance: Chance, end: float, apostrophes: float, commas: float) -> str:
    if text.endswith((".", "?")):
        text = text[:-1] if chance.chance(end if text[-1] == "." else end * 0.4) else text
    elif text.endswith("!") and chance.chance(0.15):
        text += "!!"
    if chance.chance(apostrophes):
        text = re.sub(r"(?<=[a-z])'(?=(?:s|t|m|re|ve|ll|d)\b)|(?<=\bI)'(?=m|ve|ll|d)", "", text)
    return text.replace(",", "") if chance.chance(commas) else text


class Japanese:
    """Japanese as it is typed."""

    def __init__(self) -> None:
        tables = _typing_tables("japanese")
        self.other: dict[str, list[str]] = tables["other"] | tables["short"]
        self.selves: dict[str, list[str]] = tables["selves"]
        words = sorted(self.other, key=len, reverse=True)
        self.other_word = re.compile("|".join(words))

    def finish(self, text: str, is_last: bool = True) -> str:
        if not re.search("[\u3002\uff01\uff1f\u2026]$", text.rstrip(VALUE_START + VALUE_END)):
            text += "\u3002"
        return unmarked(text) if is_last else text

    def join(self, parts: Sequence[str]) -> str:
        return "".join(parts)

    def after(self, prefix: str, text: str) -> str:
        return prefix + text

    def typed(self, text: str, style: str, chance: Chance) -> str:
        selves = self.selves[style]
        own = selves[chance.choose(len(selves))]
        text = text.replace("\u79c1", own)
        if style == "neat":
            return self.finish(text)
        share = {"relaxed": 0.06, "hurried": 0.35}[style]

        def replaced(match: re.Match[str]) -> str:
            found = self.other[match[0]]
            return found[chance.choose(len(found))] if chance.chance(share) else match[0]

        text = _outside_values(text, lambda part: self.other_word.sub(replaced, part))
        return unmarked(self._with_other_marks(text, style, chance))

    def _with_other_marks(self, text: str, style: str, chance: Chance) -> str:
        is_hurried = style == "hurried"
        if text.endswith("\u3002"):
            text = text[:-1] if chance.chance(0.9 if is_hurried else 0.6) else text
        elif text.endswith("\uff1f") and chance.chance(0.35 if is_hurried else 0.08):
            text = text[:-1] + ("?" if chance.chance(0.5) else "")
        if re.search("[\u306d\u3088\u306a]$", text) and chance.chance(0.15 if is_hurried else 0.08):
            text += "\u30fc\u30fc" if chance.chance(0.2) else "\u30fc"
        for mark, share in (("\u3092", 0.4), ("\u3001", 0.5)):  # an object's particle, and the comma
            if is_hurried and chance.chance(share):
                text = _outside_values(text, partial(re.sub, mark, ""))
        return text.replace("\uff01", "!") if is_hurried and chance.chance(0.5) else text

    def is_sad(self, reply: str) -> bool:
        return bool(_SAD_JAPANESE.search(reply))


def language(name: str) -> Language:
    """Return the rules of a language."""
    if name not in ("english", "japanese"):
        raise CorpusError(f"no simulator for the language {name!r}", "it is english or japanese")
    return English() if name == "english" else Japanese()
