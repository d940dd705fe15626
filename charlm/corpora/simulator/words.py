"""Word lists: the words between commas or semicolons, records with bars, sections with attributes in a text file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from charlm.corpora.simulator.phrases import Phrasing, Word, parse
from charlm.errors import CorpusError

_DIRECTIVES: Final = ("@made-up", "@like", "@capital")


@dataclass
class WordList:
    """Words of one kind."""

    words: list[Word] = field(default_factory=list)
    sources: list[Phrasing | str] = field(default_factory=list)  # for each word: its phrasing, or the name of a list
    options: dict[str, str] = field(default_factory=dict)

    @property
    def made_up(self) -> str:
        """Name of the list that a share of the words comes from; it has no real words."""
        return self.options.get("@made-up", "")

    @property
    def like(self) -> str:
        """Name of the list whose word has the same gender: a sister has a woman's name."""
        return self.options.get("@like", "")

    def add(self, text: str, attributes: Mapping[str, str], where: str) -> None:
        """Add a word, which may be a phrasing, or "@" and the name of a list."""
        if text.startswith("@"):
            self.words.append(Word(text))
            self.sources.append(text[1:])
            return
        if re.fullmatch(r"[^/{]+/[^/{]+", text):
            text, plural = text.split("/")
            attributes = {**attributes, "plural": plural}
        self.words.append(Word(text, dict(attributes)))
        self.sources.append(parse(text, where))


def read_list(lines: Iterable[str], where: str) -> WordList:
    """Return the word list in a file.

    Raises:
        CorpusError: the file has another form, or no words.
    """
    found, attributes = WordList(), dict[str, str]()
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        if line.split()[0] in _DIRECTIVES:
            directive, _, value = line.partition(" ")
            found.options[directive] = value
        elif line.startswith("(") and line.endswith(")"):
            attributes = pairs(line[1:-1].split(","), "=", where)
        elif " | " in line:
            text, *record = line.split(" | ")
            found.add(text.strip(), attributes | pairs(record, ":", where), where)
        else:
            for item in filter(None, (item.strip() for item in line.split(";" if ";" in line else ","))):
                for text in _numbers(item) or [item]:
                    found.add(text, attributes, where)
    if not found.words:
        raise CorpusError(f"{where}: an empty list")
    return found


def pairs(texts: Iterable[str], sign: str, where: str) -> dict[str, str]:
    """Return names and values; CorpusError if one has no sign between them."""
    found = [text.partition(sign) for text in texts if text.strip()]
    if any(not separator for _, separator, _ in found):
        raise CorpusError(f"{where}: not a name and a value: {list(texts)}")
    return {name.strip(): value.strip() for name, _, value in found}


def _numbers(item: str) -> list[str]:
    match = re.fullmatch(r"(\d+)\.\.(\d+)", item)
    return [str(number) for number in range(int(match[1]), int(match[2]) + 1)] if match else []
